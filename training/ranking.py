"""Dense, lexical and fused rankings of a library, and their figures.

A fused score is the weighted sum of both scores as z-scores over the library, as sites search.
nDCG@10 (Järvelin and Kekäläinen 2002), recall@5 and reciprocal rank (Voorhees 1999) with binary
relevance, as `ir_measures` computes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.library import Question

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.float32]
    """[questions, passages]."""

MEASURES = {"ndcg_at_10": "nDCG@10", "recall_at_5": "R@5", "mrr": "RR"}
"""Our names, and those of `ir_measures`."""
DEPTH = 100
"""Places of a ranking that are kept."""
WEIGHTS = tuple(round(step * 0.05, 2) for step in range(21))
"""Weights of the dense score that are tried."""


def z_scores(scores: Scores) -> Scores:
    """Scores [questions, passages] with mean 0 and deviation 1 for each question; 0 where all are alike."""
    import numpy as np

    mean = scores.mean(axis=1, keepdims=True, dtype=np.float64)
    deviation = scores.std(axis=1, keepdims=True, dtype=np.float64)
    alike = deviation <= 1e-6 * np.maximum(1.0, np.abs(mean))
    found: Scores = np.where(alike, 0.0, (scores - mean) / np.where(alike, 1.0, deviation)).astype(np.float32)
    return found


def fuse(dense: Scores, lexical: Scores, weight: float) -> Scores:
    """The weighted sum of z-scores."""
    import numpy as np

    return np.float32(weight) * dense + np.float32(1 - weight) * lexical


def rank(scores: Scores, depth: int = DEPTH, *, above: float | None = None) -> list[list[int]]:
    """The places of the best passages for each question, best first, equal ones by place.

    Args:
        scores: of every passage.
        depth: places at most.
        above: passages that do not score more are left out.
    """
    import numpy as np

    depth = min(depth, scores.shape[1])
    found = []
    for row in scores:
        border = np.partition(row, len(row) - depth)[len(row) - depth]
        some = np.flatnonzero(row >= border)
        order = some[np.lexsort((some, -row[some]))][:depth]
        found.append([int(place) for place in order if above is None or row[place] > above])
    return found


def figures(questions: Sequence[Question], rankings: Sequence[Sequence[int]]) -> dict[str, float]:
    """The mean of each metric over questions; 0 for one without a ranking.

    Args:
        questions: at least one, each with a relevant passage.
        rankings: places, best first, in the order of the questions.
    """
    import ir_measures

    truth = {str(n): {str(place): 1 for place in question.relevant} for n, question in enumerate(questions)}
    run = {
        str(n): {str(place): float(-at) for at, place in enumerate(places)}
        for n, places in enumerate(rankings)
        if places
    }
    names = {ir_measures.parse_measure(measure): name for name, measure in MEASURES.items()}
    sums = dict.fromkeys(MEASURES, 0.0)
    for value in ir_measures.iter_calc(list(names), truth, run):
        sums[names[value.measure]] += value.value
    return {name: total / len(questions) for name, total in sums.items()}


def best_weight(questions: Sequence[Question], dense: Scores, lexical: Scores) -> float:
    """The weight of the dense z-scores with the highest nDCG@10.

    Of equal ones the nearest to an even mix is taken, then the denser.

    Args:
        questions: that the library answers.
        dense: z-scores.
        lexical: z-scores.
    """
    tried = []
    for weight in WEIGHTS:
        found = figures(questions, rank(fuse(dense, lexical, weight), 10))["ndcg_at_10"]
        tried.append((round(found, 6), -abs(weight - 0.5), weight))
    return max(tried)[2]
