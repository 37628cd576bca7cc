"""The numbers that Word shows: continuing, restarting, by level and form."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.documents.readers.word_numbering import Numbering

pytestmark = pytest.mark.unit
PLAIN = ("decimal %1.", "lowerLetter %2)", "lowerRoman %3.")


def count(word: Any, *paragraphs: tuple[int, int]) -> list[str]:
    """The markers of paragraphs, each a list and a level."""
    numbering = Numbering(word.document.part.numbering_part.element)
    found = [numbering.marker(number, level) for number, level in paragraphs]
    return [one[1] if one else "none" for one in found]


def test_levels_restart_below_a_higher_one(word: Any) -> None:
    n = word.number(word.abstract(*PLAIN))
    assert count(word, (n, 0), (n, 1), (n, 1), (n, 2), (n, 0), (n, 1)) == ["1.", "a)", "b)", "i.", "2.", "a)"]


def test_instances_of_one_definition_count_together(word: Any) -> None:
    abstract = word.abstract(*PLAIN)
    first, second = word.number(abstract), word.number(abstract)
    assert count(word, (first, 0), (first, 0), (second, 0), (first, 0)) == ["1.", "2.", "3.", "4."]


def test_a_start_override_restarts_once(word: Any) -> None:
    abstract = word.abstract(*PLAIN)
    first, second = word.number(abstract), word.number(abstract, level0=5)
    assert count(word, (first, 0), (first, 0), (second, 0), (second, 0)) == ["1.", "2.", "5.", "6."]


def test_definitions_count_apart(word: Any) -> None:
    first, second = word.number(word.abstract(*PLAIN)), word.number(word.abstract(*PLAIN, key=78))
    assert count(word, (first, 0), (second, 0), (first, 0)) == ["1.", "1.", "2."]


def test_a_number_of_several_levels(word: Any) -> None:
    n = word.number(word.abstract("decimal %1", "decimal %1.%2", "decimal %1.%2.%3"))
    assert count(word, (n, 0), (n, 1), (n, 1), (n, 2), (n, 0), (n, 1)) == ["1", "1.1", "1.2", "1.2.1", "2", "2.1"]


def test_a_level_without_one_above_it(word: Any) -> None:
    n = word.number(word.abstract("decimal %1", "decimal %1.%2"))
    assert count(word, (n, 1), (n, 1), (n, 0)) == ["1.1", "1.2", "1"]


@pytest.mark.parametrize(
    ("form", "markers"),
    [
        ("decimal Step_%1:", ["Step_1:", "Step_2:"]),
        ("decimalZero %1", ["01", "02"]),
        ("upperLetter %1.", ["A.", "B."]),
        ("upperRoman %1.", ["I.", "II."]),
        ("none %1", ["", ""]),
        ("ordinalText %1", ["1", "2"]),
        ('decimal %1. <w:start w:val="9"/>', ["9.", "10."]),
        ('decimal %1. <w:start w:val="0"/>', ["0.", "1."]),
    ],
)
def test_forms(word: Any, form: str, markers: list[str]) -> None:
    n = word.number(word.abstract(form))
    assert count(word, (n, 0), (n, 0)) == markers


def test_letters_after_z_and_larger_roman_numbers(word: Any) -> None:
    n = word.number(word.abstract('lowerLetter %1) <w:start w:val="26"/>'))
    m = word.number(word.abstract('lowerRoman %1. <w:start w:val="49"/>', key=78))
    assert count(word, (n, 0), (n, 0), (m, 0)) == ["z)", "aa)", "xlix."]


def test_legal_numbers(word: Any) -> None:
    n = word.number(word.abstract("upperRoman %1.", "decimal %1.%2 <w:isLgl/>"))
    assert count(word, (n, 0), (n, 0), (n, 1)) == ["I.", "II.", "2.1"]


def test_a_level_that_never_restarts(word: Any) -> None:
    n = word.number(word.abstract("decimal %1.", 'decimal %2) <w:lvlRestart w:val="0"/>'))
    assert count(word, (n, 0), (n, 1), (n, 0), (n, 1)) == ["1.", "1)", "2.", "2)"]


def test_bullets_have_no_number(word: Any) -> None:
    n = word.number(word.abstract("bullet •"))
    assert Numbering(word.document.part.numbering_part.element).marker(n, 0) == ("bullet", "•")


def test_what_is_not_there(word: Any) -> None:
    n = word.number(word.abstract(*PLAIN))
    assert count(word, (999, 0)) == ["none"]
    assert count(word, (n, 5)) == ["1."]  # a level that the definition leaves out is a decimal one
    assert Numbering(None).marker(1, 0) is None
