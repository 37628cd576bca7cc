"""The same text twice: found where it is, not where it isn't."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.corpora.leakage import (
    Leak,
    contradicted,
    find_leaks,
    first_of_each,
    near_duplicates,
    without_near_duplicates,
)
from pipelines.corpora.rows import Row

pytestmark = pytest.mark.unit


def rows(*texts: str, label: str = "a", start: int = 0) -> list[Row]:
    return [Row(id=str(start + n), text=text, label=label) for n, text in enumerate(texts)]


def test_exact_duplicates_differ_in_case_and_spacing_only() -> None:
    found = first_of_each([*rows("Wet pallet", "wet  PALLET", "dry pallet"), *rows("wet pallet", label="b", start=9)])
    assert [row.id for row in found] == ["0", "2", "9"]


def test_a_text_with_two_labels_is_contradicted() -> None:
    assert contradicted([*rows("Wet", "dry"), *rows("wet", label="b")]) == {"wet"}


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("pallet 4 crushed by fork at dock 7, send new one", "Pallet 4 crushed by fork at dock 7, send new one!", True),
        ("pallet 4 crushed by the fork at dock 7 send new", "the pallet 4 crushed by fork at dock 7 send new", True),
        ("pallet 4 crushed by fork at dock 7, send new one", "customer refused it, pallet goes back to dock 7", False),
        ("wet", "wrong", False),
    ],
)
def test_near(one: str, other: str, near: bool) -> None:
    assert bool(list(near_duplicates(rows(one), rows("something else", other)))) is near


def test_the_best_match_is_named() -> None:
    ((index, like, value),) = near_duplicates(
        rows("x", "short 5 drums of oil"), rows("short 5 drums oil", "short 5 drums of oil")
    )
    assert (index, like) == (1, 1)
    assert value == pytest.approx(1.0, abs=1e-5)


def test_empty_splits_have_none() -> None:
    assert not list(near_duplicates([], rows("a")))
    assert not list(near_duplicates(rows("a"), []))


def test_many_rows_are_compared_in_blocks() -> None:
    earlier = rows(*(f"note number {n * 7919} about thing {n * 104729}" for n in range(600)))
    later = rows(earlier[3].text, earlier[599].text.upper())
    assert [(a, b) for a, b, _ in near_duplicates(earlier, later)] == [(3, 0), (599, 1)]


def test_the_earlier_split_gives_way() -> None:
    text = "pallet crushed by fork at dock seven"
    splits = {
        "train": rows(text + "!", "late truck again", "label mix up on drums"),
        "validation": rows(text + ".", "wrong hose sent", "late truck, again"),
        "test": rows(text, "no papers in the box"),
    }
    kept, removed = without_near_duplicates(splits)
    assert removed == {"train": 2, "validation": 1}
    assert [len(kept[name]) for name in ("train", "validation", "test")] == [1, 2, 2]


def test_leaks_of_a_folder_are_told(tmp_path: Path) -> None:
    files = {"train": ["late truck again", "wet"], "validation": ["dry"], "test": ["hose", "late truck again!"]}
    for name, texts in files.items():
        lines = [json.dumps({"id": f"{name}{n}", "text": text, "label": "a"}) for n, text in enumerate(texts)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    (leak,) = find_leaks(tmp_path)
    assert leak == Leak("train", "train0", "test/test1", leak.similarity)
    assert leak.similarity >= 0.9
