"""Confidence that means what it says, and the threshold below which a site defers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from evals.curves import fit_curve, held_out
from evals.predictions import answered
from evals.risk import aurc
from fleet_manifests import Calibration, DataError, ReliabilityBin
from runtimes.engine.confidence import Confidence, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Logits = NDArray[np.floating]

Bound = Literal["point", "wilson", "clopper-pearson"]

Score = Literal["probability", "energy", "neighbours"]
SCORES: tuple[Score, ...] = ("probability", "energy", "neighbours")
RESAMPLES = 200
CLEAR = 2.0
"""Standard errors by which something must be better than what is simpler."""
BINS = 15
"""Bins of the expected calibration error (Guo et al. 2017)."""


@dataclass(frozen=True)
class Trial:
    """A way to be sure that was tried on validation data."""

    score: str
    method: str
    """`temperature` or `isotonic`."""
    aurc: float
    """Area under the risk-coverage curve, rows out of scope being wrong: lower is better."""
    brier: float
    """Mean squared distance of confidence and outcome on rows in scope that the curve has not seen: lower is better."""
    chosen: bool


@dataclass(frozen=True)
class Calibrated:
    """How a build's scores become confidence, and how that was chosen."""

    calibration: Calibration
    neighbours: NDArray[np.float16] | None = None
    """[rows, classes] of length 1, with the score `neighbours`."""
    trials: tuple[Trial, ...] = ()


def calibrate(
    logits: NDArray[np.floating],
    labels: NDArray[np.intp],
    target_precision: float,
    *,
    outside: NDArray[np.floating] | None = None,
    known: NDArray[np.floating] | None = None,
    bound: Bound = "wilson",
    confidence: float = 0.95,
    seed: int = 0,
) -> Calibrated:
    """Fit confidence and defer threshold on validation data.

    The score is the highest softmax probability, unless another one orders the rows better by more than two standard
    errors (paired bootstrap of the area under the risk-coverage curve). Its curve is the temperature's, or isotonic
    regression (Zadrozny and Elkan 2002) where that comes nearer to the outcomes of held-out rows by more than two
    standard errors of the Brier score. The threshold is about rows in scope alone: how many others a site will see
    is not known.

    Args:
        logits: [n, classes], through the engine and after quantization.
        labels: [n] index of the true class.
        target_precision: share of the answered rows that must be right.
        outside: [m, classes] logits of rows that belong to no class.
        known: [k, classes] logits of rows that the model was trained on; None: neighbours are not tried.
        bound: what must reach the target: the precision found (`point`) or its one-sided
            lower bound (Wilson; Clopper-Pearson is exact and stricter).
        confidence: confidence of that bound.
        seed: of the bootstrap and of the folds.

    Returns:
        Where no threshold reaches the target: threshold 1, coverage 0, everything is deferred.

    Raises:
        DataError: no rows, logits that are not finite, or labels out of range.
    """
    _require_usable(logits, labels)
    correct = logits.argmax(axis=1) == labels
    temperature = fit_temperature(logits, labels)
    near = None if known is None or len(known) == 0 else unit(known.astype(np.float64)).astype(np.float16)
    scored = {
        name: _scored(name, temperature, near, logits, outside, correct, seed)
        for name in SCORES
        if name != "neighbours" or near is not None
    }
    score = _best_order(scored, seed)
    curved = score != "probability" or _isotonic_wins(scored[score], correct)
    curve = fit_curve(scored[score].inside, correct) if curved else ()
    calibration = Calibration(
        temperature=temperature, score=score, curve=curve, target_precision=target_precision, defer_threshold=1.0
    )
    sure = Confidence(calibration, near).of(logits)
    threshold = defer_threshold(sure, correct, target_precision, bound=bound, confidence=confidence)
    coverage = float(answered(sure, threshold).mean())
    return Calibrated(
        calibration.model_copy(update={"defer_threshold": threshold, "coverage": coverage}),
        near if score == "neighbours" else None,
        tuple(_trials(scored, correct, score, curved=curved)),
    )


def _require_usable(logits: NDArray[np.floating], labels: NDArray[np.intp]) -> None:
    if len(logits) == 0 or len(logits) != len(labels):
        raise DataError(f"calibration: expected as many labels as logits, found {len(labels)} and {len(logits)}")
    if not np.isfinite(logits).all():
        raise DataError("calibration: logits hold values that are not finite numbers; the build is broken")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise DataError(f"calibration: labels run from {labels.min()} to {labels.max()} of {logits.shape[1]} classes")


@dataclass(frozen=True)
class _Scored:
    """What a score gives validation rows."""

    inside: Floats
    """[n] of rows in scope."""
    held_out: Floats
    """[n] the confidence that isotonic curves give those rows that they have not seen."""
    sure: Floats
    """[n + m] of rows in scope and of the others."""
    right: NDArray[np.bool_]
    """[n + m] which of them are right; those out of scope are not."""


def _scored(
    name: Score,
    temperature: float,
    near: NDArray[np.float16] | None,
    logits: Logits,
    outside: Logits | None,
    correct: NDArray[np.bool_],
    seed: int,
) -> _Scored:
    """The raw score of each row, on which confidence could rest."""
    raw = Calibration(temperature=temperature, score=name, curve=((0.0, 0.0), (1.0, 1.0)))
    score = Confidence(raw, near if name == "neighbours" else None).score
    inside, others = score(logits), np.empty(0) if outside is None or len(outside) == 0 else score(outside)
    return _Scored(
        inside,
        held_out(inside, correct, seed),
        np.concatenate([inside, others]),
        np.concatenate([correct, np.zeros(len(others), dtype=bool)]),
    )


def _best_order(scored: Mapping[Score, _Scored], seed: int) -> Score:
    """The score whose order of rows in scope and others is best, the probability where no other is clearly better."""
    areas = {name: _bootstrapped_areas(found, seed) for name, found in scored.items()}
    plain = areas["probability"]
    gains: dict[Score, Floats] = {name: plain - some for name, some in areas.items()}
    clear = {name: float(gain.mean()) for name, gain in gains.items() if gain.mean() > CLEAR * gain.std()}
    return max(clear, key=lambda name: clear[name]) if clear else "probability"


def _bootstrapped_areas(found: _Scored, seed: int) -> Floats:
    """[resamples] area under the risk-coverage curve; every score is resampled alike."""
    n = len(found.sure)
    draws = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    order = np.argsort(-found.sure[draws], axis=1, kind="stable")
    wrong = ~found.right[np.take_along_axis(draws, order, axis=1)]
    areas: Floats = (np.cumsum(wrong, axis=1) / np.arange(1, n + 1)).mean(axis=1)
    return areas


def _isotonic_wins(probability: _Scored, correct: NDArray[np.bool_]) -> bool:
    """Whether an isotonic curve comes clearly nearer to the outcomes of rows that it has not seen."""
    gain = (probability.inside - correct) ** 2 - (probability.held_out - correct) ** 2
    return bool(gain.mean() > CLEAR * gain.std() / math.sqrt(len(gain)))


def _trials(
    scored: Mapping[Score, _Scored], correct: NDArray[np.bool_], score: Score, *, curved: bool
) -> Iterator[Trial]:
    """What was tried."""
    for name, found in scored.items():
        area = aurc(found.sure, found.right).value
        chances = {"isotonic": found.held_out}
        if name == "probability":
            chances["temperature"] = found.inside
        for method, chance in sorted(chances.items()):
            chosen = name == score and (method == "isotonic") == curved
            yield Trial(name, method, area, float(((chance - correct) ** 2).mean()), chosen)


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
