"""The choice among recipes that pass: fronts, ratios, ties, and machines that are too noisy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fleet_manifests import Objective
from fleet_manifests.pareto import front
from quantize.choice import Figures, Ratio, Timing, choose, noise, ratio, ratios

pytestmark = pytest.mark.unit


def figures(name: str, metric: float = 0.9, least: float = -0.01, size: int = 100) -> Figures:
    return Figures(name, {"macro_f1": metric}, least, size)


def steady(**milliseconds: float) -> Timing:
    return Timing({name: (value,) * 15 for name, value in milliseconds.items()})


def test_a_point_is_on_the_front_unless_another_beats_it() -> None:
    assert front([(1, 9), (2, 3), (2, 4), (3, 1)]) == [True, True, False, True]
    assert front([(1, 1), (1, 1)]) == [True, True]
    assert front([]) == []


def test_noise_that_hits_both_does_not_move_their_ratio() -> None:
    draw = np.random.default_rng(0)
    common = 1 + draw.random(15) * 3
    found = ratio((common * 1.2).tolist(), common.tolist())
    assert found.median == pytest.approx(1.2) and found.low == pytest.approx(1.2) and found.high == pytest.approx(1.2)


def test_the_interval_of_a_ratio_holds_as_often_as_it_says() -> None:
    draw = np.random.default_rng(1)
    missed = 0
    for _ in range(2000):
        noise_ = np.exp(draw.standard_normal(15) * 0.2)
        found = ratio((1.1 * noise_).tolist(), [1.0] * 15)
        missed += not found.low <= 1.1 <= found.high
    assert missed / 2000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
    assert missed > 0  # an interval that never misses would say nothing


@pytest.mark.parametrize("rounds", [1, 2, 3, 5])
def test_few_rounds_give_the_whole_range(rounds: int) -> None:
    ours = [1.0 + 0.1 * number for number in range(rounds)]
    assert ratio(ours, [1.0] * rounds) == Ratio(float(np.median(ours)), ours[0], ours[-1])


def test_ratios_are_to_the_first() -> None:
    found = ratios(steady(a=2.0, b=3.0))
    assert found["a"].median == 1.0 and found["b"].median == 1.5


def test_times_that_hardly_differ_are_the_same_and_size_decides() -> None:
    some = [figures("fast", size=200), figures("small", size=100)]
    found = choose(some, steady(fast=1.0, small=1.015), Objective.LATENCY)
    assert (found.recipe, found.timing) == ("small", "")
    assert "as fast as the fastest (fast)" in found.reason
    assert choose(some, steady(fast=1.0, small=1.05), Objective.LATENCY).recipe == "fast"


def test_what_is_the_same_in_everything_goes_by_the_profiles_order() -> None:
    for names in (("a", "b"), ("b", "a")):
        some = [figures(name) for name in names]
        assert choose(some, steady(**dict.fromkeys(names, 1.0)), Objective.LATENCY).recipe == names[0]


def test_the_same_figures_give_the_same_choice() -> None:
    draw = np.random.default_rng(3)
    some = [figures(str(n), *draw.random(2).tolist(), int(draw.integers(1, 99))) for n in range(12)]
    timing = steady(**{one.recipe: float(draw.random()) for one in some})
    for objective in Objective:
        assert len({choose(some, timing, objective).recipe for _ in range(5)}) == 1
        assert choose(some, timing, objective).recipe in choose(some, timing, objective).front


def noisy() -> Timing:
    draw = np.random.default_rng(2)
    return Timing({name: tuple((1 + draw.random(15) * 2).tolist()) for name in ("first", "second")})


@pytest.mark.parametrize(
    ("timing", "said"),
    [
        (noisy(), "the machine was too noisy: "),
        (
            Timing({"first": (2.0,) * 15, "second": (1.0,) * 15}, unusable="this machine is not of the profile"),
            "not of",
        ),
        (Timing(), "nothing was timed"),
    ],
)
def test_where_times_may_not_decide_the_order_does_and_says_so(timing: Timing, said: str) -> None:
    some = [figures("first", size=1000), figures("second", size=995)]
    assert said in noise(timing)
    found = choose(some, timing, Objective.LATENCY)
    assert found.recipe == "first" and said in found.timing
    assert "the first in the profile's order of 2 that pass" in found.reason and said in found.reason
    assert choose(some, timing, Objective.SIZE).recipe == "first"  # 1 % is no difference
    some[1] = figures("second", size=50)
    assert choose(some, timing, Objective.SIZE).recipe == "second"


def test_noise_that_cannot_change_the_choice_does_not_count() -> None:
    draw = np.random.default_rng(4)
    timing = Timing({"fast": (1.0,) * 15, "slow": tuple((3 + draw.random(15) * 2).tolist())})
    assert noise(timing) == ""
    assert choose([figures("slow"), figures("fast")], timing, Objective.LATENCY).recipe == "fast"


def test_accuracy_is_what_is_sure_not_what_luck_gave() -> None:
    some = [figures("lucky", metric=0.95, least=-0.02), figures("sure", metric=0.92, least=-0.001)]
    found = choose(some, steady(lucky=1.0, sure=2.0), Objective.ACCURACY)
    assert found.recipe == "sure" and "sure to lose least (at most 0.001)" in found.reason


def test_memory_is_a_reason_to_stay_on_the_front() -> None:
    some = [figures("a"), figures("b")]
    timing = Timing({"a": (1.0,) * 9, "b": (2.0,) * 9}, {"a": 100.0, "b": 50.0})
    assert choose(some, timing, Objective.LATENCY).front == {"a", "b"}
