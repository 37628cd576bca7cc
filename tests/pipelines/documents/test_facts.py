"""What holds of a document, and what of it is refused."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from fleet_manifests import DataClass, DataError
from pipelines.documents import DocumentSource
from pipelines.documents.blocks import Block, Document, Heading, Metadata, Paragraph
from pipelines.documents.facts import Facts, facts_of
from pipelines.documents.register import EMPTY, Register, parse_register

pytestmark = pytest.mark.unit
TEXT = Paragraph(text="text")


def source(**more: Any) -> DocumentSource:
    return DocumentSource.model_validate({"name": "s", "kind": "documents", "path": "d", **more})


def document(*blocks: Block, title: str = "", **stated: str) -> Document:
    return Document(
        metadata=Metadata(stated=stated, properties={"title": title} if title else {}), blocks=blocks or (TEXT,)
    )


def facts(one: Document, *, file: str = "night/wh-1.md", register: Register = EMPTY, **more: Any) -> Facts:
    return facts_of(one, file=file, source=source(**more), register=register)[0]


def h(level: int, text: str) -> Heading:
    return Heading(level=level, text=text)


def test_everything_stated() -> None:
    found = facts(document(
        document="WH-1", title="Receiving", revision="Rev. 6", owner="dock", effective_from="1 March 2026", review_by="2028-12-31",
        site_classes="Warehouse; branch", data_class="Customer",
    ))  # fmt: skip
    assert found == Facts(
        "WH-1",
        "Receiving",
        "6",
        "dock",
        date(2026, 3, 1),
        date(2028, 12, 31),
        ("branch", "warehouse"),
        DataClass.CUSTOMER,
    )


def test_nothing_stated() -> None:
    found = facts(document(), data_class="public", site_classes=("branch",))
    assert found == Facts("wh-1", "wh-1", "", "", None, None, ("branch",), DataClass.PUBLIC, named=False)


@pytest.mark.parametrize(
    ("blocks", "title", "left"),
    [
        ((h(0, "T"), h(1, "A"), TEXT, h(1, "B"), TEXT), "T", 2),
        ((h(1, "Company"), h(0, "T"), h(1, "A"), TEXT), "T", 2),
        ((h(1, "T"), TEXT, h(2, "A"), TEXT), "T", 1),
        ((h(1, "T"), TEXT), "T", 0),
        ((TEXT, h(1, "T"), h(2, "A"), TEXT), "T", 1),
        ((h(1, "A"), TEXT, h(1, "B"), TEXT), "wh-1", 2),
        ((h(2, "A"), TEXT, h(1, "B"), TEXT), "wh-1", 2),
        ((TEXT, h(1, "A"), TEXT), "wh-1", 1),
        ((TEXT,), "wh-1", 0),
    ],
)
def test_a_title_from_the_headings_or_else_the_file(blocks: tuple[Block, ...], title: str, left: int) -> None:
    found, rest, _ = facts_of(document(*blocks), file="night/wh-1.md", source=source())
    assert found.title == title
    assert sum(isinstance(block, Heading) for block in rest) == left


def test_the_stated_title_stands_for_the_heading() -> None:
    blocks = (h(1, "SOP: Receiving of goods"), TEXT, h(2, "A"), TEXT)
    found, rest, _ = facts_of(document(*blocks, title="Receiving"), file="a.md", source=source())
    assert (found.title, [block for block in rest if isinstance(block, Heading)]) == (
        "SOP: Receiving of goods",
        [h(2, "A")],
    )
    stated = Document(metadata=Metadata(stated={"title": "Receiving"}), blocks=blocks)
    found, rest, _ = facts_of(stated, file="a.md", source=source())
    assert (found.title, len(rest)) == ("Receiving", 3)


def test_a_heading_that_repeats_the_stated_title_is_no_section() -> None:
    blocks = (h(1, "receiving  of goods"), TEXT, h(1, "A"), TEXT)
    stated = Document(metadata=Metadata(stated={"title": "Receiving of goods"}), blocks=blocks)
    assert facts_of(stated, file="a.md", source=source())[1] == blocks[1:]


@pytest.mark.parametrize(
    "junk", ["Microsoft Word - wh1_final(2).docx", "untitled", "Document1", "(anonymous)", "wh-1.indd", "Dokument 3"]
)
def test_titles_that_programs_write_are_not_trusted(junk: str) -> None:
    assert facts(document(h(1, "A"), TEXT, h(1, "B"), TEXT, title=junk)).title == "wh-1"


def test_a_title_among_the_properties_is_better_than_a_file_name() -> None:
    assert facts(document(h(1, "A"), TEXT, h(1, "B"), TEXT, title="Receiving")).title == "Receiving"
    assert facts(document(h(1, "T"), TEXT, h(2, "B"), TEXT, title="Receiving")).title == "T"


@pytest.mark.parametrize(
    ("written", "revision"),
    [
        ("6", "6"),
        ("Rev. 6", "6"),
        ("Revision 6", "6"),
        ("v1.10", "1.10"),
        ("Version: 2.1", "2.1"),
        ("R4", "4"),
        ("A", "A"),
        ("rev B", "B"),
        ("2026-03", "2026-03"),
        ("Valid", "Valid"),
        ("rev", "rev"),
    ],
)
def test_revisions(written: str, revision: str) -> None:
    assert facts(document(revision=written)).revision == revision


@pytest.mark.parametrize("written", ["soon", "31.02.2026", "01/03/2026"])
def test_a_date_that_is_none_is_named_and_left_empty(written: str) -> None:
    found, _, problems = facts_of(document(h(1, "T"), TEXT, effective_from=written), file="a.md", source=source())
    assert found.effective_from is None
    (problem,) = problems
    assert problem.startswith("effective_from: ")
    assert written in problem
    assert problem.endswith("the field is left empty")


@pytest.mark.parametrize("written", ["", "-", "n/a", "TBD"])
def test_a_date_that_nobody_wrote_is_no_problem(written: str) -> None:
    assert facts_of(document(h(1, "T"), TEXT, review_by=written), file="a.md", source=source())[2] == ()


def test_no_headings_is_noted() -> None:
    assert facts_of(document(), file="a.md", source=source())[2] == (
        "no headings: its passages stand under its title alone",
    )


@pytest.mark.parametrize("written", ["secret", "Confidential", "internal, customer", "?"])
def test_an_unknown_data_class_is_refused(written: str) -> None:
    with pytest.raises(DataError, match="data_class: expected one of public, internal, .* not taken in"):
        facts(document(data_class=written))


@pytest.mark.parametrize("written", ["Internal", "internal use only", "For internal use", "INTERNAL USE"])
def test_ways_to_write_internal(written: str) -> None:
    assert facts(document(data_class=written), data_class="public").data_class is DataClass.INTERNAL


@pytest.mark.parametrize("written", ["warehouse & branch", "dc/south", "/"])
def test_a_site_class_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(DataError, match="site_classes: expected names such as warehouse, found .* not taken in"):
        facts(document(site_classes=written))


@pytest.mark.parametrize("written", ["all", "All sites", "every site class", "any"])
def test_every_class_of_sites(written: str) -> None:
    assert facts(document(site_classes=written), site_classes=("branch",)).site_classes == ()


@pytest.mark.parametrize("written", ["", " , "])
def test_no_class_of_sites_is_the_default(written: str) -> None:
    assert facts(document(site_classes=written), site_classes=("branch",)).site_classes == ("branch",)


def test_the_register_wins() -> None:
    register = parse_register(
        b"file;document;revision;data_class;site_classes\nnight/wh-1.md;WH-001;7;customer;branch\n", shown="r"
    )
    stated = document(document="X", title="T", revision="6", data_class="nonsense", owner="dock")
    found = facts(stated, register=register)
    assert (found.document, found.revision, found.data_class) == ("WH-001", "7", DataClass.CUSTOMER)
    assert (found.site_classes, found.owner, found.title) == (("branch",), "dock", "T")


def test_the_register_by_document() -> None:
    register = parse_register(b"document,title\nWH-1,Receiving\nX-9,Other\n", shown="r")
    assert facts(document(), register=register).title == "Receiving"
    assert facts(document(document="x-9"), register=register).title == "Other"


def test_a_data_class_that_the_register_gets_wrong_is_refused() -> None:
    with pytest.raises(DataError, match="not taken in"):
        facts(document(), register=parse_register(b"document,data_class\nwh-1,secret\n", shown="r"))
