"""The Pareto front: what nothing else beats. Recipes are chosen on it, and pages draw it."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Which points are on the Pareto front: no other is as good in everything and better in something.

    Args:
        points: figures of each point, all of the same length; lower is better in all of them.
    """
    return [not any(_beats(other, point) for other in points) for point in points]


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return tuple(one) != tuple(other) and all(a <= b for a, b in zip(one, other, strict=True))
