"""Finds the same text twice: exact, and near enough to have been learned by heart.

Near means a cosine of at least 0.9 between counts of character n-grams (3 and 4, within words). Where a near duplicate
lies in two splits the earlier split gives way (train before validation before test), so that the test
keeps its size and its everyday cases; compare Lee et al. 2022, "Deduplicating training data makes
language models better".
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.corpora.rows import Row
from pipelines.corpora.split import Splits

THRESHOLD = 0.9
"""Cosine from which two texts are near duplicates."""

BLOCK_ROWS = 256
"""Rows compared at a time, which bounds memory."""

_ORDER = (("train", "validation"), ("train", "test"), ("validation", "test"))


@dataclass(frozen=True)
class Leak:
    """A text of an earlier split that is like one of a later split."""

    split: str
    row: str
    like: str
    similarity: float


def first_of_each(rows: Sequence[Row]) -> list[Row]:
    """The rows without exact duplicates: same text but for case and spacing, same label; the first stays."""
    seen: set[tuple[str, str | None]] = set()
    kept = []
    for row in rows:
        if (row.key, row.label) not in seen:
            seen.add((row.key, row.label))
            kept.append(row)
    return kept


def contradicted(rows: Sequence[Row]) -> frozenset[str]:
    """The texts (keys) that carry more than one label."""
    labels: dict[str, set[str | None]] = defaultdict(set)
    for row in rows:
        labels[row.key].add(row.label)
    return frozenset(key for key, found in labels.items() if len(found) > 1)


def near_duplicates(earlier: Sequence[Row], later: Sequence[Row]) -> Iterator[tuple[int, int, float]]:
    """Rows of `earlier` that are like one of `later`: index in each, and the cosine, best first per row."""
    if not earlier or not later:
        return
    from sklearn.feature_extraction.text import HashingVectorizer

    # Hashed, not weighted by how frequent an n-gram is: whether two texts are alike depends on them alone.
    vectorizer = HashingVectorizer(
        analyzer="char_wb", ngram_range=(3, 4), lowercase=False, alternate_sign=False, dtype="float32"
    )
    left = vectorizer.transform([_words(row) for row in earlier])
    right = vectorizer.transform([_words(row) for row in later]).T.tocsr()
    for start in range(0, len(earlier), BLOCK_ROWS):
        similar: Any = (left[start : start + BLOCK_ROWS] @ right).tocoo()
        alike = similar.data >= THRESHOLD
        best: dict[int, tuple[float, int]] = {}
        for row, column, value in zip(similar.row[alike], similar.col[alike], similar.data[alike], strict=True):
            best[int(row)] = max(best.get(int(row), (0.0, 0)), (float(value), int(column)))
        for row, (value, column) in sorted(best.items()):
            yield start + row, column, min(value, 1.0)


def _words(row: Row) -> str:
    """The text without punctuation, which makes no difference to what it says."""
    return re.sub(r"\W+", " ", row.key)


def without_near_duplicates(splits: Splits) -> tuple[Splits, dict[str, int]]:
    """The splits without rows that are like one of a later split, and how many went from each."""
    kept = dict(splits)
    removed = {"train": 0, "validation": 0}
    for earlier, later in (("validation", "test"), ("train", "validation"), ("train", "test")):
        gone = {index for index, _, _ in near_duplicates(kept[earlier], kept[later])}
        kept[earlier] = [row for index, row in enumerate(kept[earlier]) if index not in gone]
        removed[earlier] += len(gone)
    return kept, removed


def find_leaks(corpus: Path) -> list[Leak]:
    """Near duplicates between the splits of a corpus folder; none where it was built here."""
    splits = {name: _read(corpus / f"{name}.jsonl") for name in ("train", "validation", "test")}
    return [
        Leak(
            split=earlier, row=splits[earlier][a].id, like=f"{later}/{splits[later][b].id}", similarity=round(value, 4)
        )
        for earlier, later in _ORDER
        for a, b, value in near_duplicates(splits[earlier], splits[later])
    ]


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Row(id=record["id"], text=record["text"], label=record.get("label")) for record in records]
