"""From the lines and tables of a PDF to its blocks: paragraphs, steps and bullets, also across pages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pipelines.documents.blocks import Block, Bullet, Heading, Paragraph, Step
from pipelines.documents.readers.labels import is_labelled
from pipelines.documents.readers.marks import Levels, Mark, mark_of
from pipelines.documents.readers.pdf_headings import Measures, headings
from pipelines.documents.readers.pdf_lines import Line
from pipelines.documents.readers.pdf_tables import Drawn, continued
from pipelines.documents.readers.pdf_words import join
from pipelines.documents.readers.tables import tidy
from pipelines.documents.readers.text import clean, one_line

_CLOSE = 1.22
"""Distance of baselines, in usual distances, up to which lines are of one paragraph."""
_ALIGNED = 3.0
"""Points within which two lines begin at the same place."""
_INDENT = 4.0
"""Sizes up to which the first line of a paragraph is indented."""
_SHORT = 0.7
"""Part of the width of the text below which a line without a full stop was ended on purpose."""
_ENDS = (".", "!", "?", ":", ";", ".)", ".\u201d", '."')


@dataclass
class _Open:
    """The block that lines are being added to."""

    mark: Mark | None
    depth: int
    x: float
    """Where its mark or its text begins."""
    text_x: float
    last: Line
    page: int
    lines: list[str] = field(default_factory=list)


def blocks_of(items: Sequence[Line | Drawn], measures: Measures, known: Collection[str]) -> tuple[Block, ...]:
    """The blocks of a document.

    Args:
        items: its lines and tables in reading order, without running headers and footers.
        measures: what is usual in it.
        known: its words with a hyphen.
    """
    flow = _Flow(measures, known)
    found = headings(items, measures)
    index = 0
    while index < len(items):
        item = items[index]
        taken = 1
        if index in found:
            level, taken = found[index]
            lines = [line.text for line in items[index : index + taken] if isinstance(line, Line)]
            flow.heading(level, lines, item.page)
        elif isinstance(item, Drawn):
            while index + taken < len(items):
                after = items[index + taken]
                whole = continued(item, after) if isinstance(after, Drawn) else None
                if whole is None:
                    break
                item, taken = whole, taken + 1
            flow.table(item, page=items[index].page)
        else:
            flow.line(item)
        index += taken
    return flow.result()


class _Flow:
    """Goes through the lines of a document once."""

    def __init__(self, measures: Measures, known: Collection[str]) -> None:
        self.measures = measures
        self.known = known
        self.levels = Levels(tolerance=_ALIGNED)
        self.found: list[Block] = []
        self.open: _Open | None = None

    def result(self) -> tuple[Block, ...]:
        """Every block."""
        self._close()
        return tuple(self.found)

    def heading(self, level: int, lines: Sequence[str], page: int) -> None:
        """Add a heading; lists end before it."""
        self._close()
        self.levels.clear()
        self.found.append(Heading(level=level, text=one_line(join(lines, self.known)), page=page))

    def table(self, table: Drawn, page: int) -> None:
        """Add a table; it is inside a step where it begins under the step's text."""
        self._close()
        depth = self.levels.depth_of_text(table.columns[0] + _ALIGNED) if self.levels.open else 0
        self.found += tidy(table.rows, depth=depth, page=page)

    def line(self, line: Line) -> None:
        """Add a line to the open block, or begin another."""
        text = clean(line.text)
        mark = mark_of(text)
        if mark is not None and self._begins_item(mark, line):
            self._close()
            depth = self.levels.enter(mark, line.x0, line.text_x)
            self.open = _Open(mark, depth, line.x0, line.text_x, line, line.page, [mark.text] if mark.text else [])
        elif self.open is not None and self._goes_on(self.open, line):
            self.open.lines.append(text)
            if self.open.mark is None:
                self.open.x = min(self.open.x, line.x0)
            elif len(self.open.lines) == 1:
                self.open.text_x = line.x0
            self.open.last = line
        else:
            self._close()
            depth = self.levels.depth_of_text(line.x0)
            self.open = _Open(None, depth, line.x0, line.x0, line, line.page, [text])

    def _near(self, open_: _Open, line: Line) -> bool:
        """Whether a line comes right below the last one, or goes on with its sentence on the next page."""
        last = open_.last
        if line.page == last.page and line.base > last.base:
            return line.base - last.base <= _CLOSE * self.measures.pitch * max(line.size, last.size)
        return not last.text.rstrip().endswith(_ENDS) or line.text.lstrip()[:1].islower()

    def _begins_item(self, mark: Mark, line: Line) -> bool:
        """Whether a mark is one: not a number or a dash that a line happens to begin with."""
        open_ = self.open
        if mark.certain or (not mark.bullet and self.levels.expects(mark)):
            return True
        if open_ is None or not self._near(open_, line):
            return mark.bullet or mark.first or not mark.decimal
        elsewhere = abs(line.x0 - open_.text_x) > _ALIGNED
        said = open_.last.text.rstrip()
        introduced = said.endswith(":")
        beside = open_.mark is not None and abs(line.x0 - open_.x) <= _ALIGNED
        if mark.bullet:
            return introduced or elsewhere or (beside and open_.mark is not None and open_.mark.bullet)
        return (mark.first and (said.endswith(_ENDS) or elsewhere)) or (beside and elsewhere and not mark.decimal)

    def _goes_on(self, open_: _Open, line: Line) -> bool:
        """Whether a line is of the same paragraph as the open block."""
        last = open_.last
        if not self._near(open_, line) or abs(line.size - last.size) > 1 or is_labelled(one_line(line.text)):
            return False
        if not open_.lines:
            return True  # a mark alone on its line
        if last.page == line.page and self._ended(last, line):
            return False
        lower = line.text.lstrip()[:1].islower()
        if open_.mark is not None:
            return (
                line.x0 > open_.x + _ALIGNED or (abs(line.x0 - open_.x) <= _ALIGNED and last.page == line.page) or lower
            )
        if len(open_.lines) == 1 and line.x0 < open_.x:
            return open_.x - line.x0 <= _INDENT * line.size
        return abs(line.x0 - open_.x) <= _ALIGNED or lower

    def _ended(self, last: Line, line: Line) -> bool:
        """Whether the author ended a line where its paragraph ends."""
        if not self.measures.would_fit(last, line) or line.text.lstrip()[:1].islower():
            return False
        if last.text.rstrip().endswith(_ENDS):
            return True
        width = self.measures.right.get(last.page, last.x1) - self.measures.left
        return line.text.lstrip()[:1].isupper() and last.x1 < self.measures.left + _SHORT * width

    def _close(self) -> None:
        open_, self.open = self.open, None
        if open_ is None or not (open_.lines or open_.mark):
            return
        text = one_line(join(open_.lines, self.known))
        if open_.mark is None:
            self.found.append(Paragraph(text=text, depth=open_.depth, page=open_.page))
        elif open_.mark.bullet:
            if text:
                self.found.append(Bullet(text=text, depth=open_.depth, page=open_.page))
        else:
            self.found.append(Step(marker=open_.mark.marker, text=text, depth=open_.depth, page=open_.page))
