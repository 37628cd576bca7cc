"""Intervals for one model and for the paired difference of two.

Labels travel as integer codes; a prediction of -1 is no class and always wrong.
All intervals are two-sided, so a 95 % interval bounds a loss at 97.5 %.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evals import unseen
from fleet_manifests import Comparison, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.intp]
    Floats = NDArray[np.float64]

Interval = tuple[float, float]
MetricName = Literal["accuracy", "macro_f1"]

_BCA_ROWS = 10_000
"""Above this, the jackknife of BCa costs n^2 and its correction is below the third digit."""
_BATCH_ITEMS = 4_000_000
"""Resampled indices held at once (32 MB)."""


def proportion_interval(hits: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927); (0, 1) where nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def mcnemar(lost: int, gained: int) -> float:
    """Two-sided mid-p value of McNemar's test on the discordant pairs.

    Fagerland, Lydersen and Laake (2013), "The McNemar test for binary matched-pairs data: mid-p and
    asymptotic are better than exact conditional", BMC Medical Research Methodology 13:91.
    """
    n = lost + gained
    if n == 0:
        return 1.0
    from scipy.stats import binom

    fewer = min(lost, gained)
    return min(float(2 * binom.cdf(fewer, n, 0.5) - binom.pmf(fewer, n, 0.5)), 1.0)


def paired_accuracy_interval(ours: NDArray[np.bool_], theirs: NDArray[np.bool_], confidence: float = 0.95) -> Interval:
    """Interval of accuracy(ours) - accuracy(theirs) on the same rows.

    Newcombe (1998), "Improved confidence intervals for the difference between binomial
    proportions based on paired data", Statistics in Medicine 17:2635-2650, method 10:
    Wilson intervals of both proportions, squared and added, with the continuity-corrected
    correlation of the pairs. It stays honest at 0 discordant pairs, where a bootstrap has no width.
    """
    n = len(ours)
    both, only_ours = int((ours & theirs).sum()), int((ours & ~theirs).sum())
    only_theirs = int((~ours & theirs).sum())
    neither = n - both - only_ours - only_theirs
    first, second = (both + only_ours) / n, (both + only_theirs) / n
    first_low, first_high = proportion_interval(both + only_ours, n, confidence)
    second_low, second_high = proportion_interval(both + only_theirs, n, confidence)
    phi = _correlation(both, only_ours, only_theirs, neither)

    def spread(a: float, b: float) -> float:
        return float(np.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0)))

    difference = first - second
    return (
        difference - spread(first - first_low, second_high - second),
        difference + spread(first_high - first, second - second_low),
    )


def _correlation(both: int, only_ours: int, only_theirs: int, neither: int) -> float:
    """Newcombe's phi: the correlation of a paired 2x2 table, shrunk by n/2 where positive."""
    sides = (both + only_ours, only_theirs + neither, both + only_theirs, only_ours + neither)
    if 0 in sides:
        return 0.0
    n = both + only_ours + only_theirs + neither
    covariance = float(both * neither - only_ours * only_theirs)
    if covariance > 0:
        covariance = max(covariance - n / 2, 0.0)
    return covariance / float(np.sqrt(np.prod(np.array(sides, dtype=np.float64))))


def macro_f1(truth: Codes, predicted: Codes, classes: int) -> float:
    """Mean F1 over the classes that occur in the truth or the predictions."""
    return float(_macro_f1(np.ones(len(truth)), truth, predicted, classes))


def class_f1(truth: Codes, predicted: Codes, classes: int) -> Floats:
    """[classes] F1 of each class, 0 where it neither occurs nor is predicted."""
    return _class_f1(np.ones(len(truth)), truth, predicted, classes)[0]


