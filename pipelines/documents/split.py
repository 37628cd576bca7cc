"""From the blocks of a document to passages: one a section, in parts where it is long."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count as count_from

from fleet_manifests import Passage
from pipelines.documents.blocks import Block, Content, Heading
from pipelines.documents.facts import Facts
from pipelines.documents.markup import Group, Piece, groups_of

_SLUG = 80
"""Characters of a document or a heading in an id."""
_SMALL = 1 / 3
"""Share of `max_words` up to which a part is filled up with the beginning of what has to be cut anyway."""
_NUMBER = re.compile(r"^(?:\d+(?:\.\d+)*[.)]?|[ivxIVX]+\.|[A-Za-z][.)])\s+")
"""The number of a heading, which changes when a section is put before it."""


@dataclass
class _Section:
    """A heading path and the blocks right below it."""

    path: tuple[str, ...]
    blocks: list[Content] = field(default_factory=list)


@dataclass
class _Part:
    """What becomes one passage."""

    texts: list[str] = field(default_factory=list)
    words: int = 0
    page: int | None = None
    leads: bool = False
    """It is nothing but a paragraph that introduces what follows."""

    def add(self, group: Group, pieces: Sequence[Piece]) -> None:
        """Add pieces of a group."""
        if not self.texts:
            self.page = pieces[0].page
        self.leads = not self.texts and group.introduces
        self.texts.append(group.text(pieces))
        self.words += group.words_of(pieces)


def split(blocks: Sequence[Block], facts: Facts, *, max_words: int) -> tuple[Passage, ...]:
    """The passages of a document, in its order.

    A section is one passage if it has at most `max_words`. A longer one is divided between its paragraphs, procedures
    and tables; a procedure that is longer by itself between its steps, a table between its rows with the header
    repeated, a paragraph between sentences. Later parts have `(part 2)` in their last heading.

    Args:
        blocks: of the document, without the heading that is its title.
        facts: what holds of it.
        max_words: of a passage; a single step or row may have more.
    """
    ids = _Ids(facts.document)
    return tuple(
        Passage(
            id=id_,
            document=facts.document,
            title=facts.title,
            revision=facts.revision,
            section=_named(section.path, facts.title, number),
            page=part.page,
            owner=facts.owner,
            effective_from=facts.effective_from,
            review_by=facts.review_by,
            site_classes=facts.site_classes,
            data_class=facts.data_class,
            text="\n\n".join(part.texts),
        )
        for section in _sections(blocks)
        if (parts := _parts(list(groups_of(section.blocks, max_words)), max_words))
        for number, (part, id_) in enumerate(zip(parts, ids.of(section.path, facts.title, len(parts)), strict=True), 1)
    )


def slug(text: str) -> str:
    """Letters and digits of any script with hyphens between them, in lower case."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[^\w]+|_+", "-", plain).strip("-")[:_SLUG].strip("-")


def _sections(blocks: Sequence[Block]) -> Iterator[_Section]:
    """The sections that have text of their own; a heading without is only in the paths of those below it."""
    open_: list[tuple[int, str]] = []
    section = _Section(())
    for block in blocks:
        if not isinstance(block, Heading):
            section.blocks.append(block)
            continue
        if section.blocks:
            yield section
        while open_ and open_[-1][0] >= block.level:
            open_.pop()
        open_.append((block.level, block.text))
        section = _Section(tuple(text for _, text in open_))
    if section.blocks:
        yield section


def _parts(groups: Sequence[Group], max_words: int) -> list[_Part]:
    """The groups of a section in as few parts as they need, each at most `max_words` where that can be."""
    parts: list[_Part] = [_Part()]
    for group, after in zip(groups, [*groups[1:], None], strict=True):
        part = parts[-1]
        room = max_words - part.words
        wanted = group.words + (after.words if after and group.introduces and after.words <= max_words else 0)
        fits = wanted <= room or (part.leads and group.words <= max_words)
        begun = group.words > max_words and part.words <= _SMALL * max_words
        if part.texts and not fits and not part.leads and not begun:
            parts.append(part := _Part())
            room = max_words
        if fits or group.words <= room or len(group.pieces) == 1:
            part.add(group, group.pieces)
            continue
        for pieces in _cut(group, max_words, room):
            if parts[-1].texts and parts[-1].words + group.words_of(pieces) > max_words:
                parts.append(_Part())
            parts[-1].add(group, pieces)
    return [part for part in parts if part.texts]


def _cut(group: Group, max_words: int, room: int) -> Iterator[list[Piece]]:
    """The pieces of a long group in runs of about equal length; the first one has less room."""
    head = group.words_of(())
    total = group.words - head
    fair = total / -(-total // max(1, max_words - head))
    run: list[Piece] = []
    words, limit = head, room
    for piece in group.pieces:
        if run and (words + piece.words > limit or words - head >= fair):
            yield run
            run, words, limit = [], head, max_words
        run.append(piece)
        words += piece.words
    yield run


def _named(path: tuple[str, ...], title: str, number: int) -> tuple[str, ...]:
    """The section path of a part."""
    if number == 1:
        return path
    return (*path[:-1], f"{path[-1] if path else title} (part {number})")


class _Ids:
    """Ids of the passages of one document: by heading, by the headings above where two are equal."""

    def __init__(self, document: str) -> None:
        self.document = slug(document) or "document"
        self.taken: set[str] = set()

    def of(self, path: tuple[str, ...], title: str, count: int) -> list[str]:
        """The ids of the parts of a section."""
        names = [slug(_NUMBER.sub("", text)) or slug(text) or "section" for text in path or (title,)]
        for base in self._candidates(names):
            found = [base, *(f"{base}-{part}" for part in range(2, count + 1))]
            if not self.taken.intersection(found):
                break
        self.taken.update(found)
        return [f"{self.document}/{name}" for name in found]

    @staticmethod
    def _candidates(names: Sequence[str]) -> Iterator[str]:
        """The heading's own name, with the one above it, then with a number."""
        yield names[-1]
        if len(names) > 1:
            yield "/".join(names[-2:])
        yield from (f"{names[-1]}~{number}" for number in count_from(2))
