"""Documents divided into passages."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest

from fleet_manifests import DataClass, Passage
from pipelines.documents.blocks import Block, Bullet, Heading, Paragraph, Step, TableBlock
from pipelines.documents.facts import Facts
from pipelines.documents.markup import count_words
from pipelines.documents.split import slug, split

pytestmark = pytest.mark.unit
FACTS = Facts("WH-1", "Receiving", "6", "dock", date(2026, 1, 1), date(2028, 1, 1), ("branch",), DataClass.CUSTOMER)


def h(level: int, text: str) -> Heading:
    return Heading(level=level, text=text)


def p(words: int = 3, name: str = "w", **more: Any) -> Paragraph:
    return Paragraph(text=" ".join([name] * words) + ".", **more)


def steps(count: int, words: int = 9) -> list[Block]:
    """Steps of so many words each, their number among them."""
    return [Step(marker=f"{n}.", text=" ".join(["step"] * (words - 1))) for n in range(1, count + 1)]


def parts(*blocks: Block, max_words: int = 100) -> tuple[Passage, ...]:
    return split(blocks, FACTS, max_words=max_words)


def test_a_passage_has_all_that_a_citation_needs() -> None:
    (passage,) = parts(h(1, "Scope"), Paragraph(text="Text.", page=3))
    assert passage == Passage(
        id="wh-1/scope", document="WH-1", title="Receiving", revision="6", section=("Scope",), page=3, owner="dock",
        effective_from=date(2026, 1, 1), review_by=date(2028, 1, 1), site_classes=("branch",), data_class=DataClass.CUSTOMER,
        text="Text.",
    )  # fmt: skip


def test_sections_by_headings() -> None:
    found = parts(p(), h(1, "A"), p(), h(2, "B"), p(), h(3, "C"), p(), h(2, "D"), p(), h(1, "E"), p())
    assert [passage.section for passage in found] == [(), ("A",), ("A", "B"), ("A", "B", "C"), ("A", "D"), ("E",)]
    assert [passage.id for passage in found] == ["wh-1/receiving", "wh-1/a", "wh-1/b", "wh-1/c", "wh-1/d", "wh-1/e"]


def test_levels_that_are_left_out() -> None:
    assert [one.section for one in parts(h(1, "A"), h(4, "B"), p(), h(3, "C"), p())] == [("A", "B"), ("A", "C")]


def test_a_heading_without_text_is_only_in_the_paths_below_it() -> None:
    found = parts(h(1, "Scope"), h(2, "At night"), p(), h(1, "Empty"))
    assert [(passage.id, passage.section) for passage in found] == [("wh-1/at-night", ("Scope", "At night"))]


def test_without_headings_everything_stands_under_the_title() -> None:
    (passage,) = parts(p(), p())
    assert (passage.section, passage.heading) == ((), "Receiving")


def test_nothing_but_headings_gives_nothing() -> None:
    assert parts(h(1, "A"), h(2, "B")) == ()
    assert parts() == ()


def test_a_procedure_that_fits_is_kept_whole() -> None:
    first, second = parts(h(1, "A"), p(60), *steps(9))
    assert count_words(first.text) == 60
    assert second.text.count("\n") == 8


def test_a_long_procedure_is_cut_between_steps() -> None:
    found = parts(h(1, "A"), *steps(30), max_words=100)
    assert [passage.section for passage in found] == [("A",), ("A (part 2)",), ("A (part 3)",)]
    assert [passage.id for passage in found] == ["wh-1/a", "wh-1/a-2", "wh-1/a-3"]
    assert all(count_words(passage.text) <= 100 for passage in found)
    markers = re.findall(r"^(\d+)\. ", "\n".join(passage.text for passage in found), re.MULTILINE)
    assert markers == [str(n) for n in range(1, 31)]


def test_parts_are_about_equally_long() -> None:
    sizes = [count_words(passage.text) for passage in parts(*steps(12), max_words=100)]
    assert sum(sizes) == 108
    assert max(sizes) - min(sizes) <= 10


def test_a_step_is_never_cut() -> None:
    found = parts(Step(marker="1.", text="word " * 150), *steps(2), max_words=100)
    assert count_words(found[0].text) == 151


def test_what_belongs_to_a_step_stays_with_it() -> None:
    blocks = [
        *steps(8),
        Bullet(text="inner " * 20, depth=1),
        *[Step(marker=f"{n}.", text="x " * 8) for n in (9, 10, 11)],
    ]
    found = parts(*blocks, max_words=60)
    (holder,) = [passage for passage in found if "inner" in passage.text]
    assert "8. step" in holder.text


def test_an_introduction_stays_with_its_procedure() -> None:
    lead = Paragraph(text="Then do this:")
    found = parts(h(1, "A"), p(40), lead, *steps(7), max_words=80)
    assert [passage.text.startswith("Then do this:") for passage in found] == [False, True]
    assert "7. step" in found[1].text


def test_an_introduction_stays_with_a_procedure_that_just_fits() -> None:
    (passage,) = parts(h(1, "A"), Paragraph(text="Then do this, all of it, in this order:"), *steps(9), max_words=81)
    assert count_words(passage.text) == 90


def test_an_introduction_stays_with_the_first_steps_of_a_long_procedure() -> None:
    found = parts(h(1, "A"), Paragraph(text="Then do this:"), *steps(30), max_words=100)
    assert found[0].text.startswith("Then do this:\n\n1. step")
    assert all(count_words(passage.text) <= 100 for passage in found)


def test_a_long_table_repeats_its_header() -> None:
    rows = (("Item", "Limit"), *((f"I-{n}", "5 kg of it") for n in range(60)))
    found = parts(h(1, "A"), p(5), TableBlock(rows=rows), max_words=100)
    assert len(found) > 2
    assert all("| Item | Limit |\n| --- | --- |\n| I-" in passage.text for passage in found)
    assert re.findall(r"I-(\d+)", "".join(passage.text for passage in found)) == [str(n) for n in range(60)]
    assert all(count_words(passage.text) <= 100 for passage in found)


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    text = " ".join(f"Sentence number {n} says it again." for n in range(40))
    found = parts(Paragraph(text=text), max_words=100)
    assert [passage.section for passage in found] == [(), ("Receiving (part 2)",), ("Receiving (part 3)",)]
    assert " ".join(passage.text for passage in found) == text


def test_nothing_is_lost_or_said_twice() -> None:
    blocks = [h(1, "A"), p(70), *steps(20), p(70), Bullet(text="dot " * 30), Bullet(text="dot " * 90), p(130)]
    joined = " ".join(passage.text for passage in parts(*blocks, max_words=100))
    assert joined.split() == " ".join(
        f"{block.marker} {block.text}" if isinstance(block, Step) else f"- {block.text}" if isinstance(block, Bullet) else block.text
        for block in blocks if isinstance(block, Step | Bullet | Paragraph)
    ).split()  # fmt: skip


def test_pages_of_parts() -> None:
    found = parts(*[Step(marker=f"{n}.", text="x " * 20, page=1 + n // 4) for n in range(1, 9)], max_words=60)
    assert [passage.page for passage in found] == [1, 1, 2, 2]


def test_ids_are_unique_and_the_first_of_equal_headings_keeps_the_short_one() -> None:
    found = parts(
        h(1, "In"), p(), h(2, "Steps"), p(), h(1, "Out"), p(), h(2, "Steps"), p(), h(1, "Steps"), p(), h(1, "In"), p()
    )
    assert [passage.id.removeprefix("wh-1/") for passage in found] == [
        "in",
        "steps",
        "out",
        "out/steps",
        "steps~2",
        "in~2",
    ]


def test_an_id_does_not_change_when_sections_are_renumbered_or_added() -> None:
    before = parts(h(1, "1. Scope"), p(), h(1, "2 Rules"), p(), h(2, "2.1 Gloves"), p())
    after = parts(h(1, "1. Purpose"), p(), h(1, "2. Scope"), p(), h(1, "3 Rules"), p(), h(2, "3.1 Gloves"), p())
    assert {passage.id for passage in before} < {passage.id for passage in after}


def test_parts_never_take_the_id_of_a_heading() -> None:
    found = parts(h(1, "A 2"), p(), h(1, "A"), *steps(30), h(1, "A 3"), p(), max_words=100)
    assert len({passage.id for passage in found}) == len(found)


def test_ids_are_short_enough() -> None:
    facts = Facts("D" * 400, "T", "", "", None, None, (), DataClass.INTERNAL)
    found = split([h(1, "x" * 400), p(), h(2, "y" * 400), p(), h(2, "y" * 400), p()], facts, max_words=100)
    assert len({passage.id for passage in found}) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("When no location is offered", "when-no-location-is-offered"),
        ("Größe & Gewicht", "grösse-gewicht"),
        ("受入検査", "受入検査"),
        ("a_b__c", "a-b-c"),
        ("--", ""),
        ("5 °C", "5-c"),
    ],
)
def test_slugs(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_headings_and_documents_without_a_letter_still_have_ids() -> None:
    facts = Facts("***", "***", "", "", None, None, (), DataClass.INTERNAL)
    assert [one.id for one in split([p(), h(1, "1."), p(), h(1, "!!!"), p()], facts, max_words=100)] == [
        "document/section", "document/1", "document/section~2",
    ]  # fmt: skip
