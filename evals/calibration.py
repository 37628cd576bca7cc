"""Confidence that means what it says, and the threshold below which a site defers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from evals.predictions import answered, probabilities
from fleet_manifests import Calibration, DataError, ReliabilityBin

if TYPE_CHECKING:
    from numpy.typing import NDArray

Bound = Literal["point", "wilson", "clopper-pearson"]

BINS = 15
"""Bins of the expected calibration error (Guo et al. 2017)."""


def calibrate(
    logits: NDArray[np.floating],
    labels: NDArray[np.intp],
    target_precision: float,
    *,
    bound: Bound = "wilson",
    confidence: float = 0.95,
) -> Calibration:
    """Fit temperature and defer threshold on validation data.

    Args:
        logits: [n, classes], through the engine and after quantization.
        labels: [n] index of the true class.
        target_precision: share of the answered rows that must be right.
        bound: what must reach the target: the precision found (`point`) or its one-sided
            lower bound (Wilson; Clopper-Pearson is exact and stricter).
        confidence: confidence of that bound.

    Returns:
        Where no threshold reaches the target: threshold 1, coverage 0, everything is deferred.

    Raises:
        DataError: no rows, logits that are not finite, or labels out of range.
    """
    if len(logits) == 0 or len(logits) != len(labels):
        raise DataError(f"calibration: expected as many labels as logits, found {len(labels)} and {len(logits)}")
    if not np.isfinite(logits).all():
        raise DataError("calibration: logits hold values that are not finite numbers; the build is broken")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise DataError(f"calibration: labels run from {labels.min()} to {labels.max()} of {logits.shape[1]} classes")
    temperature = fit_temperature(logits, labels)
    scores = probabilities(logits, temperature)
    sure, correct = scores.max(axis=1), scores.argmax(axis=1) == labels
    threshold = defer_threshold(sure, correct, target_precision, bound=bound, confidence=confidence)
    return Calibration(
        temperature=temperature,
        defer_threshold=threshold,
        target_precision=target_precision,
        coverage=float(answered(sure, threshold).mean()),
    )


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.intp]) -> float:
    """The temperature that minimizes the negative log-likelihood (Guo et al. 2017), between 0.05 and 20."""
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    scores = np.asarray(logits, dtype=np.float64)
    true = scores[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        return float(np.mean(logsumexp(scores / temperature, axis=1) - true / temperature))

    found = minimize_scalar(loss, bounds=(math.log(0.05), math.log(20.0)), method="bounded")
    return round(math.exp(found.x), 6)


def defer_threshold(
    confidence_of_rows: NDArray[np.float64],
    correct: NDArray[np.bool_],
    target_precision: float,
    *,
    bound: Bound = "wilson",
    confidence: float = 0.95,
) -> float:
    """Lowest confidence at or above which the rows keep the target precision; 1 where none does.

    Rounded down to six digits, so that the row that sets it is answered in single precision too.
    """
    order = np.argsort(-confidence_of_rows, kind="stable")
    ranked = confidence_of_rows[order]
    n = np.arange(1, len(ranked) + 1)
    kept = _lower_bound(np.cumsum(correct[order]), n, bound, confidence) >= target_precision
    kept[:-1] &= ranked[:-1] != ranked[1:]  # rows of equal confidence are answered or deferred together
    if not kept.any():
        return 1.0
    lowest = float(ranked[np.flatnonzero(kept)[-1]])
    return min(math.floor(lowest * 1e6) / 1e6, 0.999999)


def _lower_bound(hits: NDArray[np.intp], n: NDArray[np.intp], bound: Bound, confidence: float) -> NDArray[np.float64]:
    """One-sided lower confidence bound of each proportion hits/n."""
    share = hits / n
    if bound == "point":
        return np.asarray(share)
    if bound == "clopper-pearson":
        from scipy.stats import beta

        exact = beta.ppf(1 - confidence, np.maximum(hits, 1), n - hits + 1)
        return np.where(hits == 0, 0.0, exact)
    from scipy.stats import norm

    z2 = float(norm.ppf(confidence)) ** 2
    centre = share + z2 / (2 * n)
    spread = np.sqrt(z2 * share * (1 - share) / n + (z2 / (2 * n)) ** 2)
    return np.asarray((centre - spread) / (1 + z2 / n))


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """How often the model is right at each level of confidence: equal-width bins, empty ones left out."""
    place = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    bins = []
    for index in np.unique(place):
        inside = place == index
        bins.append(
            ReliabilityBin(
                low=index / BINS,
                high=(index + 1) / BINS,
                n=int(inside.sum()),
                confidence=float(confidence[inside].mean()),
                accuracy=float(correct[inside].mean()),
            )
        )
    return tuple(bins)


def expected_calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """Mean gap between confidence and accuracy, weighted by rows (Guo et al. 2017)."""
    n = sum(item.n for item in bins)
    return sum(item.n * abs(item.confidence - item.accuracy) for item in bins) / n if n else 0.0
