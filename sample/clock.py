"""The time of the sample: days are counted from the first day of its 24 months."""

from __future__ import annotations

from datetime import date, datetime, timedelta

FIRST_DAY = datetime(2024, 1, 1)
DAYS = 731
"""24 months, one of them with a leap day."""


def moment(day: float) -> datetime:
    """A point in time, to the second; `day` may have a fraction."""
    return FIRST_DAY + timedelta(seconds=round(day * 86_400))


def stamp(day: float) -> str:
    """A point in time as the ERP writes it: `2024-03-01 14:05:09`."""
    return moment(day).isoformat(sep=" ")


def day_of(text: str) -> float:
    """The inverse of `stamp`."""
    return (datetime.fromisoformat(text) - FIRST_DAY) / timedelta(days=1)


def date_text(day: float) -> str:
    """A date as the ERP writes it: `2024-03-01`."""
    return moment(day).date().isoformat()


def as_date(day: float) -> date:
    """The date of a day."""
    return moment(day).date()
