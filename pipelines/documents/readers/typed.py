"""Lists that were typed: paragraphs that begin with `1.`, `b)` or a dash, without being lists to the program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pipelines.documents.blocks import Block, Bullet, Heading, Paragraph, Step
from pipelines.documents.readers.marks import Mark, follows, mark_of

_NEAR = 4
"""Paragraphs within which the next number of a typed list must come."""


def with_typed_items(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The same blocks, with typed items as steps and bullets.

    A number is one only where its neighbours count on; a dash where it has company or a colon before it.
    """
    lines = list(_lines(blocks))
    found: list[Block] = []
    open_: list[str] = []
    for index, block in enumerate(lines):
        mark = mark_of(block.text) if isinstance(block, Paragraph) and block.depth == 0 else None
        if isinstance(block, Heading):
            open_ = []
        if mark is None or not mark.text or not _is_item(mark, lines, index, open_):
            found.append(block)
            continue
        if mark.bullet:
            inside = bool(found) and isinstance(found[-1], Step | Bullet)
            found.append(Bullet(text=mark.text, depth=len(open_) if inside else 0, page=block.page))
        else:
            depth = _depth(mark.marker, open_)
            found.append(Step(marker=mark.marker, text=mark.text, depth=depth, page=block.page))
    return tuple(found)


def _is_item(mark: Mark, lines: Sequence[Block], index: int, open_: Sequence[str]) -> bool:
    if mark.certain:
        return True
    before, after = lines[index - 1] if index else None, lines[index + 1 : index + _NEAR]
    if mark.bullet:
        beside = [before, *after[:1]]
        same = any(isinstance(one, Paragraph) and one.text[:1] == mark.marker for one in beside)
        return same or (isinstance(before, Paragraph | Step) and before.text.endswith(":"))
    if any(follows(mark.marker, marker) for marker in open_):
        return True
    later = [other for one in after if isinstance(one, Paragraph) and (other := mark_of(one.text))]
    return mark.first and any(follows(other.marker, mark.marker) for other in later)


def _depth(marker: str, open_: list[str]) -> int:
    """The depth of a marker among the open ones, which are changed: markers of one shape are on one level."""
    for depth, other in enumerate(open_):
        if _shape(other) == _shape(marker) and follows(marker, other):
            open_[depth:] = [marker]
            return depth
    deeper = bool(open_) and _shape(open_[-1]) != _shape(marker)
    open_[:] = [*open_, marker] if deeper else [marker]
    return len(open_) - 1


def _shape(marker: str) -> str:
    return re.sub(r"[a-z]+", "a", re.sub(r"\d+", "1", marker.casefold()))


def _lines(blocks: Sequence[Block]) -> Iterator[Block]:
    """The blocks, with paragraphs taken apart whose lines are items."""
    for block in blocks:
        lines = block.text.split("\n") if isinstance(block, Paragraph) else []
        if sum(1 for line in lines if mark_of(line)) >= 2:
            yield from (block.model_copy(update={"text": line}) for line in lines)
        else:
            yield block
