"""The control block: found at the top, in whatever shape, and nothing else taken for one."""

from __future__ import annotations

import pytest

from pipelines.documents.blocks import Block, Bullet, Heading, Paragraph, Step, TableBlock
from pipelines.documents.readers.labels import field_of, is_labelled, pair_of, pairs_in, table_pairs, take_control

pytestmark = pytest.mark.unit
TITLE = Heading(level=1, text="Receiving")
TEXT = Paragraph(text="This procedure covers receiving.")


@pytest.mark.parametrize(
    ("label", "field"),
    [
        ("Document", "document"),
        ("Doc. No.", "document"),
        ("SOP #", "document"),
        ("document_id", "document"),
        ("Dokument-Nr.", "document"),
        ("REVISION", "revision"),
        ("Rev.", "revision"),
        ("Effective date", "effective_from"),
        ("Gültig ab", "effective_from"),
        ("Next review:", "review_by"),
        ("Process owner", "owner"),
        ("site_classes", "site_classes"),
        ("Classification", "data_class"),
        ("Supplier", None),
        ("", None),
    ],
)
def test_labels(label: str, field: str | None) -> None:
    assert field_of(label) == field


def test_a_pair() -> None:
    assert pair_of("Owner:  Dock \n team ") == ("Owner", "Dock team")
    assert pair_of("no colon here") is None
    assert pair_of("10: not a label") is None
    assert pair_of("a sentence that is far too long to be the label of anything: yes") is None


def test_a_labelled_line() -> None:
    assert is_labelled("Revision: 4")
    assert not is_labelled("Note: 4")


def test_a_table_of_labels_and_values() -> None:
    table = TableBlock(rows=(("Document", "WH-1"), ("Revision", "6"), ("Approved by", "J. Doe")))
    stated, blocks = take_control((TITLE, table, TEXT))
    assert stated == {"document": "WH-1", "revision": "6"}
    assert blocks == (TITLE, TEXT)


@pytest.mark.parametrize(
    "rows",
    [
        (("Document", "WH-1", "Revision", "6"),),
        (("Document", "Revision"), ("WH-1", "6")),
        (("Document: WH-1", "Revision: 6"),),
        (("Document: WH-1 Revision: 6", "ACME"),),
        (("ACME", "Document", "WH-1"), ("", "Revision", "6")),
    ],
)
def test_tables_in_other_shapes(rows: tuple[tuple[str, ...], ...]) -> None:
    assert table_pairs(rows) == {"document": "WH-1", "revision": "6"}


@pytest.mark.parametrize(
    "blocks",
    [
        (Paragraph(text="Document: WH-1\nRevision: 6"),),
        (Paragraph(text="Document: WH-1"), Paragraph(text="Revision: 6")),
        (Paragraph(text="Document: WH-1 | Revision: 6"),),
        (Paragraph(text="Document no.: WH-1 Revision: 6"),),
        (Bullet(text="Document: WH-1"), Bullet(text="Revision: 6")),
        (Paragraph(text="Document: WH-1\nDepartment: dock\nRevision: 6"),),
    ],
)
def test_lines_of_labels_and_values(blocks: tuple[Block, ...]) -> None:
    assert take_control((TITLE, *blocks, TEXT)) == ({"document": "WH-1", "revision": "6"}, (TITLE, TEXT))


def test_two_blocks_below_each_other_are_one() -> None:
    first = TableBlock(rows=(("Document", "WH-1"), ("Revision", "6")))
    second = TableBlock(rows=(("Owner", "dock"), ("Effective from", "2026-01-01")))
    stated, blocks = take_control((first, second, TEXT))
    assert sorted(stated) == ["document", "effective_from", "owner", "revision"]
    assert blocks == (TEXT,)


def test_a_heading_that_names_the_block_goes_with_it() -> None:
    named = Heading(level=2, text="Document control")
    block = TableBlock(rows=(("Document", "WH-1"), ("Revision", "6")))
    assert take_control((TITLE, named, block, TEXT))[1] == (TITLE, TEXT)


@pytest.mark.parametrize(
    "blocks",
    [
        (Paragraph(text="Owner: the dock"), TEXT),
        (Paragraph(text="Note: see below. Warning: hot."), TEXT),
        (TableBlock(rows=(("Revision", "Date", "Author"), ("1", "2020", "A"), ("2", "2021", "B"))), TEXT),
        (Step(marker="1.", text="Document: write it. Revision: read it."), TEXT),
        (Paragraph(text="The document: it is long. Revision follows."), TEXT),
        (),
    ],
)
def test_what_is_no_control_block(blocks: tuple[Block, ...]) -> None:
    assert take_control(blocks) == ({}, blocks)


def test_a_list_of_related_documents_is_text() -> None:
    related = TableBlock(rows=(("Document", "Title", "Revision"), ("WH-2", "Putaway", "3")))
    blocks = (TITLE, TEXT, Heading(level=2, text="Related documents"), related)
    assert take_control(blocks) == ({}, blocks)
    assert take_control((TITLE, related, TEXT))[0] == {"document": "WH-2", "title": "Putaway", "revision": "3"}


def test_a_block_far_down_is_text() -> None:
    block = TableBlock(rows=(("Document", "WH-1"), ("Revision", "6")))
    blocks = (TITLE, *[Heading(level=2, text=f"Section {n}") for n in range(3)], block)
    assert take_control(blocks) == ({}, blocks)


def test_an_empty_value_is_none() -> None:
    assert table_pairs((("Document", "WH-1"), ("Owner", ""), ("Revision", "6"))) == {
        "document": "WH-1",
        "revision": "6",
    }


def test_a_page_header_needs_one_pair_only() -> None:
    assert pairs_in(["ACME Distribution", "Classification: customer"]) == {"data_class": "customer"}
    assert pairs_in(["WH-017   Rev.: 4   Page 1 of 3"]) == {"revision": "4"}
