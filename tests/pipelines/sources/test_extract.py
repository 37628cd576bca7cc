"""Loading a source: what comes, what stays, what comes again, and what a bad source gets."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import ConfigError, DataClass, DataError, StorageError, UnreachableError

pytestmark = pytest.mark.integration


def selects(asked: list[tuple[str, Any]], table: str) -> list[tuple[str, Any]]:
    """The SELECTs that read rows of a table."""
    return [(sql, values) for sql, values in asked if f"FROM {table}" in sql and "count(" not in sql]


def digest(erp: Any) -> str:
    """The lake file's digest."""
    return hashlib.sha256((erp.lake / "lake.duckdb").read_bytes()).hexdigest()


def test_loads_the_listed_columns(erp: Any) -> None:
    report = erp.load()
    table = report.tables["order_exceptions"]
    assert (table.rows_loaded, table.rows_total) == (40, 40)
    assert table.taken == ("exception_id", "note", "updated_at")
    assert table.withheld == {"clerk": None, "unit_price": DataClass.PRICING}
    assert report.tables["items"].lake_names == {"Item No": "item_no"}
    assert erp.query("SELECT item_no, description FROM erp.items ORDER BY 1") == [("A-1", "drum"), ("A-2", "tote")]
    assert [path.name for path in erp.lake.iterdir()] == ["lake.duckdb"]


def test_a_withheld_column_is_in_no_select(erp: Any, asked: list[tuple[str, Any]]) -> None:
    erp.load()
    assert selects(asked, "order_exceptions")
    assert not [sql for sql, _ in asked if "unit_price" in sql or "clerk" in sql or "*" in sql.replace("count(*)", "")]
    columns = erp.query(
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'erp' AND table_name = 'order_exceptions'"
    )
    assert {name for (name,) in columns} == {"exception_id", "note", "updated_at"}


def test_an_allowed_class_is_selected(erp: Any) -> None:
    report = erp.load(allowed=frozenset(DataClass))
    assert report.tables["order_exceptions"].taken == ("exception_id", "note", "updated_at", "unit_price")
    assert erp.query("SELECT DISTINCT unit_price::DOUBLE FROM erp.order_exceptions") == [(1.25,)]


def test_a_table_without_an_allowed_column_is_skipped(erp: Any, asked: list[tuple[str, Any]]) -> None:
    report = erp.load(allowed=frozenset({DataClass.PUBLIC}))
    assert report.tables["order_exceptions"].taken == ()
    assert report.tables["order_exceptions"].rows_total == 0
    assert not selects(asked, "order_exceptions")


def test_a_second_load_brings_only_what_is_new(erp: Any, asked: list[tuple[str, Any]]) -> None:
    first = erp.load()
    erp.sql("INSERT INTO order_exceptions VALUES (90, 'late truck', 1, '2026-01-02 09:00:00', 'Al')")
    erp.sql(
        "UPDATE order_exceptions SET note = 'wrong item', updated_at = '2026-01-02 09:30:00' WHERE exception_id = 3"
    )
    asked.clear()
    table = erp.load().tables["order_exceptions"]
    assert (table.rows_loaded, table.rows_total) == (2, 41)
    assert table.digest != first.tables["order_exceptions"].digest
    assert erp.query("SELECT note FROM erp.order_exceptions WHERE exception_id = 3") == [("wrong item",)]
    ((sql, values),) = selects(asked, "order_exceptions")
    assert sql.endswith("WHERE order_exceptions.updated_at >= ?")
    assert values == ("2026-01-01 10:39:00",)


def test_nothing_new_loads_nothing_and_keeps_the_digest(erp: Any) -> None:
    first = erp.load().tables["order_exceptions"]
    again = erp.load().tables["order_exceptions"]
    assert (again.rows_loaded, again.digest) == (0, first.digest)


def test_a_change_within_the_cursors_last_second_is_not_lost(erp: Any) -> None:
    erp.load()
    erp.sql("UPDATE order_exceptions SET note = 'same second' WHERE exception_id = 39")
    erp.sql("INSERT INTO order_exceptions VALUES (41, 'twin', 1, '2026-01-01 10:39:00', 'Al')")
    assert erp.load().tables["order_exceptions"].rows_loaded == 2
    assert erp.query("SELECT note FROM erp.order_exceptions WHERE exception_id = 39") == [("same second",)]


def test_a_table_without_a_cursor_is_replaced(erp: Any) -> None:
    erp.load()
    erp.sql("""DELETE FROM items WHERE "Item No" = 'A-1'""")
    assert erp.load().tables["items"].rows_total == 1
    erp.sql("DELETE FROM items")
    assert erp.load().tables["items"].rows_total == 0


