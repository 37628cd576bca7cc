"""Opens the database of a source, for reading only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from fleet_manifests import ConfigError, UnreachableError
from pipelines.sources.spec import SqlSource

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

CONNECT_SECONDS = 10
"""How long to wait for a database server to answer at all."""

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SERVERS = {"postgresql": {"connect_timeout": CONNECT_SECONDS}, "mysql": {"connect_timeout": CONNECT_SECONDS}}


def connect_url(source: SqlSource, *, project: Path, environ: Mapping[str, str]) -> URL:
    """The URL of a source with its variables filled in and a SQLite path made absolute.

    Raises:
        ConfigError: a variable is not set, or the result is no SQLAlchemy URL.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    where = f"sources/{source.name}.yaml: url"
    scheme, separator, rest = source.url.partition("://")
    user, at, place = rest.rpartition("@")
    text = f"{scheme}{separator}{_fill(user, environ, where, encode=True)}{at}{place}"
    try:
        url = make_url(_fill(text, environ, where, encode=False))
    except (ArgumentError, ValueError) as exc:
        raise ConfigError(f"{where}: not an SQLAlchemy URL such as postgresql+psycopg2://user@host/db") from exc
    if url.get_backend_name() != "sqlite":
        return url
    if url.database in (None, "", ":memory:"):
        raise ConfigError(f"{where}: names no file; write sqlite:///erp.sqlite")
    return url.set(database=str(project.absolute() / str(url.database)))


def _fill(text: str, environ: Mapping[str, str], where: str, *, encode: bool) -> str:
    """Replace each `${VARIABLE}`, percent-encoded where it is part of a user or a password."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise ConfigError(f"{where}: the environment variable {match[1]} is not set; set it and try again")
        return quote(environ[match[1]], safe="") if encode else environ[match[1]]

    return _VARIABLE.sub(value, text)


def shown(url: URL) -> str:
    """The URL as it may be printed: no user, no password, no query."""
    from sqlalchemy import URL

    return URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()


@contextmanager
def open_source(source: SqlSource, url: URL) -> Iterator[Engine]:
    """An engine that has answered once and cannot write.

    Raises:
        ConfigError: the driver is unknown or not installed.
        UnreachableError: the database does not answer, then or later.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError, NoSuchModuleError

    backend = url.get_backend_name()
    try:
        engine = create_engine(_read_only(url), connect_args=_SERVERS.get(backend, {}))
    except (NoSuchModuleError, ModuleNotFoundError) as exc:
        where = f"sources/{source.name}.yaml: url"
        raise ConfigError(f"{where}: no driver for {url.drivername} is installed; pip install it: {exc}") from exc
    if backend == "postgresql":
        engine = engine.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1 FROM sqlite_master" if backend == "sqlite" else "SELECT 1").close()
        yield engine
    except DBAPIError as exc:
        raise unreachable(source, url, exc) from exc
    finally:
        engine.dispose()


def unreachable(source: SqlSource, url: URL, exc: Exception) -> UnreachableError:
    """What to say when a database does not answer; the driver's words, without the password."""
    said = str(getattr(exc, "orig", None) or exc).strip().partition("\n")[0]
    for secret in filter(None, (url.password, *map(str, url.query.values()))):
        said = said.replace(secret, "***")
    hint = "check the path" if url.get_backend_name() == "sqlite" else "check that it runs, and the user's rights"
    return UnreachableError(f"source {source.name}: {shown(url)} cannot be read: {said}; {hint}")


def _read_only(url: URL) -> URL:
    """For SQLite, a URL that opens the file for reading and never creates it."""
    if url.get_backend_name() != "sqlite":
        return url
    return url.set(database=f"file:{quote(str(url.database))}", query={"mode": "ro", "uri": "true"})
