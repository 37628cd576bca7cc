"""What a source file may say, and where its database is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fleet_manifests import ConfigError, DataClass
from pipelines.sources import SqlSource, connect_url
from pipelines.sources.connect import shown

pytestmark = pytest.mark.unit

TABLES = {"t": {"columns": {"a": "internal", "b": {"class": "customer", "scrub": True}}}}


def source(url: str = "sqlite:///erp.sqlite", **changes: Any) -> SqlSource:
    return SqlSource.model_validate({"name": "erp", "kind": "sql", "url": url, "tables": TABLES} | changes)


def test_a_bare_class_is_a_column() -> None:
    columns = source().tables["t"].columns
    assert (columns["a"].data_class, columns["a"].scrub) == (DataClass.INTERNAL, False)
    assert (columns["b"].data_class, columns["b"].scrub) == (DataClass.CUSTOMER, True)


def test_round_trip() -> None:
    once = source(schema="sales")
    assert SqlSource.model_validate_json(once.model_dump_json(by_alias=True)) == once


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"passwords": 1}, ("passwords",), "not permitted"),
        ({"name": "ERP one"}, ("name",), "match pattern"),
        ({"tables": {}}, ("tables",), "at least 1"),
        ({"url": "erp.sqlite"}, ("url",), "expected an SQLAlchemy URL"),
        ({"phone_regions": ["US", "XX"]}, ("phone_regions",), "XX is not a region"),
        ({"tables": {"t": {"columns": {"a": "secret"}}}}, ("tables", "t", "columns", "a", "class"), "'personal'"),
        ({"tables": {"t": {"columns": {"a": {"class": "public", "scrubb": True}}}}},
         ("tables", "t", "columns", "a", "scrubb"), "not permitted"),
        ({"tables": {"t": {"cursor": "a", "columns": {"a": "public"}}}}, ("tables", "t"), "needs a primary_key"),
        ({"tables": {"t": {"primary_key": "x", "columns": {"a": "public"}}}},
         ("tables", "t"), "x is a key .* not listed"),
        ({"tables": {"t": {"primary_key": "a", "columns": {"a": {"class": "public", "scrub": True}}}}},
         ("tables", "t"), "cannot be scrubbed"),
        ({"tables": {"t": {"primary_key": ["a", "a"], "columns": {"a": "public"}}}}, ("tables", "t"), "twice"),
    ],
)  # fmt: skip
def test_what_is_refused(changes: dict[str, Any], field: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        source(**changes)
    assert caught.value.errors()[0]["loc"] == field


def test_a_relative_sqlite_path_is_in_the_project() -> None:
    assert connect_url(source(), project=Path("/p"), environ={}).database == "/p/erp.sqlite"
    assert connect_url(source("sqlite:////data/x.db"), project=Path("/p"), environ={}).database == "/data/x.db"
    assert (
        connect_url(source("sqlite:///${DIR}/x.db"), project=Path("/p"), environ={"DIR": "a/b"}).database
        == "/p/a/b/x.db"
    )


def test_variables_come_from_the_environment() -> None:
    url = "postgresql+psycopg2://${WHO}:${PASSWORD}@db:${PORT}/erp?application_name=${APP}"
    environ = {"WHO": "lading", "PASSWORD": "p@ss/w:rd%20${WHO}", "PORT": "5433", "APP": "x"}
    found = connect_url(source(url), project=Path("/p"), environ=environ)
    assert (found.username, found.password, found.host, found.port) == ("lading", "p@ss/w:rd%20${WHO}", "db", 5433)
    assert shown(found) == "postgresql+psycopg2://db:5433/erp"


def test_a_whole_url_may_be_a_variable() -> None:
    found = connect_url(source("${ERP}"), project=Path("/p"), environ={"ERP": "postgresql+psycopg2://u:p@h/d"})
    assert (found.password, found.database) == ("p", "d")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql+psycopg2://u:${NOPE}@h/d", "environment variable NOPE is not set"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("post gres://h/d", "not an SQLAlchemy URL"),
    ],
)
def test_a_url_that_leads_nowhere(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=rf"sources/erp\.yaml: url: .*{says}|{says}") as caught:
        connect_url(source(url), project=Path("/p"), environ={})
    assert "sources/erp.yaml: url" in str(caught.value)


def test_an_unknown_driver(tmp_path: Path) -> None:
    from pipelines.sources import extract

    with pytest.raises(ConfigError, match="no driver for abacus is installed"):
        extract(source("abacus://h/d"), project=tmp_path, lake=tmp_path / "lake", allowed=frozenset(), environ={})
