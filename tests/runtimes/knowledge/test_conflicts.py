"""Passages that state different values about the same matter: found, and not invented."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_manifests import DataError, Passage
from runtimes.knowledge import Disagreement, conflicts, disagreements, explained
from tests.runtimes.knowledge.conftest import embed, passage, procedures

pytestmark = pytest.mark.unit

PROBE = "The chill room temperature is read by hand every {} and noted on the sheet."
EYES = "For eyes, hold the lids open and rinse with the eyewash for at least {}, rolling the eye."
TWO = PROBE.format("2 hours")
FOUR = PROBE.format("4 hours")


def section(name: str, text: str, **fields: Any) -> Passage:
    """A passage whose title does not depend on its document, so that all are near each other."""
    return passage(name, text, title="Cold chain", section=("Readings",), **fields)


def found(*passages: Passage) -> dict[str, tuple[str, ...]]:
    return disagreements(passages, embed([one.content for one in passages]), embed)


def differ(one: str, other: str, **fields: Any) -> bool:
    """Whether two sections of two documents disagree; `fields` are the second's."""
    return bool(found(section("a/x", one), section("b/y", other, **fields)))


def test_a_disagreement_is_found_both_ways() -> None:
    assert found(section("a/x", TWO), section("b/y", FOUR)) == {"a/x": ("b/y",), "b/y": ("a/x",)}


def test_it_is_explained_by_the_two_sentences() -> None:
    passages = [section("b/y", f"Look. {FOUR} Go."), section("a/x", f"Stop. {TWO} Wait.")]
    (one,) = explained(passages, embed([each.content for each in passages]), embed)
    assert one == Disagreement("a/x", "b/y", TWO, FOUR, ("interval",), one.shared, one.cosine)
    assert one.shared == pytest.approx(1.0)
    assert one.cosine == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (EYES.format("20 minutes"), EYES.format("15 minutes"), "duration"),
        ("The refusal limit of chilled adhesives on arrival is 8 °C.", "The refusal limit of chilled adhesives on arrival is 9 °C.", "temperature"),
        ("A second count of the book quantity is needed above 2 %.", "A second count of the book quantity is needed above 5 per cent.", "share"),
        ("The maximum height of an outgoing pallet is 1.80 m.", "The maximum height of an outgoing pallet is 165 cm.", "length"),
        ("Release of quarantined stock needs two people who sign the form.", "Release of quarantined stock needs one person who signs the form.", "count:person"),
        ("The quarantine cage is counted every day by the leads.", "The quarantine cage is counted once a week by the leads.", "interval"),
        ("Rush orders for collection close at 11:00 on working days.", "Rush orders for collection close at noon on working days.", "clock"),
        ("The branch manager waives restocking fees up to EUR 30.", "The branch manager waives restocking fees up to EUR 50.", "money"),
        ("Drivers must enter the loading dock during unloading.", "Drivers must not enter the loading dock during unloading.", "rule"),
        ("Drivers may enter the loading dock during unloading.", "Drivers may never enter the loading dock during unloading.", "rule"),
    ],
)  # fmt: skip
def test_kinds_of_values(one: str, other: str, kind: str) -> None:
    passages = [section("a/x", one), section("b/y", other)]
    (pair,) = explained(passages, embed([each.content for each in passages]), embed)
    assert kind in pair.kinds


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TWO, TWO),
        (TWO, PROBE.format("120 minutes")),
        (PROBE.format("day"), PROBE.replace("every {}", "daily")),
        (TWO, "The quarantine cage is locked by the shift lead every 4 hours."),
        (TWO, "Read this every 4 hours."),
        ("Take three photographs.", "Take six photographs."),
        ("Records are kept for 6 years.", "Papers are kept for 3 years."),
        (EYES.format("15 to 20 minutes"), EYES.format("20 minutes")),
        ("Tilting one to roll it on its rim is allowed for 3 m.", "The valve is shut; rolling it on its rim is allowed for 2 m."),
        ("Drivers must enter the loading dock slowly and quietly.", "Pedestrians must not cross the loading dock."),
        ("Goods keep 12 months: batteries 24 months, gloves 18 months, masks 9 months.", "Goods keep 6 months: batteries 3 months, gloves 2 months, masks 1 month."),
    ],
)  # fmt: skip
def test_what_is_no_disagreement(one: str, other: str) -> None:
    assert not differ(one, other)


