from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import sample
from fleet_manifests.errors import DataError, StorageError, UsageError
from sample import schema

pytestmark = pytest.mark.unit

SMALL = sample.Size(orders=400, exceptions=60, others=10, documents=70, other_documents=12)


def dump(path: Path) -> str:
    with closing(sqlite3.connect(path)) as erp:
        return hashlib.sha256("\n".join(erp.iterdump()).encode()).hexdigest()


def count(erp: sqlite3.Connection, rest: str) -> int:
    return int(erp.execute(f"SELECT count(*) FROM {rest}").fetchone()[0])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "erp.sqlite"
    sample.generate(path, size=SMALL)
    return path


def test_there_is_as_much_as_a_mid_size_distributor_has(erp: sqlite3.Connection) -> None:
    assert count(erp, "order_lines") >= 50_000
    assert count(erp, "order_exceptions WHERE disposition = 'confirmed'") >= 6_000
    assert count(erp, "order_exceptions WHERE disposition = 'not_an_exception'") == 600
    assert count(erp, "inbound_documents WHERE disposition = 'filed'") >= 1_200
    assert count(erp, "inbound_documents WHERE disposition = 'unfiled'") == 150
    for name in schema.NAMES:
        assert count(erp, name) > 0, name


def test_every_reference_leads_somewhere(erp: sqlite3.Connection) -> None:
    assert erp.execute("PRAGMA foreign_key_check").fetchall() == []
    assert count(erp, "order_lines l JOIN orders USING (order_id)") == count(erp, "order_lines")
    mixed_up = "order_exceptions e JOIN order_lines l USING (order_line_id) WHERE e.order_id <> l.order_id"
    assert count(erp, mixed_up) == 0
    assert count(erp, "order_exceptions e JOIN orders o USING (order_id) WHERE e.customer_id <> o.customer_id") == 0


@pytest.mark.parametrize("table", schema.NAMES)
def test_every_table_has_a_key_and_a_cursor(erp: sqlite3.Connection, table: str) -> None:
    columns = {row[1]: row for row in erp.execute(f"PRAGMA table_info({table})")}
    assert sum(row[5] for row in columns.values()) == 1
    assert columns["updated_at"][3] == 1, "not null"
    written = "20[0-9][0-9]-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
    assert count(erp, f"{table} WHERE updated_at NOT GLOB '{written}'") == 0


def test_nothing_happens_outside_of_the_24_months_or_before_its_cause(erp: sqlite3.Connection) -> None:
    first, last = erp.execute("SELECT min(ordered_at), max(ordered_at) FROM orders").fetchone()
    assert first.startswith("2024-01") and last.startswith("2025-12")
    for table in schema.NAMES:
        assert erp.execute(f"SELECT max(updated_at) FROM {table}").fetchone()[0] < "2026-01-01"
    assert count(erp, "shipments JOIN orders USING (order_id) WHERE shipped_at < ordered_at") == 0
    assert count(erp, "shipments WHERE delivered_at < shipped_at") == 0
    assert count(erp, "order_lines WHERE shipped_quantity > quantity OR quantity < 1") == 0
    assert count(erp, "order_exceptions JOIN orders USING (order_id) WHERE reported_at < ordered_at") == 0


def test_only_labelled_records_are_confirmed(erp: sqlite3.Connection) -> None:
    assert count(erp, "order_exceptions WHERE (exception_class IS NULL) <> (disposition = 'not_an_exception')") == 0
    assert count(erp, "inbound_documents WHERE (document_type IS NULL) <> (disposition = 'unfiled')") == 0


