from __future__ import annotations

import itertools

import numpy as np
import pytest

from evals import risk

pytestmark = pytest.mark.unit


def test_the_curve_by_hand() -> None:
    confidence, correct = np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False])
    assert [(point.coverage, point.precision) for point in risk.curve(confidence, correct)] == [
        (0.25, 1.0),
        (0.75, pytest.approx(2 / 3)),
        (1.0, 0.5),
    ]


def test_the_area_by_hand() -> None:
    confidence, correct = np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False])
    assert risk.aurc(confidence, correct).value == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


def test_items_of_equal_confidence_have_no_order() -> None:
    confidence, correct = np.full(6, 0.5), np.array([True, True, True, False, False, True])
    assert risk.aurc(confidence, correct).value == pytest.approx(1 / 3)
    assert risk.aurc(confidence, correct[::-1]).value == pytest.approx(1 / 3)


def test_a_better_order_has_less_area() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(2000)
    correct = rng.random(2000) < confidence
    assert risk.aurc(confidence, correct).value < risk.aurc(rng.random(2000), correct).value < 0.6


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    rng = np.random.default_rng(1)
    points = risk.curve(rng.random(5000), rng.random(5000) < 0.8)
    assert len(points) == risk.POINTS
    assert (points[0].coverage, points[-1].coverage) == (1 / 5000, 1.0)
    assert all(a.coverage < b.coverage for a, b in itertools.pairwise(points))


def test_telling_rows_in_scope_from_others() -> None:
    inside, outside = np.linspace(0.5, 1.0, 100), np.array([0.1, 0.2, 0.6, 0.95])
    found = risk.out_of_scope(inside, outside, outside < 0.5)
    assert (found.n, found.deferred) == (4, 0.5)
    assert found.low < 0.5 < found.high
    assert found.fpr95 == 0.5
    assert found.auroc == pytest.approx(np.mean([[a > b for a in inside] for b in outside]))


def test_at_95_percent_at_least_95_percent_are_kept() -> None:
    rng = np.random.default_rng(2)
    for n in (1, 7, 19, 20, 21, 333):
        inside = rng.random(n)
        edge = next(edge for edge in sorted(inside, reverse=True) if np.mean(inside >= edge) >= 0.95)
        assert risk.out_of_scope(inside, np.array([edge, np.nextafter(edge, 0)]), np.array([True, True])).fpr95 == 0.5
