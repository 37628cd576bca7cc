"""What every reader yields: the blocks of a document in reading order, and what the file says about itself."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from fleet_manifests import Wire

Page = Annotated[int, Field(ge=1)] | None
"""The page on which a block begins; None where the format has no pages."""
Depth = Annotated[int, Field(ge=0)]
"""How many list items a block is inside."""


class Heading(Wire):
    """A heading. Level 0 is a document title, 1 the highest heading."""

    kind: Literal["heading"] = "heading"
    level: Annotated[int, Field(ge=0)]
    text: str
    page: Page = None


class Paragraph(Wire):
    """Running text; a newline is a line break that the author made."""

    kind: Literal["paragraph"] = "paragraph"
    text: str
    depth: Depth = 0
    page: Page = None


class Step(Wire):
    """An item of a numbered list, with the number that a reader of the document sees: `3.`, `b)`, `2.1`."""

    kind: Literal["step"] = "step"
    marker: str
    text: str
    depth: Depth = 0
    page: Page = None


class Bullet(Wire):
    """An item of a list without numbers."""

    kind: Literal["bullet"] = "bullet"
    text: str
    depth: Depth = 0
    page: Page = None


class TableBlock(Wire):
    """A table; the first row is its header, and every row has as many cells."""

    kind: Literal["table"] = "table"
    rows: tuple[tuple[str, ...], ...]
    depth: Depth = 0
    page: Page = None


Content: TypeAlias = Paragraph | Step | Bullet | TableBlock
"""Everything but headings."""
Block: TypeAlias = Annotated[Heading | Paragraph | Step | Bullet | TableBlock, Field(discriminator="kind")]


class Metadata(Wire):
    """What a file says about itself, as it is written there."""

    stated: dict[str, str] = {}
    """By field of a passage: what front matter, a control block or a page header says of the document."""
    properties: dict[str, str] = {}
    """By lower-case name: what a program wrote into the file (core properties, PDF information, `<title>`)."""


class Document(Wire):
    """A file, read."""

    metadata: Metadata = Metadata()
    blocks: tuple[Block, ...] = ()
    pages: Annotated[int, Field(ge=0)] | None = None
    notes: tuple[str, ...] = ()
    """What a person should know about how it was read, a line each."""


def words_of(blocks: tuple[Block, ...]) -> int:
    """The number of words in all blocks."""
    return sum(len(text.split()) for block in blocks for text in texts_of(block))


def texts_of(block: Block) -> tuple[str, ...]:
    """The texts of a block, cell by cell for a table."""
    if isinstance(block, TableBlock):
        return tuple(cell for row in block.rows for cell in row)
    return (block.text,)
