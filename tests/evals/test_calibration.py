from __future__ import annotations

import numpy as np
import pytest

from evals import calibration
from fleet_manifests import Calibration, DataError
from runtimes.engine.confidence import Confidence
from runtimes.engine.confidence import softmax as probabilities

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
    broken, runs = 0, 300
    for seed in range(runs):
        logits, labels = synthetic(500, temperature=1.0, seed=seed)
        found = calibration.calibrate(logits, labels, 0.8, bound=bound).calibration
        kept = Confidence(found).of(new_logits) >= found.defer_threshold
        broken += (new_logits.argmax(axis=1) == new_labels)[kept].mean() < 0.8
    assert broken / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


def test_a_point_estimate_promises_too_much() -> None:
    """Why the bound is the default: without it about half of the promises break."""
    new_logits, new_labels = synthetic(60_000, temperature=1.0, seed=99)
    broken, runs = 0, 60
    for seed in range(runs):
        logits, labels = synthetic(500, temperature=1.0, seed=seed)
        found = calibration.calibrate(logits, labels, 0.8, bound="point").calibration
        kept = Confidence(found).of(new_logits) >= found.defer_threshold
        broken += (new_logits.argmax(axis=1) == new_labels)[kept].mean() < 0.8
    assert broken / runs > 0.3


def test_coverage_is_that_of_the_threshold() -> None:
    logits, labels = synthetic(2000, temperature=1.0, seed=3)
    found = calibration.calibrate(logits, labels, 0.85).calibration
    sure = Confidence(found).of(logits)
    assert 0 < found.coverage < 1
    assert found.coverage == pytest.approx((sure >= found.defer_threshold).mean())
    assert found.target_precision == 0.85


def test_where_nothing_keeps_the_target_everything_is_deferred() -> None:
    rng = np.random.default_rng(4)
    found = calibration.calibrate(rng.normal(size=(200, 4)), rng.integers(0, 4, 200), 0.99).calibration
    assert found.defer_threshold == 1.0 and found.coverage == 0.0


def test_a_model_that_is_always_right_answers_everything_it_has_seen() -> None:
    labels = np.arange(300) % 3
    found = calibration.calibrate(np.eye(3)[labels] * 9, labels, 0.95).calibration
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


def overconfident(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A model whose surest answers are right in four of five cases only: no temperature mends that."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    easy = rng.random(n) < 0.5
    right = rng.random(n) < np.where(easy, 0.8, 0.75)
    shown = np.where(right, labels, (labels + 1) % 4)
    return np.eye(4)[shown] * np.where(easy, 12.0, 2.0)[:, None] + rng.normal(0, 0.3, (n, 4)), labels


def test_isotonic_regression_is_taken_where_it_is_nearer_to_the_truth() -> None:
    logits, labels = overconfident(1500, 5)
    found = calibration.calibrate(logits, labels, 0.7)
    assert found.calibration.curve and found.calibration.score == "probability"
    chosen = {(trial.score, trial.method): trial.chosen for trial in found.trials}
    assert chosen == {
        ("probability", "isotonic"): True, ("probability", "temperature"): False, ("energy", "isotonic"): False,
    }  # fmt: skip
    new, truth = overconfident(6000, 6)
    correct = new.argmax(axis=1) == truth
    gap = [
        calibration.expected_calibration_error(calibration.reliability(sure, correct))
        for sure in (Confidence(found.calibration).of(new), Confidence(Calibration()).of(new))
    ]
    assert gap[0] < 0.05 < gap[1]


def test_a_temperature_is_kept_where_it_fits() -> None:
    logits, labels = synthetic(1500, temperature=2.0, seed=7)
    assert calibration.calibrate(logits, labels, 0.7).calibration.curve == ()


def outsiders(n: int, seed: int, *, near: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows in scope with one high logit, others without one but as peaked, or in a direction of their own."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, n)
    inside = np.eye(6)[labels] * 8 + rng.normal(0, 1.5, (n, 6)) + np.roll(np.eye(6), 1, axis=1)[labels] * 6
    shift = rng.normal(0, 1.5, (n, 6)) + np.eye(6)[labels] * (8 if near else 2)
    return np.concatenate([inside, shift - (0 if near else 8)]), labels


def test_energy_is_taken_where_rows_out_of_scope_have_low_logits() -> None:
    rows, labels = outsiders(800, 8, near=False)
    found = calibration.calibrate(rows[:800], labels, 0.9, outside=rows[800:])
    assert found.calibration.score == "energy" and found.calibration.curve and found.neighbours is None
    sure = Confidence(found.calibration).of(rows)
    assert sure[:800].min() > sure[800:].mean()


def test_neighbours_are_taken_where_rows_out_of_scope_point_elsewhere() -> None:
    rows, labels = outsiders(800, 9, near=True)
    known, _ = outsiders(300, 10, near=True)
    found = calibration.calibrate(rows[:800], labels, 0.9, outside=rows[800:], known=known[:300])
    assert found.calibration.score == "neighbours"
    assert found.neighbours is not None and found.neighbours.shape == (300, 6)
    sure = Confidence(found.calibration, found.neighbours).of(rows)
    assert np.median(sure[:800]) > np.median(sure[800:])
    assert {trial.score for trial in found.trials} == {"probability", "energy", "neighbours"}


def test_without_rows_out_of_scope_the_probability_stays_unless_another_order_is_better() -> None:
    logits, labels = synthetic(1000, temperature=1.0, seed=11)
    assert calibration.calibrate(logits, labels, 0.8).calibration.score == "probability"
