"""The same comparison on parts of a split, and the items on which two models differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evals.statistics import proportion_interval
from fleet_manifests import Slice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Places = Mapping[str, Sequence[int]]

MAX_SLICES = 100
"""Values of one field that are reported; more of them are ids, not slices."""
FLIPS = 20
"""Examples of each direction that a report keeps."""


def by_field(fields: Sequence[Mapping[str, str]]) -> dict[str, list[int]]:
    """The items that share a value of a field, as `field=value`; a field with too many values is left out."""
    places: dict[str, dict[str, list[int]]] = {}
    for place, item in enumerate(fields):
        for name, value in item.items():
            places.setdefault(name, {}).setdefault(value, []).append(place)
    kept = {name: values for name, values in places.items() if len(values) <= MAX_SLICES}
    return {f"{name}={value}": rows for name, values in sorted(kept.items()) for value, rows in sorted(values.items())}


def by_length(texts: Sequence[str]) -> dict[str, list[int]]:
    """The shortest, the middle and the longest third of the texts, by characters."""
    lengths = np.array([len(text) for text in texts])
    low, high = np.quantile(lengths, [1 / 3, 2 / 3])
    thirds = {
        f"length=short (up to {low:.0f} characters)": lengths <= low,
        f"length=middle (up to {high:.0f})": (lengths > low) & (lengths <= high),
        "length=long": lengths > high,
    }
    return {name: np.flatnonzero(inside).tolist() for name, inside in thirds.items() if inside.any()}


def of_hits(
    places: Places, ours: NDArray[np.bool_], theirs: NDArray[np.bool_] | None, confidence: float = 0.95
) -> Iterator[Slice]:
    """The share of right answers of each slice, with Wilson's interval, beside that of the other model."""
    for name, rows in places.items():
        mine = ours[rows]
        low, high = proportion_interval(int(mine.sum()), len(mine), confidence)
        other = None if theirs is None else theirs[rows]
        yield Slice(
            name=name,
            n=len(mine),
            ours=float(mine.mean()),
            low=low,
            high=high,
            theirs=None if other is None else float(other.mean()),
            lost=0 if other is None else int((~mine & other).sum()),
            gained=0 if other is None else int((mine & ~other).sum()),
        )


def of_values(places: Places, ours: NDArray[np.float64], theirs: NDArray[np.float64] | None) -> Iterator[Slice]:
    """The mean figure of each slice, beside that of the other model; lost and gained are items with another figure."""
    for name, rows in places.items():
        mine, other = ours[rows], None if theirs is None else theirs[rows]
        yield Slice(
            name=name,
            n=len(mine),
            ours=float(mine.mean()),
            theirs=None if other is None else float(other.mean()),
            lost=0 if other is None else int((mine < other).sum()),
            gained=0 if other is None else int((mine > other).sum()),
        )


def flipped(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> list[int]:
    """Items on which only one of the two is right: some that ours lost, then some that it gained."""
    lost, gained = np.flatnonzero(~ours & theirs), np.flatnonzero(ours & ~theirs)
    return [*lost[:FLIPS].tolist(), *gained[:FLIPS].tolist()]