def test_sections_of_one_document_do_not_disagree() -> None:
    other = section("a/y", FOUR)
    assert found(section("a/x", TWO), other) == {}


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((), (), True),
        (("warehouse",), (), True),
        (("warehouse",), ("warehouse", "branch"), True),
        (("warehouse",), ("branch",), False),
    ],
)
def test_sites_in_common(ours: tuple[str, ...], theirs: tuple[str, ...], expected: bool) -> None:
    pair = section("a/x", TWO, site_classes=ours), section("b/y", FOUR, site_classes=theirs)
    assert bool(found(*pair)) is expected


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((None, None), (None, None), True),
        ((None, date(2026, 1, 1)), (date(2026, 1, 1), None), False),
        ((None, date(2026, 1, 2)), (date(2026, 1, 1), None), True),
        ((date(2025, 1, 1), date(2025, 6, 1)), (date(2025, 3, 1), date(2027, 1, 1)), True),
        ((date(2027, 1, 1), None), (None, date(2026, 1, 1)), False),
    ],
)
def test_time_in_common(
    ours: tuple[date | None, date | None], theirs: tuple[date | None, date | None], expected: bool
) -> None:
    pair = [
        section(name, text, effective_from=begun, effective_until=ended)
        for name, text, (begun, ended) in (("a/x", TWO, ours), ("b/y", FOUR, theirs))
    ]
    assert bool(found(*pair)) is expected


def test_passages_that_are_not_near_are_not_compared() -> None:
    vectors = np.eye(2, 48, dtype=np.float32)
    assert disagreements([section("a/x", TWO), section("b/y", FOUR)], vectors, embed) == {}


def test_three_documents_disagree_with_each_other() -> None:
    found_ = found(section("a/x", TWO), section("b/y", FOUR), section("c/z", PROBE.format("8 hours")))
    assert found_ == {"a/x": ("b/y", "c/z"), "b/y": ("a/x", "c/z"), "c/z": ("a/x", "b/y")}


def test_the_most_alike_sentences_explain_a_pair() -> None:
    vague = "By hand the chill room temperature is read every {} or so by somebody, weather permitting, and noted."
    passages = [
        section("a/x", f"{vague.format('3 hours')}\n{TWO}"),
        section("b/y", f"{vague.format('5 hours')}\n{FOUR}"),
    ]
    (one,) = explained(passages, embed([each.content for each in passages]), embed)
    assert one.cosine == pytest.approx(1.0, abs=1e-5)


def test_order_of_the_library_does_not_matter() -> None:
    passages = [section("c/z", PROBE.format("8 hours")), *procedures(), section("a/x", TWO), section("b/y", FOUR)]
    vectors = embed([one.content for one in passages])
    order = np.random.default_rng(5).permutation(len(passages)).tolist()
    assert disagreements(passages, vectors, embed) == disagreements([passages[i] for i in order], vectors[order], embed)


def test_a_library_without_values_embeds_nothing() -> None:
    def never(texts: list[str]) -> NDArray[np.float32]:
        raise AssertionError(texts)

    passages = [section("a/x", "Drive on."), section("b/y", "Stop here.")]
    assert disagreements(passages, embed([one.content for one in passages]), never) == {}
    assert disagreements([], np.empty((0, 48), np.float32), never) == {}


def test_only_sentences_that_may_disagree_are_embedded_and_once() -> None:
    calls: list[list[str]] = []

    def counted(texts: list[str]) -> NDArray[np.float32]:
        calls.append(texts)
        return embed(texts)

    others = [section(f"d{number}/s", f"Part{number} of set{number} weighs {number} kg.") for number in range(3, 30)]
    passages = [section("a/x", TWO), section("b/y", FOUR), *others]
    assert disagreements(passages, embed([one.content for one in passages]), counted)
    assert len(calls) == 1
    assert len(calls[0]) <= 4
    assert len(set(calls[0])) == len(calls[0])


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    passages = [section(f"d{number}/s", PROBE.format(f"{number} hours")) for number in range(2, 12)]
    vectors = embed([one.content for one in passages])
    whole = explained(passages, vectors, embed)
    assert len(whole) == 45
    for size in (1, 3, 10):
        monkeypatch.setattr(conflicts, "BLOCK", size)
        assert explained(passages, vectors, embed) == whole


def test_only_the_nearest_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    passages = [section(f"d{number}/s", PROBE.format(f"{number} hours")) for number in range(2, 12)]
    monkeypatch.setattr(conflicts, "NEIGHBOURS", 1)
    some = explained(passages, embed([one.content for one in passages]), embed)
    assert 5 <= len(some) <= 10


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_embeddings_that_do_not_fit_are_refused(rows: int) -> None:
    with pytest.raises(DataError, match="2 rows were expected"):
        disagreements([section("a/x", TWO), section("b/y", FOUR)], embed(["x"] * rows), embed)


def test_the_sample_of_procedures_agrees_with_itself() -> None:
    passages: Sequence[Passage] = procedures()
    assert disagreements(passages, embed([one.content for one in passages]), embed) == {}
