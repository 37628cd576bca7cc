"""The control block of a document: who owns it, which revision it is, from when it holds.

It stands at the top as a table or as lines `Key: value`. What is known of it becomes metadata and is not text;
two known labels are needed, so that a sentence with a colon stays a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from pipelines.documents.blocks import Block, Bullet, Heading, Paragraph, TableBlock
from pipelines.documents.readers.text import one_line

FIELDS: dict[str, tuple[str, ...]] = {
    "document": (
        "document", "document id", "document no", "document number", "document code", "doc id", "doc no",
        "doc number", "doc", "sop", "sop id", "sop no", "sop number", "procedure no", "procedure number",
        "procedure id", "dokument", "dokumentnummer", "dokument nr", "dokumenten nr", "référence", "código",
    ),
    "title": ("title", "document title", "sop title", "procedure title", "titel", "titre", "título"),
    "revision": (
        "revision", "revision no", "revision number", "rev", "rev no", "version", "version no", "version number",
        "issue", "issue no", "revisionsstand", "ausgabe", "révision", "revisión", "versión", "versie", "revisie",
    ),
    "owner": (
        "owner", "document owner", "process owner", "procedure owner", "sop owner", "verantwortlich",
        "eigentümer", "prozesseigner", "propriétaire", "responsable", "propietario", "eigenaar",
    ),
    "effective_from": (
        "effective from", "effective date", "effective", "date effective", "valid from", "in force from",
        "gültig ab", "gültig von", "en vigueur le", "date d'application", "vigente desde", "geldig vanaf",
    ),
    "review_by": (
        "review by", "review date", "next review", "next review date", "review due", "to be reviewed by",
        "due for review", "nächste prüfung", "nächste überprüfung", "prochaine révision", "próxima revisión",
    ),
    "site_classes": ("site classes", "site class"),
    "data_class": (
        "data class", "data classification", "classification", "confidentiality", "security class",
        "security classification", "information class", "datenklasse", "klassifizierung", "vertraulichkeit",
    ),
}  # fmt: skip
"""Labels by field of a passage."""

_FIELD_OF = {label: field for field, labels in FIELDS.items() for label in labels}
_PAIR = re.compile(r"\s*([^\W\d_][^:|]{0,38}?)\s*[:：]\s*(.*?)\s*\Z", re.DOTALL)
_KNOWN = re.compile(
    r"(?<=\s)(?:"
    + "|".join(re.escape(label).replace(r"\ ", r"[\s_./#-]+") for label in sorted(_FIELD_OF, key=len, reverse=True))
    + r")\.?\s*[:：]",
    re.IGNORECASE,
)
"""A known label inside a line."""
_BESIDE = re.compile(r"\s*\|\s*|\t+| {3,}|\n")
_LOOK = 12
"""Blocks from the top among which a control block may begin."""
_ENOUGH = 2


def field_of(label: str) -> str | None:
    """The field that a label means, or None."""
    plain = re.sub(r"[\s_/.#°º*-]+", " ", label.casefold()).strip(" :")
    return _FIELD_OF.get(plain) or _FIELD_OF.get(plain.removesuffix(" n").removesuffix(" nr"))


def pair_of(text: str) -> tuple[str, str] | None:
    """Label and value of `Key: value`, or None."""
    found = _PAIR.match(text)
    return (found[1], one_line(found[2])) if found else None


def _pairs(text: str) -> Iterator[tuple[str, str] | None]:
    """The parts of a text that stand beside each other, each as label and value; None for a part that is neither."""
    for beside in _BESIDE.split(text):
        starts = [0, *(found.start() for found in _KNOWN.finditer(beside))] if is_labelled(beside) else [0]
        for start, end in zip(starts, [*starts[1:], len(beside)], strict=True):
            if beside[start:end].strip():
                yield pair_of(beside[start:end])


def is_labelled(text: str) -> bool:
    """Whether a line begins with a known label."""
    pair = pair_of(text)
    return pair is not None and field_of(pair[0]) is not None


def pairs_in(texts: Sequence[str]) -> dict[str, str]:
    """The known fields in lines that hold nothing else, such as those of a page header."""
    found: dict[str, str] = {}
    for text in texts:
        for pair in filter(None, _pairs(text)):
            _add(found, *pair)
    return found


def take_control(blocks: Sequence[Block]) -> tuple[dict[str, str], tuple[Block, ...]]:
    """Divide the control block at the top of a document from its text.

    Returns:
        the known fields, and the blocks without the control block; all of them where there is none.
    """
    for first in range(min(_LOOK, len(blocks))):
        found, last = _control_at(blocks, first)
        while found and last < len(blocks):
            more, end = _control_at(blocks, last)
            if not more:
                break
            found, last = {**more, **found}, end
        if found:
            return found, (*_without_name(blocks[:first]), *blocks[last:])
        if sum(isinstance(one, Heading) for one in blocks[: first + 1]) > _ENOUGH:
            break
    return {}, tuple(blocks)


def _control_at(blocks: Sequence[Block], first: int) -> tuple[dict[str, str], int]:
    """The fields of a control block that begins here, none where there is none, and where it ends."""
    block = blocks[first]
    if isinstance(block, TableBlock):
        titled = (
            sum(isinstance(one, Heading) for one in blocks[:first]) <= 1
        )  # below another heading it may list others
        found, last = table_pairs(block.rows, stacked=titled), first + 1
    elif isinstance(block, Paragraph | Bullet):
        found, last = _run(blocks, first)
    else:
        return {}, first
    return (found, last) if len(found) >= _ENOUGH else ({}, first)


def table_pairs(rows: Sequence[Sequence[str]], *, stacked: bool = True) -> dict[str, str]:
    """The known fields of a table: label and value side by side, both in one cell, or `stacked` above each other."""
    found: dict[str, str] = {}
    for row in rows:
        for label, value in _side_by_side(row):
            _add(found, label, value)
    if stacked and len(found) < _ENOUGH and len(rows) == 2:
        above: dict[str, str] = {}
        for label, value in zip(rows[0], rows[1], strict=False):
            _add(above, label, value)
        found = above if len(above) > len(found) else found
    return found


def _side_by_side(row: Sequence[str]) -> Iterator[tuple[str, str]]:
    cells = [cell.strip() for cell in row]
    for cell in cells:
        yield from filter(None, _pairs(cell))
    yield from ((label, value) for label, value in pairwise(cells) if value and field_of(value) is None)


def _run(blocks: Sequence[Block], first: int) -> tuple[dict[str, str], int]:
    """The fields of a run of paragraphs that are all `Key: value`, and where it ends."""
    found: dict[str, str] = {}
    last = first
    for block in blocks[first:]:
        if not isinstance(block, Paragraph | Bullet):
            break
        parts = list(_pairs(block.text))
        if not parts or any(pair is None for pair in parts):
            break
        if not any(field_of(pair[0]) for pair in parts if pair):
            break
        for pair in parts:
            if pair:
                _add(found, *pair)
        last += 1
    return found, last


def _add(found: dict[str, str], label: str, value: str) -> None:
    field = field_of(label)
    if field is not None and one_line(value):
        found.setdefault(field, one_line(value))


def _without_name(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks above a control block, without a heading that only names it."""
    named = {"document control", "document information", "document details", "dokumenteninformation"}
    return tuple(one for one in blocks if not (isinstance(one, Heading) and one.text.casefold().strip() in named))
