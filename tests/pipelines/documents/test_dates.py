"""Dates as people write them."""

from __future__ import annotations

from datetime import date

import pytest

from pipelines.documents.dates import parse_date

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01", "2026-03-01T00:00:00", "2026-03-01 08:30", "2026/3/1", "01.03.2026", "1. 3. 2026", "1 March 2026", "1 Mar 2026",
        "1st March, 2026", "1. March 2026", "01-Mar-2026", "1st of March 2026", "March 1, 2026", "Mar. 1 2026", " 1  MARCH  2026 ",
    ],
)  # fmt: skip
def test_one_day_in_many_ways(text: str) -> None:
    assert parse_date(text) == date(2026, 3, 1)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("13/03/2026", date(2026, 3, 13)),
        ("03/13/2026", date(2026, 3, 13)),
        ("5/5/2026", date(2026, 5, 5)),
        ("12 Sept 2026", date(2026, 9, 12)),
        ("29.02.2028", date(2028, 2, 29)),
    ],
)
def test_other_days(text: str, day: date) -> None:
    assert parse_date(text) == day


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026",
        "March 2026",
        "1 Marzipan 2026",
        "01.03.26",
        "Q3 2026",
        "2026-W09",
        "1 2 3",
        "10",
        "01.03.2026 to 05.03.2026",
    ],
)
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError, match="expected a date such as 2026-03-01"):
        parse_date(text)


@pytest.mark.parametrize("text", ["31.02.2026", "2026-13-01", "29 February 2026", "00.01.2026"])
def test_what_is_in_no_calendar(text: str) -> None:
    with pytest.raises(ValueError, match="no day of the calendar"):
        parse_date(text)


def test_a_date_that_may_be_two_days() -> None:
    with pytest.raises(ValueError, match="may be two days"):
        parse_date("01/03/2026")
