"""Divides rows into train, validation and test: pure, and the same for the same seed."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from fleet_manifests import DataError
from pipelines.corpora.rows import SPLITS, Row
from pipelines.corpora.spec import Split

Splits = dict[str, list[Row]]
"""Rows by split: train, validation, test."""


def divide(rows: Sequence[Row], split: Split, *, seed: int) -> Splits:
    """Divide rows as a workflow asks.

    Args:
        rows: all of them, in any order.
        split: how, and which parts.
        seed: decides what chance decides.

    Raises:
        DataError: a row lacks what the split goes by, or a part would be empty.
    """
    by = {"time": _by_time, "group": _by_group, "random": _by_label, "column": _by_column}[split.by]
    found = by(sorted(rows, key=lambda row: row.id), split, seed)
    for name in SPLITS:
        if not found[name]:
            raise DataError(
                f"split by {split.by}: no row is left for {name} of {len(rows)}; add rows, or change the split"
            )
    return found


def _by_time(rows: Sequence[Row], split: Split, _seed: int) -> Splits:
    """The newest rows are the test, the ones before them validation; rows of one moment stay together."""
    ordered = sorted(rows, key=lambda row: (_needed(row, row.time, "time"), row.id))
    ends = [round(len(rows) * (1 - split.validation - split.test)), round(len(rows) * (1 - split.test))]
    for index, end in enumerate(ends):
        while 0 < end < len(ordered) and ordered[end].time == ordered[end - 1].time:
            end += 1
        ends[index] = end
    return {"train": ordered[: ends[0]], "validation": ordered[ends[0] : ends[1]], "test": ordered[ends[1] :]}


def _by_group(rows: Sequence[Row], split: Split, seed: int) -> Splits:
    """Whole groups in an order that the seed decides, to whichever part lacks most of its share."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[_needed(row, row.group, "group")].append(row)
    wanted = {"test": split.test, "validation": split.validation, "train": 1 - split.test - split.validation}
    found: Splits = {name: [] for name in SPLITS}
    ordered = sorted(groups, key=lambda name: (_chance(seed, name), name))
    for group in sorted(ordered, key=lambda name: -len(groups[name])):
        lacks = {name: share * len(rows) - len(found[name]) for name, share in wanted.items()}
        found[max(lacks, key=lambda name: lacks[name])] += groups[group]
    return found


def _by_label(rows: Sequence[Row], split: Split, seed: int) -> Splits:
    """The same shares of every label, and at least one row of each for training."""
    labels: dict[str | None, list[Row]] = defaultdict(list)
    for row in rows:
        labels[row.label].append(row)
    found: Splits = {name: [] for name in SPLITS}
    for _, own in sorted(labels.items(), key=lambda item: str(item[0])):
        shuffled = sorted(own, key=lambda row: (_chance(seed, row.id), row.id))
        test = min(round(len(own) * split.test), len(own) - 1)
        validation = min(round(len(own) * split.validation), len(own) - 1 - test)
        found["test"] += shuffled[:test]
        found["validation"] += shuffled[test : test + validation]
        found["train"] += shuffled[test + validation :]
    return found


def _by_column(rows: Sequence[Row], _split: Split, _seed: int) -> Splits:
    """The data says it."""
    found: Splits = {name: [] for name in SPLITS}
    for row in rows:
        name = _needed(row, row.split, "split")
        if name not in found:
            raise DataError(f"row {row.id}: split is {name!r}; expected train, validation or test")
        found[name].append(row)
    return found


def halves(rows: Sequence[Row], *, by_time: bool, seed: int) -> tuple[list[Row], list[Row]]:
    """Two halves: the older and the newer where every row has a time, else as the seed decides."""
    if by_time and all(row.time for row in rows):
        ordered = sorted(rows, key=lambda row: (row.time or "", row.id))
    else:
        ordered = sorted(rows, key=lambda row: (_chance(seed, row.id), row.id))
    middle = len(ordered) // 2
    return ordered[:middle], ordered[middle:]


def check_counts(rows: Sequence[Row]) -> None:
    """Make sure that every class can be learned and asked.

    Raises:
        DataError: a class with fewer than two different examples.
    """
    counts = Counter(row.label for row in rows)
    if single := sorted(str(label) for label, n in counts.items() if n < 2):
        raise DataError(
            f"class {single[0]!r} has 1 example; at least 2 are needed: add rows, or merge it into another class"
        )


def check_labels(splits: Splits) -> None:
    """Make sure that what is asked can have been learned.

    Raises:
        DataError: one class only, a class with fewer than two training rows, or a label of validation
            or test that training does not have.
    """
    counts = Counter(str(row.label) for row in splits["train"])
    if len(counts) < 2:
        raise DataError(f"train: expected at least 2 classes, found {', '.join(counts) or 'none'}")
    for name in ("validation", "test"):
        if unseen := sorted({str(row.label) for row in splits[name]} - counts.keys()):
            raise DataError(
                f"{name}: label {unseen[0]!r} is never seen in training; add older or other rows of it, merge it into "
                "another label, or split at random"
            )
    if single := sorted(label for label, n in counts.items() if n < 2):
        raise DataError(
            f"train: class {single[0]!r} has 1 example; at least 2 are needed: add rows, or merge it into another class"
        )


def _needed(row: Row, value: str | None, column: str) -> str:
    if value is None:
        raise DataError(f"row {row.id} has no {column}; fill the column, leave the row out, or split by something else")
    return value


def _chance(seed: int, name: str) -> str:
    """A number that looks random and is the same everywhere."""
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