def macro_f1_interval(
    truth: Codes,
    predicted: Codes,
    classes: int,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """BCa bootstrap interval of macro-F1, no narrower than Wilson's of accuracy; see `compare`."""
    point = macro_f1(truth, predicted, classes)
    hits = int((truth == predicted).sum())
    floor = _shifted(proportion_interval(hits, len(truth), confidence), point - hits / len(truth))

    def statistic(weights: Floats, cells: list[Codes]) -> Floats:
        return _macro_f1(weights, cells[0], cells[1], classes)

    found = _bootstrap([truth, predicted], statistic, confidence, resamples, seed)
    low, high = _wider(found, floor)
    return max(low, 0.0), min(high, 1.0)


def compare(
    truth: Codes,
    ours: Codes,
    theirs: Codes,
    *,
    classes: int,
    metric: MetricName,
    against: str,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Paired difference of two models on the same rows.

    Accuracy: `paired_accuracy_interval`. Macro-F1: paired bootstrap over rows, BCa (Efron
    1987), seeded. A bootstrap cannot see flips that did not happen in the sample, so with
    few of them its interval is too short; it is therefore widened, on either side, to at
    least the reach of the accuracy interval, and to the bounds with one more flip of
    `evals.unseen`, spread over the classes.

    Raises:
        DataError: the predictions are not row-aligned.
    """
    if not len(truth) == len(ours) == len(theirs):
        raise DataError(
            f"{against}: expected {len(truth)} predictions, one per row, found {len(theirs)} of theirs "
            f"and {len(ours)} of ours"
        )
    ours_right, theirs_right = truth == ours, truth == theirs
    low, high = paired_accuracy_interval(ours_right, theirs_right, confidence)
    mine, other = float(ours_right.mean()), float(theirs_right.mean())
    if metric == "macro_f1":
        reach = low - (mine - other), high - (mine - other)
        mine, other = macro_f1(truth, ours, classes), macro_f1(truth, theirs, classes)

        def statistic(weights: Floats, cells: list[Codes]) -> Floats:
            return _macro_f1(weights, cells[0], cells[1], classes) - _macro_f1(weights, cells[0], cells[2], classes)

        found = _bootstrap([truth, ours, theirs], statistic, confidence, resamples, seed)
        low, high = _wider(found, _shifted(reach, mine - other))
        least, greatest = _with_unseen_flip(truth, ours, theirs, classes, confidence, resamples, seed)
        low, high = min(low, least), max(high, greatest)
    return Comparison(
        against=against,
        metric=metric,
        ours=mine,
        theirs=other,
        difference=mine - other,
        low=max(low, -1.0),
        high=min(high, 1.0),
        confidence=confidence,
        n=len(truth),
        lost=int((~ours_right & theirs_right).sum()),
        gained=int((ours_right & ~theirs_right).sum()),
    )


def _with_unseen_flip(
    truth: Codes, ours: Codes, theirs: Codes, classes: int, confidence: float, resamples: int, seed: int
) -> Interval:
    """Bounds of the difference of macro-F1 with one more row that only the other model gets right, or only ours."""
    cells, counts = np.unique(np.stack([truth, ours, theirs], axis=1), axis=0, return_counts=True)
    occurring = np.unique(truth)
    wrong = np.full(len(occurring), -1)
    tail = (1 - confidence) / 2
    found = []
    for flip, quantile in (((occurring, wrong, occurring), tail), ((occurring, occurring, wrong), 1 - tail)):
        rows = np.concatenate([cells, np.stack(flip, axis=1)])
        shares = np.full(len(occurring), 1 / len(occurring))
        drawn = unseen.weights(np.concatenate([counts, shares]), resamples, seed)
        one, other = (_macro_f1(drawn, rows[:, 0], rows[:, column], classes) for column in (1, 2))
        found.append(float(np.quantile(one - other, quantile)))
    return found[0], found[1]


def _class_f1(weights: Floats, truth: Codes, predicted: Codes, classes: int) -> tuple[Floats, Floats]:
    """F1 and support (true + predicted) per class for weights [..., rows]; both [..., classes]."""
    every = np.arange(classes)
    is_true = (truth[:, None] == every).astype(np.float64)
    is_predicted = (predicted[:, None] == every).astype(np.float64)
    support = weights @ (is_true + is_predicted)
    hits = weights @ (is_true * is_predicted)
    return 2 * hits / np.maximum(support, 1e-300), support


def _macro_f1(weights: Floats, truth: Codes, predicted: Codes, classes: int) -> Floats:
    """Macro-F1 for weights [..., rows], over the classes that occur."""
    scores, support = _class_f1(weights, truth, predicted, classes)
    mean: Floats = scores.sum(axis=-1) / np.maximum((support > 0).sum(axis=-1), 1)
    return mean


def _bootstrap(
    columns: list[Codes],
    statistic: Callable[[Floats, list[Codes]], Floats],
    confidence: float,
    resamples: int,
    seed: int,
) -> Interval | None:
    """Bootstrap interval over rows, None where every resample gives the same value.

    Equal rows are pooled into cells: a resample is then a vector of counts, and the
    statistic of all resamples is a handful of matrix products.
    """
    from scipy.stats import bootstrap

    cells, cell_of_row = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    parts = [cells[:, column] for column in range(len(columns))]

    def resampled(index: Codes, axis: int = -1) -> Floats:
        flat = cell_of_row[np.moveaxis(index, axis, -1).reshape(-1, index.shape[axis])]
        offset = np.arange(len(flat))[:, None] * len(cells)
        counts = np.bincount((flat + offset).ravel(), minlength=len(flat) * len(cells)).astype(np.float64)
        shape = np.moveaxis(index, axis, -1).shape[:-1]
        return statistic(counts.reshape(len(flat), len(cells)), parts).reshape(shape)

    n = len(cell_of_row)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a degenerate distribution is answered below
        found = bootstrap(
            (np.arange(n),),
            resampled,
            n_resamples=resamples,
            batch=max(_BATCH_ITEMS // n, 1),
            confidence_level=confidence,
            method="BCa" if n <= _BCA_ROWS else "percentile",
            rng=np.random.default_rng(seed),
        )
    if np.ptp(found.bootstrap_distribution) == 0:
        return None
    return bounds(found, confidence)


def bounds(found: Any, confidence: float) -> Interval:
    """The interval of scipy's bootstrap; where its method has none, that of the quantiles of the resamples."""
    low, high = float(found.confidence_interval.low), float(found.confidence_interval.high)
    if np.isfinite(low) and np.isfinite(high):
        return low, high
    tail = (1 - confidence) / 2
    low, high = np.quantile(found.bootstrap_distribution, [tail, 1 - tail])
    return float(low), float(high)


def _shifted(interval: Interval, by: float) -> Interval:
    return interval[0] + by, interval[1] + by


def _wider(interval: Interval | None, floor: Interval) -> Interval:
    """The hull of two intervals; the second alone where the first has no width."""
    if interval is None:
        return floor
    return min(interval[0], floor[0]), max(interval[1], floor[1])
