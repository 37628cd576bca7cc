"""The curve from a score to the probability of being right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Curve = tuple[tuple[float, float], ...]
"""Scores with their confidence, both rising; linear between them, level beyond the ends."""

KNOTS = 64
"""Points of a curve at most: beyond that a curve tells of its rows, not of new ones."""
FOLDS = 5


def fit_curve(scores: Floats, correct: NDArray[np.bool_]) -> Curve:
    """Isotonic regression of being right on a score (Zadrozny and Elkan 2002), linear between the middles of its steps.

    A step of n rows of which k are right stands for (k + 1) / (n + 2), so that no row is certain (rule of
    succession). The ends are drawn half way on to 0 and 1, so that the surest rows keep their order.

    Args:
        scores: [n] finite, higher is surer.
        correct: [n].
    """
    from sklearn.isotonic import IsotonicRegression

    order = np.argsort(scores, kind="stable")
    ranked, right = scores[order], correct[order].astype(np.float64)
    level = IsotonicRegression().fit_transform(ranked, right)
    starts = np.flatnonzero(np.append(True, level[1:] != level[:-1]))
    sizes = np.diff(np.append(starts, len(level)))
    if len(starts) > KNOTS:
        edges = np.unique(np.linspace(0, len(level), KNOTS + 1).astype(np.intp))
        starts, sizes = edges[:-1], np.diff(edges)
    middles = np.add.reduceat(ranked, starts) / sizes
    chances = (np.add.reduceat(right, starts) + 1) / (sizes + 2)
    points = [
        (ranked[0], chances.min() / 2),
        *zip(middles, np.maximum.accumulate(chances), strict=True),
        (ranked[-1], (1 + chances.max()) / 2),
    ]
    return _rising(points)


def _rising(points: list[tuple[float, float]]) -> Curve:
    """The points, rounded, without those whose score does not rise."""
    kept: list[tuple[float, float]] = []
    for score, chance in ((round(float(x), 6), round(float(y), 6)) for x, y in points):
        if kept and score <= kept[-1][0]:
            kept[-1] = (kept[-1][0], max(kept[-1][1], chance))
        else:
            kept.append((score, chance))
    return tuple(kept)


def at(curve: Curve, scores: Floats) -> Floats:
    """The confidence that a curve gives scores [n]."""
    xs, ys = zip(*curve, strict=True)
    return np.asarray(np.interp(scores, xs, ys))


def held_out(scores: Floats, correct: NDArray[np.bool_], seed: int) -> Floats:
    """[n] the confidence of each row by a curve that has not seen it."""
    fold = np.random.default_rng(seed).permutation(len(scores)) % FOLDS
    found = np.empty(len(scores))
    for number in range(FOLDS):
        inside = fold == number
        if inside.any() and not inside.all():
            found[inside] = at(fit_curve(scores[~inside], correct[~inside]), scores[inside])
        else:
            found[inside] = (correct.sum() + 1) / (len(correct) + 2)
    return found
