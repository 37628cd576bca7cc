"""Splitting: order, groups, shares, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fleet_manifests import DataError
from pipelines.corpora.rows import Row
from pipelines.corpora.spec import Split
from pipelines.corpora.split import check_counts, check_labels, divide, halves

pytestmark = pytest.mark.unit

Make = Callable[..., list[Row]]


def split(by: str, **shares: float) -> Split:
    return Split.model_validate({"by": by, **shares})


def ids(rows: list[Row]) -> set[str]:
    return {row.id for row in rows}


@pytest.mark.parametrize("by", ["time", "group", "random"])
def test_every_row_is_in_one_split_and_the_seed_decides(make_rows: Make, by: str) -> None:
    rows = make_rows(200)
    found = divide(rows, split(by), seed=1)
    assert sum(map(len, found.values())) == 200
    assert set.union(*map(ids, found.values())) == ids(rows)
    assert divide(rows[::-1], split(by), seed=1) == found
    assert (divide(rows, split(by), seed=2) != found) == (by != "time")


def test_time_keeps_order(make_rows: Make) -> None:
    found = divide(make_rows(200), split("time", validation=0.1, test=0.2), seed=1)
    assert [len(found[name]) for name in ("train", "validation", "test")] == [140, 20, 40]
    times = [[row.time or "" for row in found[name]] for name in ("train", "validation", "test")]
    assert max(times[0]) < min(times[1]) <= max(times[1]) < min(times[2])


def test_rows_of_one_moment_stay_together(make_rows: Make) -> None:
    rows = [replace(row, time=f"2026-01-{1 + n // 15:02d}T00:00:00+00:00") for n, row in enumerate(make_rows(150))]
    found = divide(rows, split("time"), seed=1)
    moments = [{row.time for row in part} for part in found.values()]
    assert not moments[0] & moments[1] and not moments[1] & moments[2]


def test_groups_are_never_divided(make_rows: Make) -> None:
    found = divide(make_rows(180), split("group", validation=0.2, test=0.2), seed=3)
    groups = [{row.group for row in part} for part in found.values()]
    assert all(groups) and not groups[0] & groups[1] and not groups[1] & groups[2] and not groups[0] & groups[2]
    assert [len(part) / 180 for part in found.values()] == pytest.approx([0.6, 0.2, 0.2], abs=0.06)


def test_a_giant_group_goes_to_training(make_rows: Make) -> None:
    rows = [replace(row, group="giant" if n < 120 else f"g{n}") for n, row in enumerate(make_rows(200))]
    found = divide(rows, split("group"), seed=3)
    assert {row.group for row in rows[:120]} == {"giant"}
    assert sum(row.group == "giant" for row in found["train"]) == 120
    assert len(found["test"]) == len(found["validation"]) == 30


def test_random_keeps_the_shares_of_every_label(make_rows: Make) -> None:
    rows = [replace(row, label="rare" if n < 10 else "often") for n, row in enumerate(make_rows(200))]
    found = divide(rows, split("random", validation=0.2, test=0.2), seed=1)
    assert {name: Counter(row.label for row in part)["rare"] for name, part in found.items()} == {
        "train": 6, "validation": 2, "test": 2,
    }  # fmt: skip


@pytest.mark.parametrize("count", [2, 3, 4])
def test_random_leaves_a_tiny_class_something_to_train_on(make_rows: Make, count: int) -> None:
    rows = [replace(row, label="tiny" if n < count else "often") for n, row in enumerate(make_rows(100))]
    found = divide(rows, split("random", validation=0.4, test=0.4), seed=1)
    assert any(row.label == "tiny" for row in found["train"])


def test_a_column_may_say_it(make_rows: Make) -> None:
    rows = [replace(row, split=("train", "validation", "test")[n % 3]) for n, row in enumerate(make_rows(30))]
    found = divide(rows, split("column"), seed=1)
    assert ids(found["validation"]) == {row.id for row in rows if row.split == "validation"}


@pytest.mark.parametrize(
    ("by", "changes", "says"),
    [
        ("time", {"time": None}, "row 0000 has no time"),
        ("group", {"group": None}, "row 0000 has no group"),
        ("column", {"split": None}, "row 0000 has no split"),
        ("column", {"split": "holdout"}, "split is 'holdout'; expected train"),
        ("column", {"split": "train"}, "no row is left for validation of 40"),
        ("time", {"time": "2026-01-01"}, "no row is left for validation of 40"),
        ("group", {"group": "one"}, "no row is left for validation of 40"),
    ],
)
def test_what_cannot_be_split(make_rows: Make, by: str, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        divide([replace(row, **changes) for row in make_rows(40)], split(by), seed=1)


def test_halves(make_rows: Make) -> None:
    rows = make_rows(11)
    older, newer = halves(rows, by_time=True, seed=1)
    assert (older, newer) == (rows[:5], rows[5:])
    first, second = halves(rows, by_time=False, seed=1)
    assert len(first) == 5 and ids(first) | ids(second) == ids(rows)
    assert (first, second) != (older, newer)


def test_a_class_with_one_example_is_refused(make_rows: Make) -> None:
    rows = [*make_rows(10), Row(id="x", text="alone", label="odd")]
    with pytest.raises(DataError, match="class 'odd' has 1 example; at least 2 are needed"):
        check_counts(rows)


def test_a_label_never_seen_in_training_is_refused(make_rows: Make) -> None:
    rows = make_rows(10)
    splits = {"train": rows, "validation": rows, "test": [replace(rows[0], label="new")]}
    with pytest.raises(DataError, match="test: label 'new' is never seen in training"):
        check_labels(splits)


def test_one_class_is_refused(make_rows: Make) -> None:
    rows = [replace(row, label="a") for row in make_rows(10)]
    with pytest.raises(DataError, match="at least 2 classes, found a"):
        check_labels({"train": rows, "validation": rows, "test": rows})
