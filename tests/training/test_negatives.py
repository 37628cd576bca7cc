"""Hard negatives: near in words, wrong, and not of the same section."""

from __future__ import annotations

import pytest

from fleet_manifests import Passage
from training.lexical import Lexical
from training.library import Library, Question
from training.negatives import alike, mine, same_section
from training.pairs import Pair

pytestmark = pytest.mark.unit


def passage(id_: str, text: str, *section: str, document: str = "D", title: str = "T") -> Passage:
    return Passage(id=id_, document=document, title=title, section=section, text=text)


PASSAGES = (
    passage("a", "count the pallet at gate one before noon", "Counting"),
    passage("b", "count the pallet after a delivery arrives damaged", "Damage"),
    passage("c", "count the pallet at gate one before noon today", "Again", document="E"),
    passage("d", "drivers sign their docket", "Signing"),
    passage("e", "count the pallet by weight", "Counting", "By weight"),
    passage("f", "the pallet label is yellow", "Labels", document="E"),
)
ASKED = (Question("q", "x", frozenset({0})),)
LIBRARY = Library(PASSAGES, (), ASKED, ASKED)


def pair(anchor: str, place: int = 0, *relevant: int) -> Pair:
    return Pair(anchor, place, PASSAGES[place].content, frozenset({place, *relevant}), "question")


def mined(given: Pair, count: int = 9, seed: int = 1) -> tuple[int, ...]:
    return mine([given], LIBRARY, Lexical(LIBRARY.contents), count, seed)[0]


def test_they_share_words_and_are_neither_the_same_nor_of_the_same_section() -> None:
    # c says nearly the same as a, d shares no word, e is a part of a's section
    assert set(mined(pair("count a pallet"))) == {1, 5}


def test_what_is_relevant_is_never_taken() -> None:
    assert mined(pair("count a pallet", 0, 1)) == (5,)


def test_there_may_be_none() -> None:
    assert mined(pair("forklift")) == ()
    assert mined(pair("sign", 3)) == ()


def test_as_many_as_wanted_are_drawn_by_the_seed() -> None:
    assert mined(pair("count a pallet"), count=0) == ()
    found = {mined(pair("count a pallet"), count=1, seed=seed) for seed in range(20)}
    assert found == {(1,), (5,)}
    assert mined(pair("count a pallet"), count=1, seed=4) == mined(pair("count a pallet"), count=1, seed=4)


def test_every_pair_gets_its_own() -> None:
    pairs = [pair("count a pallet"), pair("forklift"), pair("yellow label count", 1)]
    found = mine(pairs, LIBRARY, Lexical(LIBRARY.contents), 9, 1)
    assert found[1] == ()
    assert set(found[2]) == {0, 2, 4, 5}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (passage("x", "t", "Counting"), passage("y", "t", "Counting (part 2)"), True),
        (passage("x", "t", "Counting (part 1)"), passage("y", "t", "Counting (Part 12)"), True),
        (passage("x", "t", "Counting"), passage("y", "t", "Counting", "By weight"), True),
        (passage("x", "t", "Counting"), passage("y", "t", "Signing"), False),
        (passage("x", "t", "Counting", "By hand"), passage("y", "t", "Counting", "By weight"), False),
        (passage("x", "t"), passage("y", "t", "Signing"), True),
        (passage("x", "t", title="A | one"), passage("y", "t", title="A | two"), False),
        (passage("x", "t", "Counting"), passage("y", "t", "Counting", document="E"), False),
    ],
)
def test_sections(one: Passage, other: Passage, same: bool) -> None:
    assert same_section(one, other) is same
    assert same_section(other, one) is same


@pytest.mark.parametrize(
    ("one", "other", "same"), [("abcd", "abcde", True), ("abc", "abcd", False), ("ab", "cd", False), ("", "", True)]
)
def test_alike_is_four_fifths_of_the_words(one: str, other: str, same: bool) -> None:
    assert alike(frozenset(one), frozenset(other)) is same
