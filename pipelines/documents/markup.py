"""Blocks as Markdown: what a passage says, in pieces that may be divided between passages but not within."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.documents.blocks import Bullet, Content, Step, TableBlock
from pipelines.documents.readers.marks import comes_after

_SENTENCE = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\u201d]))\s+(?=[^\W_a-z]|[\"'(\u201c])")
_OPENED = 2
"""Times `max_words` from which a single item is divided."""
_BETWEEN = 4
"""Blocks that may stand between two steps of one numbering."""


@dataclass(frozen=True)
class Piece:
    """A paragraph, a step with all that is in it, a bullet, or a row of a table."""

    text: str
    page: int | None
    closed: bool = True
    """Another one may follow on the next line; after a paragraph inside a step an empty line comes first."""

    @property
    def words(self) -> int:
        """The number of words; the bars of a table are none."""
        return count_words(self.text)


@dataclass(frozen=True)
class Group:
    """Pieces that belong together: a paragraph, a procedure, a list, a table."""

    pieces: tuple[Piece, ...]
    between: str = "\n"
    """What stands between two pieces."""
    head: str = ""
    """What stands before the first piece of every part: the header of a table."""

    @property
    def words(self) -> int:
        """The number of words of all pieces, with the head once."""
        return self.words_of(self.pieces)

    def words_of(self, pieces: Sequence[Piece]) -> int:
        """The number of words of some pieces, with the head once."""
        return count_words(self.head) + sum(piece.words for piece in pieces)

    @property
    def introduces(self) -> bool:
        """Whether it is a paragraph that leads to what follows."""
        return len(self.pieces) == 1 and not self.head and self.pieces[0].text.endswith(":")

    def text(self, pieces: Sequence[Piece]) -> str:
        """Some of its pieces as Markdown."""
        said = self.head
        for number, piece in enumerate(pieces):
            apart = self.between if number and pieces[number - 1].closed else "\n\n" if number else "\n"
            said += apart * bool(said) + piece.text
        return said.rstrip()


def count_words(text: str) -> int:
    """Words of a Markdown text."""
    return sum(1 for word in text.split() if any(char.isalnum() for char in word))


def groups_of(blocks: Sequence[Content], max_words: int) -> Iterator[Group]:
    """The blocks of a section as groups.

    What stands between two steps of one numbering belongs to the first of them. Only a step that holds more than twice
    `max_words` is opened: what it holds then follows it in groups of its own.
    """
    index = 0
    while index < len(blocks):
        block = blocks[index]
        end = _end_of_list(blocks, index)
        if end > index:
            yield from _lists(list(_items(blocks[index:end])), max_words)
        elif isinstance(block, TableBlock):
            head, rows = _table(block)
            yield Group(tuple(Piece(row, block.page) for row in rows) or (Piece("", block.page),), head=head)
        elif block.text:
            texts, between = _short(block.text, max_words)
            yield Group(tuple(Piece(text, block.page) for text in texts), between)
        index = max(end, index + 1)


def _end_of_list(blocks: Sequence[Content], index: int) -> int:
    """Where the list that begins at a block ends; the index itself where none begins."""
    first = blocks[index]
    if not isinstance(first, Step | Bullet):
        return index
    last, end = first, index + 1
    for place in range(index + 1, len(blocks)):
        block = blocks[place]
        if place - end > _BETWEEN:
            break
        if block.depth > first.depth:
            end = place + 1 if place == end else end
        elif isinstance(block, Step) and isinstance(last, Step) and block.depth == first.depth:
            if not comes_after(block.marker, last.marker):
                break
            last, end = block, place + 1
        elif isinstance(block, Bullet) and isinstance(first, Bullet) and place == end and block.depth == first.depth:
            end = place + 1
        elif isinstance(first, Bullet) or block.depth < first.depth:
            break
    return end


def _lists(items: Sequence[Sequence[Content]], max_words: int) -> Iterator[Group]:
    """The items of a list as one group, or in several around those that are opened."""
    pieces: list[Piece] = []
    for item in items:
        piece = _item(item)
        if len(item) > 1 and piece.words > _OPENED * max_words:
            yield Group((*pieces, _item(item[:1])))
            pieces = []
            inside = min(block.depth for block in item[1:])
            yield from groups_of(
                [block.model_copy(update={"depth": block.depth - inside}) for block in item[1:]], max_words
            )
        else:
            pieces.append(piece)
    if pieces:
        yield Group(tuple(pieces))


def _items(blocks: Sequence[Content]) -> Iterator[list[Content]]:
    """The items of a list, each with what it holds; bullets between the steps of a list are held by a step."""
    first = blocks[0]
    item: list[Content] = []
    for block in blocks:
        if type(block) is type(first) and block.depth == first.depth and item:
            yield item
            item = []
        item.append(block)
    yield item


def _item(blocks: Sequence[Content]) -> Piece:
    """One item as Markdown; what is inside it is indented under its text."""
    base = min(block.depth for block in blocks)
    indents = {0: ""}
    said, listed = "", True
    for block in blocks:
        depth = block.depth - base
        indent = hang = indents[max(known for known in indents if known <= depth)]
        if isinstance(block, Step | Bullet):
            mark = block.marker if isinstance(block, Step) else "-"
            hang = indent + " " * (len(mark) + 1)
            indents = {**{known: text for known, text in indents.items() if known <= depth}, depth + 1: hang}
            text, item = f"{mark} {block.text}".rstrip(), True
        elif isinstance(block, TableBlock):
            head, rows = _table(block)
            text, item = "\n".join((head, *rows)), False
        else:
            text, item = block.text, False
        said += ("\n" if listed and item else "\n\n") * bool(said) + indent + text.replace("\n", "\n" + hang)
        listed = item
    return Piece(said, blocks[0].page, closed=listed)


def _table(table: TableBlock) -> tuple[str, list[str]]:
    """A table in Markdown: its header with the rule below it, and its rows."""
    first, *rest = [_row(row) for row in table.rows]
    return f"{first}\n|{' --- |' * len(table.rows[0])}", rest


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"


def _short(text: str, max_words: int) -> tuple[list[str], str]:
    """A paragraph whole, or in lines or sentences where it has more words than a passage may have; what joins them."""
    if count_words(text) <= max_words:
        return [text], "\n"
    return (text.split("\n"), "\n") if "\n" in text else (_SENTENCE.split(text), " ")
