"""The rows of a corpus, from what a query or a file gives to what is written."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

from fleet_manifests import ConfigError, DataError

Record = Mapping[str, Any]
"""What a query or a file gives: values by column."""

RESERVED = frozenset({"id", "text", "label", "group", "time", "split"})
"""Columns with a meaning; any other column is a slice."""

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Row:
    """One text, and what is known of it."""

    id: str
    text: str
    label: str | None = None
    """None: the row belongs to no class."""
    group: str | None = None
    time: str | None = None
    """ISO 8601 in UTC."""
    split: str | None = None
    """The split that the data itself names."""
    slices: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """What two texts share when they differ only in case, spacing or Unicode form."""
        return " ".join(unicodedata.normalize("NFKC", self.text).casefold().split())

    def dump(self) -> str:
        """The row as one line of JSON."""
        values = {"id": self.id, "text": self.text, "label": self.label, "group": self.group, "time": self.time}
        given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
        if self.slices:
            given["slices"] = dict(sorted(self.slices.items()))
        return json.dumps(given, ensure_ascii=False) + "\n"


def parse_rows(
    records: Sequence[Record], where: str, *, labelled: bool, text: str = "text", label: str = "label"
) -> list[Row]:
    """Check records and make rows of them, sorted by id.

    Args:
        records: all of one query or file, with the same columns.
        where: the file, for errors.
        labelled: whether each row must have a label; a label of rows without class is not kept.
        text: name of the column that holds the text.
        label: name of the column that holds the label.

    Raises:
        ConfigError: a column is missing.
        DataError: no row, a blank or missing value, an id that appears twice, a time that is none.
    """
    if not records:
        raise DataError(f"{where}: no row; at least one is needed")
    needed = {"id": "id", "text": text} | ({"label": label} if labelled else {})
    for meaning, column in needed.items():
        if column not in records[0]:
            raise ConfigError(f"{where}: no column {column} for the {meaning}; there are: {', '.join(records[0])}")
    for column in needed.values():
        blank = [record.get("id") for record in records if _blank(record[column])]
        if blank:
            raise DataError(
                f"{where}: {len(blank)} rows have no {column}, ids {_few(blank)}; fill it or leave the rows out"
            )
    names = {text: "text", label: "label"}
    hidden = {"text", "label"} - names.keys()
    rows = [
        _row({names.get(key, key): value for key, value in record.items() if key not in hidden}, where, labelled)
        for record in records
    ]
    twice = [id_ for id_, n in Counter(row.id for row in rows).items() if n > 1]
    if twice:
        raise DataError(
            f"{where}: {len(twice)} ids appear twice: {_few(twice)}; an id names one row (a join that fans out?)"
        )
    return sorted(rows, key=lambda row: row.id)


def _row(record: Record, where: str, labelled: bool) -> Row:
    """One row of a record whose columns have their meaning as name."""
    if not isinstance(record["text"], str):
        raise DataError(f"{where}: row {record['id']}: text is {record['text']!r}; expected text, cast it to VARCHAR")
    return Row(
        id=str(record["id"]),
        text=clean(record["text"]),
        label=str(record["label"]).strip() if labelled else None,
        group=None if _blank(record.get("group")) else str(record["group"]),
        time=_time(record.get("time"), f"{where}: row {record['id']}"),
        split=None if _blank(record.get("split")) else str(record["split"]),
        slices={name: str(value) for name, value in record.items() if name not in RESERVED and not _blank(value)},
    )


def clean(text: str) -> str:
    """The text in Unicode form NFC, without control characters, its white space single."""
    kept = (char if char.isprintable() or char.isspace() else " " for char in unicodedata.normalize("NFC", text))
    return " ".join("".join(kept).split())


def _blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not clean(value))


def _time(value: object, where: str) -> str | None:
    """A date or time as ISO 8601 in UTC; one without a zone is taken as UTC."""
    if _blank(value):
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as exc:
            raise DataError(
                f"{where}: time {value!r} is not ISO 8601; write 2026-01-31 or 2026-01-31T10:00:00"
            ) from exc
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise DataError(f"{where}: time {value!r} is not a date or time")
    return (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)).isoformat()


def _few(values: Iterable[object]) -> str:
    """The first few of many, for an error."""
    named = [str(value) for value in values]
    return ", ".join(named[:5]) + (" …" if len(named) > 5 else "")
