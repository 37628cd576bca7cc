"""Plain text: paragraphs between blank lines, lists by their marks, and only unmistakable headings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fleet_manifests import DataError
from pipelines.documents.blocks import Block, Bullet, Document, Heading, Metadata, Paragraph, Step
from pipelines.documents.readers.labels import is_labelled, take_control
from pipelines.documents.readers.marks import Levels, Mark, mark_of
from pipelines.documents.readers.text import clean, decode

_RULE = re.compile(r"[=~\-_*#]{3,}")
_ALIGNED = re.compile(r"\S {3,}\S|\S *\| *\S|\t")
_TAB = 4
_CAPITAL_WORDS = 10


def read_plain(raw: bytes) -> Document:
    """Read a text file.

    A heading is a line alone that is underlined with `===` or `---`, or in capitals without a full stop.

    Raises:
        DataError: the bytes are not text.
    """
    text, notes = decode(raw)
    if not text.strip():
        raise DataError("empty: it has no text")
    stated, blocks = take_control(_Reader(text).blocks())
    return Document(metadata=Metadata(stated=stated), blocks=blocks, notes=notes)


@dataclass
class _Open:
    """The block that lines are being added to."""

    mark: Mark | None
    depth: int
    lines: list[str] = field(default_factory=list)

    def block(self) -> Block:
        """The finished block."""
        aligned = self.mark is None and (any(map(_ALIGNED.search, self.lines)) or all(map(is_labelled, self.lines)))
        text = clean(("\n" if aligned else " ").join(self.lines))
        if self.mark is None:
            return Paragraph(text=text, depth=self.depth)
        if self.mark.bullet:
            return Bullet(text=text, depth=self.depth)
        return Step(marker=self.mark.marker, text=text, depth=self.depth)


class _Reader:
    """Goes through the lines of a text once."""

    def __init__(self, text: str) -> None:
        self.lines = [line.expandtabs(_TAB).rstrip() for line in text.replace("\f", "\n\n").splitlines()]
        self.levels = Levels(tolerance=0.5)
        self.found: list[Block] = []
        self.open: _Open | None = None

    def blocks(self) -> tuple[Block, ...]:
        """Every block of the text."""
        number, after_blank = 0, True
        while number < len(self.lines):
            line = self.lines[number]
            if not line.strip():
                after_blank = True
                number += 1
                continue
            heading, taken = self._heading(number, after_blank)
            if heading is not None:
                self._close()
                self.levels.clear()
                self.found.append(heading)
            elif not (_RULE.fullmatch(line.strip()) and len(set(line.strip())) == 1):
                self._line(line, after_blank)
            number, after_blank = number + taken, heading is not None
        self._close()
        return tuple(self.found)

    def _heading(self, number: int, after_blank: bool) -> tuple[Heading | None, int]:
        """The heading at a line, or None, and how many lines to go on."""
        text = self.lines[number].strip()
        below = self.lines[number + 1].strip() if number + 1 < len(self.lines) else ""
        if not after_blank:
            return None, 1
        underlined = re.fullmatch("={3,}|-{3,}", below) and 0.5 <= len(below) / len(text) <= 2
        if underlined and not _ALIGNED.search(text):
            return Heading(level=1 if below[0] == "=" else 2, text=clean(text)), 2
        alone = not below and text == text.upper() and len(re.findall(r"[^\W\d_]", text)) >= 4
        mark = mark_of(text)
        sentence = text[-1] in ".!?,;:" or len(text.split()) > _CAPITAL_WORDS or is_labelled(text)
        if alone and not sentence and (mark is None or not mark.bullet):
            return Heading(level=1, text=clean(text)), 1
        return None, 1

    def _line(self, line: str, after_blank: bool) -> None:
        """Add a line to the open block, or begin another."""
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        mark = mark_of(text)
        if mark is not None and self._begins_item(mark, after_blank):
            self._close()
            depth = self.levels.enter(mark, indent, indent + text.index(mark.text) if mark.text else indent + 2)
            self.open = _Open(mark, depth, [mark.text] if mark.text else [])
        elif after_blank or self.open is None:
            self._close()
            self.open = _Open(None, self.levels.depth_of_text(indent), [text])
        else:
            self.open.lines.append(text)

    def _begins_item(self, mark: Mark, after_blank: bool) -> bool:
        """Whether a mark is one: not a number or a dash that a line happens to begin with."""
        if mark.certain or self.levels.expects(mark):
            return True
        introduced = self.open is None or after_blank or not self.open.lines or self.open.lines[-1].endswith(":")
        if introduced:
            return mark.first or not mark.decimal
        return mark.bullet and self.open is not None and self.open.mark is not None

    def _close(self) -> None:
        if self.open is not None and self.open.lines:
            self.found.append(self.open.block())
        self.open = None
