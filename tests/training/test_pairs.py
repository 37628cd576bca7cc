"""Pairs: what stands for a question, what is taken out of the passage, and what counts as no mistake."""

from __future__ import annotations

import pytest

from fleet_manifests import DataError, Passage
from training.arguments import RetrieveArguments
from training.library import Library, Question
from training.pairs import MOST_QUESTIONS, Pair, _sentences, _without, counts, make_pairs

pytestmark = pytest.mark.unit

STEPS = """Before unloading:

1. Count every pallet against the delivery note before it leaves the dock.
2. Write down each shortage on the driver's docket. Let the driver sign the docket twice.
3. Stop.

| item | how many cartons there may be on a pallet |
|---|---|
"""


def passage(number: int, text: str, *section: str, title: str = "Receiving deliveries") -> Passage:
    return Passage(id=f"p{number}", document=f"D{number // 10}", title=title, section=section, text=text)


def library(passages: list[Passage], *train: tuple[str, set[int]]) -> Library:
    asked = tuple(Question(f"q{n}", text, frozenset(places)) for n, (text, places) in enumerate(train))
    probe = (Question("v", "anything", frozenset({0})),)
    return Library(tuple(passages), asked, probe, probe)


def some(count: int = 3) -> list[Passage]:
    things = ["pallets", "cartons", "dockets", "scanners", "trucks", "seals", "labels"]
    return [
        passage(n, f"Every shift counts {things[n]} near gate {n}. Supervisors write {things[n]} into the red ledger.",
                f"Counting {things[n]}")
        for n in range(count)
    ]  # fmt: skip


def made(given: Library, **settings: object) -> tuple[Pair, ...]:
    return make_pairs(given, RetrieveArguments(**settings))  # type: ignore[arg-type]


def test_a_question_finds_the_whole_passage() -> None:
    pairs = made(library(some(2), ("how often is this done", {0}), ("who writes it down", {1})))
    assert [(pair.anchor, pair.passage, pair.kind) for pair in pairs] == [
        ("how often is this done", 0, "question"),
        ("who writes it down", 1, "question"),
    ]
    assert pairs[0].positive == some()[0].content


def test_headings_and_sentences_stand_in_where_nobody_asked() -> None:
    pairs = made(library(some(3), ("how often", {0})), withhold=1.0)
    assert counts(pairs) == {"heading": 4, "question": 1, "sentence": 4}
    assert {pair.kind for pair in pairs if pair.passage == 0} == {"question"}
    anchors = [pair.anchor for pair in pairs if pair.passage == 1]
    assert anchors[:2] == ["Counting cartons", "Receiving deliveries: Counting cartons"]
    assert set(anchors[2:]) == {
        "Every shift counts cartons near gate 1.",
        "Supervisors write cartons into the red ledger.",
    }


def test_what_is_asked_is_taken_out_of_the_passage() -> None:
    for pair in made(library(some(3)), withhold=1.0):
        assert pair.anchor not in pair.positive
        if pair.kind == "sentence":
            assert pair.positive.startswith(f"Receiving deliveries > {some()[pair.passage].section[0]}\n")
    alone, titled = (
        pair for pair in made(library(some(3)), withhold=1.0) if pair.kind == "heading" and not pair.passage
    )
    assert alone.positive.startswith("Receiving deliveries\nEvery shift")
    assert titled.positive.startswith("Every shift")


def test_nothing_is_taken_out_where_that_is_asked() -> None:
    given = library(some(3))
    assert all(pair.positive == given.contents[pair.passage] for pair in made(given, withhold=0.0))


def test_taking_out_happens_as_often_as_asked() -> None:
    passages = [
        passage(n, " ".join(f"Word{n}x{k} alpha{k}{n} beta{n} gamma{k}." for k in range(3)), f"Heading{n}")
        for n in range(300)
    ]
    given = library(passages)
    pairs = made(given, withhold=0.9, pairs_per_passage=5)
    kept = sum(pair.positive == given.contents[pair.passage] for pair in pairs)
    assert 0.07 < kept / len(pairs) < 0.13


@pytest.mark.parametrize("most", [0, 1, 3])
def test_made_pairs_are_capped_and_questions_are_not(most: int) -> None:
    asked = [(f"question alpha{n} about pallets", {0}) for n in range(6)]
    pairs = made(library(some(4), *asked, ("cartons", {1})), pairs_per_passage=most)
    numbers = [sum(pair.passage == place for pair in pairs) for place in range(4)]
    assert numbers == [6, 1, most, most]


