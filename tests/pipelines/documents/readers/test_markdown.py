"""Markdown: front matter, structure, and words without markup."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

import pytest

from fleet_manifests import DataError
from pipelines.documents.blocks import Document, words_of
from pipelines.documents.readers import read

pytestmark = pytest.mark.unit


def markdown(text: str) -> Document:
    return read(dedent(text).encode(), "md")


def test_front_matter_and_structure(shown: Callable[[Document], list[str]]) -> None:
    document = markdown(
        """\
        ---
        document: WH-001
        title: Receiving
        revision: 1.10
        effective_from: 2025-02-03
        site_classes: [warehouse, branch]
        owner: ~
        format: docx
        ---

        # Receiving

        Some **bold** text with a [link](https://example.org), `code`, ~~old~~ and
        a soft break.

        ## Steps

        1. Open.
        2. Look:

           ![the seal](seal.png) must be whole.

           - red
           - green
        3. Sign.

        | Item | Limit |
        |---|---|
        | A \\| B | 5 kg |

        > [!WARNING]
        > Hot.
        """
    )
    assert document.metadata.stated == {
        "document": "WH-001",
        "title": "Receiving",
        "revision": "1.10",
        "effective_from": "2025-02-03",
        "site_classes": "warehouse, branch",
    }
    assert shown(document) == [
        "# Receiving",
        "Some bold text with a link, code, old and a soft break.",
        "## Steps",
        "1. Open.",
        "2. Look:",
        "  the seal must be whole.",
        "  - red",
        "  - green",
        "3. Sign.",
        "Item | Limit / A | B | 5 kg",
        "Warning: Hot.",
    ]
    assert document.pages is None


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("1. a\n1. b\n1. c\n", ["1. a", "2. b", "3. c"]),
        ("7. a\n8. b\n", ["7. a", "8. b"]),
        ("1) a\n2) b\n", ["1) a", "2) b"]),
        ("1. a\n\ntext\n\n2. b\n", ["1. a", "text", "2. b"]),
        ("- a\n  1. b\n     - c\n", ["- a", "  1. b", "    - c"]),
        ("1. # not a heading\n", ["1. not a heading"]),
        ("1.\n2. b\n", ["2. b"]),
        ("1. a\n\n   | x | y |\n   |---|---|\n   | 1 | 2 |\n", ["1. a", "  x | y / 1 | 2"]),
        ("a) one\n\nb) two\n", ["a) one", "b) two"]),
        ("# A\n\n```\nx = 1\ny = 2\n```\n", ["# A", "x = 1\ny = 2"]),
        ("a<br>b  \nc\n", ["a\nb\nc"]),
        ("<!-- hidden --><div>shown <b>it</b></div>\n", ["shown it"]),
        ("<script>alert(1)</script>\n\ntext\n", ["text"]),
        ("5 \\* 3 and a\\_b &amp; c\n", ["5 * 3 and a_b & c"]),
    ],
)
def test_blocks(text: str, lines: list[str], shown: Callable[[Document], list[str]]) -> None:
    assert shown(markdown(text)) == lines


def test_a_control_block_without_front_matter(shown: Callable[[Document], list[str]]) -> None:
    document = markdown("# Putaway\n\n**Document:** WH-4  \n**Revision:** 7\n\nText.\n")
    assert document.metadata.stated == {"document": "WH-4", "revision": "7"}
    assert shown(document) == ["# Putaway", "Text."]


def test_front_matter_wins_over_a_control_block() -> None:
    document = markdown("---\nrevision: 8\n---\n\n| Document | WH-4 |\n|---|---|\n| Revision | 7 |\n\nText.\n")
    assert document.metadata.stated == {"document": "WH-4", "revision": "8"}


def test_labels_of_front_matter_may_be_those_of_people() -> None:
    assert markdown("---\nEffective date: 1 March 2026\nDoc-No: X-1\n---\ntext\n").metadata.stated == {
        "effective_from": "1 March 2026",
        "document": "X-1",
    }


@pytest.mark.parametrize("text", ["---\n\ntext\n\n---\n\nmore\n", "---\n- a\n- b\n---\n\ntext\n"])
def test_a_rule_is_no_front_matter(text: str) -> None:
    assert markdown(text).metadata.stated == {}
    assert words_of(markdown(text).blocks) > 0


def test_front_matter_that_is_not_yaml_is_refused_with_its_line() -> None:
    with pytest.raises(DataError, match="line 3: front matter: not YAML"):
        markdown("---\ndocument: X\ntitle: Receiving: part 2\n---\n\ntext\n")


def test_windows_line_ends_and_a_byte_order_mark(shown: Callable[[Document], list[str]]) -> None:
    document = read("\ufeff---\r\ndocument: X\r\n---\r\n# A\r\n\r\ntext\r\n".encode(), "md")
    assert document.metadata.stated == {"document": "X"}
    assert shown(document) == ["# A", "text"]


def test_an_empty_file() -> None:
    with pytest.raises(DataError, match="empty"):
        read(b"\n", "md")
