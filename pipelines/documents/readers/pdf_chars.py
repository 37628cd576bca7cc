"""The characters of a PDF page and the rows that they stand in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from pipelines.documents.readers.text import raised

_BOLD = re.compile(r"bold|black|heavy|demi|semibold|cmbx|sfbx|-bd\b", re.IGNORECASE)
_UNUSED = {f"(cid:{code})": "•" for code in (127, 129, 141, 143, 144, 157)}
"""Codes that WinAnsiEncoding does not use: all of them show a bullet (ISO 32000-1, annex D.2)."""
_SYMBOLIC = re.compile(r"dingbats|wingdings", re.IGNORECASE)
_DINGBATS = {**_UNUSED, **dict(zip("lnqsuvwØü§", "●■❑▲◆❖▪➢✓▪", strict=True))}
"""What the letters of a font of symbols show."""
_DRAWN = "\uf0b7"
"""A bullet that is drawn, as browsers do."""
_DOTS = (2.0, 7.0)
"""Points that a drawn bullet may measure."""
_DOT, _BELOW = 0.35, 0.5
"""Its size as a part of that of the text, and how far it stands above the baseline, in its own sizes."""
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
_WIDE = 1.6
"""Gap, in sizes, from which the parts of a row are cells or columns."""
_TWICE = 0.12
"""Offset, in sizes, up to which a repeated character is only printed twice, to look bold."""

Box: TypeAlias = tuple[float, float, float, float]
"""Four edges: of what pdfminer gives, left, bottom, right and top."""
Fonts: TypeAlias = dict[str, tuple[bool, dict[str, str]]]
"""By the name of a font: whether it is bold, and what shows something else than it says."""


class Char(NamedTuple):
    """One character; y grows downwards from the top of the page."""

    base: float
    """The baseline."""
    x0: float
    x1: float
    size: float
    bold: bool
    text: str

    @property
    def blank(self) -> bool:
        """A space."""
        return not self.text.strip()


def chars_of(layout: Any) -> list[Char]:
    """The upright characters on a page, as pdfminer lays it out (an `LTPage`), and the bullets drawn on it."""
    found: list[Char] = []
    _collect(layout, layout.bbox, {}, found)
    return found


def rows_of(chars: Iterable[Char]) -> list[list[list[Char]]]:
    """The rows of a page or a cell from top to bottom, each in parts with wide gaps between them."""
    return [parts for row in _rows(chars) if (parts := _parts(row))]


def _collect(container: Any, box: Box, fonts: Fonts, to: list[Char]) -> None:
    """Add the characters of a page or of a figure on it."""
    from pdfminer.layout import LTChar, LTCurve, LTFigure

    top = box[3]
    for item in container:
        if isinstance(item, LTChar):
            if _is_read(item, box):
                font = fonts.get(item.fontname) or fonts.setdefault(item.fontname, _font(item.fontname))
                text = item.get_text()
                text = font[1].get(text, text)
                to.append(Char(top - item.matrix[5], item.x0, item.x1, item.size, font[0], text))
        elif isinstance(item, LTFigure):
            _collect(item, box, fonts, to)
        elif isinstance(item, LTCurve) and _is_dot(item):
            to.append(Char(top - item.y0 + _BELOW * item.height, item.x0, item.x1, item.height / _DOT, False, _DRAWN))


def _font(name: str) -> tuple[bool, dict[str, str]]:
    return _BOLD.search(name) is not None, _DINGBATS if _SYMBOLIC.search(name) else _UNUSED


def _is_read(item: Any, box: Box) -> bool:
    """Whether a character is upright and on the page."""
    left, bottom, right, top = box
    upright = item.upright and abs(item.matrix[1]) <= _TILT * abs(item.matrix[0])
    return bool(upright and left <= item.x0 <= right and bottom <= item.y0 <= top)


def _is_dot(item: Any) -> bool:
    """Whether a shape is as large and as round or square as a bullet."""
    small, large = sorted((item.width, item.height))
    return bool(_DOTS[0] <= small and large <= _DOTS[1] and large - small <= 1 and (item.fill or item.stroke))


def _rows(chars: Iterable[Char]) -> Iterator[list[Char]]:
    """Characters grouped by baseline; small raised ones go with the line that they are raised from."""
    row: list[Char] = []
    base = size = smallest = 0.0
    measured = False
    for char in sorted(chars):
        reach = min(max(size, char.size), _RAISED * min(size, char.size))
        if row and char.base - base > _SAME_LINE * reach:
            yield _with_powers(row, base, size) if smallest < _SMALL * size else row
            row, measured = [], False
        drawn = char.text == _DRAWN
        if not row or (not drawn and (char.size > size or not measured)):
            smallest = smallest if measured else char.size
            base, size, measured = char.base, char.size, not drawn
        smallest = min(smallest, char.size)
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
    last: Char | None = None
    end = 0.0
    for char in sorted(row, key=lambda char: char.x0):
        wide = last is None or char.x0 - end > _WIDE * char.size
        if char.blank:
            if parts:
                parts[-1].append(char)
        elif last is not None and _is_reprint(last, char):
            parts[-1] = [one._replace(bold=True) if one is last else one for one in parts[-1]]
        elif char.text != _DRAWN or wide:  # a dot in the middle of a text is no bullet
            if wide:
                parts.append([])
            parts[-1].append(char)
            last, end = char, max(end, char.x1)
    return parts


def _is_reprint(first: Char, second: Char) -> bool:
    """Whether a character is the one before it, printed again a little aside to look bold."""
    near = second.x0 - first.x0 < _TWICE * second.size and abs(first.base - second.base) < 1
    return near and first.text == second.text
