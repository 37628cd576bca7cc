"""Reading the rows of a corpus folder, and refusing a corpus nothing can be learned from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fleet_manifests import DataError
from training.lines import read_lines

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
    lines = read_lines(path, "text and label")
    rows = tuple(Row(line.text("text"), line.text("label"), line.where) for line in lines)
    if not rows:
        raise DataError(f"{path}: expected labelled rows, found none; check the corpus SQL and its filters")
    return rows
