from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import sample


@pytest.fixture(scope="session")
def erp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "erp.sqlite"
    sample.generate(path)
    return path


@pytest.fixture
def erp(erp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{erp_path}?mode=ro", uri=True)
    yield connection
    connection.close()
