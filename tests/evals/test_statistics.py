from __future__ import annotations

import numpy as np
import pytest

from evals import power, statistics
from fleet_manifests import Comparison, DataError

pytestmark = pytest.mark.unit


def f1_score(*columns: np.ndarray, **options: object) -> float:
    from sklearn import metrics

    return metrics.f1_score(*columns, **options)


def paired(both: int, only_ours: int, only_theirs: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    ours = np.repeat([True, True, False, False], [both, only_ours, only_theirs, neither])
    theirs = np.repeat([True, False, True, False], [both, only_ours, only_theirs, neither])
    return ours, theirs


def noisy(rng: np.random.Generator, truth: np.ndarray, accuracy: float, classes: int) -> np.ndarray:
    wrong = (truth + rng.integers(1, classes, len(truth))) % classes
    return np.where(rng.random(len(truth)) < accuracy, truth, wrong)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        ((59, 6, 16, 80), -0.1186, -0.0046),  # Cavo et al. 2012, as in Fagerland, Lydersen and Laake (2017), chapter 8
        ((20, 12, 2, 16), 0.0562, 0.3292),
    ],
)
def test_newcombe_gives_the_published_figures(table: tuple[int, ...], low: float, high: float) -> None:
    assert statistics.paired_accuracy_interval(*paired(*table)) == pytest.approx((low, high), abs=1e-4)


def test_newcombe_has_width_without_a_single_flip() -> None:
    low, high = statistics.paired_accuracy_interval(*paired(95, 0, 0, 5))
    assert low < -0.005 and high > 0.005


def test_newcombe_covers_the_true_difference() -> None:
    rng, n, covered, runs = np.random.default_rng(1), 300, 0, 1500
    for _ in range(runs):
        cells = rng.multinomial(n, [0.84, 0.02, 0.05, 0.09])
        low, high = statistics.paired_accuracy_interval(*paired(*cells))
        covered += low <= -0.03 <= high
    assert 0.94 <= covered / runs <= 0.985


def test_wilson_covers_the_true_share() -> None:
    rng, n = np.random.default_rng(2), 200
    hits = rng.binomial(n, 0.93, 3000)
    bounds = {k: statistics.proportion_interval(k, n) for k in set(hits.tolist())}
    covered = np.mean([bounds[k][0] <= 0.93 <= bounds[k][1] for k in hits.tolist()])
    assert 0.93 <= covered <= 0.98


def test_nothing_counted_says_nothing() -> None:
    assert statistics.proportion_interval(0, 0) == (0.0, 1.0)


def test_mcnemar_has_the_mid_p_value() -> None:
    from scipy.stats import binom

    assert statistics.mcnemar(0, 0) == 1.0
    assert statistics.mcnemar(0, 6) == pytest.approx(1 / 64)
    assert statistics.mcnemar(5, 5) == 1.0
    assert (
        statistics.mcnemar(2, 9)
        == statistics.mcnemar(9, 2)
        == pytest.approx(2 * binom.cdf(2, 11, 0.5) - binom.pmf(2, 11, 0.5))
    )


def test_macro_f1_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    truth, predicted = rng.integers(0, 5, 200), rng.integers(0, 6, 200)
    assert statistics.macro_f1(truth, predicted, 7) == pytest.approx(f1_score(truth, predicted, average="macro"))
    expected = f1_score(truth, predicted, average=None, labels=range(7), zero_division=0)
    assert statistics.class_f1(truth, predicted, 7) == pytest.approx(expected)


def test_an_answer_that_is_no_class_is_wrong() -> None:
    truth = np.array([0, 1])
    assert statistics.macro_f1(truth, np.array([-1, -1]), 2) == 0.0
    assert statistics.macro_f1(truth, np.array([0, -1]), 2) == 0.5


def test_resampling_by_cells_is_resampling_by_rows() -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, 120)
    ours, theirs = noisy(rng, truth, 0.8, 3), noisy(rng, truth, 0.85, 3)
    found = statistics.compare(truth, ours, theirs, classes=3, metric="macro_f1", against="x", resamples=4000)
    draws = rng.integers(0, 120, (4000, 120))
    naive = [
        f1_score(truth[d], ours[d], average="macro") - f1_score(truth[d], theirs[d], average="macro")
        for d in draws[:600]
    ]
    low, high = np.quantile(naive, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)