def test_an_empty_table_exists_in_the_lake(erp: Any) -> None:
    erp.sql("DELETE FROM order_exceptions")
    assert erp.load().tables["order_exceptions"].rows_total == 0
    assert erp.query("SELECT exception_id, note, updated_at FROM erp.order_exceptions") == []
    erp.sql("INSERT INTO order_exceptions VALUES (1, 'first', 1, '2026-01-02 09:00:00', 'Al')")
    assert erp.load().tables["order_exceptions"].rows_loaded == 1


def test_free_text_is_scrubbed_before_it_lands(erp: Any) -> None:
    report = erp.load()
    assert report.tables["order_exceptions"].scrubbed == {"<email>": 40}
    assert erp.query("SELECT note FROM erp.order_exceptions WHERE exception_id = 7") == [
        ("pallet 7 wet, mail <email>",)
    ]
    assert b"acme.com" not in (erp.lake / "lake.duckdb").read_bytes()


def test_a_new_column_at_the_source_is_reported_and_not_selected(erp: Any, asked: list[tuple[str, Any]]) -> None:
    erp.load()
    erp.sql("ALTER TABLE order_exceptions ADD COLUMN carrier TEXT")
    table = erp.load().tables["order_exceptions"]
    assert table.changes == ("new column carrier (TEXT)",)
    assert table.withheld["carrier"] is None
    assert table.reloaded is None
    assert not [sql for sql, _ in asked if "carrier" in sql]


def test_a_column_that_becomes_allowed_reloads_the_table(erp: Any) -> None:
    erp.load()
    table = erp.load(allowed=frozenset(DataClass)).tables["order_exceptions"]
    assert table.rows_loaded == 40
    assert table.reloaded == "other columns are taken than before: unit_price"
    assert erp.query("SELECT count(unit_price) FROM erp.order_exceptions") == [(40,)]


def test_a_column_that_is_no_longer_allowed_leaves_the_lake(erp: Any) -> None:
    erp.load(allowed=frozenset(DataClass))
    erp.load()
    columns = erp.query("SELECT column_name FROM duckdb_columns() WHERE table_name = 'order_exceptions'")
    assert ("unit_price",) not in columns


def test_a_table_that_is_no_longer_listed_leaves_the_lake(erp: Any) -> None:
    erp.load()
    tables = {"order_exceptions": erp.tables["order_exceptions"]}
    erp.load(tables=tables)
    assert erp.query("SELECT table_name FROM duckdb_tables() WHERE table_name = 'items'") == []
    assert erp.load().tables["items"].rows_total == 2


def test_a_table_taken_off_and_listed_again_comes_whole(erp: Any) -> None:
    erp.load()
    erp.load(tables={"items": erp.tables["items"]})
    assert erp.load().tables["order_exceptions"].rows_total == 40


def test_a_type_change_at_the_source_reloads_the_table(erp: Any) -> None:
    erp.tables["items"] = {"columns": {"Item No": "public", "pack": "public"}}
    erp.sql("ALTER TABLE items ADD COLUMN pack INTEGER")
    erp.load()
    erp.sql("ALTER TABLE items DROP COLUMN pack")
    erp.sql("ALTER TABLE items ADD COLUMN pack TEXT DEFAULT 'x12'")
    table = erp.load().tables["items"]
    assert table.changes == ("column pack was INTEGER, is TEXT",)
    assert table.reloaded == "column pack was INTEGER, is TEXT"
    assert erp.query("SELECT DISTINCT pack FROM erp.items") == [("x12",)]


