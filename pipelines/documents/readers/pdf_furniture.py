"""What stands on the pages of a PDF and is not its text: running headers and footers, page numbers, contents."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from pipelines.documents.readers.pdf_lines import Line
from pipelines.documents.readers.pdf_tables import Drawn
from pipelines.documents.readers.text import one_line

_ZONE = 0.2
"""The part of a page, above and below, in which running texts stand."""
_MARGIN = 0.085
"""The part of a page that is margin on nearly every layout."""
_SAME_HEIGHT = 4.0
"""Points."""
_SHARE = 0.4
"""Of the pages; odd and even pages may differ."""
_OF = r"\d{1,4}(?:\s*(?:of|von|de|sur|/|van|av)\s*\d{1,4})?"
_PAGE_NUMBER = re.compile(rf"[\W_]*(?:(?:page(?: no)?|seite|página|pagina|sida|s|p)\b\W*)?{_OF}[\W_]*", re.IGNORECASE)
_PAGE_OF = re.compile(rf"\b(?:page|seite|página|pagina|sida)\W*{_OF}\b", re.IGNORECASE)
_AT_AN_END = re.compile(r"^(\d{1,4})\b(?![.)])|\b(\d{1,4})$")
_NUMBERED = 0.3
"""Part of the pages that must count at one height."""
_LEADERS = re.compile(r"(?:\.\s?){5,}\s*\d{1,4}$|…{2,}\s*\d{1,4}$")


def is_contents(line: Line) -> bool:
    """Whether a line is one of a table of contents, with dots that lead to a page number."""
    return _LEADERS.search(line.text.strip()) is not None


def furniture(lines: Sequence[Line], tables: Sequence[Drawn], heights: Sequence[float], body: float) -> set[int]:
    """The running lines and tables of a document, by `id`.

    Args:
        lines: all of the document.
        tables: all of the document.
        heights: of the pages, in points.
        body: size of the running text.
    """
    found: set[int] = set()
    placed: dict[str, list[tuple[float, Line | Drawn]]] = defaultdict(list)
    for line in lines:
        if _in_zone(line.base, heights[line.page - 1], _ZONE):
            placed["line " + _same(line.text)].append((line.base, line))
            if _is_page_number(line, heights[line.page - 1], body):
                found.add(id(line))
    for table in tables:
        text = " | ".join(" | ".join(row) for row in table.rows)
        height = heights[table.page - 1]
        if table.bottom < _ZONE * height or table.top > (1 - _ZONE) * height:
            placed["table " + _same(text)].append((table.top, table))
    needed = max(2, round(_SHARE * len(heights)))
    for group in placed.values():
        for height, one in group:
            beside = {other.page for high, other in group if abs(high - height) <= _SAME_HEIGHT}
            if len(beside) >= needed:
                found.add(id(one))
    return found | _numbered(lines, heights)


def _numbered(lines: Sequence[Line], heights: Sequence[float]) -> set[int]:
    """Lines at one height that begin or end with the number of their page, whatever else they say."""
    counts: dict[tuple[int, int], list[Line]] = defaultdict(list)
    for line in lines:
        number = _AT_AN_END.search(one_line(line.text))
        if number and _in_zone(line.base, heights[line.page - 1], _ZONE):
            counts[round(line.base / _SAME_HEIGHT), int(number[1] or number[2]) - line.page].append(line)
    needed = max(3, round(_NUMBERED * len(heights)))
    return {id(line) for group in counts.values() if len(group) >= needed for line in group}


def _same(text: str) -> str:
    """A text without what differs from page to page."""
    return re.sub(r"\d+", "#", one_line(text).casefold())


def _in_zone(y: float, height: float, part: float) -> bool:
    return y < part * height or y > (1 - part) * height


def _is_page_number(line: Line, height: float, body: float) -> bool:
    """Whether a line in the margin holds a page number, or is smaller than the text."""
    if not _in_zone(line.base, height, _MARGIN):
        return False
    text = one_line(line.text)
    return _PAGE_NUMBER.fullmatch(text) is not None or _PAGE_OF.search(text) is not None or line.size <= body - 1
