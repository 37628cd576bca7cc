"""A small ERP in SQLite that tests may change between two loads, and a record of the SQL it was asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy

from fleet_manifests import DataClass
from pipelines.sources import ExtractReport, SqlSource, extract

ALLOWED = frozenset({DataClass.PUBLIC, DataClass.INTERNAL})

EXCEPTIONS = {
    "cursor": "updated_at",
    "primary_key": ["exception_id"],
    "columns": {
        "exception_id": "internal",
        "note": {"class": "internal", "scrub": True},
        "updated_at": "internal",
        "unit_price": "pricing",
    },
}
ITEMS = {"columns": {"Item No": "public", "description": "public"}}


class Erp:
    """The database, the source file that describes it, and the lake it is loaded into."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.lake = project / "lake"
        self.database = project / "erp.sqlite"
        self.tables: dict[str, Any] = {"order_exceptions": EXCEPTIONS, "items": ITEMS}

    def sql(self, statement: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        """Change the database."""
        with sqlite3.connect(self.database) as connection:
            connection.executemany(statement, rows) if rows is not None else connection.execute(statement)
        connection.close()

    def source(self, **changes: Any) -> SqlSource:
        """The source file as it stands, with some keys changed."""
        data = {"name": "erp", "kind": "sql", "url": "sqlite:///erp.sqlite", "tables": self.tables}
        return SqlSource.model_validate(data | changes)

    def load(self, *, allowed: frozenset[DataClass] = ALLOWED, **changes: Any) -> ExtractReport:
        """Load what is new."""
        return extract(self.source(**changes), project=self.project, lake=self.lake, allowed=allowed, environ={})

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the lake."""
        with duckdb.connect(self.lake / "lake.duckdb", read_only=True) as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture
def erp(tmp_path: Path) -> Erp:
    """Forty exceptions, a minute apart, and two items."""
    erp = Erp(tmp_path)
    erp.sql(
        "CREATE TABLE order_exceptions (exception_id INTEGER PRIMARY KEY, note TEXT, unit_price NUMERIC(10, 2), "
        "updated_at DATETIME NOT NULL, clerk TEXT)"
    )
    rows = [(n, f"pallet {n} wet, mail jo{n}@acme.com", 1.25, f"2026-01-01 10:{n:02d}:00", "Jo") for n in range(40)]
    erp.sql("INSERT INTO order_exceptions VALUES (?, ?, ?, ?, ?)", rows)
    erp.sql('CREATE TABLE items ("Item No" TEXT PRIMARY KEY, description TEXT)')
    erp.sql("INSERT INTO items VALUES (?, ?)", [("A-1", "drum"), ("A-2", "tote")])
    return erp


@pytest.fixture
def asked() -> Iterator[list[tuple[str, Any]]]:
    """Every SELECT that a source is asked, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def record(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any) -> None:
        if statement.startswith("SELECT") and "sqlite_" not in statement:
            seen.append((" ".join(statement.split()), parameters))

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", record)
    yield seen
    sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", record)


@pytest.fixture
def make_erp() -> Callable[[Path], Erp]:
    """Another ERP in a folder of its own."""
    return Erp
