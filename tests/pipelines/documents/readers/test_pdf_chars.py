"""Characters and the rows that they stand in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.documents.readers.pdf_chars import Char, rows_of
from pipelines.documents.readers.pdf_lines import lines_of

pytestmark = pytest.mark.unit


def word(
    text: str, x: float = 72, base: float = 100, size: float = 10, *, bold: bool = False, pitch: float = 5
) -> Iterator[Char]:
    """A word of characters as wide as the pitch."""
    for number, char in enumerate(text):
        yield Char(base, x + pitch * number, x + pitch * (number + 1), size, bold, char)


def rows(*words: Iterator[Char]) -> list[list[str]]:
    return [
        ["".join(char.text for char in part) for part in row] for row in rows_of(char for one in words for char in one)
    ]


def test_rows_by_baseline_whatever_the_order() -> None:
    assert rows(word("below", base=113), word("above"), word("it", x=130)) == [["above", "it"], ["below"]]


def test_a_small_difference_is_the_same_row() -> None:
    assert rows(word("a"), word("b", x=77, base=101.5)) == [["ab"]]


def test_powers_are_told_from_digits() -> None:
    assert rows(word("10"), word("6", x=82, base=96, size=6, pitch=3)) == [["10⁶"]]
    assert rows(word("H"), word("2", x=77, base=102, size=6, pitch=3)) == [["H2"]]
    assert rows(word("10"), word("6", x=82)) == [["106"]]
    assert rows(word("10"), word("th", x=82, base=96, size=6, pitch=3)) == [["10th"]]


def test_a_large_character_does_not_swallow_the_rows_beside_it() -> None:
    assert rows(word("X", x=20, base=126, size=60), word("one"), word("two", base=113), word("six", base=126)) == [
        ["one"], ["two"], ["X", "six"],
    ]  # fmt: skip


def test_wide_gaps_divide_a_row() -> None:
    assert rows(word("left"), word("near", x=100), word("far", x=200)) == [["leftnear", "far"]]


def test_a_word_printed_twice_is_bold() -> None:
    (row,) = rows_of([*word("ab"), *word("ab", x=72.4)])
    assert [(char.text, char.bold) for char in row[0]] == [("a", True), ("b", True)]


def test_double_letters_stay() -> None:
    assert rows(word("tall", pitch=2.2)) == [["tall"]]


def test_spaces_by_gaps() -> None:
    (line,) = lines_of([*word("one"), *word("two", x=89), *word("three", x=104.5)], page=1)
    assert line.text == "one twothree"
    assert (line.first_width, line.words) == (15, 2)


def test_spaces_between_columns_of_a_row() -> None:
    (line,) = lines_of([*word("Owner:"), *word("dock", x=200)], page=1)
    assert (line.text, line.parts) == ("Owner:   dock", 2)


def test_a_mark_and_its_text_are_one_part() -> None:
    (line,) = lines_of([*word("1."), *word("Open", x=120)], page=4)
    assert (line.text, line.parts, line.x0, line.text_x, line.page) == ("1.   Open", 1, 72, 120, 4)


def test_bold_lines() -> None:
    (line,) = lines_of([*word("1."), *word("Open", x=90, bold=True)], page=1)
    assert (line.bold, line.bold_start) == (True, False)
    (line,) = lines_of([*word("Open", bold=True), *word("it", x=98)], page=1)
    assert (line.bold, line.bold_start) == (False, True)


def test_blank_characters_are_no_line() -> None:
    assert lines_of(word("   "), page=1) == []
    assert lines_of([], page=1) == []
