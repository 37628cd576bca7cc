"""What readers yield survives the pipe and the cache."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fleet_manifests import dump, parse
from pipelines.documents.blocks import (
    Bullet,
    Document,
    Heading,
    Metadata,
    Paragraph,
    Step,
    TableBlock,
    texts_of,
    words_of,
)
from pipelines.documents.readers import LIBRARIES, READERS, SUFFIXES, read

pytestmark = pytest.mark.unit
BLOCKS = (
    Heading(level=0, text="Title"),
    Heading(level=3, text="Scope", page=1),
    Paragraph(text="One.\nTwo.", depth=1, page=2),
    Step(marker="2.1", text="Open.", depth=2),
    Bullet(text="red"),
    TableBlock(rows=(("Item", "Limit"), ("A-1", "5 kg")), page=7),
)


def test_a_document_is_what_it_was() -> None:
    document = Document(
        metadata=Metadata(stated={"document": "WH-1"}, properties={"title": "x"}),
        blocks=BLOCKS,
        pages=7,
        notes=("a note",),
    )
    assert parse(Document, dump(document)) == document
    assert Document.model_validate_json(document.model_dump_json()) == document


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_are_frozen(block: Any) -> None:
    with pytest.raises(ValidationError):
        block.page = 9


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Heading, {"level": -1, "text": "x"}),
        (Paragraph, {"text": "x", "depth": -1}),
        (Step, {"text": "x"}),
        (Bullet, {"text": "x", "page": 0}),
        (Document, {"blocks": [{"kind": "picture", "text": "x"}]}),
        (Document, {"pages": -1}),
    ],
)
def test_what_is_no_block(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(wrong)


def test_texts_and_words() -> None:
    assert texts_of(BLOCKS[-1]) == ("Item", "Limit", "A-1", "5 kg")
    assert texts_of(BLOCKS[2]) == ("One.\nTwo.",)
    assert words_of(BLOCKS) == 1 + 1 + 2 + 1 + 1 + 5


def test_every_suffix_has_a_reader_and_every_library_is_installed() -> None:
    from importlib.metadata import version

    assert set(SUFFIXES.values()) == set(READERS)
    assert all(version(name) for name in LIBRARIES)


def test_the_example_of_the_readers() -> None:
    assert read(b"# Receiving\n\n1. Open the receipt.\n", "md").blocks[1] == Step(marker="1.", text="Open the receipt.")
    with pytest.raises(KeyError):
        read(b"x", "odt")
