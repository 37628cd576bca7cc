"""An SQLite database with an append-only, hash-chained table of records.

Both consumers keep their audit in one: the site's outbox and the centre's store. A record's
hash covers the hash before it, so that a record changed, removed or put in between is found
by `Ledger.verify`. What a chain cannot show by itself, its newest records cut off, is shown
by the centre's copy of a site's hashes: every deferral carries the hash of its own record.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rfc8785

from fleet_manifests import IntegrityError, StorageError

GENESIS = "0" * 64
"""What the first record's hash covers in place of a predecessor."""

_TABLES = """
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, time TEXT NOT NULL,
    body TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, UNIQUE (kind, id));
CREATE TRIGGER IF NOT EXISTS records_are_not_changed BEFORE UPDATE ON records
    BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER IF NOT EXISTS records_are_not_removed BEFORE DELETE ON records
    BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
"""


@dataclass(frozen=True)
class Record:
    """One line of the audit."""

    seq: int
    kind: str
    id: str
    time: str
    body: dict[str, Any]
    hash: str


def chained(previous: str, seq: int, kind: str, key: str, time: str, body: str) -> str:
    """The hash of a record: sha256 over the canonical JSON of its fields and its predecessor's hash."""
    return hashlib.sha256(rfc8785.dumps([previous, seq, kind, key, time, body])).hexdigest()


def now() -> str:
    """The present moment, UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Ledger:
    """One database file, its tables and its chain. Safe to share between threads and processes.

    Args:
        path: the file; made, with its folder, for the owner only.
        tables: SQL of further tables of the same database.

    Raises:
        StorageError: the file cannot be made or is not such a database.
    """

    def __init__(self, path: Path, tables: str = "") -> None:
        """Open or make the database and its tables."""
        self.path = path
        self._lock = threading.RLock()
        with self._ours():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._connection.row_factory = sqlite3.Row
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}{tables}COMMIT;")

    def close(self) -> None:
        """Close the database; what was committed stays."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable when the block is left (WAL, `synchronous=FULL`).

        Raises:
            StorageError: the disk is full, not writable or the file damaged; nothing was written.
        """
        with self._lock, self._ours():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def erase(self) -> None:
        """Empty the write-ahead log, so that no copy of what was deleted stays in it."""
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a SELECT."""
        with self._lock, self._ours():
            return self._connection.execute(sql, values).fetchall()

    def append(self, connection: sqlite3.Connection, kind: str, key: str, body: Mapping[str, Any]) -> Record:
        """Add a record within a transaction. A (kind, id) that is there already fails the transaction."""
        last = connection.execute("SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1").fetchone()
        seq, previous = (last["seq"] + 1, last["hash"]) if last else (1, GENESIS)
        text, time = rfc8785.dumps(dict(body)).decode(), now()
        digest = chained(previous, seq, kind, key, time, text)
        connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", (seq, kind, key, time, text, digest))
        return Record(seq, kind, key, time, dict(body), digest)

    def record(self, kind: str, key: str) -> Record | None:
        """One record, or None."""
        found = self.rows("SELECT * FROM records WHERE kind = ? AND id = ?", kind, key)
        return _record(found[0]) if found else None

    def records(self, kind: str | None = None, *, last: int = 100) -> list[Record]:
        """The newest records, oldest of them first."""
        found = self.rows(
            "SELECT * FROM records WHERE ? IS NULL OR kind = ? ORDER BY seq DESC LIMIT ?", kind, kind, last
        )
        return [_record(row) for row in reversed(found)]

    def verify(self) -> tuple[int, str]:
        """Recompute the whole chain.

        Returns:
            How many records there are, and the hash of the newest.

        Raises:
            IntegrityError: a record was changed, removed or put in; the message names the first.
        """
        previous, expected = GENESIS, 1
        with self._lock, self._ours():
            for row in self._connection.execute("SELECT * FROM records ORDER BY seq"):
                if row["seq"] != expected:
                    raise IntegrityError(f"{self.path.name}: record {expected} is missing; the audit was tampered with")
                digest = chained(previous, row["seq"], row["kind"], row["id"], row["time"], row["body"])
                if digest != row["hash"]:
                    raise IntegrityError(
                        f"{self.path.name}: record {expected} is not what was written; the audit was tampered with"
                    )
                previous, expected = digest, expected + 1
        return expected - 1, previous

    @contextlib.contextmanager
    def _ours(self) -> Iterator[None]:
        """The seam where SQLite's and the file system's errors become ours."""
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise StorageError(f"{self.path}: {exc}; free some space or check who may write there") from exc


def _record(row: sqlite3.Row) -> Record:
    """A record as a value."""
    return Record(row["seq"], row["kind"], row["id"], row["time"], json.loads(row["body"]), row["hash"])
