"""Lists that were typed by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipelines.documents.blocks import Block, Document, Heading, Paragraph, Step
from pipelines.documents.readers.typed import with_typed_items

pytestmark = pytest.mark.unit


def paragraphs(*texts: str) -> list[Block]:
    return [Heading(level=1, text=text[2:]) if text.startswith("# ") else Paragraph(text=text) for text in texts]


@pytest.mark.parametrize(
    ("texts", "lines"),
    [
        (["1. one", "2. two", "3. three"], ["1. one", "2. two", "3. three"]),
        (["1) one", "a) in it", "b) too", "2) two"], ["1) one", "  a) in it", "  b) too", "2) two"]),
        (["1. one", "a note", "2. two"], ["1. one", "a note", "2. two"]),
        (["1. one", "1.1 deeper", "1.2 deeper", "2. two"], ["1. one", "  1.1 deeper", "  1.2 deeper", "2. two"]),
        (["• one", "text"], ["- one", "text"]),
        (["- one", "- two"], ["- one", "- two"]),
        (["Take:", "- gloves"], ["Take:", "- gloves"]),
        (["1. one\n2. two\n3. three"], ["1. one", "2. two", "3. three"]),
        (
            ["1. one", "2. two", "# Next", "1. again", "2. again"],
            ["1. one", "2. two", "# Next", "1. again", "2. again"],
        ),
    ],
)
def test_items(texts: list[str], lines: list[str], shown: Callable[[Document], list[str]]) -> None:
    found = with_typed_items(paragraphs(*texts))
    assert shown(Document(blocks=found)) == lines
    assert sum(isinstance(block, Paragraph) for block in found) == sum(
        line in ("a note", "text", "Take:") for line in lines
    )


@pytest.mark.parametrize(
    "texts",
    [
        ["1. is a number that stands alone", "and nothing counts on"],
        ["- 5 degrees is cold", "as everyone knows"],
        ["2. two", "3. three"],
        ["12.5 kg is the limit", "13.5 kg is too much"],
        ["A. Smith signs", "B. Jones too"],
    ],
)
def test_what_stays_text(texts: list[str]) -> None:
    assert with_typed_items(paragraphs(*texts)) == tuple(paragraphs(*texts))


def test_real_steps_and_indented_text_are_left_alone() -> None:
    blocks = (Step(marker="1.", text="1. one"), Paragraph(text="1. deep", depth=1), Paragraph(text="2. deep", depth=1))
    assert with_typed_items(blocks) == blocks


def test_pages_are_kept() -> None:
    first, second = with_typed_items([Paragraph(text="1. one\n2. two", page=3)])
    assert (first.page, second.page) == (3, 3)
