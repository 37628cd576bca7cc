"""The ERP of the sample distributor: one SQLite file, made whole or not at all."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fleet_manifests.errors import DataError, StorageError, UsageError
from sample import schema
from sample.clock import DAYS, day_of, stamp
from sample.dice import Dice
from sample.exceptions import exception_rows
from sample.intake import document_rows
from sample.master import Tables, master_data
from sample.records import read_master
from sample.trade import Period, trade

_AFTERTHOUGHTS = (" / cust called again", " - chased", ". still open", " / see above, no answer yet")


@dataclass(frozen=True)
class Size:
    """How much happens. The defaults are what the sample project is built from."""

    orders: int = 21_500
    exceptions: int = 6_400
    """Labelled records."""
    others: int = 600
    """Records in the same table that are no exception."""
    documents: int = 1_300
    """Inbound documents of a kind."""
    other_documents: int = 150
    """Inbound documents of none."""

    def __post_init__(self) -> None:
        """Refuse what could not be played."""
        if self.orders < 1 or min(self.exceptions, self.others, self.documents, self.other_documents) < 0:
            raise UsageError(f"expected at least 1 order and no negative number of records, found {self}")


@dataclass(frozen=True)
class Summary:
    """Rows per table, in the order of the schema."""

    counts: Mapping[str, int]


def generate(path: Path, *, seed: int = 7, size: Size | None = None) -> Summary:
    """Write the ERP: master data and 24 months of movements.

    The same seed and size give the same content. A file that is already there is replaced,
    and only once the new one is complete.

    Raises:
        StorageError: the file cannot be written.
    """
    size = size or Size()
    period = Period(0.0, float(DAYS))
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=_folder(path))
    os.close(descriptor)
    unfinished = Path(name)
    try:
        with closing(sqlite3.connect(unfinished)) as erp, erp:
            for statement in schema.TABLES:
                erp.execute(statement)
            _insert(erp, master_data(seed))
            _play(erp, seed, period, size)
            counts = _counts(erp)
        unfinished.chmod(0o644)
        unfinished.replace(path)
    except (OSError, sqlite3.Error) as exc:
        raise StorageError(f"{path}: could not be written: {exc}; free space or choose another folder") from exc
    finally:
        unfinished.unlink(missing_ok=True)
    return Summary(counts)


def extend(path: Path, *, days: int = 14, seed: int = 8) -> Summary:
    """Let `days` more days happen: new rows, and some old ones change. All or nothing.

    Every row written has a later `updated_at` than all rows before, as an incremental load expects.

    Raises:
        UsageError: `days` is below 1.
        DataError: the file is not a sample ERP.
        StorageError: the file cannot be written.
    """
    if days < 1:
        raise UsageError(f"extend: expected at least 1 day, found {days}")
    if not path.is_file():
        raise DataError(f"{path}: expected a sample ERP, found no file; make one with sample.generate")
    with closing(sqlite3.connect(path)) as erp:
        try:
            _require_sample(erp, path)
            with erp:
                _later(erp, days, seed)
                return Summary(_counts(erp))
        except sqlite3.DatabaseError as exc:
            raise StorageError(f"{path}: could not be extended: {exc}; it is as it was before") from exc


def _folder(path: Path) -> Path:
    """The folder that a file goes to."""
    if not path.parent.is_dir():
        raise StorageError(f"{path}: the folder {path.parent} does not exist; create it first")
    return path.parent


def _require_sample(erp: sqlite3.Connection, path: Path) -> None:
    try:
        found = {name for (name,) in erp.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as exc:
        raise DataError(f"{path}: expected a sample ERP, found: {exc}") from exc
    if missing := sorted(set(schema.NAMES) - found):
        raise DataError(f"{path}: expected a sample ERP, found no table {missing[0]}; make one with sample.generate")


def _later(erp: sqlite3.Connection, days: int, seed: int) -> None:
    """The next period at the pace of the ones before, and late changes to what is already there."""
    start = max(day_of(str(_scalar(erp, f"SELECT max(updated_at) FROM {name}"))) for name in schema.NAMES)
    period = Period(float(int(start) + 1), float(int(start) + 1 + days))
    counts = _counts(erp)
    rate = days / period.start
    others = int(str(_scalar(erp, "SELECT count(*) FROM order_exceptions WHERE exception_class IS NULL")))
    unfiled = int(str(_scalar(erp, "SELECT count(*) FROM inbound_documents WHERE document_type IS NULL")))
    size = Size(
        orders=max(1, round(counts["orders"] * rate)),
        exceptions=max(1, round((counts["order_exceptions"] - others) * rate)),
        others=max(1, round(others * rate)),
        documents=max(1, round((counts["inbound_documents"] - unfiled) * rate)),
        other_documents=max(1, round(unfiled * rate)),
    )
    _touch(erp, Dice(seed, "late changes"), period)
    _play(erp, seed, period, size)


def _touch(erp: sqlite3.Connection, dice: Dice, period: Period) -> None:
    """What was on the way arrives, stock moves, some notes grow."""
    arrival = stamp(period.start + 0.4)
    erp.execute("UPDATE shipments SET delivered_at = ?, updated_at = ? WHERE delivered_at IS NULL", (arrival, arrival))
    erp.execute("UPDATE orders SET status = 'delivered', updated_at = ? WHERE status = 'shipped'", (arrival,))
    for (stock_id,) in erp.execute("SELECT stock_id FROM stock ORDER BY stock_id").fetchall():
        if dice.chance(0.2):
            change = (dice.between(0, 200), stamp(period.start + 0.5), stock_id)
            erp.execute("UPDATE stock SET on_hand = ?, updated_at = ? WHERE stock_id = ?", change)
    newest = "SELECT exception_id FROM order_exceptions ORDER BY exception_id DESC LIMIT 40"
    for (exception_id,) in erp.execute(newest).fetchall()[::8]:
        more = (dice.pick(_AFTERTHOUGHTS), stamp(period.start + 0.6), exception_id)
        erp.execute("UPDATE order_exceptions SET note = note || ?, updated_at = ? WHERE exception_id = ?", more)


def _play(erp: sqlite3.Connection, seed: int, period: Period, size: Size) -> None:
    """Let a period happen."""
    master, ids = read_master(erp), _counts(erp)
    tables, shipped = trade(seed, master, period, size.orders, ids)
    tables["order_exceptions"] = exception_rows(
        seed, master, shipped, period, labelled=size.exceptions, others=size.others, last_id=ids["order_exceptions"]
    )
    _insert(erp, tables)
    documents = document_rows(
        seed, erp, period, labelled=size.documents, others=size.other_documents, last_id=ids["inbound_documents"]
    )
    _insert(erp, {"inbound_documents": documents})


def _insert(erp: sqlite3.Connection, tables: Tables) -> None:
    """Insert rows, referenced tables first."""
    for name in schema.NAMES:
        if rows := tables.get(name):
            marks = ", ".join("?" * len(rows[0]))
            erp.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)


def _counts(erp: sqlite3.Connection) -> dict[str, int]:
    return {name: int(str(_scalar(erp, f"SELECT count(*) FROM {name}"))) for name in schema.NAMES}


def _scalar(erp: sqlite3.Connection, query: str) -> object:
    """The one value that a query gives."""
    value: object = erp.execute(query).fetchone()[0]
    return value