def test_the_bootstrap_covers_the_true_difference_of_macro_f1() -> None:
    rng, n, covered, runs = np.random.default_rng(5), 200, 0, 200
    share = [0.6, 0.3, 0.1]
    big = rng.choice(3, 400_000, p=share)
    truly = statistics.macro_f1(big, noisy(rng, big, 0.85, 3), 3) - statistics.macro_f1(
        big, noisy(rng, big, 0.90, 3), 3
    )
    for run in range(runs):
        truth = rng.choice(3, n, p=share)
        ours, theirs = noisy(rng, truth, 0.85, 3), noisy(rng, truth, 0.90, 3)
        found = statistics.compare(
            truth, ours, theirs, classes=3, metric="macro_f1", against="x", resamples=400, seed=run
        )
        covered += found.low <= truly <= found.high
    assert covered / runs >= 0.91


def test_equal_models_have_an_honest_interval() -> None:
    truth = np.arange(100) % 4
    found = statistics.compare(truth, truth, truth, classes=4, metric="macro_f1", against="x")
    assert found.difference == 0 and found.low < -0.01 and found.high > 0.01
    assert (found.lost, found.gained) == (0, 0)


def test_the_same_seed_gives_the_same_interval() -> None:
    rng = np.random.default_rng(6)
    truth = rng.integers(0, 4, 300)
    ours, theirs = noisy(rng, truth, 0.8, 4), noisy(rng, truth, 0.8, 4)

    def once(seed: int) -> tuple[float, float]:
        found = statistics.compare(truth, ours, theirs, classes=4, metric="macro_f1", against="x", seed=seed)
        return found.low, found.high

    assert once(1) == once(1) != once(2)


def test_interval_of_one_model_holds_its_macro_f1() -> None:
    rng = np.random.default_rng(7)
    truth = rng.integers(0, 4, 300)
    predicted = noisy(rng, truth, 0.8, 4)
    low, high = statistics.macro_f1_interval(truth, predicted, 4)
    assert 0.7 < low < statistics.macro_f1(truth, predicted, 4) < high < 0.9
    perfect = statistics.macro_f1_interval(truth, truth, 4)
    assert perfect[0] < 1.0 and perfect[1] == pytest.approx(1.0)


def test_predictions_that_are_not_row_aligned_are_refused() -> None:
    truth = np.zeros(5, dtype=int)
    with pytest.raises(DataError, match="expected 5 predictions"):
        statistics.compare(truth, truth, truth[:4], classes=1, metric="accuracy", against="x")


def compared(n: int, lost: int, gained: int, wrong: int = 0) -> Comparison:
    truth = np.zeros(n, dtype=int)
    ours, theirs = truth.copy(), truth.copy()
    ours[:lost] = 1
    theirs[lost : lost + gained] = 1
    both = slice(lost + gained, lost + gained + wrong)
    ours[both] = theirs[both] = 1
    return statistics.compare(truth, ours, theirs, classes=2, metric="accuracy", against="x")


def test_power_is_how_often_an_equal_model_passes() -> None:
    rng, n, margin, runs = np.random.default_rng(8), 400, 0.03, 1000
    passed, told = 0, []
    for _ in range(runs):
        kind = rng.choice(4, n, p=[0.86, 0.02, 0.02, 0.10])
        truth = np.zeros(n, dtype=int)
        ours, theirs = np.isin(kind, [1, 3]).astype(int), np.isin(kind, [2, 3]).astype(int)
        found = statistics.compare(truth, ours, theirs, classes=2, metric="accuracy", against="x")
        passed += found.low > -margin
        told.append(power.powered(found, margin).power)
    assert np.mean(told) == pytest.approx(passed / runs, abs=0.06)


def test_more_items_show_smaller_losses() -> None:
    few, many = (power.powered(compared(n, n // 50, n // 50, n // 10), 0.02) for n in (200, 3200))
    assert few.detectable > 3 * many.detectable
    assert few.power < 0.5 < 0.95 < many.power
    assert few.margin == 0.02 and (few.low, few.high) == (compared(200, 4, 4, 20).low, compared(200, 4, 4, 20).high)


def test_the_items_that_are_needed_give_the_power_of_four_in_five() -> None:
    few = compared(500, 10, 10, 50)
    needed = power.items_needed(few, 0.02)
    there = compared(needed, round(needed * 0.02), round(needed * 0.02), round(needed * 0.1))
    assert power.powered(there, 0.02).power == pytest.approx(power.POWER, abs=0.03)
