"""Dates as people write them in documents."""

from __future__ import annotations

import re
from datetime import date

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
         "november", "december")  # fmt: skip
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[t ]\d{2}:\d{2}.*)?")
_DOTTED = re.compile(r"(\d{1,2})\. ?(\d{1,2})\. ?(\d{4})")
_SLASHED = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})")
_DAY_MONTH = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[\s.-]+(?:of )?([a-z]+)[\s.,-]+(\d{4})")
_MONTH_DAY = re.compile(r"([a-z]+)\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})")


def parse_date(text: str) -> date:
    """A date written as `2026-03-01`, `01.03.2026`, `1 March 2026`, `March 1, 2026` or `13/03/2026`.

    Raises:
        ValueError: it is none, or it may mean two days; the message says which.
    """
    said = " ".join(text.casefold().split())
    if found := _YEAR_FIRST.fullmatch(said):
        return _date(text, int(found[1]), int(found[2]), int(found[3]))
    if found := _DOTTED.fullmatch(said):
        return _date(text, int(found[3]), int(found[2]), int(found[1]))
    if found := _SLASHED.fullmatch(said):
        return _slashed(text, int(found[1]), int(found[2]), int(found[3]))
    if found := _DAY_MONTH.fullmatch(said):
        return _date(text, int(found[3]), _month(text, found[2]), int(found[1]))
    if found := _MONTH_DAY.fullmatch(said):
        return _date(text, int(found[3]), _month(text, found[1]), int(found[2]))
    raise ValueError(f"expected a date such as 2026-03-01, found {text!r}")


def _slashed(text: str, first: int, second: int, year: int) -> date:
    """Day and month in an order that only a number above 12 tells."""
    if first <= 12 and second <= 12 and first != second:
        raise ValueError(f"{text!r} may be two days; write it as 2026-03-01")
    day, month = (second, first) if second > 12 else (first, second)
    return _date(text, year, month, day)


def _month(text: str, name: str) -> int:
    short = name[:3]
    if short not in _MONTHS or not (name in _FULL or name in (short, "sept")):
        raise ValueError(f"expected a date such as 2026-03-01, found {text!r}")
    return _MONTHS.index(short) + 1


def _date(text: str, year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError as exc:
        raise ValueError(f"{text!r} is no day of the calendar; write it as 2026-03-01") from exc
