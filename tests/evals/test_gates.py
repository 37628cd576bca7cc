from __future__ import annotations

import numpy as np
import pytest

from evals import gates, latency_gates, power, statistics
from evals.predictions import Predictions
from evals.ranking import compare_rankings
from fleet_manifests import Comparison, LatencyObjective, Metric, Verdict

pytestmark = pytest.mark.unit


def comparison(low: float, high: float) -> Comparison:
    return Comparison(
        against="unquantized",
        metric="accuracy",
        ours=0.9,
        theirs=0.9 - (low + high) / 2,
        difference=(low + high) / 2,
        low=low,
        high=high,
        n=500,
        lost=3,
        gained=1,
    )


def predictions(codes: list[int]) -> Predictions:
    return Predictions(("a", "b"), np.array(codes), np.full(len(codes), 0.9), 0.5)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.015, 0.005, Verdict.PASS),
        (-0.019, -0.011, Verdict.PASS),
        (-0.030, 0.010, Verdict.INCONCLUSIVE),
        (-0.020, 0.010, Verdict.INCONCLUSIVE),
        (-0.060, -0.021, Verdict.FAIL),
    ],
)
def test_the_bound_decides_non_inferiority(low: float, high: float, verdict: Verdict) -> None:
    gate = gates.non_inferior(comparison(low, high), margin=0.02)
    assert gate.verdict is verdict
    assert gate.observed == low and gate.required == -0.02
    assert "n = 500" in gate.reason and "0.020" in gate.reason and f"{low:+.3f}" in gate.reason


RELEASES = 2000
ALPHA = 0.025
"""The tail of a 95 % interval."""
AT_MOST = (ALPHA * RELEASES + 3 * (ALPHA * (1 - ALPHA) * RELEASES) ** 0.5) / RELEASES
"""What a true rate of ALPHA stays below in all but one of a thousand simulations (three standard errors)."""


@pytest.mark.integration
@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
@pytest.mark.parametrize(("n", "margin", "lost", "gained"), [(200, 0.04, 0.04, 0.0), (400, 0.03, 0.06, 0.03)])
def test_a_model_that_loses_the_margin_passes_at_most_alpha_of_the_time(
    metric: statistics.MetricName, n: int, margin: float, lost: float, gained: float
) -> None:
    """2,000 releases that lose exactly the margin, with and without answers gained in exchange."""
    rng, passed = np.random.default_rng(11), 0
    for run in range(RELEASES):
        truth = rng.integers(0, 2, n)
        kind = rng.choice(4, n, p=[0.93 - lost - gained, lost, gained, 0.07])
        theirs = np.where(kind >= 2, 1 - truth, truth)
        ours = np.where((kind == 0) | (kind == 2), truth, 1 - truth)
        found = statistics.compare(truth, ours, theirs, classes=2, metric=metric, against="x", resamples=200, seed=run)
        passed += gates.non_inferior(found, margin=margin).verdict is Verdict.PASS
    assert passed / RELEASES <= AT_MOST


