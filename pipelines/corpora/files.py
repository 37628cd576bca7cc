"""Reads labelled files of a project: CSV with a header, JSONL, Parquet."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from fleet_manifests import ConfigError, DataError


def read_records(name: str, *, project: Path) -> list[dict[str, Any]]:
    """The records of one file, each with an `id`: its own, or the file's stem and the record's number.

    Args:
        name: the file, relative to the project.
        project: the project's folder.

    Raises:
        ConfigError: the file is missing.
        DataError: it is not what its suffix says, or records differ in their columns.
    """
    path = project / name
    if not path.is_file():
        raise ConfigError(f"{name}: there is no such file in {project}; check the path in the workflow")
    readers = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    try:
        records = readers[path.suffix.lower()](path, name)
    except UnicodeDecodeError as exc:
        raise DataError(f"{name}: not UTF-8 at byte {exc.start}; save it as UTF-8") from exc
    except OSError as exc:
        raise DataError(f"{name}: cannot be read: {exc}") from exc
    return [{"id": f"{path.stem}-{number:07d}"} | record for number, record in enumerate(records, start=1)]


def _csv(path: Path, name: str) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        records: list[dict[str, Any]] = []
        try:
            for record in reader:
                if None in record or None in record.values():
                    raise DataError(
                        f"{name}:{reader.line_num}: not as many values as the header; quote texts with commas"
                    )
                records.append(record)
        except csv.Error as exc:
            raise DataError(f"{name}:{reader.reader.line_num}: not CSV: {exc}") from exc
    return records


def _jsonl(path: Path, name: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as exc:
                raise DataError(f"{name}:{number}: not JSON: {exc}") from exc
            if not isinstance(record, dict):
                raise DataError(f"{name}:{number}: expected a JSON object, found {type(record).__name__}")
            records.append(record)
    columns = list(dict.fromkeys(column for record in records for column in record))
    return [{column: record.get(column) for column in columns} for record in records]


def _parquet(path: Path, name: str) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        records: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowInvalid as exc:
        raise DataError(f"{name}: not a Parquet file: {exc}") from exc
    return records
