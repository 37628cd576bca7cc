"""From the characters of a PDF page to lines of text, in reading order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pipelines.documents.readers.marks import mark_of
from pipelines.documents.readers.text import clean, raised

_BOLD = re.compile(r"bold|black|heavy|demi|semibold|cmbx|sfbx|-bd\b", re.IGNORECASE)
_UNUSED = {f"(cid:{code})": "•" for code in (127, 129, 141, 143, 144, 157)}
"""Codes that WinAnsiEncoding does not use: all of them show a bullet (ISO 32000-1, annex D.2, note 3)."""
_SAME_LINE = 0.45
"""Distance of baselines, in sizes, up to which characters are on one line: above any superscript."""
_RAISED = 1.8
"""Sizes that a character on the same line may be larger than one that is raised from it."""
_SMALL = 0.8
"""Sizes below which a character may be a raised one."""
_LIFT = 0.15
"""Distance above the baseline, in sizes, from which it is."""
_TILT = 0.05
"""Rotation, as a part of the size, above which a character is not running text."""
_SPACE = 0.17
"""Gap between characters, in sizes, from which it is a space."""
_WIDE = 1.6
"""Gap, in sizes, from which the parts of a line are cells or columns."""
_TWICE = 0.12
"""Offset, in sizes, up to which a repeated character is only printed twice, to look bold."""
_MIN_COLUMN_ROWS = 8


class Char(NamedTuple):
    """One character; y grows downwards from the top of the page."""

    base: float
    """The baseline."""
    x0: float
    x1: float
    size: float
    bold: bool
    text: str


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


def chars_of(layout: Any) -> list[Char]:
    """The upright characters on a page, as pdfminer lays it out (an `LTPage`)."""
    found: list[Char] = []
    boldness: dict[str, bool] = {}
    _collect(layout, layout.bbox, boldness, found)
    return found


def _collect(container: Any, box: tuple[float, float, float, float], boldness: dict[str, bool], to: list[Char]) -> None:
    """Add the characters of a page or of a figure on it."""
    from pdfminer.layout import LTChar, LTFigure

    left, bottom, right, top = box
    for item in container:
        if isinstance(item, LTChar):
            if (
                item.upright
                and abs(item.matrix[1]) <= _TILT * abs(item.matrix[0])
                and left <= item.x0 <= right
                and bottom <= item.y0 <= top
            ):
                bold = boldness.get(item.fontname)
                if bold is None:
                    bold = boldness[item.fontname] = _BOLD.search(item.fontname) is not None
                text = item.get_text()
                text = _UNUSED.get(text, text)
                to.append(Char(top - item.matrix[5], item.x0, item.x1, item.size, bold, text))
        elif isinstance(item, LTFigure):
            _collect(item, box, boldness, to)


def lines_of(chars: Iterable[Char], page: int) -> list[Line]:
    """The lines of a page or a cell from top to bottom, column by column where there are two."""
    rows = [_parts(row) for row in _rows(chars)]
    rows = [row for row in rows if row]
    gutter = _gutter(rows)
    if gutter is None:
        return [line for row in rows if (line := _line(row, page))]
    return list(_by_column(rows, gutter, page))


def _rows(chars: Iterable[Char]) -> Iterator[list[Char]]:
    """Characters grouped by baseline; small raised ones go with the line that they are raised from."""
    row: list[Char] = []
    base = size = smallest = 0.0
    for char in sorted(chars):
        reach = min(max(size, char.size), _RAISED * min(size, char.size))
        if row and char.base - base > _SAME_LINE * reach:
            yield _with_powers(row, base, size) if smallest < _SMALL * size else row
            row = []
        if not row or char.size > size:
            base, size = char.base, char.size
        smallest = min(smallest, char.size) if row else char.size
        row.append(char)
    if row:
        yield _with_powers(row, base, size) if smallest < _SMALL * size else row


def _with_powers(row: list[Char], base: float, size: float) -> list[Char]:
    """A row with its small raised digits as such: 10 to the sixth is not 106."""
    return [
        char._replace(text=raised(char.text)) if char.size < _SMALL * size and base - char.base > _LIFT * size else char
        for char in row
    ]


def _parts(row: list[Char]) -> list[list[Char]]:
    """The characters of a row from left to right, divided at wide gaps."""
    parts: list[list[Char]] = []
    end = 0.0
    for char in sorted(row, key=lambda char: char.x0):
        if not char.text.strip():
            if parts:
                parts[-1].append(char)
            continue
        if parts:
            last = next((one for one in reversed(parts[-1]) if one.text.strip()), None)
            if (
                last
                and last.text == char.text
                and char.x0 - last.x0 < _TWICE * char.size
                and abs(last.base - char.base) < 1
            ):
                parts[-1][-1] = last._replace(bold=True)
                continue
        if not parts or char.x0 - end > _WIDE * char.size:
            parts.append([])
        parts[-1].append(char)
        end = max(end, char.x1) if len(parts[-1]) > 1 else char.x1
    return parts


def _line(parts: Sequence[list[Char]], page: int) -> Line | None:
    """One line of the parts of a row."""
    starts: list[tuple[int, float, float]] = []
    said = ""
    for part in parts:
        said, starts = _spelt(part, said + "   " if said else "", starts)
    solid = [char for part in parts for char in part if char.text.strip()]
    text = re.sub(r" {4,}", "   ", said).strip()
    if not solid or not clean(text):
        return None
    mark = mark_of(clean(text))
    words = len(mark.marker.split()) if mark else 0
    text_x = starts[words][1] if mark and len(starts) > words else solid[0].x0
    behind = [char for char in solid if char.x0 >= text_x - 0.1] or solid
    first = "".join(char.text for char in parts[0]).strip()
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
        blank = not char.text.strip()
        gap = end is None or char.x0 - end > _SPACE * char.size
        if not blank:
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


def _gutter(rows: Sequence[Sequence[list[Char]]]) -> tuple[float, float] | None:
    """The space between two columns of running text, from where to where, or None."""
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
    end = max((part[-1].x1 for row in beside for part in row if part[-1].x1 < second), default=left)
    return end, float(second)


def _across(row: Sequence[list[Char]], second: float) -> bool:
    """Whether a row has text on both sides of where a second column begins without a gap."""
    return any(part[0].x0 < second - 2 < part[-1].x1 for part in row)


def _by_column(rows: Sequence[Sequence[list[Char]]], gutter: tuple[float, float], page: int) -> Iterator[Line]:
    """Lines of two columns: the left one, then the right one, between lines that go across."""
    second = gutter[1]
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
