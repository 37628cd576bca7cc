from __future__ import annotations

import io
import zipfile
from typing import Any

import docx
import pytest
from docx.oxml.ns import qn

from sample.rendering import render

pytestmark = pytest.mark.unit


def opened(markdown: str) -> Any:
    return docx.Document(io.BytesIO(render(markdown, "docx")))


def numbering(paragraph: Any) -> tuple[int, int]:
    """Level and number of the list that a paragraph is an item of."""
    found = paragraph._p.pPr.numPr
    return int(found.ilvl.val), int(found.numId.val)


def definition(document: Any, number: int) -> tuple[Any, dict[int, int]]:
    """What a list looks like, and where its levels start."""
    root = document.part.numbering_part.element
    num = next(one for one in root.findall(qn("w:num")) if one.numId == number)
    abstract = next(
        one for one in root.findall(qn("w:abstractNum")) if int(one.get(qn("w:abstractNumId"))) == num.abstractNumId.val
    )
    starts = {
        int(one.get(qn("w:ilvl"))): int(one.find(qn("w:startOverride")).get(qn("w:val")))
        for one in num.findall(qn("w:lvlOverride"))
    }
    return abstract, starts


def form(abstract: Any, level: int) -> tuple[str, str]:
    found = abstract.findall(qn("w:lvl"))[level]
    return found.find(qn("w:numFmt")).get(qn("w:val")), found.find(qn("w:lvlText")).get(qn("w:val"))


def test_title_and_headings_have_the_built_in_styles(procedure: str) -> None:
    styled = [
        (p.style.name, p.text) for p in opened(procedure).paragraphs if p.style.name.startswith(("Title", "Head"))
    ]
    assert styled == [
        ("Title", "Putaway of palletised goods"), ("Heading 1", "Before you start"),
        ("Heading 1", "Putting a pallet away"), ("Heading 2", "When the location is occupied"),
    ]  # fmt: skip


def test_each_list_is_numbered_by_word_and_starts_again(procedure: str) -> None:
    document = opened(procedure)
    steps = [p for p in document.paragraphs if p.style.name.startswith("List Number")]
    lists = [numbering(paragraph) for paragraph in steps]
    assert [level for level, _ in lists] == [1, 1, 0, 0, 0, 0, 0]
    assert [len({*numbers}) for numbers in (lists[:2], lists[2:4], lists[4:])] == [1, 1, 1]
    assert len({number for _, number in lists}) == 3
    for level, number in set(lists):
        abstract, starts = definition(document, number)
        assert starts == {level: 1}
        assert form(abstract, 0) == ("decimal", "%1.") and form(abstract, 1) == ("lowerLetter", "%2)")
    assert not any(paragraph.text.lstrip()[:1].isdigit() for paragraph in steps), "the number is not part of the text"


def test_a_list_starts_where_it_says() -> None:
    document = opened("3. c\n4. d\n")
    assert definition(document, numbering(document.paragraphs[0])[1])[1] == {0: 3}


def test_bullets_are_bullets(procedure: str) -> None:
    document = opened(procedure)
    bullets = [p for p in document.paragraphs if p.style.name == "List Bullet"]
    assert [p.text for p in bullets] == ["Wear boots.", "Check the truck:"]
    abstract, starts = definition(document, numbering(bullets[0])[1])
    assert form(abstract, 0) == ("bullet", "•") and starts == {}


def test_definitions_come_before_the_lists_that_use_them(procedure: str) -> None:
    tags = [one.tag for one in opened(procedure).part.numbering_part.element]
    assert tags.index(qn("w:num")) > max(at for at, tag in enumerate(tags) if tag == qn("w:abstractNum"))


def test_what_belongs_to_an_item_stays_with_it() -> None:
    document = opened("1. a\n\n   more of a\n\n   ```\n   code\n   ```\n2. b\n")
    assert [(p.style.name, p.text) for p in document.paragraphs] == [
        ("List Number", "a"), ("List Continue", "more of a"), ("List Continue", "code"), ("List Number", "b"),
    ]  # fmt: skip
    first, last = numbering(document.paragraphs[0]), numbering(document.paragraphs[3])
    assert first == last


def test_the_control_block_comes_first_and_tables_are_ruled(procedure: str) -> None:
    document = opened(procedure)
    control, table = document.tables
    assert [[cell.text for cell in row.cells] for row in control.rows][:2] == [
        ["Document", "WH-017"],
        ["Revision", "4"],
    ]
    assert len(control.rows) == 7
    assert control.style.name == table.style.name == "Table Grid"
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["Code", "Meaning"], ["A1", "Full location"], ["B2", "Wrong | other"],
    ]  # fmt: skip
    body = [child.tag for child in document.element.body]
    assert body.index(qn("w:tbl")) == 1, "right below the title"
    assert table.rows[0]._tr.trPr.find(qn("w:tblHeader")) is not None


def test_bold_is_bold(procedure: str) -> None:
    document = opened(procedure)
    (paragraph,) = (p for p in document.paragraphs if p.text.startswith("From the dock"))
    assert [(run.text, run.style.name == "Strong") for run in paragraph.runs] == [
        ("From the dock to the rack at 5 °C & below, ", False), ("never", True), (" by hand.", False),
    ]  # fmt: skip


def test_header_footer_and_paper(procedure: str) -> None:
    section = opened(procedure).sections[0]
    assert (round(section.page_width.mm), round(section.page_height.mm)) == (210, 297)
    assert section.header.paragraphs[0].text == "Putaway of palletised goods\t\tWH-017"
    footer = section.footer.paragraphs[0]
    assert footer.text.startswith("Revision 4\t\tPage ")
    fields = [one.get(qn("w:instr")) for one in footer._p.findall(qn("w:fldSimple"))]
    assert fields == ["PAGE", "NUMPAGES"]


def test_properties(procedure: str) -> None:
    properties = opened(procedure).core_properties
    assert (properties.title, properties.subject, properties.author, properties.version, properties.category) == (
        "Putaway of palletised goods", "WH-017", "Inbound supervisor", "4", "internal",
    )  # fmt: skip
    assert properties.created.isoformat().startswith("2025-03-01")
    assert opened("text").core_properties.created.year == 2000


def test_foreign_text_has_no_control_block() -> None:
    document = opened("# a\n\ntext\n")
    assert document.tables == []
    assert [p.text for p in document.paragraphs] == ["a", "text"]
    assert document.core_properties.title == "a"


def test_the_archive_has_no_time_of_its_own(procedure: str) -> None:
    with zipfile.ZipFile(io.BytesIO(render(procedure, "docx"))) as archive:
        assert archive.testzip() is None
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist()[0] == "[Content_Types].xml"
