from __future__ import annotations

import numpy as np
import pytest

from evals import slices

pytestmark = pytest.mark.unit


def test_items_are_grouped_by_each_field() -> None:
    fields = [{"style": "typed", "site": "a"}, {"style": "spoken"}, {"style": "typed", "site": "b"}, {}]
    assert slices.by_field(fields) == {"site=a": [0], "site=b": [2], "style=spoken": [1], "style=typed": [0, 2]}


def test_a_field_of_ids_is_no_slice() -> None:
    fields = [{"id": str(place), "kind": "x"} for place in range(slices.MAX_SLICES + 1)]
    assert list(slices.by_field(fields)) == ["kind=x"]


@pytest.mark.parametrize("lengths", [[3] * 9, [1, 1, 1, 1, 9], list(range(1, 40)), [5]])
def test_every_text_is_in_one_third(lengths: list[int]) -> None:
    found = slices.by_length(["x" * length for length in lengths])
    assert sorted(place for places in found.values() for place in places) == list(range(len(lengths)))
    assert all(found.values())


def test_hits_of_both_models_side_by_side() -> None:
    ours, theirs = np.array([True, True, False, False]), np.array([True, False, True, True])
    (found,) = slices.of_hits({"a": [0, 1, 2]}, ours, theirs)
    assert (found.n, found.ours, found.theirs, found.lost, found.gained) == (3, 2 / 3, 2 / 3, 1, 1)
    assert found.low < 2 / 3 < found.high
    (alone,) = slices.of_hits({"a": [3]}, ours, None)
    assert (alone.ours, alone.theirs, alone.lost, alone.gained) == (0.0, None, 0, 0)


def test_values_of_both_models_side_by_side() -> None:
    (found,) = slices.of_values({"a": [0, 1]}, np.array([1.0, 0.5]), np.array([1.0, 0.63]))
    assert (found.ours, found.theirs, found.lost, found.gained) == (0.75, 0.815, 1, 0)


def test_some_flips_of_each_direction() -> None:
    ours = np.array([False] * 30 + [True] * 30)
    found = slices.flipped(ours, ~ours)
    assert found == [*range(slices.FLIPS), *range(30, 30 + slices.FLIPS)]
    assert slices.flipped(ours, ours) == []
