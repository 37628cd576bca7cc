"""The lake: a DuckDB file with one schema per source, changed as a whole or not at all.

A load works on a copy in a folder beside the file; the copy replaces the file when everything
has landed. Readers keep the file they opened, and a load that fails leaves the lake as it was.
Loads of one lake must not run at the same time: the caller holds the project's lock.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from fleet_manifests import DataClass, StorageError, digest_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LAKE_FILE = "lake.duckdb"


class LakeColumn(BaseModel):
    """One column of the lake, and where it came from."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Its name in the lake (snake case)."""
    type: str
    """Its type at the source."""
    data_class: DataClass
    scrub: bool


class LakeTable(BaseModel):
    """What is known of one table of the lake: kept in the lake itself, so that it cannot drift from it."""

    model_config = ConfigDict(frozen=True)

    source: str
    table: str
    """Its name in the lake."""
    columns: dict[str, LakeColumn]
    """The columns taken, by their name at the source."""
    cursor: str | None
    primary_key: tuple[str, ...]
    phone_regions: tuple[str, ...]
    scrub_version: int
    offered: dict[str, str]
    """Every column that the source has, taken or not, with its type."""

    def shape(self) -> object:
        """What a row of the table depends on: where it differs, rows loaded before are of no use."""
        columns = {name: (column.type, column.scrub) for name, column in self.columns.items()}
        scrubbed = any(column.scrub for column in self.columns.values())
        scrubbing = (self.phone_regions, self.scrub_version) if scrubbed else ()
        return columns, self.cursor, self.primary_key, scrubbing


@contextmanager
def changing(lake: Path) -> Iterator[Path]:
    """A folder with a copy of the lake; the copy becomes the lake when the block ends well.

    Raises:
        StorageError: the disk is full or not writable.
    """
    import duckdb

    try:
        lake.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".loading-", dir=lake) as name:
            copy = Path(name) / LAKE_FILE
            for suffix in ("", ".wal"):
                if (lake / (LAKE_FILE + suffix)).exists():
                    shutil.copyfile(lake / (LAKE_FILE + suffix), Path(name) / (LAKE_FILE + suffix))
            yield Path(name)
            with duckdb.connect(copy) as connection:
                connection.execute("CHECKPOINT")
            _replace(copy, lake / LAKE_FILE)
    except storage_errors() as exc:
        raise StorageError(f"lake {lake}: cannot be written: {exc}; the lake is as it was") from exc


def storage_errors() -> tuple[type[Exception], ...]:
    """What the disk and DuckDB raise when the lake cannot be written; a commit that fails is one of them."""
    import duckdb

    return OSError, duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException


def _replace(copy: Path, target: Path) -> None:
    """Put a finished file in place, on the disk before under its name."""
    with copy.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(copy, target)
    target.with_name(target.name + ".wal").unlink(missing_ok=True)


def read_tables(connection: DuckDBPyConnection, source: str | None = None) -> dict[tuple[str, str], LakeTable]:
    """What is known of the lake's tables, by source and table.

    Raises:
        StorageError: the file was not written by this version; delete it and load again.
    """
    known = connection.execute("SELECT 1 FROM duckdb_tables() WHERE schema_name = '_lading'").fetchone()
    if known is None:
        return {}
    rows = connection.execute("SELECT description FROM _lading.tables ORDER BY source, name").fetchall()
    try:
        tables = [LakeTable.model_validate_json(row[0]) for row in rows]
    except ValidationError as exc:
        raise StorageError("lake: its table descriptions cannot be read; delete the lake and load again") from exc
    return {(table.source, table.table): table for table in tables if source in (None, table.source)}


def write_tables(connection: DuckDBPyConnection, source: str, tables: dict[str, LakeTable]) -> None:
    """Replace what is known of one source's tables; drop tables that are no longer taken."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS _lading")
    connection.execute("CREATE TABLE IF NOT EXISTS _lading.tables (source VARCHAR, name VARCHAR, description VARCHAR)")
    for _, name in read_tables(connection, source):
        if name not in tables:
            connection.execute(f'DROP TABLE IF EXISTS "{source}"."{name}"')
    connection.execute("DELETE FROM _lading.tables WHERE source = ?", [source])
    for name, table in tables.items():
        connection.execute("INSERT INTO _lading.tables VALUES (?, ?, ?)", [source, name, table.model_dump_json()])


def lake_digest(lake: Path) -> str:
    """A digest of everything that sources brought, and of nothing else that the file holds."""
    import duckdb

    if not (lake / LAKE_FILE).is_file():
        return digest_of(b"")
    with duckdb.connect(lake / LAKE_FILE, read_only=True) as connection:
        tables = sorted(read_tables(connection))
        lines = [f"{source}.{name} {content(connection, source, name)[1]}" for source, name in tables]
    return digest_of("\n".join(lines).encode())


def content(connection: DuckDBPyConnection, source: str, table: str) -> tuple[int, str]:
    """How many rows a table has, and a digest of them that does not depend on their order.

    It adds up the rows' MD5 sums: enough to notice a change, not to withstand a forger.
    """
    sums = "count(*), sum(md5_number_lower(t::VARCHAR)::HUGEINT)"
    count, total = connection.execute(f'SELECT {sums} FROM "{source}"."{table}" t').fetchall()[0]
    return count, digest_of(f"{count} {total or 0}".encode())
