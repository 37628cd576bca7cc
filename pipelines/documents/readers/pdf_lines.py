"""From the characters of a PDF page to lines of text, in reading order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pipelines.documents.readers.marks import mark_of
from pipelines.documents.readers.pdf_chars import Char, rows_of
from pipelines.documents.readers.text import clean

_SPACE = 0.17
"""Gap between characters, in sizes, from which it is a space."""
_MIN_COLUMN_ROWS = 8


@dataclass(frozen=True)
class Line:
    """A line of text, or the part of one that is in a column."""

    page: int
    base: float
    x0: float
    x1: float
    size: float
    bold: bool
    """All of it is bold."""
    bold_start: bool
    text: str
    text_x: float
    """Where the text begins behind a mark such as `3.`, or x0."""
    first_width: float
    """Width of the first word."""
    parts: int = 1
    """Parts with wide gaps between them."""

    @property
    def words(self) -> int:
        """The number of words."""
        return len(self.text.split())


def lines_of(chars: Iterable[Char], page: int) -> list[Line]:
    """The lines of a page or a cell from top to bottom, column by column where there are two."""
    rows = rows_of(chars)
    second = _second_column(rows)
    if second is None:
        return [line for row in rows if (line := _line(row, page))]
    return list(_by_column(rows, second, page))


def _line(parts: Sequence[list[Char]], page: int) -> Line | None:
    """One line of the parts of a row."""
    starts: list[tuple[int, float, float]] = []
    said = ""
    for part in parts:
        said, starts = _spelt(part, said + "   " if said else "", starts)
    solid = [char for part in parts for char in part if not char.blank]
    text = re.sub(r" {4,}", "   ", said).strip()
    if not solid or not clean(text):
        return None
    mark = mark_of(clean(text))
    words = len(mark.marker.split()) if mark else 0
    text_x = starts[words][1] if mark and len(starts) > words else solid[0].x0
    behind = [char for char in solid if char.x0 >= text_x - 0.1] or solid
    first = clean("".join(char.text for char in parts[0]))
    hanging = len(parts) > 1 and (re.fullmatch(r"\d+(?:\.\d+)*", first) or (mark is not None and first == mark.marker))
    return Line(
        page=page,
        base=Counter(round(char.base, 1) for char in solid).most_common(1)[0][0],
        x0=solid[0].x0,
        x1=max(char.x1 for char in solid),
        size=Counter(round(char.size * 2) / 2 for char in solid).most_common(1)[0][0],
        bold=all(char.bold for char in behind if char.text.isalnum()),
        bold_start=solid[0].bold,
        text=text,
        text_x=text_x,
        first_width=starts[0][2] - starts[0][1],
        parts=len(parts) - bool(hanging),
    )


def _spelt(
    part: Sequence[Char], said: str, starts: list[tuple[int, float, float]]
) -> tuple[str, list[tuple[int, float, float]]]:
    """The text with one more part, and for each word its place in the text, where it begins and where it ends."""
    starts = list(starts)
    end: float | None = None
    for char in part:
        gap = end is None or char.x0 - end > _SPACE * char.size
        if not char.blank:
            if gap or said.endswith(" "):
                said += " " if said and not said.endswith(" ") else ""
                starts.append((len(said), char.x0, char.x1))
            else:
                starts[-1] = (*starts[-1][:2], char.x1)
            said += char.text
            end = char.x1
        elif said and not said.endswith(" "):
            said += " "
    return said, starts


def _second_column(rows: Sequence[Sequence[list[Char]]]) -> float | None:
    """Where the second of two columns of running text begins, or None."""
    if len(rows) < _MIN_COLUMN_ROWS:
        return None
    left = min(part[0].x0 for row in rows for part in row)
    right = max(part[-1].x1 for row in rows for part in row)
    width = right - left
    edges = Counter(
        round(part[0].x0) for row in rows for part in row if left + 0.4 * width < part[0].x0 < left + 0.65 * width
    )
    if not edges:
        return None
    second, count = edges.most_common(1)[0]
    beside = [row for row in rows if _across(row, second) is False]
    spans = [part[-1].x1 - part[0].x0 for row in beside for part in row]
    if count < max(_MIN_COLUMN_ROWS, 0.3 * len(rows)) or len(beside) < 0.6 * len(rows):
        return None
    if sorted(spans)[len(spans) // 2] < 0.3 * width:
        return None  # short cells side by side, not running text
    return float(second)


def _across(row: Sequence[list[Char]], second: float) -> bool:
    """Whether a row has text on both sides of where a second column begins without a gap."""
    return any(part[0].x0 < second - 2 < part[-1].x1 for part in row)


def _by_column(rows: Sequence[Sequence[list[Char]]], second: float, page: int) -> Iterator[Line]:
    """Lines of two columns: the left one, then the right one, between lines that go across."""
    shift = second - min(part[0].x0 for row in rows for part in row)
    columns: tuple[list[Line], list[Line]] = ([], [])
    for row in [*rows, None]:
        if row is None or _across(row, second):
            yield from (*columns[0], *columns[1])
            columns = ([], [])
            if row is not None and (line := _line(row, page)):
                yield line
            continue
        for side in (0, 1):
            some = [part for part in row if (part[0].x0 >= second - 2) == bool(side)]
            if some and (line := _line(some, page)):
                back = shift if side else 0.0
                moved = replace(line, x0=line.x0 - back, x1=line.x1 - back, text_x=line.text_x - back)
                columns[side].append(moved)