def test_another_way_of_scrubbing_reloads_scrubbed_tables_only(erp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    erp.load()
    regions = erp.load(phone_regions=["DE"]).tables
    assert regions["order_exceptions"].rows_loaded == 40
    assert regions["order_exceptions"].reloaded == "cursor, primary_key or the way of scrubbing changed"
    assert regions["items"].reloaded is None
    monkeypatch.setattr("pipelines.sources.select.VERSION", 99)
    assert erp.load(phone_regions=["DE"]).tables["order_exceptions"].rows_loaded == 40


def test_a_view_is_a_table_too(erp: Any) -> None:
    erp.sql("CREATE VIEW open_notes AS SELECT exception_id, note FROM order_exceptions WHERE exception_id < 5")
    report = erp.load(tables={"open_notes": {"columns": {"note": "internal"}}})
    assert report.tables["open_notes"].rows_total == 5


def test_a_text_cursor_in_iso_form_works(erp: Any, asked: list[tuple[str, Any]]) -> None:
    erp.sql("CREATE TABLE receipts (id TEXT PRIMARY KEY, changed TEXT)")
    erp.sql("INSERT INTO receipts VALUES (?, ?)", [("a", "2026-01-01T08:00:00Z"), ("b", "2026-01-02T08:00:00Z")])
    tables = {
        "receipts": {"cursor": "changed", "primary_key": "id", "columns": {"id": "internal", "changed": "internal"}}
    }
    erp.load(tables=tables)
    erp.sql("INSERT INTO receipts VALUES ('c', '2026-01-03T08:00:00Z')")
    asked.clear()
    assert erp.load(tables=tables).tables["receipts"].rows_loaded == 1
    assert selects(asked, "receipts")[0][1] == ("2026-01-02T08:00:00Z",)


def test_missing_table_names_the_close_match(erp: Any) -> None:
    with pytest.raises(
        DataError, match=r"erp\.yaml: tables: the source has no table order_exception; did you mean order_exceptions\?"
    ):
        erp.load(tables={"order_exception": EXCEPTION_LIKE})


EXCEPTION_LIKE = {"columns": {"note": "internal"}}


def test_renamed_column_names_the_close_match(erp: Any) -> None:
    erp.load()
    before = digest(erp)
    erp.sql("ALTER TABLE order_exceptions RENAME COLUMN note TO note_text")
    with pytest.raises(
        DataError, match=r"tables\.order_exceptions\.columns: the source has no column note; did you mean note_text\?"
    ):
        erp.load()
    assert digest(erp) == before


def test_missing_column_lists_what_there_is(erp: Any) -> None:
    with pytest.raises(DataError, match="no column zzz; it has: Item No, description"):
        erp.load(tables={"items": {"columns": {"zzz": "public"}}})


def test_a_missing_database_is_unreachable_and_not_created(erp: Any) -> None:
    with pytest.raises(UnreachableError, match=r"source erp: .*nowhere\.sqlite cannot be read.*check the path"):
        erp.load(url="sqlite:///nowhere.sqlite")
    assert not (erp.project / "nowhere.sqlite").exists()
    assert not erp.lake.exists()


def test_a_server_that_does_not_answer_is_unreachable_and_its_password_stays_secret(erp: Any) -> None:
    with pytest.raises(UnreachableError) as caught:
        erp.load(url="postgresql+psycopg2://lading:hunter2@127.0.0.1:1/erp")
    assert "127.0.0.1:1/erp" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_database_is_unreachable(erp: Any) -> None:
    (erp.project / "notes.txt").write_text("not a database, whatever its name says\n" * 50)
    with pytest.raises(UnreachableError, match="not a database"):
        erp.load(url="sqlite:///notes.txt")


def test_the_source_is_opened_for_reading_only(erp: Any) -> None:
    erp.database.chmod(0o444)
    before = erp.database.read_bytes()
    erp.load()
    assert erp.database.read_bytes() == before


def test_rows_without_a_cursor_value_are_refused(erp: Any) -> None:
    erp.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, changed DATETIME)")
    erp.sql("INSERT INTO t VALUES (?, ?)", [(1, "2026-01-01 00:00:00"), (2, None), (3, None)])
    with pytest.raises(DataError, match="table t: 2 rows have no changed"):
        erp.load(
            tables={
                "t": {"cursor": "changed", "primary_key": "id", "columns": {"id": "internal", "changed": "internal"}}
            }
        )


def test_a_key_that_does_not_identify_a_row_is_refused(erp: Any) -> None:
    erp.sql("CREATE TABLE t (id INTEGER, line INTEGER, changed DATETIME)")
    erp.sql("INSERT INTO t VALUES (?, ?, ?)", [(1, 1, "2026-01-01 00:00:00"), (1, 2, "2026-01-01 00:00:00")])
    columns = {"id": "internal", "line": "internal", "changed": "internal"}
    with pytest.raises(DataError, match="primary_key id does not identify a row: 1 appears twice"):
        erp.load(tables={"t": {"cursor": "changed", "primary_key": "id", "columns": columns}})
    table = {"cursor": "changed", "primary_key": ["id", "line"], "columns": columns}
    assert erp.load(tables={"t": table}).tables["t"].rows_total == 2


def test_a_cursor_of_a_type_that_cannot_grow_is_refused(erp: Any) -> None:
    erp.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, changed BLOB)")
    with pytest.raises(ConfigError, match=r"tables\.t\.cursor: changed is of type BLOB; a cursor is a date"):
        erp.load(
            tables={
                "t": {"cursor": "changed", "primary_key": "id", "columns": {"id": "internal", "changed": "internal"}}
            }
        )