def test_the_same_seed_gives_the_same_content_and_another_another(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.sqlite", "b.sqlite", "c.sqlite")]
    for path, seed in zip(paths, (3, 3, 4), strict=True):
        sample.generate(path, seed=seed, size=SMALL)
    assert dump(paths[0]) == dump(paths[1]) != dump(paths[2])


def test_the_summary_counts_what_is_there(small: Path) -> None:
    summary = sample.generate(small, size=SMALL)
    assert summary.counts["orders"] == 400
    assert summary.counts["order_exceptions"] == 70
    assert summary.counts["inbound_documents"] == 82
    assert list(summary.counts) == list(schema.NAMES)


def test_a_later_period_is_added_above_every_cursor_and_changes_some_old_rows(small: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.sqlite"
    shutil.copyfile(small, before)
    summary = sample.extend(small, days=14, seed=5)
    with closing(sqlite3.connect(small)) as erp:
        erp.execute("ATTACH ? AS old", (str(before),))
        assert erp.execute("PRAGMA main.foreign_key_check").fetchall() == []
        for table in ("orders", "order_lines", "shipments", "carrier_events", "order_exceptions", "purchase_orders",
                      "inbound_documents"):  # fmt: skip
            ((key, *_),) = (row[1:] for row in erp.execute(f"PRAGMA main.table_info({table})") if row[5])
            high = erp.execute(f"SELECT max(updated_at) FROM old.{table}").fetchone()[0]
            added = f"main.{table} WHERE {key} NOT IN (SELECT {key} FROM old.{table})"
            assert count(erp, added) == summary.counts[table] - count(erp, f"old.{table}") > 0, table
            assert count(erp, f"{added} AND updated_at <= '{high}'") == 0, table
        for table, column in (("stock", "on_hand"), ("order_exceptions", "note")):
            key = {"stock": "stock_id", "order_exceptions": "exception_id"}[table]
            high = erp.execute(f"SELECT max(updated_at) FROM old.{table}").fetchone()[0]
            changed = f"main.{table} n JOIN old.{table} o USING ({key}) WHERE n.{column} <> o.{column}"
            assert count(erp, changed) > 0
            assert count(erp, f"{changed} AND n.updated_at <= '{high}'") == 0
        assert count(erp, "shipments WHERE delivered_at IS NULL AND updated_at < '2026-01-01'") == 0


def test_extending_is_deterministic_and_can_be_repeated(small: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin.sqlite"
    shutil.copyfile(small, twin)
    for path in (small, twin):
        sample.extend(path, days=1, seed=5)
        sample.extend(path, days=30, seed=6)
    assert dump(small) == dump(twin)


def test_papers_go_on_coming_at_the_same_pace(small: Path) -> None:
    came = sample.extend(small, days=200, seed=5).counts["inbound_documents"] - 82
    with closing(sqlite3.connect(small)) as erp:
        assert came == round(70 * 200 / 732) + round(12 * 200 / 732)
        late = "inbound_documents WHERE received_at >= '2026-01-01'"
        assert count(erp, late) == came and count(erp, f"{late} AND disposition = 'unfiled'") == round(12 * 200 / 732)
        assert count(erp, "(SELECT DISTINCT substr(document_id, 4) FROM inbound_documents)") == 82 + came
        newest = erp.execute("SELECT max(document_id) FROM inbound_documents").fetchone()[0]
        assert newest == f"IN-{200_000 + 82 + came}"


def test_papers_do_not_disturb_what_was_there_before_them(small: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    sample.generate(other, size=sample.Size(orders=400, exceptions=60, others=10, documents=5, other_documents=0))
    for path in (small, other):
        with closing(sqlite3.connect(path)) as erp, erp:
            erp.execute("DELETE FROM inbound_documents")
    assert dump(small) == dump(other)


def test_extending_what_is_no_sample_erp_is_refused_and_leaves_it_alone(tmp_path: Path) -> None:
    other, text = tmp_path / "other.sqlite", tmp_path / "text.sqlite"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE orders (x)")
    text.write_text("no database, " * 100)
    before = other.read_bytes()
    with pytest.raises(DataError, match="found no table bins"):
        sample.extend(other)
    with pytest.raises(DataError, match="not a database"):
        sample.extend(text)
    with pytest.raises(DataError, match="found no file"):
        sample.extend(tmp_path / "absent.sqlite")
    assert other.read_bytes() == before
    assert not (tmp_path / "absent.sqlite").exists()


def test_a_failure_while_extending_changes_nothing(small: Path) -> None:
    with closing(sqlite3.connect(small)) as erp, erp:
        erp.execute(
            "CREATE TRIGGER full BEFORE INSERT ON order_exceptions BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    before = dump(small)
    with pytest.raises(StorageError, match="disk is full"):
        sample.extend(small)
    assert dump(small) == before


def test_bad_numbers_are_refused(small: Path) -> None:
    with pytest.raises(UsageError, match="at least 1 day, found 0"):
        sample.extend(small, days=0)
    with pytest.raises(UsageError, match="at least 1 order"):
        sample.Size(orders=0)
    with pytest.raises(UsageError, match="no negative number of records"):
        sample.Size(other_documents=-1)


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, names = dump(small), sorted(path.name for path in small.parent.iterdir())

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match="No space left"):
        sample.generate(small, seed=9, size=SMALL)
    assert dump(small) == before
    assert sorted(path.name for path in small.parent.iterdir()) == names


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere does not exist"):
        sample.generate(tmp_path / "nowhere" / "erp.sqlite", size=SMALL)
