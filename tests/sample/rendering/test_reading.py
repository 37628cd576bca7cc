from __future__ import annotations

import pytest

from fleet_manifests.errors import DataError
from sample.rendering.model import Block, Heading, Listing, Paragraph, Run, Table, plain
from sample.rendering.reading import read, split_front

pytestmark = pytest.mark.unit


def words(*said: str) -> tuple[Run, ...]:
    return tuple(Run(one.strip("*"), bold=one.startswith("*")) for one in said)


def only(markdown: str) -> Block:
    (block,) = read(markdown).blocks
    return block


def test_a_procedure_is_read_whole(procedure: str) -> None:
    text = read(procedure)
    assert text.title == "Putaway of palletised goods"
    assert dict(text.control) == {
        "Document": "WH-017", "Revision": "4", "Owner": "Inbound supervisor", "Effective from": "2025-03-01",
        "Review by": "2029-03-01", "Site classes": "warehouse, branch", "Data class": "internal",
    }  # fmt: skip
    headings = [(block.level, plain(block.spans)) for block in text.blocks if isinstance(block, Heading)]
    assert headings == [(1, "Before you start"), (1, "Putting a pallet away"), (2, "When the location is occupied")]
    lists = [block for block in text.blocks if isinstance(block, Listing)]
    assert [(block.ordered, len(block.items)) for block in lists] == [(False, 2), (True, 2), (True, 3)]
    inner = lists[0].items[1][1]
    assert isinstance(inner, Listing) and inner.ordered and inner.items[1] == (Paragraph(words("horn")),)
    (table,) = (block for block in text.blocks if isinstance(block, Table))
    assert table.header == (words("Code"), words("Meaning"))
    assert table.rows == ((words("A1"), words("*Full", " location")), (words("B2"), words("Wrong | other")))


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("a **b** c", words("a ", "*b", " c")),
        ("**a _b_ c**", words("*a b c")),
        ("[a **b**](http://x.example) ![c](d.png)", words("a ", "*b", " c")),
        ("a `b` ~~c~~ <i>d</i>", words("a b c d")),
        ("a\nb  \nc<br/>d", words("a b\nc\nd")),
        ("> [!IMPORTANT]\n> Do **it**", words("Important: Do ", "*it")),
        ("```\na\n  b\n```", words("a\n  b")),
        ("&amp; \\* &lt;", words("& * <")),
        ("a\u00a0b\u200bc\x01d", words("a\u00a0b\u200bcd")),
    ],
)
def test_what_a_paragraph_says(markdown: str, expected: tuple[Run, ...]) -> None:
    assert only(markdown) == Paragraph(expected)


def test_html_is_given_by_its_words() -> None:
    assert only("<div>x &amp; <b>y</b><br>z</div>") == Paragraph(words("x &  y \nz"))
    assert read("<!-- nothing -->\n").blocks == ()


@pytest.mark.parametrize(
    ("markdown", "title", "levels"),
    [
        ("# a\n\n## b\n\n### c", "a", [1, 2]),
        ("# a\n\ntext\n\n# b", "", [1, 1]),
        ("## a\n\n### b", "", [2, 3]),
        ("text\n\n# a", "", [1]),
        ("---\ntitle: t\n---\n## a", "t", [2]),
        ("---\ntitle: t\n---\n# a\n\n## b", "a", [1]),
        ("# a\n\n###### b", "a", [5]),
        ("#\n\ntext", "", []),
    ],
)
def test_only_a_lone_first_heading_is_the_title(markdown: str, title: str, levels: list[int]) -> None:
    text = read(markdown)
    assert text.title == title
    assert [block.level for block in text.blocks if isinstance(block, Heading)] == levels


def test_a_list_starts_where_it_says() -> None:
    block = only("7. a\n8. b")
    assert isinstance(block, Listing) and block.start == 7


def test_front_matter_is_optional_and_its_values_are_words() -> None:
    assert split_front("no front") == ({}, "no front")
    front, rest = split_front("---\na: 2025-01-02\nb: [x, 3]\nc:\nd: true\n---\nrest")
    assert front == {"a": "2025-01-02", "b": "x, 3", "c": "", "d": "True"} and rest == "rest"
    assert read("\ufeff---\r\ntitle: t\r\n---\r\ntext\r\n").title == "t"


def test_a_rule_is_not_front_matter() -> None:
    assert split_front("---\nfoo\n---\nbar") == ({}, "---\nfoo\n---\nbar")
    assert split_front("---\ntitle: never closed\n") == ({}, "---\ntitle: never closed\n")


def test_broken_front_matter_is_said_with_its_line() -> None:
    with pytest.raises(DataError, match="front matter: line 3: expected YAML"):
        read("---\ntitle: x\nowner: [a, b\n---\n# x\n")


def test_a_control_block_has_only_what_is_known() -> None:
    assert read("---\nrevision: 2\ncolour: red\nowner:\n---\n# x").control == (("Revision", "2"),)
    assert read("# x").control == ()


def test_every_shown_character_is_known() -> None:
    text = read("---\nowner: é\n---\n# ü\n\n|a|\n|-|\n|→|\n\n- ≤\n  - ×\n")
    assert set("éü→≤×") <= text.characters
