"""Reading the rows of a corpus folder, and refusing a corpus nothing can be learned from."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_manifests import DataError

MINIMUM_ROWS = 2
"""Training rows a class needs before anything is fitted."""
RECOMMENDED_ROWS = 8
"""Training rows below which a class is reported: few-shot accuracy varies widely from draw to draw."""


@dataclass(frozen=True)
class Row:
    """One labelled text and where it stands."""

    text: str
    label: str
    where: str
    """`file:line`."""


@dataclass(frozen=True)
class Corpus:
    """The labelled splits of a workflow."""

    train: tuple[Row, ...]
    validation: tuple[Row, ...]
    test: tuple[Row, ...]
    labels: tuple[str, ...]
    """Sorted distinct labels of `train`; the index of a label is its class everywhere."""

    def classes(self, rows: tuple[Row, ...]) -> list[int]:
        """The class index of each row."""
        index = {label: number for number, label in enumerate(self.labels)}
        return [index[row.label] for row in rows]

    def counts(self) -> list[int]:
        """Training rows per class, in label order."""
        found = Counter(row.label for row in self.train)
        return [found[label] for label in self.labels]

    def notes(self) -> tuple[str, ...]:
        """What a person should know before trusting the result."""
        few = [(label, n) for label, n in zip(self.labels, self.counts(), strict=True) if n < RECOMMENDED_ROWS]
        return tuple(
            f"class {label!r} has {n} training rows; {RECOMMENDED_ROWS} or more are recommended" for label, n in few
        )


def read_corpus(folder: Path) -> Corpus:
    """Read `train.jsonl`, `validation.jsonl` and `test.jsonl`.

    Raises:
        DataError: a file is missing or empty, a row has no text or label, a class has one
            training row, there is one class only, or a split has a label that `train` lacks.
    """
    train, validation, test = (read_rows(folder / f"{name}.jsonl") for name in ("train", "validation", "test"))
    counts = Counter(row.label for row in train)
    if len(counts) < 2:
        raise DataError(f"{folder / 'train.jsonl'}: expected at least 2 classes, found only {train[0].label!r}")
    for label, n in sorted(counts.items()):
        if n < MINIMUM_ROWS:
            raise DataError(
                f"{folder / 'train.jsonl'}: class {label!r} has {n} row; at least {MINIMUM_ROWS} are needed "
                f"({RECOMMENDED_ROWS} recommended): add rows, merge the class into another or drop it"
            )
    for row in (*validation, *test):
        if row.label not in counts:
            raise DataError(
                f"{row.where}: label {row.label!r} was never seen in training: add training rows of it, "
                "correct the label, or move the row to the out-of-scope file"
            )
    return Corpus(train, validation, test, tuple(sorted(counts)))


def read_rows(path: Path) -> tuple[Row, ...]:
    """Read the rows of one labelled split, in file order.

    Raises:
        DataError: the file is missing, empty, or a line is not a row with text and label.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as exc:
        raise DataError(f"{path}: expected a corpus file, found none; build the corpus first") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise DataError(f"{path}: expected UTF-8 lines of JSON: {exc}") from exc
    rows = tuple(_row(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip())
    if not rows:
        raise DataError(f"{path}: expected labelled rows, found none; check the corpus SQL and its filters")
    return rows


def _row(line: str, where: str) -> Row:
    """One line as a row."""
    try:
        data = json.loads(line)
    except ValueError as exc:
        raise DataError(f"{where}: not a line of JSON: {exc}; build the corpus again") from exc
    if not isinstance(data, dict):
        raise DataError(f"{where}: expected an object with text and label, found {type(data).__name__}")
    return Row(_field(data, "text", where), _field(data, "label", where), where)


def _field(data: dict[str, Any], name: str, where: str) -> str:
    """A field that must be a string with something in it."""
    value = data.get(name)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: {name}: expected a non-empty string, found {value!r}; fix or drop the row")
    return value
