"""What a site says: given, withheld or deferred, by the day, the guardrails and what disagrees."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from fleet_manifests import DataClass, Guardrails, Passage, dump, parse
from runtimes.knowledge import FEATURES, CitedPassage, Found, Hit, KnowledgeAnswer, answer
from runtimes.knowledge.answers import cited, days_overdue, too_old
from tests.runtimes.knowledge.conftest import TODAY, passage

pytestmark = pytest.mark.unit

FIRST = passage(
    "wh-017/full", "Press F6 and choose *occupied*.\n\n| a | b |\n|---|---|\n| 1 | 2 |", title="Putaway", revision="4",
    section=("Putting away", "When the location is full"), page=3, owner="Inbound supervisor",
    effective_from=date(2025, 3, 1), review_by=date(2026, 3, 1),
)  # fmt: skip


def found(
    *passages: Passage, confidence: float = 0.8, disagreeing: Sequence[Passage] = (), on: date | None = TODAY
) -> Found:
    hits = tuple(Hit(one, 3.0 - rank, 0.6, 5.0) for rank, one in enumerate(passages))
    return Found(hits, tuple(disagreeing), dict.fromkeys(FEATURES, 0.5), confidence, on)


def told(*passages: Passage, today: date = TODAY, max_age: int | None = None, **options: Any) -> KnowledgeAnswer:
    guardrails = Guardrails(max_knowledge_age_days=max_age, minimum_confidence=options.pop("minimum", 0.0))
    return answer(found(*passages, **options), today, threshold=0.5, guardrails=guardrails)


def ids(some: Sequence[Any]) -> list[str]:
    return [one.id for one in some]


def dated(name: str, **fields: Any) -> Passage:
    return passage(name, **fields)


def test_the_answer_is_the_passage_verbatim_with_where_it_stands() -> None:
    said = told(FIRST)
    assert (said.answered, said.outcome, said.code) == (True, "answered", "confident")
    assert said.citations == (
        CitedPassage(
            id="wh-017/full", document="WH-017", title="Putaway", revision="4",
            section=("Putting away", "When the location is full"), page=3, owner="Inbound supervisor",
            effective_from=date(2025, 3, 1), review_by=date(2026, 3, 1), text=FIRST.text, stale=True, disagrees=False,
        ),
    )  # fmt: skip
    assert said.reason == (
        "WH-017 revision 4, Putaway > Putting away > When the location is full answers with confidence 0.800"
    )


def test_without_guardrails_only_the_threshold_holds() -> None:
    assert answer(found(FIRST), TODAY, threshold=0.5).answered
    assert not answer(found(FIRST), TODAY, threshold=0.9).answered


def test_answers_survive_the_wire() -> None:
    other = dated("b/x", disagrees_with=(FIRST.id,))
    first = FIRST.model_copy(update={"disagrees_with": (other.id,)})
    said = told(first, dated("c/y", review_by=date(2020, 1, 1)), disagreeing=[other], max_age=30)
    assert said.withheld
    assert len(said.citations) == 2
    assert parse(KnowledgeAnswer, dump(said)) == said


def test_answers_are_frozen() -> None:
    said = told(FIRST)
    with pytest.raises(ValidationError):
        said.answered = False  # type: ignore[misc]


def test_other_hits_are_further_in_their_order() -> None:
    said = told(FIRST, dated("b/x"), dated("a/y"))
    assert ids(said.citations) == ["wh-017/full"]
    assert ids(said.further) == ["b/x", "a/y"]


def test_no_data_beyond_a_citation_is_given() -> None:
    shown = set(told(FIRST).model_dump()["citations"][0])
    assert not shown & {"site_classes", "disagrees_with", "effective_until"}


def test_the_data_class_goes_with_the_text() -> None:
    said = told(FIRST.model_copy(update={"data_class": DataClass.PRICING}))
    assert said.citations[0].data_class is DataClass.PRICING


# Confidence


@pytest.mark.parametrize(
    ("confidence", "minimum", "code"),
    [(0.5, 0.0, "confident"), (0.499, 0.0, "below_threshold"), (0.6, 0.7, "below_minimum"), (0.7, 0.7, "confident")],
)
def test_confidence_decides(confidence: float, minimum: float, code: str) -> None:
    assert told(FIRST, confidence=confidence, minimum=minimum).code == code


def test_too_little_confidence_says_that_the_library_does_not_answer() -> None:
    said = told(FIRST, dated("b/x"), confidence=0.2)
    assert (said.answered, said.outcome) == (False, "deferred")
    assert said.reason == ("the library does not seem to answer this: confidence 0.200 is below the threshold 0.500")
    assert (said.citations, said.further, said.withheld) == ((), (), ())
    assert said.confidence == 0.2


def test_a_threshold_of_one_defers_everything() -> None:
    said = answer(found(FIRST, confidence=1.0), TODAY, threshold=1.0)
    assert said.code == "below_threshold"


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_that_is_none_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        answer(found(FIRST), TODAY, threshold=threshold)


# In force


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        ({}, True),
        ({"effective_from": TODAY}, True),
        ({"effective_from": TODAY + timedelta(1)}, False),
        ({"effective_until": TODAY + timedelta(1)}, True),
        ({"effective_until": TODAY}, False),
        ({"effective_from": TODAY - timedelta(9), "effective_until": TODAY - timedelta(1)}, False),
    ],
)
def test_what_is_not_in_force_is_never_given(fields: dict[str, Any], given: bool) -> None:
    first = told(dated("a/x", **fields), dated("b/y"))
    assert first.answered is given
    if not given:
        assert first.code == "not_in_force"
        assert (first.citations, first.further) == ((), ())
    assert ids(told(FIRST, dated("a/x", **fields)).further) == (["a/x"] if given else [])


def test_the_next_hit_never_takes_the_place_of_the_first() -> None:
    said = told(dated("a/x", effective_from=TODAY + timedelta(1), owner="Quality lead"), FIRST)
    assert said.reason == ("A, Title of a > x is not in force on 2026-03-02; ask its owner (Quality lead)")


def test_nothing_found_that_is_in_force() -> None:
    said = told(confidence=0.0)
    assert said.code == "nothing_found"
    assert said.reason == "all passages found are not in force on 2026-03-02: replaced, or not effective yet"


# Freshness


@pytest.mark.parametrize(
    ("review_by", "overdue"),
    [(None, 0), (TODAY, 0), (TODAY + timedelta(1), -1), (TODAY - timedelta(1), 1), (TODAY - timedelta(400), 400)],
)
def test_stale_is_past_the_review_date(review_by: date | None, overdue: int) -> None:
    one = dated("a/x", review_by=review_by)
    assert days_overdue(one, TODAY) == overdue
    assert told(one).citations[0].stale is (overdue > 0)


@pytest.mark.parametrize(
    ("overdue", "limit", "withheld"),
    [
        (400, None, False),
        (0, 0, False),
        (1, 0, True),
        (1, 1, True),
        (29, 30, False),
        (30, 30, True),
        (31, 30, True),
        (-5, 0, False),
    ],
)
def test_the_hard_limit(overdue: int, limit: int | None, withheld: bool) -> None:
    one = dated("a/x", review_by=TODAY - timedelta(overdue))
    assert bool(too_old(one, TODAY, limit)) is withheld
    said = told(one, max_age=limit)
    assert said.code == ("too_old" if withheld else "confident")


def test_no_review_date_never_grows_old() -> None:
    assert told(dated("a/x"), max_age=0).answered


def test_a_first_passage_over_the_limit_defers_with_a_reason_and_without_its_text() -> None:
    said = told(FIRST, dated("b/y"), today=date(2026, 4, 10), max_age=30)
    assert (said.answered, said.code, said.citations, said.further) == (False, "too_old", (), ())
    why = (
        "its review was due on 2026-03-01, 40 days ago, and passages are given until 30 days after; "
        "ask its owner (Inbound supervisor)"
    )
    assert said.reason == f"{cited(FIRST)} answers but {why}"
    (kept,) = said.withheld
    assert (kept.id, kept.reason, kept.owner, kept.review_by) == (FIRST.id, why, "Inbound supervisor", date(2026, 3, 1))
    assert FIRST.text not in dump(said).decode()
    assert "occupied" not in dump(said).decode()


def test_a_further_passage_over_the_limit_is_withheld() -> None:
    said = told(FIRST, dated("b/old", review_by=date(2024, 1, 1)), dated("c/fine"), max_age=30)
    assert said.answered
    assert ids(said.further) == ["c/fine"]
    assert ids(said.withheld) == ["b/old"]


def test_confidence_comes_before_age() -> None:
    said = told(dated("b/old", review_by=date(2024, 1, 1)), confidence=0.1, max_age=30)
    assert (said.code, said.withheld) == ("below_threshold", ())


# Disagreement

TWO_HOURS = dated("a/probe", text="Every 2 hours.", disagrees_with=("b/probe",))
FOUR_HOURS = dated("b/probe", text="Every 4 hours.", disagrees_with=("a/probe",))


def test_the_other_side_of_a_disagreement_is_given_too() -> None:
    for said in (told(TWO_HOURS, disagreeing=[FOUR_HOURS]), told(TWO_HOURS, FIRST, FOUR_HOURS)):
        assert [(one.id, one.disagrees) for one in said.citations] == [("a/probe", False), ("b/probe", True)]
        assert "b/probe" not in ids(said.further)
        assert said.reason.endswith("; B states something else")


def test_a_disagreement_found_twice_is_given_once() -> None:
    said = told(TWO_HOURS, FOUR_HOURS, disagreeing=[FOUR_HOURS, TWO_HOURS])
    assert ids(said.citations) == ["a/probe", "b/probe"]
    assert said.further == ()


def test_disagreements_of_further_hits_are_not_the_answer_s() -> None:
    said = told(FIRST, TWO_HOURS, disagreeing=[FOUR_HOURS])
    assert ids(said.citations) == [FIRST.id]
    assert ids(said.further) == ["a/probe"]


def test_a_passage_of_the_same_document_does_not_disagree() -> None:
    first = TWO_HOURS.model_copy(update={"disagrees_with": ("a/other",)})
    said = told(first, dated("a/other"))
    assert ids(said.citations) == ["a/probe"]
    assert ids(said.further) == ["a/other"]


@pytest.mark.parametrize(
    "fields", [{"effective_from": TODAY + timedelta(1)}, {"effective_until": TODAY - timedelta(3)}]
)
def test_a_disagreement_that_is_not_in_force_is_none(fields: dict[str, Any]) -> None:
    said = told(TWO_HOURS, disagreeing=[FOUR_HOURS.model_copy(update=fields)])
    assert ids(said.citations) == ["a/probe"]
    assert "states something else" not in said.reason
    assert said.withheld == ()


def test_a_disagreement_over_the_limit_is_withheld() -> None:
    old = FOUR_HOURS.model_copy(update={"review_by": date(2024, 1, 1)})
    said = told(TWO_HOURS, disagreeing=[old], max_age=30)
    assert ids(said.citations) == ["a/probe"]
    assert ids(said.withheld) == ["b/probe"]


def test_several_documents_that_disagree_are_named_in_order() -> None:
    first = TWO_HOURS.model_copy(update={"disagrees_with": ("c/probe", "b/probe")})
    said = told(first, disagreeing=[FOUR_HOURS, dated("c/probe")])
    assert ids(said.citations) == ["a/probe", "c/probe", "b/probe"]
    assert said.reason.endswith("; B and C state something else")


def test_a_passage_without_a_revision_is_cited_without() -> None:
    assert cited(dated("a/x")) == "A, Title of a > x"