@pytest.mark.integration
def test_a_loss_in_rare_classes_passes_at_most_alpha_of_the_time() -> None:
    """Macro-F1 of four classes, the rarest 5 % of the rows, that lose three times as often as the others."""
    from sklearn.metrics import f1_score

    shares, n = [0.6, 0.25, 0.1, 0.05], 300

    def release(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        truth = rng.choice(4, rows, p=shares)
        other = (truth + rng.integers(1, 4, rows)) % 4
        theirs = np.where(rng.random(rows) < 0.93, truth, other)
        fate = rng.random(rows)
        lost = (theirs == truth) & (fate < np.where(truth >= 2, 0.09, 0.03))
        ours = np.where(lost, other, np.where((theirs != truth) & (fate < 0.1), truth, theirs))
        return truth, ours, theirs

    rng, passed = np.random.default_rng(14), 0
    truth, ours, theirs = release(rng, 2_000_000)
    margin = f1_score(truth, theirs, average="macro") - f1_score(truth, ours, average="macro")
    for run in range(RELEASES):
        truth, ours, theirs = release(rng, n)
        found = statistics.compare(
            truth, ours, theirs, classes=4, metric="macro_f1", against="x", resamples=400, seed=run
        )
        passed += gates.non_inferior(found, margin=margin).verdict is Verdict.PASS
    assert passed / RELEASES <= AT_MOST


@pytest.mark.integration
@pytest.mark.parametrize("n", [80, 200])
def test_a_retriever_that_loses_the_margin_passes_at_most_alpha_of_the_time(n: int) -> None:
    """Per-question figures in steps, as nDCG has them, most of them equal."""
    rng, passed = np.random.default_rng(12), 0
    steps, shares = [-1.0, -0.63, -0.37, 0.0, 0.37], [0.01, 0.02, 0.06, 0.87, 0.04]
    margin = -float(np.dot(steps, shares))
    for run in range(RELEASES):
        theirs = np.full(n, 0.63)
        ours = theirs + rng.choice(steps, n, p=shares)
        found = compare_rankings({"x": ours}, {"x": theirs}, metric="x", against="x", resamples=400, seed=run)
        passed += gates.non_inferior(found, margin=margin).verdict is Verdict.PASS
    assert passed / RELEASES <= AT_MOST


def test_an_open_verdict_says_what_would_decide() -> None:
    rng = np.random.default_rng(13)
    truth = rng.integers(0, 2, 150)
    ours, theirs = (np.where(rng.random(150) < 0.04, 1 - truth, truth) for _ in range(2))
    found = statistics.compare(truth, ours, theirs, classes=2, metric="accuracy", against="unquantized")
    gate = gates.non_inferior(found, margin=0.02)
    needed = power.items_needed(found, 0.02)
    assert gate.verdict is Verdict.INCONCLUSIVE
    assert f"about {needed:,} items are needed" in gate.reason and needed > 150


def test_disturbed_texts_fail_only_what_collapses() -> None:
    assert gates.robust(comparison(-0.06, 0.01), margin=0.02).verdict is Verdict.PASS
    collapsed = gates.robust(comparison(-0.06, -0.03), margin=0.02)
    assert collapsed.verdict is Verdict.FAIL and "on disturbed texts" in collapsed.reason


def test_an_equal_model_passes_when_there_are_rows_enough() -> None:
    truth = np.arange(1000) % 2
    ours = np.where(np.arange(1000) % 100 == 0, 1 - truth, truth)
    theirs = np.where(np.arange(1000) % 100 == 50, 1 - truth, truth)
    found = statistics.compare(truth, ours, theirs, classes=2, metric="macro_f1", against="x")
    assert gates.non_inferior(found, margin=0.02).verdict is Verdict.PASS


def test_a_baseline_fails_a_model_only_beyond_chance() -> None:
    assert gates.no_worse(comparison(-0.05, -0.01)).verdict is Verdict.FAIL
    unsure = gates.no_worse(comparison(-0.05, 0.01))
    assert unsure.verdict is Verdict.PASS and "mid-p McNemar p = 0.375" in unsure.reason


def test_a_missing_reference_is_not_a_pass() -> None:
    assert gates.missing_reference("unquantized").verdict is Verdict.INCONCLUSIVE


def test_the_floor_is_absolute() -> None:
    metric = Metric(name="macro_f1", value=0.85, n=100, low=0.80, high=0.89)
    assert gates.floor(metric, 0.85).verdict is Verdict.PASS
    failed = gates.floor(metric, 0.851)
    assert failed.verdict is Verdict.FAIL and "(0.800 to 0.890)" in failed.reason


@pytest.mark.parametrize(
    ("codes", "verdict", "says"),
    [
        ([0, 1, 0], Verdict.PASS, "2 different"),
        ([1, 1, 1], Verdict.FAIL, "the answer 'b'"),
        ([0, -1, 1], Verdict.FAIL, "1 of 3 rows"),
        ([-1, -1, -1], Verdict.FAIL, "not finite"),
    ],
)
def test_degenerate_models_never_pass(codes: list[int], verdict: Verdict, says: str) -> None:
    gate = gates.canary(predictions(codes), classes_in_truth=2)
    assert gate.verdict is verdict and says in gate.reason


def test_one_answer_is_right_where_one_class_occurs() -> None:
    assert gates.canary(predictions([1, 1]), classes_in_truth=1).verdict is Verdict.PASS


def test_the_promise_of_the_threshold() -> None:
    coverage = Metric(name="coverage", value=0.8, n=1000)
    kept = Metric(name="precision_answered", value=0.94, n=800, low=0.92, high=0.96)
    assert gates.deferral(coverage, kept, target=0.95).verdict is Verdict.PASS
    assert gates.deferral(coverage, kept, target=0.97).verdict is Verdict.FAIL
    nothing = gates.deferral(coverage.model_copy(update={"value": 0.0}), None, target=0.95)
    assert nothing.verdict is Verdict.INCONCLUSIVE and "every row is deferred" in nothing.reason


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (8.0, 9.9, Verdict.PASS),
        (8.0, 10.1, Verdict.INCONCLUSIVE),
        (10.1, 14.0, Verdict.FAIL),
        (None, None, Verdict.INCONCLUSIVE),
    ],
)
def test_latency_is_decided_by_its_bounds(low: float | None, high: float | None, verdict: Verdict) -> None:
    metric = Metric(name="p99", value=9.0, n=700, low=low, high=high, unit="ms")
    objective = LatencyObjective(percentile=99, milliseconds=10, tokens=128)
    gate = latency_gates.latency(metric, objective, tokens=128)
    assert gate.verdict is verdict and "n = 700" in gate.reason


