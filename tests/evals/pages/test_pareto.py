from __future__ import annotations

import io
import itertools
import random

import pytest

from evals.pages import pareto
from evals.pages.pareto import Candidate, on_front
from fleet_manifests.pareto import front

pytestmark = pytest.mark.unit


def test_what_is_beaten_in_everything_is_not_on_the_front() -> None:
    assert front([(1, 3), (2, 2), (3, 1), (3, 3)]) == [True, True, True, False]


def test_as_good_in_one_thing_and_worse_in_another_is_beaten() -> None:
    assert front([(1, 1), (1, 2)]) == [True, False]


def test_equals_stay_together() -> None:
    assert front([(1, 1), (1, 1)]) == [True, True]
    assert front([(1, 1), (1, 1), (0, 0)]) == [False, False, True]


def test_a_front_of_nothing_and_of_one() -> None:
    assert front([]) == []
    assert front([(5.0,)]) == [True]


def test_points_must_have_the_same_figures() -> None:
    with pytest.raises(ValueError):
        front([(1, 2), (0,)])


def test_the_front_does_not_depend_on_the_order_and_covers_the_rest() -> None:
    rng = random.Random(0)
    points = [(rng.randint(0, 5), rng.randint(0, 5), rng.randint(0, 5)) for _ in range(40)]
    kept = {point for point, best in zip(points, front(points), strict=True) if best}
    turned = points[::-1]
    assert kept == {point for point, best in zip(turned, front(turned), strict=True) if best}
    for one, other in itertools.permutations(kept, 2):
        assert not all(a <= b for a, b in zip(one, other, strict=True))
    for point in points:
        assert any(all(a <= b for a, b in zip(best, point, strict=True)) for best in kept)


def test_figures_of_different_splits_and_untimed_ones_do_not_compete() -> None:
    candidates = [
        Candidate("timed", 0.9, 20, latency_ms=5),
        Candidate("slower and worse", 0.8, 20, latency_ms=6),
        Candidate("not timed", 0.7, 30),
        Candidate("tried", 0.6, 40, split="validation"),
        Candidate("tried, larger", 0.6, 50, split="validation"),
    ]
    assert on_front(candidates) == [True, False, True, True, False]


def test_lines_that_lie_together_share_a_label() -> None:
    found = pareto._together({"a": 0.726, "b": 0.7261, "c": 0.8, "d": 0.1}, 0.01)
    assert found == [(0.8, "c 0.800"), (0.7261, "b 0.726, a 0.726"), (0.1, "d 0.100")]
    assert pareto._together({}, 0.01) == []


@pytest.mark.parametrize("candidates", [
    [Candidate("only", 0.9, 20, latency_ms=5, chosen=True)],
    [Candidate("only", 0.9, 20, split="validation", chosen=True)],
    [Candidate("a $^_{ name", 0.9, 20, 5, low=0.85, high=0.95), Candidate("b", 0.9, 20, 5, measured=False)],
    [Candidate(f"build {place}", 0.9 - place / 100, 20 + place, place + 1.0) for place in range(12)],
])  # fmt: skip
def test_any_candidates_can_be_drawn_twice_alike(candidates: list[Candidate]) -> None:
    from PIL import Image

    references = {"unquantized": 0.91, "far_away": 0.2}
    png = pareto.plot(candidates, "macro-F1", references)
    assert png == pareto.plot(candidates, "macro-F1", references)
    with Image.open(io.BytesIO(png)) as image:
        assert 900 < image.width < 2400 and 250 < image.height < 2400
