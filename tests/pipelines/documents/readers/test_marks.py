"""The marks that begin an item, and how they count."""

from __future__ import annotations

import pytest

from pipelines.documents.readers.marks import Levels, Mark, comes_after, depth_of_number, follows, mark_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("line", "marker", "text"),
    [
        ("1. Open", "1.", "Open"),
        ("12) Open", "12)", "Open"),
        ("(3) Open", "(3)", "Open"),
        ("3.2 Open", "3.2", "Open"),
        ("3.2.1. Open", "3.2.1.", "Open"),
        ("a) open", "a)", "open"),
        ("(b) open", "(b)", "open"),
        ("b. open", "b.", "open"),
        ("iv) open", "iv)", "open"),
        ("ii. open", "ii.", "open"),
        ("A) open", "A)", "open"),
        ("Step 4: Open", "Step 4:", "Open"),
        ("7.", "7.", ""),
    ],
)
def test_steps(line: str, marker: str, text: str) -> None:
    assert mark_of(line) == Mark(marker, text, bullet=False)


@pytest.mark.parametrize("bullet", ["•", "●", "▪", "◦", "–", "-", "*", "o", "▫", "✓"])
def test_bullets(bullet: str) -> None:
    assert mark_of(f"{bullet} gloves") == Mark(bullet, "gloves", bullet=True)


@pytest.mark.parametrize(
    "line",
    [
        "2026 was wet",
        "A. Smith signs",
        "I. Newton",
        "1.5mm",
        "e.g. this",
        "over 5. ",
        "-5 degrees",
        "10:30 h",
        "ordinary",
        "1234. x",
        "",
    ],
)
def test_what_is_no_mark(line: str) -> None:
    assert mark_of(line) is None


def test_only_some_bullets_are_certain() -> None:
    assert mark_of("• x").certain  # type: ignore[union-attr]
    assert not mark_of("- x").certain  # type: ignore[union-attr]
    assert not mark_of("1. x").certain  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("1. x", True),
        ("a) x", True),
        ("i. x", True),
        ("2. x", False),
        ("2.1 Open", True),
        ("2.1 of it", False),
        ("- x", False),
    ],
)
def test_what_begins_a_list(line: str, first: bool) -> None:
    mark = mark_of(line)
    assert mark is not None
    assert mark.first is first


def test_a_decimal_may_be_a_quantity() -> None:
    assert mark_of("12.5 kg").decimal  # type: ignore[union-attr]
    assert not mark_of("12.5. kg").decimal  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("marker", "earlier"),
    [
        ("2.", "1."),
        ("b)", "a)"),
        ("ii.", "i."),
        ("v)", "iv)"),
        ("j)", "i)"),
        ("3.2", "3.1"),
        ("3.1", "3."),
        ("4.", "3.2"),
        ("Step 2:", "Step 1:"),
        ("10.", "9."),
    ],
)
def test_follows(marker: str, earlier: str) -> None:
    assert follows(marker, earlier)
    assert comes_after(marker, earlier)


@pytest.mark.parametrize(
    ("marker", "earlier"), [("3.", "1."), ("1.", "1."), ("1.", "2."), ("3.3", "3.1"), ("-", "1."), ("b)", "1)")]
)
def test_does_not_follow(marker: str, earlier: str) -> None:
    assert not follows(marker, earlier)


def test_a_list_may_leave_numbers_out() -> None:
    assert comes_after("5.", "2.")
    assert not comes_after("2.", "5.")
    assert not comes_after("1.", "1.")


@pytest.mark.parametrize(("marker", "depth"), [("3.", 1), ("3.2", 2), ("3.2.1.", 3), ("a)", 0)])
def test_depth_of_number(marker: str, depth: int) -> None:
    assert depth_of_number(marker) == depth


def test_levels_by_where_marks_begin() -> None:
    levels = Levels(tolerance=3)
    assert levels.enter(Mark("1.", "x", False), 72, 90) == 0
    assert levels.enter(Mark("a)", "x", False), 90, 108) == 1
    assert levels.enter(Mark("b)", "x", False), 91, 108) == 1
    assert levels.expects(Mark("2.", "x", False))
    assert not levels.expects(Mark("5.", "x", False))
    assert levels.enter(Mark("2.", "x", False), 72, 90) == 0
    assert not levels.expects(Mark("c)", "x", False))


def test_a_text_is_inside_the_items_that_it_is_indented_under() -> None:
    levels = Levels(tolerance=3)
    levels.enter(Mark("1.", "x", False), 72, 90)
    levels.enter(Mark("•", "x", True), 90, 108)
    assert levels.depth_of_text(108) == 2
    assert levels.depth_of_text(90) == 1
    assert levels.depth_of_text(72) == 0
    assert not levels.open


def test_bullets_do_not_count() -> None:
    levels = Levels(tolerance=3)
    levels.enter(Mark("•", "x", True), 72, 90)
    assert list(levels.numbered()) == []
    levels.clear()
    assert not levels.open
