"""Labelled rows: a corpus split, or a CSV, JSONL or Parquet file of one's own."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_manifests import DataError, SplitRef, UsageError, sha256_of

OUT_OF_SCOPE = frozenset({"", "oos"})
"""Labels of rows that belong to no class, unless the caller names others."""

Record = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """One text and its true label."""

    text: str
    label: str | None
    """None: the row belongs to no class."""
    line: int
    """Line of the file, counted from 1; row for Parquet."""
    slices: Mapping[str, str] = field(default_factory=dict)
    """What kind of row this is, for example `{"style": "typed"}`."""


@dataclass(frozen=True)
class Split:
    """The rows of one corpus file, and which bytes they came from."""

    ref: SplitRef
    rows: tuple[Row, ...]

    @property
    def texts(self) -> list[str]:
        """The texts, in file order."""
        return [row.text for row in self.rows]


def read_split(corpus: Path, name: str) -> Split:
    """Read `<name>.jsonl` of a corpus folder.

    Raises:
        DataError: the file is missing or empty, or a line is not a row.
    """
    path = corpus / f"{name}.jsonl"
    scope = "out" if name.startswith("oos_") else "in"
    rows = tuple(_row(path, record, "text", "label", OUT_OF_SCOPE, scope=scope) for record in _records(path))
    if not rows:
        raise DataError(f"{path}: no row; the {name} split needs at least one")
    return Split(SplitRef(name=name, digest=sha256_of(path), n=len(rows)), rows)


def read_rows(
    path: Path, *, text: str = "text", label: str = "label", out_of_scope: Iterable[str] = OUT_OF_SCOPE
) -> tuple[Row, ...]:
    """Read labelled rows from a CSV (with a header), JSONL or Parquet file, told apart by their suffix.

    Args:
        path: the file, UTF-8 where it is text.
        text: name of the column that holds the text.
        label: name of the column that holds the true label.
        out_of_scope: labels that mean "belongs to no class".

    Raises:
        UsageError: the suffix is none of the three.
        DataError: unreadable, a column is missing, or a row has no text; names file, line and column.
    """
    outside = frozenset(out_of_scope)
    rows = tuple(_row(path, record, text, label, outside) for record in _records(path))
    if not rows:
        raise DataError(f"{path}: no row; at least one is needed")
    return rows


def _records(path: Path) -> Iterator[Record]:
    """The records of a file with their line numbers, in order."""
    readers = {".csv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: expected a file ending in {', '.join(sorted(readers))}; convert it to one of them")
    try:
        yield from reader(path)
    except UnicodeDecodeError as exc:
        raise DataError(f"{path}: not UTF-8 at byte {exc.start}; save it as UTF-8") from exc
    except OSError as exc:
        raise DataError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def _csv(path: Path) -> Iterator[Record]:
    """Records with the line that each begins on: a quoted text may run over several."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            columns = reader.fieldnames or ()
            begins = reader.line_num + 1
            for record in reader:
                if None in record or None in record.values():
                    raise DataError(
                        f"{path}:{begins}: the header has {len(columns)} columns, this line another number; "
                        "quote texts that contain commas"
                    )
                yield begins, record
                begins = reader.line_num + 1
        except csv.Error as exc:
            raise DataError(f"{path}:{reader.reader.line_num}: not CSV: {exc}") from exc


def _jsonl(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as exc:
                raise DataError(f"{path}:{number}: not JSON: {exc}") from exc
            if not isinstance(record, dict):
                raise DataError(f"{path}:{number}: expected a JSON object, found {type(record).__name__}")
            yield number, record


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            records = (record for batch in file.iter_batches(batch_size=4096) for record in batch.to_pylist())
            yield from enumerate(records, start=1)
    except pyarrow.ArrowInvalid as exc:
        raise DataError(f"{path}: not a Parquet file: {exc}") from exc


def _row(path: Path, record: Record, text: str, label: str, outside: frozenset[str], *, scope: str = "any") -> Row:
    """One checked row. `scope` says whether a label must ("in") or need not ("out") be there."""
    line, values = record
    where = f"{path}:{line}"
    found_text = _column(where, values, text)
    if not isinstance(found_text, str) or not found_text.strip():
        raise DataError(f"{where}: column {text!r}: expected a text, found {found_text!r}")
    found = None if scope == "out" else _label(where, _column(where, values, label), label)
    name = None if found is None or found in outside else found
    if scope == "in" and name is None:
        raise DataError(f"{where}: column {label!r}: expected a label, found none")
    slices = values.get("slices")
    return Row(found_text, name, line, slices if isinstance(slices, dict) else {})


def _column(where: str, values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise DataError(
            f"{where}: no column {name!r}; the columns are {', '.join(map(repr, values))}; name the right one"
        )
    return values[name]


def _label(where: str, value: Any, column: str) -> str | None:
    if value is None or isinstance(value, str):
        return value.strip() if value is not None else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{where}: column {column!r}: expected a label (text or whole number), found {value!r}")
