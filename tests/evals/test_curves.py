from __future__ import annotations

import itertools

import numpy as np
import pytest

from evals import curves

pytestmark = pytest.mark.unit


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.random(n)
    return scores, rng.random(n) < scores**2


@pytest.mark.parametrize("n", [1, 2, 5, 50, 5000])
def test_a_curve_rises_and_is_never_certain(n: int) -> None:
    curve = curves.fit_curve(*rows(n))
    assert len(curve) <= curves.KNOTS + 2
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in itertools.pairwise(curve))
    assert all(0 < chance < 1 for _, chance in curve)


def test_a_curve_finds_the_truth() -> None:
    curve = curves.fit_curve(*rows(20_000))
    grid = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(curves.at(curve, grid), grid**2, atol=0.06)


@pytest.mark.parametrize("right", [True, False])
def test_rows_that_are_all_alike(right: bool) -> None:
    curve = curves.fit_curve(np.full(30, 0.7), np.full(30, right))
    assert curves.at(curve, np.array([0.0, 0.7, 1.0])) == pytest.approx([curve[0][1]] * 3)


def test_the_surest_rows_keep_their_order() -> None:
    scores, right = rows(500)
    right[scores > 0.6] = True
    sure = curves.at(curves.fit_curve(scores, right), np.sort(scores))
    assert len(np.unique(sure)) > 0.7 * len(sure)


def test_held_out_rows_have_not_been_seen() -> None:
    scores = np.arange(100, dtype=float)
    right = np.random.default_rng(1).random(100) < 0.5
    found = curves.held_out(scores, right, 0)
    assert abs(np.corrcoef(found, right)[0, 1]) < 0.35
    np.testing.assert_array_equal(found, curves.held_out(scores, right, 0))