def test_a_passage_that_everybody_asks_about_gives_no_more_than_its_share() -> None:
    asked = [(f"question alpha{n} about pallets", {0}) for n in range(60)]
    pairs = made(library(some(2), *asked, ("cartons", {1})))
    assert counts(pairs)["question"] == MOST_QUESTIONS + 1
    assert len({pair.anchor for pair in pairs}) == len(pairs)


def test_the_same_words_in_another_order_are_one_question() -> None:
    given = library(some(2), ("count the pallets", {0}), ("pallet counting", {0}), ("Cartons?", {1}))
    assert [pair.anchor for pair in made(given)] == ["count the pallets", "Cartons?"]


def test_the_same_question_with_two_answers_makes_both_right() -> None:
    pairs = made(library(some(3), ("count the pallets", {0}), ("pallet counting", {1})), pairs_per_passage=0)
    assert [(pair.passage, pair.relevant) for pair in pairs] == [(0, {0, 1}), (1, {0, 1})]


def test_questions_of_stop_words_alone_are_not_taken_for_the_same() -> None:
    pairs = made(library(some(2), ("what is this", {0}), ("where are these", {1})), pairs_per_passage=0)
    assert [pair.relevant for pair in pairs] == [{0}, {1}]


def test_a_question_with_several_answers_is_a_pair_of_each() -> None:
    pairs = made(library(some(3), ("count the pallets", {0, 2})), pairs_per_passage=0)
    assert [(pair.passage, pair.relevant) for pair in pairs] == [(0, {0, 2}), (2, {0, 2})]


def test_a_heading_that_stands_in_several_passages_finds_none() -> None:
    passages = [passage(n, one.text, "Purpose", title=f"Rules for {n}th gate") for n, one in enumerate(some(3))]
    anchors = [pair.anchor for pair in made(library(passages), pairs_per_passage=9) if pair.kind == "heading"]
    assert "Purpose" not in anchors
    assert "Rules for 1th gate: Purpose" in anchors


def test_a_sentence_that_stands_in_several_passages_finds_none() -> None:
    boiler = "Always wear the yellow helmet inside."
    passages = [passage(n, f"{one.text} {boiler}", *one.section) for n, one in enumerate(some(3))]
    assert boiler not in [pair.anchor for pair in made(library(passages), pairs_per_passage=9)]


def test_passages_that_say_the_same_are_no_mistake() -> None:
    passages = [*some(2), passage(7, some()[0].text, "Another heading")]
    pairs = made(library(passages, ("how often", {0}), ("cartons", {1})), pairs_per_passage=0)
    assert [pair.relevant for pair in pairs] == [{0, 2}, {1}]


def test_the_same_input_gives_the_same_pairs() -> None:
    given = library(some(7), ("how often", {0}))
    assert made(given, seed=5) == made(given, seed=5)
    assert made(given, seed=5, pairs_per_passage=3) != made(given, seed=6, pairs_per_passage=3)


def test_a_new_passage_leaves_the_pairs_of_the_others_as_they_were() -> None:
    before, after = made(library(some(5))), made(library(some(6)))
    assert [(p.anchor, p.positive) for p in after if p.passage < 5] == [(p.anchor, p.positive) for p in before]


@pytest.mark.parametrize(
    "given",
    [
        library([passage(0, "Stop."), passage(1, "Go.")]),
        library([passage(0, "Stop.", title=" "), passage(1, "Go.", title=" ")], ("go", {1})),
    ],
)
def test_a_library_that_says_nothing_is_refused(given: Library) -> None:
    with pytest.raises(DataError, match="of at least 2 passages to learn from, found fewer"):
        make_pairs(given, RetrieveArguments())


def test_sentences_are_steps_without_marks_tables_and_short_ones() -> None:
    assert list(_sentences(STEPS)) == [
        "Count every pallet against the delivery note before it leaves the dock.",
        "Write down each shortage on the driver's docket.",
        "Let the driver sign the docket twice.",
    ]


def test_lines_broken_in_the_middle_of_a_sentence_are_joined() -> None:
    text = (
        "You should continue to receive any care you\nreceive at home this winter.\n- first item of the list\n- second"
    )
    assert list(_sentences(text)) == [
        "You should continue to receive any care you receive at home this winter.",
        "first item of the list",
    ]


def test_a_sentence_is_removed_with_its_empty_step() -> None:
    rest = _without(STEPS, "Count every pallet against the delivery note before it leaves the dock.")
    assert "1." not in rest
    assert rest.startswith("Before unloading:")
    rest = _without("Any care you\nreceive at home. Any care you receive at home.", "Any care you receive at home.")
    assert rest == "Any care you receive at home."


def test_a_very_long_sentence_stands_for_no_question() -> None:
    assert list(_sentences(" ".join(["word"] * 61))) == []
