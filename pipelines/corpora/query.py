"""Runs the SQL of a corpus over what its workflow may see of the lake, and over nothing else."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import ConfigError, DataClass, DataError, digest_of
from pipelines.sources.lake import LAKE_FILE, LakeTable, content, read_tables
from pipelines.sources.select import near

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Tables = Mapping[str, LakeTable]
"""Tables of the lake by `source.table`."""


@dataclass(frozen=True)
class TableUsed:
    """One table of the lake that a query reads."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True)
class QueryResult:
    """What a query gave, and what it was given."""

    records: list[dict[str, Any]]
    tables: tuple[TableUsed, ...]
    sql_digest: str


def run_query(sql: str, *, project: Path, lake: Path, data_classes: frozenset[DataClass]) -> QueryResult:
    """Run one SELECT of the project over the lake.

    The query runs in a database of its own that holds copies of the tables it names, without the columns
    whose data class the workflow may not see; files, the network and settings are out of its reach.

    Args:
        sql: the SQL file, relative to the project.
        project: the project's folder.
        lake: the lake's folder.
        data_classes: what the workflow may see.

    Raises:
        ConfigError: the file is missing or is not one SELECT; a table or column does not exist or may not be seen.
        DataError: there is no lake yet, or a value cannot be read as the query asks.
    """
    import duckdb

    text = _read(project / sql, sql)
    if not (lake / LAKE_FILE).is_file():
        raise DataError(f"{sql}: there is no lake at {lake} to query; load the sources first")
    with duckdb.connect(lake / LAKE_FILE, read_only=True) as connection:
        known = {f"{source}.{table}": described for (source, table), described in read_tables(connection).items()}
        named = _named_tables(connection, sql, text, known)
        used = tuple(TableUsed(name, *content(connection, known[name].source, known[name].table)) for name in named)
    tables = [known[name] for name in named]
    with (
        tempfile.TemporaryDirectory(prefix=".query-", dir=lake) as scratch,
        duckdb.connect(Path(scratch) / "visible.duckdb") as connection,
    ):
        _copy_visible(connection, lake, tables, data_classes)
        records = _select(connection, sql, text, tables, data_classes)
    return QueryResult(records=records, tables=used, sql_digest=digest_of(text.encode()))


def _read(path: Path, sql: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{sql}: the SQL file cannot be read: {exc}; check the path in the workflow") from exc


def _named_tables(connection: DuckDBPyConnection, sql: str, text: str, known: Tables) -> list[str]:
    """The tables of the lake that a query reads, after making sure that it is one SELECT."""
    import duckdb

    try:
        statements = connection.extract_statements(text)
        kinds = [statement.type.name for statement in statements]
        if kinds != ["SELECT"]:
            raise ConfigError(f"{sql}: expected one SELECT, found {', '.join(kinds) or 'none'}; a corpus only reads")
        names = {name.replace('"', "").lower() for name in connection.get_table_names(text, qualified=True)}
    except duckdb.Error as exc:
        raise ConfigError(f"{sql}{_line(exc)}: {_said(exc)}") from exc
    for name in sorted(names - known.keys()):
        line = next((n for n, row in enumerate(text.splitlines(), 1) if name.rpartition(".")[2] in row.lower()), 1)
        raise ConfigError(f"{sql}:{line}: the lake has no table {name}{near(name, known)}")
    return sorted(names)


def _copy_visible(
    connection: DuckDBPyConnection, lake: Path, tables: list[LakeTable], data_classes: frozenset[DataClass]
) -> None:
    """Copy what the workflow may see, then shut the door."""
    path = str(lake / LAKE_FILE).replace("'", "''")
    connection.execute(f"ATTACH '{path}' AS lake (READ_ONLY)")
    for table in tables:
        seen = [f'"{column.name}"' for column in table.columns.values() if column.data_class in data_classes]
        if not seen:
            raise ConfigError(f"table {table.source}.{table.table} has no column of the workflow's data_classes")
        target = f'"{table.source}"."{table.table}"'
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{table.source}"')
        connection.execute(f"CREATE TABLE {target} AS SELECT {', '.join(seen)} FROM lake.{target}")
    connection.execute("DETACH lake")
    for setting in ("enable_external_access = false", "TimeZone = 'UTC'", "lock_configuration = true"):
        connection.execute(f"SET {setting}")


def _select(
    connection: DuckDBPyConnection, sql: str, text: str, tables: list[LakeTable], data_classes: frozenset[DataClass]
) -> list[dict[str, Any]]:
    """Run the query; its errors name file and line."""
    import duckdb

    try:
        result = connection.execute(text)
        names = [column[0] for column in result.description]
        rows = result.fetchall()
    except duckdb.ConversionException as exc:
        raise DataError(f"{sql}{_line(exc)}: a value is not what the query asks for: {_said(exc)}") from exc
    except duckdb.Error as exc:
        raise ConfigError(f"{sql}{_line(exc)}: {_hidden(exc, tables, data_classes) or _said(exc)}") from exc
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"{sql}: two columns are named {twice[0]}; give one of them another name with AS")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _hidden(exc: Exception, tables: list[LakeTable], data_classes: frozenset[DataClass]) -> str | None:
    """What to say of a column that is not found because the workflow may not see it."""
    missing = re.search(r'column (?:named )?"?(\w+)"? not found|does not have a column named "(\w+)"', str(exc))
    name = (missing[1] or missing[2]).lower() if missing else None
    for table in tables:
        for column in table.columns.values():
            if column.name == name and column.data_class not in data_classes:
                allowed = ", ".join(sorted(data_classes))
                return (
                    f"column {name} of {table.source}.{table.table} has data class {column.data_class}; the workflow "
                    f"may see {allowed}; leave it out, or add the class to the workflow's data_classes"
                )
    return None


def _line(exc: Exception) -> str:
    """`:3` where DuckDB says in which line the error is."""
    found = re.search(r"\bLINE (\d+):", str(exc))
    return f":{found[1]}" if found else ""


def _said(exc: Exception) -> str:
    """DuckDB's words without the quoted line."""
    return " ".join(str(exc).partition("\n\nLINE ")[0].split())