def test_a_text_cursor_that_does_not_sort_is_refused(erp: Any) -> None:
    erp.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, changed TEXT)")
    erp.sql("INSERT INTO t VALUES (1, '3/14/2026')")
    with pytest.raises(DataError, match=r"cursor changed is text, and '3/14/2026' is not an ISO 8601 time"):
        erp.load(
            tables={
                "t": {"cursor": "changed", "primary_key": "id", "columns": {"id": "internal", "changed": "internal"}}
            }
        )


def test_a_withheld_cursor_is_refused(erp: Any) -> None:
    erp.tables["order_exceptions"] = EXCEPTIONS_BY_PRICE
    with pytest.raises(ConfigError, match="unit_price is of data class pricing, which no workflow may see"):
        erp.load()


EXCEPTIONS_BY_PRICE = {
    "cursor": "unit_price",
    "primary_key": ["exception_id"],
    "columns": {"exception_id": "internal", "unit_price": "pricing"},
}


def test_scrub_is_for_text(erp: Any) -> None:
    with pytest.raises(ConfigError, match=r"columns\.exception_id: scrub is for text, the column is INTEGER"):
        erp.load(tables={"order_exceptions": {"columns": {"exception_id": {"class": "internal", "scrub": True}}}})


def test_columns_that_would_have_one_name_in_the_lake_are_refused(erp: Any) -> None:
    erp.sql('CREATE TABLE t ("Order No" TEXT, order_no TEXT)')
    with pytest.raises(ConfigError, match="Order No and order_no are both order_no in the lake"):
        erp.load(tables={"t": {"columns": {"Order No": "internal", "order_no": "internal"}}})


def test_a_load_that_fails_half_way_leaves_the_lake_as_it_was(erp: Any) -> None:
    erp.tables["stock"] = {"columns": {"bin": "internal", "qty": "internal"}}
    erp.sql("CREATE TABLE stock (bin TEXT, qty INTEGER)")
    erp.sql("INSERT INTO stock VALUES ('B1', 4)")
    erp.load()
    before = digest(erp)
    erp.sql("INSERT INTO order_exceptions VALUES (90, 'late truck', 1, '2026-01-02 09:00:00', 'Al')")
    erp.sql("INSERT INTO stock VALUES ('B2', 'about 10')")
    with pytest.raises(DataError, match=r"source erp: stock: .*about 10"):
        erp.load()
    assert digest(erp) == before
    assert [path.name for path in erp.lake.iterdir()] == ["lake.duckdb"]
    erp.sql("DELETE FROM stock WHERE bin = 'B2'")
    assert erp.load().tables["order_exceptions"].rows_loaded == 1


def test_a_full_disk_leaves_the_lake_as_it_was(erp: Any) -> None:
    erp.load()
    before = digest(erp)
    rows = [(n, "x" * 900 + str(n), 1, "2026-02-01 00:00:00", "Al") for n in range(1000, 9000)]
    erp.sql("INSERT INTO order_exceptions VALUES (?, ?, ?, ?, ?)", rows)
    limited(erp, "resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, 6_000_000))", StorageError.__name__)
    assert digest(erp) == before
    assert [path.name for path in erp.lake.iterdir()] == ["lake.duckdb"]


def limited(erp: Any, limit: str, error: str) -> None:
    """Load in a process under a limit, and expect it to end with that error."""
    code = textwrap.dedent(f"""
        import resource, pathlib
        from fleet_manifests import DataClass, LadingError
        from pipelines.sources import SqlSource, extract
        source = SqlSource.model_validate_json(pathlib.Path("source.json").read_text())
        {limit}
        try:
            extract(source, project=pathlib.Path("."), lake=pathlib.Path("lake"), allowed=frozenset(DataClass))
        except LadingError as exc:
            print(type(exc).__name__, exc)
    """)
    (erp.project / "source.json").write_text(erp.source().model_dump_json(by_alias=True))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=erp.project,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "HOME": str(erp.project / "home"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(error), done.stdout


def test_nothing_phones_home_and_the_home_directory_stays_empty(erp: Any) -> None:
    limited(erp, "import socket; socket.socket.connect = lambda *a: (_ for _ in ()).throw(SystemExit(9))", "")
    assert not (erp.project / "home").exists()
    assert not (erp.project / ".dlt").exists()
    assert erp.query("SELECT count(*) FROM erp.order_exceptions") == [(40,)]


def test_two_sources_share_a_lake(erp: Any) -> None:
    erp.load()
    erp.load(name="wms", tables={"items": erp.tables["items"]})
    assert erp.query("SELECT count(*) FROM erp.items") == erp.query("SELECT count(*) FROM wms.items") == [(2,)]
    assert erp.load().tables["order_exceptions"].rows_loaded == 0