def test_an_objective_longer_than_the_bundle_reads_is_said() -> None:
    metric = Metric(name="p99", value=9.0, n=700, low=8.0, high=9.5, unit="ms")
    gate = latency_gates.latency(metric, LatencyObjective(milliseconds=10, tokens=512), tokens=128)
    assert "no more than 128 of 512" in gate.reason


def test_a_preview_has_no_say() -> None:
    gate = gates.preview(gates.floor(Metric(name="accuracy", value=0.1, n=10), 0.5))
    assert gate.verdict is Verdict.INCONCLUSIVE and gate.reason.startswith("on this machine (fail)")


def test_budgets_are_inclusive() -> None:
    metric = Metric(name="size_mb", value=10.0, n=1, unit="MB")
    assert latency_gates.at_most(metric, 10.0, name="size", what="size").verdict is Verdict.PASS
    assert latency_gates.at_most(metric, 9.9, name="size", what="size").verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("difference", "size", "verdict", "says"),
    [
        (0.004, 24.0, Verdict.PASS, "better on validation"),
        (0.0, 24.0, Verdict.INCONCLUSIVE, "the champion stays"),
        (-0.002, 23.9, Verdict.INCONCLUSIVE, "the champion stays"),
        (-0.002, 20.0, Verdict.PASS, "smaller"),
    ],
)
def test_the_champion_stays_where_nothing_beats_it(difference: float, size: float, verdict: Verdict, says: str) -> None:
    found = comparison(difference - 0.01, difference + 0.01).model_copy(update={"difference": difference})
    gate = gates.succeeds(found, size, 24.0)
    assert gate.verdict is verdict and says in gate.reason


@pytest.mark.parametrize(("found", "verdict"), [(0.95, "pass"), (0.9, "pass"), (0.899, "fail")])
def test_neighbours_in_common_are_counted_against_a_floor(found: float, verdict: str) -> None:
    gate = gates.overlap(found, 40, required=0.9)
    assert gate.verdict == verdict and f"{found:.3f} of the ten nearest passages" in gate.reason
