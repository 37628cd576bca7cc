"""Looks at growing shares of the rows: what is stopped, what is not, and how often either is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from evals.looks import FEWEST, LOOK, SHARES, Judged, judge
from evals.statistics import compare
from fleet_manifests import Comparison, Verdict

pytestmark = pytest.mark.unit
MARGIN = 0.05
ALPHA = 0.025


def judged(lost: np.ndarray, gained: np.ndarray, metric: str = "accuracy") -> tuple[Judged, list[int]]:
    """Judge a build that is wrong where `lost`, beside a model that is wrong where `gained`."""
    n = len(lost)
    truth = np.arange(n) % 4
    ours, theirs = np.where(lost, 9, truth), np.where(gained, 9, truth)
    seen: list[int] = []

    def compared(places: Sequence[int], confidence: float) -> Comparison:
        some = np.array(list(places))
        assert set(places) <= set(seen)
        return compare(
            truth[some], ours[some], theirs[some], classes=10, metric=metric, against="unquantized",
            confidence=confidence, resamples=500,
        )  # fmt: skip

    return judge(n, seen.extend, compared, margin=MARGIN, confidence=0.95, seed=0), seen


def draws(releases: int, n: int, lost: float, gained: float) -> list[Judged]:
    draw = np.random.default_rng(7)
    found = []
    for _ in range(releases):
        where = draw.random(n)
        found.append(judged(where < lost, where > 1 - gained)[0])
    return found


def share(found: Sequence[Judged], verdict: Verdict) -> float:
    return sum(one.gate.verdict is verdict for one in found) / len(found)


def test_a_build_that_loses_nothing_is_seen_through_on_every_row_once() -> None:
    found, seen = judged(np.zeros(800, bool), np.zeros(800, bool))
    assert found.gate.verdict is Verdict.PASS and found.rows == 800
    assert sorted(seen) == list(range(800)) and seen != sorted(seen)
    assert found.comparison.confidence == 0.95


def test_a_hopeless_build_is_stopped_at_the_first_look_and_says_so() -> None:
    hopeless = np.random.default_rng(0).random(800) < 0.5
    found, seen = judged(hopeless, np.zeros(800, bool))
    assert found.gate.verdict is Verdict.FAIL
    assert found.rows == len(seen) == 100
    assert found.gate.reason.startswith("stopped after 100 of 800 rows: accuracy ")
    assert "99.9% interval" in found.gate.reason


def test_few_rows_are_looked_at_once() -> None:
    n = FEWEST
    found, seen = judged(np.ones(n, bool), np.zeros(n, bool))
    assert found.rows == n == len(seen) and "stopped" not in found.gate.reason


def test_rows_that_come_in_the_order_of_classes_do_not_mislead() -> None:
    ordered = np.arange(800) < 32  # all that is lost comes first: 4 % of all rows, a third of the first eighth
    found, _ = judged(ordered, np.zeros(800, bool))
    assert found.rows == 800


@pytest.mark.parametrize(("lost", "gained"), [(0.05, 0.0), (0.08, 0.03), (0.15, 0.10)])
def test_looking_lets_no_build_through_that_loses_the_margin(lost: float, gained: float) -> None:
    """The gate's alpha holds, and by far: what is stopped early would mostly have passed by luck."""
    releases = 1000
    found = draws(releases, 400, lost, gained)
    assert share(found, Verdict.PASS) <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / releases)


def test_a_build_that_loses_the_margin_exactly_is_seldom_stopped() -> None:
    """The worst of those that must not be: of 1,000 at most 1.5 are expected, by Bonferroni."""
    releases = 1000
    stopped = sum(one.rows < 400 for one in draws(releases, 400, 0.08, 0.03)) / releases
    bound = len(SHARES) * (1 - LOOK) / 2
    assert stopped <= bound + 3 * math.sqrt(bound * (1 - bound) / releases)


def test_a_build_that_loses_five_margins_is_mostly_found_out_early() -> None:
    found = draws(200, 400, 0.28, 0.03)
    assert share(found, Verdict.FAIL) > 0.9
    assert np.mean([one.rows for one in found]) < 300


def test_macro_f1_is_looked_at_in_the_same_way() -> None:
    hopeless = np.random.default_rng(0).random(800) < 0.5
    found, _ = judged(hopeless, np.zeros(800, bool), metric="macro_f1")
    assert found.rows == 100 and found.comparison.metric == "macro_f1"
