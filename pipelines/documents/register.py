"""The document register: a CSV file that says of each document what holds, whatever the file itself says."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fleet_manifests import ConfigError, DataError
from pipelines.documents.readers.text import decode

FIELDS = ("document", "title", "revision", "owner", "effective_from", "review_by", "site_classes", "data_class")
"""Columns with a meaning, beside `file`."""


@dataclass(frozen=True)
class Register:
    """What is registered, by file and by document."""

    by_file: Mapping[str, Mapping[str, str]]
    by_document: Mapping[str, Mapping[str, str]]
    ignored: tuple[str, ...] = ()
    """Columns without a meaning."""

    def of_file(self, file: str) -> dict[str, str]:
        """What is registered of a file, by its path below the folder."""
        return dict(self.by_file.get(_file_key(file), {}))

    def of_document(self, document: str) -> dict[str, str]:
        """What is registered of a document, by its id."""
        return dict(self.by_document.get(document.casefold(), {}))

    def unknown(self, files: Sequence[str], documents: Sequence[str]) -> Iterator[str]:
        """The registered files and documents that are not there."""
        there = {_file_key(file) for file in files}
        known = {document.casefold() for document in documents}
        yield from (f"file {name}" for name in self.by_file if name not in there)
        yield from (f"document {row['document']}" for key, row in self.by_document.items() if key not in known)


EMPTY = Register({}, {})


def parse_register(raw: bytes, *, shown: str) -> Register:
    """Read a register.

    Args:
        raw: a CSV file with a header; commas, semicolons or tabs.
        shown: what to call it in errors.

    Raises:
        ConfigError: not text, no column file or document, a row without either, or one that is there twice.
    """
    try:
        text, _ = decode(raw)
    except DataError as exc:
        raise ConfigError(f"{shown}: {exc}") from exc
    header = text.split("\n", 1)[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=header.count), strict=True)
    names = [name.strip().casefold().replace(" ", "_") for name in rows.fieldnames or ()]
    rows.fieldnames = names
    if not {"file", "document"} & set(names):
        raise ConfigError(f"{shown}:1: expected a column file or document, found {', '.join(names) or 'nothing'}")
    by_file: dict[str, dict[str, str]] = {}
    by_document: dict[str, dict[str, str]] = {}
    try:
        for row in rows:
            values = {name: (row[name] or "").strip() for name in ("file", *FIELDS) if name in row}
            where = f"{shown}:{rows.line_num}"
            file, document = _file_key(values.pop("file", "")), values.get("document", "")
            if not file and not document:
                if any(values.values()):
                    raise ConfigError(f"{where}: expected a file or a document, found neither; name one")
                continue
            table, key = (by_file, file) if file else (by_document, document.casefold())
            if key in table:
                raise ConfigError(f"{where}: {file or document} is there twice; keep one row")
            table[key] = {name: value for name, value in values.items() if value}
    except csv.Error as exc:
        raise ConfigError(f"{shown}:{rows.line_num}: not CSV: {exc}") from exc
    return Register(by_file, by_document, tuple(name for name in names if name and name not in ("file", *FIELDS)))


def _file_key(file: str) -> str:
    return file.strip().replace("\\", "/").removeprefix("./")
