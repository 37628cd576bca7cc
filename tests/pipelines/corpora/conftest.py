"""A lake made from a small ERP, and rows that say different enough things."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import DataClass
from pipelines.corpora import CorpusSpec, DataCard, build_corpus
from pipelines.corpora.rows import Row
from pipelines.sources import SqlSource, extract

CLASSES = frozenset({DataClass.INTERNAL, DataClass.CUSTOMER})

SOURCE = {
    "name": "erp",
    "kind": "sql",
    "url": "sqlite:///erp.sqlite",
    "tables": {
        "notes": {
            "columns": {
                "id": "internal",
                "note": {"class": "internal", "scrub": True},
                "cause": "internal",
                "customer": "customer",
                "seen": "internal",
                "credit_limit": "pricing",
            }
        }
    },
}

SQL = """-- notes
SELECT id, note AS text, cause AS label, customer AS "group", seen AS time, length(note) > 30 AS long
FROM erp.notes WHERE cause IS NOT NULL
"""
OUTSIDE = "SELECT id, note AS text, seen AS time FROM erp.notes WHERE cause IS NULL"

SAYINGS = {
    "damaged": ("crushed by fork", "wet through", "lid torn off", "leaking onto floor", "dented badly", "glass broken"),
    "late": ("truck never came", "still at hub", "missed slot", "due last week", "no eta given", "stuck in customs"),
    "short": ("only half here", "two cartons missing", "count is off", "one pallet less", "not all boxes", "qty low"),
    None: ("radio too loud", "happy birthday team", "gate code changed", "coffee machine dead", "nice job", "lunch?"),
}
THINGS = ("drum", "tote", "valve kit", "pump seal", "glove box", "hose reel", "filter pack", "gauge", "strap", "label")


def sentences() -> list[tuple[int, str, str | None, str, str]]:
    """240 different notes, an hour apart: id, note, cause, customer, time."""
    pairs = itertools.product(range(6), THINGS, SAYINGS)
    start = datetime(2026, 1, 1)
    return [
        (n, f"{thing} {SAYINGS[cause][say]} ({n * 7919 % 1000})", cause, f"C{n % 17}", str(start + timedelta(hours=n)))
        for n, (say, thing, cause) in enumerate(pairs)
    ]


class Project:
    """A project folder with an ERP, a lake and SQL files."""

    def __init__(self, root: Path) -> None:
        self.root, self.lake, self.out = root, root / "lake", root / "out" / "corpus"
        self.write("corpora/notes.sql", SQL)
        self.write("corpora/oos.sql", OUTSIDE)

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")

    def load(self, rows: list[tuple[Any, ...]]) -> None:
        """Fill the ERP with these notes and load them into the lake."""
        (self.root / "erp.sqlite").unlink(missing_ok=True)
        with sqlite3.connect(self.root / "erp.sqlite") as connection:
            connection.execute(
                "CREATE TABLE notes (id INTEGER, note TEXT, cause TEXT, customer TEXT, seen DATETIME, "
                "credit_limit INTEGER DEFAULT 9)"
            )
            columns = "id, note, cause, customer, seen"
            connection.executemany(f"INSERT INTO notes ({columns}) VALUES (?, ?, ?, ?, ?)", rows)
        connection.close()
        source = SqlSource.model_validate(SOURCE)
        extract(source, project=self.root, lake=self.lake, allowed=frozenset(DataClass), environ={})

    def build(self, seed: int = 7, classes: frozenset[DataClass] = CLASSES, **spec: Any) -> DataCard:
        """Build the corpus."""
        given = spec or {"sql": "corpora/notes.sql", "out_of_scope_sql": "corpora/oos.sql"}
        return build_corpus(
            CorpusSpec.model_validate(given),
            workflow="triage",
            project=self.root,
            lake=self.lake,
            out=self.out,
            seed=seed,
            data_classes=classes,
        )


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose lake holds the 240 notes; copied, never changed."""
    project = Project(tmp_path_factory.mktemp("loaded"))
    project.load(sentences())
    return project.root


@pytest.fixture
def project(tmp_path: Path, loaded: Path) -> Project:
    """A project with a loaded lake of its own."""
    import shutil

    shutil.copytree(loaded, tmp_path, dirs_exist_ok=True)
    return Project(tmp_path)


@pytest.fixture
def notes() -> list[tuple[int, str, str | None, str, str]]:
    """The notes that the lake holds, to be changed and loaded again."""
    return sentences()


@pytest.fixture
def make_rows() -> Callable[..., list[Row]]:
    """Rows with two labels, an hour apart."""

    def make(count: int, **changes: Any) -> list[Row]:
        start = datetime(2026, 1, 1)
        return [
            Row(
                id=f"{n:04d}",
                text=f"text {n}",
                label="ab"[n % 2],
                group=f"g{n % 9}",
                time=(start + timedelta(hours=n)).isoformat(),
                **changes,
            )
            for n in range(count)
        ]

    return make
