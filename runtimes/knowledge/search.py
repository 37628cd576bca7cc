"""What a search found, and how sure it is. Pure: no disk, no clock.

Features of `Relevance`, all finite, of the first passage found ("first") among its rivals,
which are the next four. A question without a known word has the lexical ones at 0.

| feature | range | |
|---|---|---|
| `cosine` | -1..1 | cosine of question and first |
| `cosine_peak` | 0..1 | how far the library's best cosine stands above its mean: standard deviations / 10 |
| `cosine_margin` | -1..1 | cosine of first less the best of its rivals |
| `lexical_share` | 0..1 | BM25 of first over the most a passage could have: the idf of the known words added up |
| `lexical_margin` | -1..1 | the same share of first less the best of its rivals |
| `known` | 0..1 | share of the question's idf in words of the library; an unknown word weighs most |
| `covered` | 0..1 | share of the question's idf in words of first |
| `dense_rank` | 0..1 | 1 / rank of first by cosine alone |
| `lexical_rank` | 0..1 | 1 / rank of first by BM25 alone; 0 where it shares no word with the question |
| `overlap` | 0..1 | share of the ten best by cosine that are among the ten best by BM25 |
| `score_margin` | 0..1 | m / (1 + m), m the fused score of first less that of the second |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from fleet_manifests import Passage

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATURES = (
    "cosine", "cosine_peak", "cosine_margin", "lexical_share", "lexical_margin", "known", "covered",
    "dense_rank", "lexical_rank", "overlap", "score_margin",
)  # fmt: skip
RIVALS = 4
HEAD = 10
"""Passages of each ranking that `overlap` compares."""
PEAK = 10.0
"""Standard deviations at which `cosine_peak` is 1."""


@dataclass(frozen=True)
class Hit:
    """A passage, and how it scored."""

    passage: Passage
    score: float
    """Fused: the weighted sum of both z-scores."""
    cosine: float
    lexical: float
    """BM25."""


@dataclass(frozen=True)
class Found:
    """What a search found."""

    hits: tuple[Hit, ...]
    """Best first; equal scores in the order of ids."""
    disagreeing: tuple[Passage, ...]
    """Passages of the library that some hit names in `disagrees_with`, in the order of ids."""
    features: Mapping[str, float]
    confidence: float
    """Probability, 0 to 1, that the first hit answers the question."""
    on: date | None = None
    """Passages not in force on that day were passed over; None: none was."""


@dataclass(frozen=True)
class Rankings:
    """Ids of passages, best first, by cosine, by BM25 (passages that share a word) and by both."""

    dense: tuple[str, ...]
    lexical: tuple[str, ...]
    fused: tuple[str, ...]


@dataclass(frozen=True)
class Scores:
    """The z-scores of every passage for a question, in the order of ids, float32 [passages]."""

    dense: NDArray[np.float32]
    lexical: NDArray[np.float32]


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of a score over the library."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, scores: NDArray[np.float32]) -> Scale:
        """Measure a score."""
        return cls(float(scores.mean(dtype=np.float64)), float(scores.std(dtype=np.float64)))

    def z(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """z-scores; all zero where every passage scores alike."""
        # Equal float32 scores can leave a deviation of rounding errors only.
        if self.deviation <= 1e-6 * max(1.0, abs(self.mean)):
            return np.zeros_like(scores)
        found: NDArray[np.floating] = (scores - scores.dtype.type(self.mean)) / scores.dtype.type(self.deviation)
        return found


@dataclass(frozen=True)
class Words:
    """What the question's words weigh."""

    known: float
    """Sum of the idf of the words that the library has."""
    unknown: float
    """The same of those it has not."""
    first: float
    """The part of `known` that the first passage holds."""


def best_rows(scores: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """The rows of the highest scores, unsorted; among equal ones at the border the earliest rows."""
    if count >= len(scores):
        return np.arange(len(scores))
    border = np.partition(scores, len(scores) - count)[len(scores) - count]
    above = np.flatnonzero(scores > border)
    level = np.flatnonzero(scores == border)[: count - len(above)]
    return np.concatenate([above, level])


def in_order(rows: NDArray[np.intp], scores: NDArray[np.floating]) -> NDArray[np.intp]:
    """Positions of `rows` from the highest score down, equal ones by row, which is by id."""
    return np.lexsort((rows, -scores))


def features_of(
    *,
    cosines: NDArray[np.floating],
    lexical: NDArray[np.floating],
    scores: NDArray[np.floating],
    dense_all: NDArray[np.float32],
    lexical_all: NDArray[np.float32],
    first: int,
    words: Words,
) -> dict[str, float]:
    """The features of a search.

    Args:
        cosines: of the first passage and its rivals, in order, at least one.
        lexical: BM25 of the same.
        scores: fused scores of the same.
        dense_all: cosines of the whole library.
        lexical_all: BM25 of the whole library.
        first: the row of the first passage.
        words: what the question's words weigh.
    """
    best = max(words.known, 1e-9)
    asked = max(words.known + words.unknown, 1e-9)
    shares = np.clip(lexical / best, 0, 1)
    scale = Scale.of(dense_all)
    margin = float(scores[0] - scores[1]) if len(scores) > 1 else 0.0
    values = {
        "cosine": float(np.clip(cosines[0], -1, 1)),
        "cosine_peak": min(1.0, max(0.0, float(scale.z(dense_all.max(keepdims=True))[0]) / PEAK)),
        "cosine_margin": _lead(cosines),
        "lexical_share": float(shares[0]),
        "lexical_margin": _lead(shares),
        "known": words.known / asked,
        "covered": words.first / asked,
        "dense_rank": 1 / (1 + int((dense_all > dense_all[first]).sum())),
        "lexical_rank": _lexical_rank(lexical_all, first),
        "overlap": _overlap(dense_all, lexical_all),
        "score_margin": margin / (1 + margin),
    }
    return {name: values[name] for name in FEATURES}


def in_force(passage: Passage, day: date) -> bool:
    """Whether a passage holds on a day: effective already, and no newer revision does."""
    begun = passage.effective_from is None or passage.effective_from <= day
    return begun and (passage.effective_until is None or day < passage.effective_until)


def is_for(passage: Passage, site_class: str | None) -> bool:
    """Whether a passage is for a class of sites; None: whichever it is for."""
    return site_class is None or not passage.site_classes or site_class in passage.site_classes


def _lead(scores: NDArray[np.floating]) -> float:
    """The first less the best of the others, -1 to 1; 0 where there is no other."""
    return float(np.clip(scores[0] - scores[1:].max(), -1, 1)) if len(scores) > 1 else 0.0


def _lexical_rank(scores: NDArray[np.float32], first: int) -> float:
    """1 / rank; 0 for a passage without any of the words."""
    return 1 / (1 + int((scores > scores[first]).sum())) if scores[first] > 0 else 0.0


def _overlap(dense: NDArray[np.float32], lexical: NDArray[np.float32]) -> float:
    """Share of the best by cosine that are among the best by BM25 and hold a word of the question."""
    count = min(HEAD, len(dense))
    by_words = best_rows(lexical, count)
    both = np.intersect1d(best_rows(dense, count), by_words[lexical[by_words] > 0])
    return len(both) / count
