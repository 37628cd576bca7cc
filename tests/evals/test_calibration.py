from __future__ import annotations

import numpy as np
import pytest

from evals import calibration
from evals.predictions import probabilities
from fleet_manifests import DataError

pytestmark = pytest.mark.unit


def synthetic(n: int, *, temperature: float, seed: int, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax at that temperature is the true distribution of the labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (n, 5)) * temperature
    cumulative = probabilities(logits, temperature).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > cumulative).sum(axis=1).clip(max=4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_synthetic_logits_is_found(temperature: float) -> None:
    logits, labels = synthetic(8000, temperature=temperature, seed=1)
    assert calibration.fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.06)


def test_calibration_closes_the_gap_between_confidence_and_accuracy() -> None:
    logits, labels = synthetic(8000, temperature=3.0, seed=2)

    def gap(temperature: float) -> float:
        scores = probabilities(logits, temperature)
        bins = calibration.reliability(scores.max(axis=1), scores.argmax(axis=1) == labels)
        return calibration.expected_calibration_error(bins)

    assert gap(1.0) > 0.15
    assert gap(calibration.fit_temperature(logits, labels)) < 0.02


def test_expected_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, False, True, False])
    bins = calibration.reliability(confidence, correct)
    assert [item.n for item in bins] == [2, 2]
    assert calibration.expected_calibration_error(bins) == pytest.approx((0.05 + 0.45) / 2)
    assert calibration.expected_calibration_error(()) == 0.0


def test_full_confidence_falls_into_the_last_bin() -> None:
    (only,) = calibration.reliability(np.array([1.0]), np.array([True]))
    assert only.high == 1.0


def test_the_lowest_confidence_that_keeps_the_target_by_hand() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    correct = np.array([True, True, False, True])
    assert calibration.defer_threshold(confidence, correct, 0.75, bound="point") == 0.6
    assert calibration.defer_threshold(confidence, correct, 0.9, bound="point") == 0.8


def test_rows_of_equal_confidence_are_not_torn_apart() -> None:
    confidence = np.array([0.9, 0.7, 0.7])
    correct = np.array([True, True, False])
    assert calibration.defer_threshold(confidence, correct, 1.0, bound="point") == 0.9


def test_the_row_that_sets_the_threshold_is_answered_in_single_precision() -> None:
    confidence = np.array([0.9, np.float64(1) / 3])
    threshold = calibration.defer_threshold(confidence, np.array([True, True]), 1.0, bound="point")
    assert threshold <= float(np.float32(1 / 3))


@pytest.mark.parametrize("bound", ["wilson", "clopper-pearson"])
def test_the_promise_holds_on_new_data(bound: calibration.Bound) -> None:
    """Over fresh draws the precision above the threshold falls short only as often as the bound says."""
    new_logits, new_labels = synthetic(60_000, temperature=1.0, seed=99)
    broken, runs = 0, 150
    for seed in range(runs):
        logits, labels = synthetic(500, temperature=1.0, seed=seed)
        found = calibration.calibrate(logits, labels, 0.8, bound=bound)
        scores = probabilities(new_logits, found.temperature)
        kept = scores.max(axis=1) >= found.defer_threshold
        broken += (scores.argmax(axis=1) == new_labels)[kept].mean() < 0.8
    assert broken / runs <= 0.10


def test_a_point_estimate_promises_too_much() -> None:
    """Why the bound is the default: without it about half of the promises break."""
    new_logits, new_labels = synthetic(60_000, temperature=1.0, seed=99)
    broken, runs = 0, 60
    for seed in range(runs):
        logits, labels = synthetic(500, temperature=1.0, seed=seed)
        found = calibration.calibrate(logits, labels, 0.8, bound="point")
        scores = probabilities(new_logits, found.temperature)
        kept = scores.max(axis=1) >= found.defer_threshold
        broken += (scores.argmax(axis=1) == new_labels)[kept].mean() < 0.8
    assert broken / runs > 0.3


def test_coverage_is_that_of_the_threshold() -> None:
    logits, labels = synthetic(2000, temperature=1.0, seed=3)
    found = calibration.calibrate(logits, labels, 0.85)
    sure = probabilities(logits, found.temperature).max(axis=1)
    assert 0 < found.coverage < 1
    assert found.coverage == pytest.approx((sure >= found.defer_threshold).mean())
    assert found.target_precision == 0.85


def test_where_nothing_keeps_the_target_everything_is_deferred() -> None:
    rng = np.random.default_rng(4)
    found = calibration.calibrate(rng.normal(size=(200, 4)), rng.integers(0, 4, 200), 0.99)
    assert found.defer_threshold == 1.0 and found.coverage == 0.0


def test_a_model_that_is_always_right_answers_everything_it_has_seen() -> None:
    labels = np.arange(300) % 3
    found = calibration.calibrate(np.eye(3)[labels] * 9, labels, 0.95)
    assert 0 < found.defer_threshold < 1 and found.coverage == 1.0


@pytest.mark.parametrize(
    ("logits", "labels", "says"),
    [
        (np.empty((0, 3)), np.empty(0, dtype=int), "as many labels as logits"),
        (np.zeros((2, 3)), np.array([0]), "found 1 and 2"),
        (np.array([[0.0, np.nan]]), np.array([0]), "not finite"),
        (np.zeros((1, 2)), np.array([2]), "of 2 classes"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(logits: np.ndarray, labels: np.ndarray, says: str) -> None:
    with pytest.raises(DataError, match=says):
        calibration.calibrate(logits, labels, 0.9)
