"""How sure a search may be that its first passage answers, and the confidence below which it defers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evals.calibration import defer_threshold
from evals.predictions import answered
from fleet_manifests import DataError, Relevance

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline

FOLDS = 5
STRENGTH = 1.0
"""Inverse regularisation strength on standardized features."""


@dataclass(frozen=True)
class Fitted:
    """A relevance model and the threshold that keeps the target precision."""

    relevance: Relevance
    threshold: float
    coverage: float
    """Share of the answerable validation questions at or above the threshold."""


def fit_relevance(
    features: Sequence[Mapping[str, float]],
    right: NDArray[np.bool_],
    answerable: NDArray[np.bool_],
    target_precision: float,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Fitted:
    """Fit on validation questions, those that the library does not answer included.

    Logistic regression on standardized features, folded back into raw ones (Platt 1999). The threshold is
    chosen on predictions of folds that the model has not seen, by the one-sided Wilson bound of the precision.

    Args:
        features: what each search saw; the same features for all.
        right: [n] whether the first passage answers.
        answerable: [n] whether the library answers at all.
        target_precision: share of the answered questions that must be right.
        confidence: confidence of the bound.
        seed: divides the folds.

    Raises:
        DataError: no question, or features that are not finite or differ in name.
    """
    if not features or len(features) != len(right):
        raise DataError(f"relevance: expected as many outcomes as searches, found {len(right)} and {len(features)}")
    names = sorted(features[0])
    if any(sorted(one) != names for one in features):
        raise DataError("relevance: the searches differ in their features; search all with one version")
    values = np.array([[one[name] for name in names] for one in features], dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError("relevance: a feature is not a finite number; the pack is broken")
    if right.all() or not right.any() or min(right.sum(), (~right).sum()) < FOLDS:
        return _constant(right, answerable, target_precision)
    model = _model()
    held_out = _held_out(values, right, seed)
    model.fit(values, right)
    threshold = defer_threshold(held_out, right, target_precision, confidence=confidence)
    kept = answered(held_out[answerable], threshold)
    return Fitted(_folded(model, names), threshold, float(kept.mean()) if len(kept) else 0.0)


def _model() -> Pipeline:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))


def _held_out(values: NDArray[np.float64], right: NDArray[np.bool_], seed: int) -> NDArray[np.float64]:
    """[n] the confidence that a model gives each question which has not seen it."""
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    found: NDArray[np.float64] = cross_val_predict(_model(), values, right, cv=folds, method="predict_proba")[:, 1]
    return found


def _folded(model: Pipeline, names: Sequence[str]) -> Relevance:
    """The model as weights of raw features."""
    scaler, regression = (step for _, step in model.steps)
    weights = regression.coef_[0] / scaler.scale_
    intercept = float(regression.intercept_[0] - (weights * scaler.mean_).sum())
    rounded = {name: round(float(weight), 9) for name, weight in zip(names, weights, strict=True)}
    return Relevance(intercept=round(intercept, 9), weights=rounded)


def _constant(right: NDArray[np.bool_], answerable: NDArray[np.bool_], target: float) -> Fitted:
    """Too few questions of one kind to learn from: one confidence for all, by the rule of succession (Laplace)."""
    share = (int(right.sum()) + 1) / (len(right) + 2)
    threshold = 0.0 if share >= target else 1.0
    relevance = Relevance(intercept=round(float(np.log(share / (1 - share))), 9))
    return Fitted(relevance, threshold, 1.0 if threshold == 0.0 and answerable.any() else 0.0)
