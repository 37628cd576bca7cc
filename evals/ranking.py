"""Figures of rankings: per question, their means with intervals, and paired differences.

nDCG@10 (Järvelin and Kekäläinen 2002), recall@5 and reciprocal rank (Voorhees 1999), with
binary relevance, as `ir_measures` computes them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evals.statistics import bounds
from evals.unseen import mean_bounds
from fleet_manifests import Comparison, DataError, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

RankingMetric = Literal["ndcg_at_10", "recall_at_5", "mrr"]
MEASURES: dict[str, str] = {"ndcg_at_10": "nDCG@10", "recall_at_5": "R@5", "mrr": "RR"}
"""Our names, and those of `ir_measures`."""

DEPTH = 100
"""Places of a ranking that are looked at."""

Rankings = Mapping[str, Sequence[str]]
"""Passage ids, best first, by question id."""
Relevant = Mapping[str, Sequence[str]]
"""Passages that answer, by question id; the order of the questions is the order of every result."""


def per_question(rankings: Rankings, relevant: Relevant) -> dict[str, Values]:
    """Each metric of each question, [questions], 0 for a question without a ranking.

    Raises:
        DataError: no question, or one without a relevant passage.
    """
    import ir_measures

    if not relevant or not all(relevant.values()):
        raise DataError("rankings: at least one question is needed, each with a passage that answers it")
    place = {question: index for index, question in enumerate(relevant)}
    truth = {question: dict.fromkeys(passages, 1) for question, passages in relevant.items()}
    run = {
        question: {passage: float(-index) for index, passage in enumerate(rankings.get(question, ())[:DEPTH])}
        for question in relevant
    }
    names = {ir_measures.parse_measure(measure): name for name, measure in MEASURES.items()}
    found = {name: np.zeros(len(place)) for name in MEASURES}
    for value in ir_measures.iter_calc(list(names), truth, {q: scores for q, scores in run.items() if scores}):
        found[names[value.measure]][place[value.query_id]] = value.value
    return found


def means(
    values: Mapping[str, Values], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> dict[str, Metric]:
    """The mean of each metric over the questions, with its interval."""
    found = {}
    for name, some in values.items():
        low, high = mean_interval(some, confidence=confidence, resamples=resamples, seed=seed)
        found[name] = Metric(name=name, value=float(some.mean()), n=len(some), low=max(low, 0.0), high=min(high, 1.0))
    return found


def mean_interval(
    values: Values, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """BCa bootstrap interval of a mean over questions (Efron 1987).

    Where all values are equal a bootstrap has no width; then it reaches as far as one more
    question of the other extreme could move it with that confidence (rule of three, Hanley and
    Lippman-Hand 1983).
    """
    from scipy.stats import bootstrap

    n, mean = len(values), float(values.mean())
    if float(np.ptp(values)) == 0.0:
        unseen = 1 - ((1 - confidence) / 2) ** (1 / n)
        return mean - unseen, mean + unseen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a degenerate resample is answered below
        found = bootstrap(
            (values,), np.mean, n_resamples=resamples, confidence_level=confidence, vectorized=True,
            method="BCa", rng=np.random.default_rng(seed),
        )  # fmt: skip
    return bounds(found, confidence)


def compare_rankings(
    ours: Mapping[str, Values],
    theirs: Mapping[str, Values],
    *,
    metric: str,
    against: str,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Paired difference of a metric on the same questions: BCa, widened to `unseen.mean_bounds`.

    `lost` and `gained` count questions that the other, or ours, ranks better.

    Raises:
        DataError: the two are not about the same questions.
    """
    mine, other = ours[metric], theirs[metric]
    if len(mine) != len(other):
        raise DataError(f"{against}: expected figures of {len(mine)} questions, found {len(other)}")
    settings: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "seed": seed}
    low, high = mean_interval(mine - other, **settings)
    least, greatest = mean_bounds(mine - other, (-1.0, 1.0), **settings)
    return Comparison(
        against=against,
        metric=metric,
        ours=float(mine.mean()),
        theirs=float(other.mean()),
        difference=float((mine - other).mean()),
        low=max(min(low, least), -1.0),
        high=min(max(high, greatest), 1.0),
        confidence=confidence,
        n=len(mine),
        lost=int((mine < other).sum()),
        gained=int((mine > other).sum()),
    )
