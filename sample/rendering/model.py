"""A text between reading and rendering: what every format can show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

CONTROL = {
    "document": "Document",
    "revision": "Revision",
    "owner": "Owner",
    "effective_from": "Effective from",
    "review_by": "Review by",
    "site_classes": "Site classes",
    "data_class": "Data class",
}
"""Keys of the front matter that a control block shows, and how it calls them."""


@dataclass(frozen=True)
class Run:
    """Words of one weight; a line break is a newline."""

    text: str
    bold: bool = False


Spans: TypeAlias = tuple[Run, ...]


@dataclass(frozen=True)
class Heading:
    """A heading below the title; level 1 is the highest."""

    level: int
    spans: Spans


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; notes, quotations and code are plain ones too."""

    spans: Spans


@dataclass(frozen=True)
class Listing:
    """A list: numbered from `start`, or bulleted."""

    ordered: bool
    start: int
    items: tuple[tuple[Block, ...], ...]


@dataclass(frozen=True)
class Table:
    """A table; every row has as many cells as the header."""

    header: tuple[Spans, ...]
    rows: tuple[tuple[Spans, ...], ...]


Block: TypeAlias = "Heading | Paragraph | Listing | Table"


@dataclass(frozen=True)
class Text:
    """A whole text. `title` is empty where it has none; `front` is the front matter as words."""

    title: str
    front: Mapping[str, str]
    blocks: tuple[Block, ...]

    @property
    def control(self) -> tuple[tuple[str, str], ...]:
        """The rows of the control block; none without front matter."""
        return tuple((label, self.front[key]) for key, label in CONTROL.items() if self.front.get(key))

    def field(self, key: str) -> str:
        """A value of the front matter, empty where it is not given."""
        return self.front.get(key, "")

    @property
    def characters(self) -> frozenset[str]:
        """Every character that is shown."""
        shown = [self.title, *self.front.values(), *(run.text for spans in _all(self.blocks) for run in spans)]
        return frozenset("".join(shown))


def _all(blocks: tuple[Block, ...]) -> list[Spans]:
    found: list[Spans] = []
    for block in blocks:
        if isinstance(block, Listing):
            found += [spans for item in block.items for spans in _all(item)]
        elif isinstance(block, Table):
            found += [*block.header, *(cell for row in block.rows for cell in row)]
        else:
            found.append(block.spans)
    return found


def plain(spans: Spans) -> str:
    """The words without their weight, on one line."""
    return " ".join("".join(run.text for run in spans).split())
