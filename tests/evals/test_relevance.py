from __future__ import annotations

import math

import numpy as np
import pytest

from evals.relevance import fit_relevance
from fleet_manifests import DataError, Relevance

pytestmark = pytest.mark.unit


def sigmoid(model: Relevance, features: dict[str, float]) -> float:
    score = model.intercept + sum(weight * features[name] for name, weight in model.weights.items())
    return 1 / (1 + math.exp(-score))


def auroc(truth: np.ndarray, scores: np.ndarray) -> float:
    """The share of pairs of a right and a wrong one that are in order."""
    return float((scores[truth][:, None] > scores[~truth][None, :]).mean())


def cases(n: int, seed: int) -> tuple[list[dict[str, float]], np.ndarray]:
    rng = np.random.default_rng(seed)
    right = rng.random(n) < 0.6
    cosine = rng.normal(np.where(right, 0.7, 0.45), 0.12)
    return [{"cosine": float(c), "noise": float(x)} for c, x in zip(cosine, rng.random(n), strict=True)], right


def test_the_model_tells_right_from_wrong_on_new_questions() -> None:
    features, right = cases(400, 0)
    fitted = fit_relevance(features, right, np.ones(400, bool), 0.85)
    new, truth = cases(2000, 1)
    sure = np.array([sigmoid(fitted.relevance, one) for one in new])
    assert auroc(truth, sure) > 0.9
    assert abs(fitted.relevance.weights["cosine"]) > 5 * abs(fitted.relevance.weights["noise"])
    assert abs(sure.mean() - truth.mean()) < 0.05, "calibrated in the large"


def test_the_threshold_keeps_its_promise_on_new_questions() -> None:
    kept = []
    for seed in range(20):
        features, right = cases(300, seed)
        fitted = fit_relevance(features, right, np.ones(300, bool), 0.85, seed=seed)
        new, truth = cases(1000, 1000 + seed)
        sure = np.array([sigmoid(fitted.relevance, one) for one in new])
        kept.append(truth[sure >= fitted.threshold].mean() >= 0.85)
    assert sum(kept) >= 17


def test_coverage_counts_answerable_questions_only() -> None:
    features, right = cases(400, 2)
    answerable = right.copy()
    fitted = fit_relevance(features, right, answerable, 0.85)
    everything = fit_relevance(features, right, np.ones(400, bool), 0.85)
    assert fitted.coverage > everything.coverage


def test_too_few_of_one_kind_give_one_confidence_for_all() -> None:
    features, _ = cases(30, 3)
    fitted = fit_relevance(features, np.ones(30, bool), np.ones(30, bool), 0.9)
    assert fitted.relevance.weights == {}
    assert sigmoid(fitted.relevance, {}) == pytest.approx(31 / 32)
    assert (fitted.threshold, fitted.coverage) == (0.0, 1.0)
    none = fit_relevance(features, np.zeros(30, bool), np.ones(30, bool), 0.9)
    assert (none.threshold, none.coverage) == (1.0, 0.0)


def test_the_same_questions_give_the_same_model() -> None:
    features, right = cases(200, 4)
    assert fit_relevance(features, right, right, 0.8) == fit_relevance(features, right, right, 0.8)


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ([], "expected as many outcomes as searches"),
        ([{"a": 1.0}, {"b": 1.0}], "differ in their features"),
        ([{"a": 1.0}, {"a": float("nan")}], "not a finite number"),
    ],
)
def test_what_cannot_be_fitted_is_refused(features: list[dict[str, float]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        fit_relevance(features, np.array([True, False]), np.array([True, True]), 0.9)
