"""Rows: what is cleaned, what is refused."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from fleet_manifests import ConfigError, DataError
from pipelines.corpora.rows import Row, clean, parse_rows

pytestmark = pytest.mark.unit


def record(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "text": "wet pallet", "label": "damaged"} | changes


def parse(*records: dict[str, Any], **options: Any) -> list[Row]:
    return parse_rows(records, "corpora/x.sql", labelled=options.pop("labelled", True), **options)


def test_a_row_and_its_json() -> None:
    (row,) = parse(record(group=17, time=date(2026, 1, 2), channel="desk", empty=None))
    assert row == Row("1", "wet pallet", "damaged", "17", "2026-01-02T00:00:00+00:00", slices={"channel": "desk"})
    assert json.loads(row.dump()) == {
        "id": "1", "text": "wet pallet", "label": "damaged", "group": "17", "time": "2026-01-02T00:00:00+00:00",
        "slices": {"channel": "desk"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "iso"),
    [
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05+00:00"),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:00:00+00:00"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        ("", None),
        (None, None),
    ],
)
def test_times_are_iso_in_utc(value: object, iso: str | None) -> None:
    assert parse(record(time=value))[0].time == iso


def test_text_is_tidied_and_its_key_forgives_case_and_spacing() -> None:
    assert clean(" wet\tpallet\x00\r\n  cafe\u0301 ") == "wet pallet café"
    assert Row("1", "Wet  Pallet ﬁve").key == Row("2", "wet pallet FIVE").key


def test_rows_come_sorted_by_id() -> None:
    assert [row.id for row in parse(record(id="b"), record(id="a"))] == ["a", "b"]


def test_columns_of_files_may_have_other_names() -> None:
    (row,) = parse({"id": 1, "utterance": "hi", "intent": "greet", "text": "no"}, text="utterance", label="intent")
    assert (row.text, row.label, row.slices) == ("hi", "greet", {})


def test_rows_without_class_keep_no_label() -> None:
    (row,) = parse(record(label="oos"), labelled=False)
    assert row.label is None
    assert "label" not in json.loads(row.dump())


@pytest.mark.parametrize(
    ("records", "error", "says"),
    [
        ([], DataError, "no row; at least one is needed"),
        (
            [{"id": 1, "note": "x", "label": "a"}],
            ConfigError,
            "no column text for the text; there are: id, note, label",
        ),
        ([{"id": 1, "text": "x"}], ConfigError, "no column label for the label"),
        ([{"text": "x", "label": "a"}], ConfigError, "no column id for the id"),
        ([record(), record(id=2, text=None), record(id=3, text=" \n")], DataError, "2 rows have no text, ids 2, 3;"),
        ([record(label="")], DataError, "1 rows have no label, ids 1;"),
        ([record(), record(text="other")], DataError, "1 ids appear twice: 1;"),
        ([record(text=20713)], DataError, "row 1: text is 20713; expected text"),
        ([record(time="soon")], DataError, "row 1: time 'soon' is not ISO 8601"),
        ([record(time=12)], DataError, "row 1: time 12 is not a date"),
    ],
)
def test_what_is_refused(records: list[dict[str, Any]], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        parse(*records)
    assert str(caught.value).startswith("corpora/x.sql")
