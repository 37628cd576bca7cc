"""Tables of a PDF page, found by their rules, as pdfplumber finds them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from pipelines.documents.readers.pdf_chars import Char
from pipelines.documents.readers.pdf_lines import lines_of
from pipelines.documents.readers.pdf_words import join
from pipelines.documents.readers.text import one_line

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom."""

_SNAP = 3
"""Points within which rules are one."""
_MEET = 2
"""Points within which rules meet."""
_MIN_RULE = 3
"""Points; shorter marks are no rules."""
_COLUMNS = 3
"""Vertical rules that must end together to be those of a table."""
_MAX_RULES = 2_000
"""More rules than that on a page are a drawing."""
_ABOVE = 0.3
"""The middle of a character above its baseline, in sizes."""
_FRAME_WORDS = 120
"""Where only two cells say something, one with more words than that is a frame around text."""


@dataclass(frozen=True)
class Drawn:
    """A table as it is drawn."""

    page: int
    top: float
    bottom: float
    columns: tuple[float, ...]
    """Left edges of its columns."""
    rows: tuple[tuple[str, ...], ...]


def tables_of(layout: Any, chars: Sequence[Char], page: int) -> tuple[list[Drawn], list[Char]]:
    """The tables of a page, and the characters that are in none."""
    from pdfplumber.table import Table

    rules = _rules(layout)
    if len(rules) < 4 or len(rules) > _MAX_RULES:
        return [], list(chars)
    rules += _missing(rules)
    drawn: list[Drawn] = []
    rest = list(chars)
    for cells in _cells(rules):
        table = Table(None, cells)
        rows = [row.cells for row in table.rows]
        inside, outside = _divide(rest, table.bbox)
        texts = _texts(cells, inside, page)
        if len(rows[0]) < 2 or _is_frame(texts.values()):
            continue
        rest = outside
        columns = tuple(sorted({cell[0] for cell in cells}))
        drawn.append(Drawn(
            page=page, top=table.bbox[1], bottom=table.bbox[3], columns=columns,
            rows=tuple(_shown(row, columns, texts) for row in rows),
        ))  # fmt: skip
    return drawn, rest


def continued(before: Drawn, after: Drawn) -> Drawn | None:
    """One table of two on successive pages with the same columns; None where they are two tables.

    A repeated header is given once, and a row whose first cell is empty goes on with the row before the page break.
    """
    near = len(before.columns) == len(after.columns) and all(
        abs(one - other) <= _SNAP for one, other in zip(before.columns, after.columns, strict=True)
    )
    if not near or after.page != before.page + 1:
        return None
    rows = list(before.rows)
    more = after.rows[1:] if after.rows[0] == before.rows[0] else after.rows
    if more and len(rows) > 1 and not more[0][0] and len(more[0]) == len(rows[-1]):
        rows[-1] = tuple(join([part for part in pair if part]) for pair in zip(rows[-1], more[0], strict=True))
        more = more[1:]
    return replace(before, page=after.page, bottom=after.bottom, rows=(*rows, *more))


def _rules(layout: Any) -> list[dict[str, Any]]:
    """The horizontal and vertical rules of a page, also the edges of its boxes."""
    from pdfminer.layout import LTCurve, LTFigure

    found: list[dict[str, Any]] = []
    top = layout.y1

    def add(x0: float, y0: float, x1: float, y1: float) -> None:
        kind = "h" if y1 - y0 < x1 - x0 else "v"
        if max(x1 - x0, y1 - y0) < _MIN_RULE:
            return
        if kind == "h":
            y0 = y1 = (y0 + y1) / 2
        else:
            x0 = x1 = (x0 + x1) / 2
        found.append(_rule(kind, x0, x1, top - y1, top - y0))

    def walk(container: Any) -> None:
        for item in container:
            if isinstance(item, LTFigure):
                walk(item)
            elif isinstance(item, LTCurve) and _is_visible(item):
                x0, y0, x1, y1 = item.bbox
                if min(x1 - x0, y1 - y0) <= _SNAP:
                    add(x0, y0, x1, y1)
                elif len(item.pts) in (4, 5) and _is_upright(item.pts):
                    for edge in ((x0, y0, x1, y0), (x0, y1, x1, y1), (x0, y0, x0, y1), (x1, y0, x1, y1)):
                        add(*edge)

    walk(layout)
    return found


def _missing(rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Horizontal rules where several vertical ones end and none is drawn, as where a row is cut by the page's end."""
    ends: dict[float, list[float]] = defaultdict(list)
    for rule in rules:
        if rule["orientation"] == "v":
            for y in (rule["top"], rule["bottom"]):
                ends[round(y, 1)].append(rule["x0"])
    drawn = [rule["top"] for rule in rules if rule["orientation"] == "h"]
    return [
        _rule("h", min(xs), max(xs), y, y)
        for y, xs in sorted(ends.items())
        if len({round(x) for x in xs}) >= _COLUMNS and not any(abs(y - other) <= _SNAP for other in drawn)
    ]


def _rule(kind: str, x0: float, x1: float, top: float, bottom: float) -> dict[str, Any]:
    """A rule as pdfplumber has it."""
    return {
        "orientation": kind, "object_type": "line", "x0": x0, "x1": x1, "top": top, "bottom": bottom,
        "width": x1 - x0, "height": bottom - top,
    }  # fmt: skip


def _is_visible(item: Any) -> bool:
    """Whether a shape is drawn at all; a box filled with white is paper."""
    white = item.non_stroking_color in (1, 1.0, (1,), (1, 1, 1), [1], [1, 1, 1])
    return bool(item.stroke or (item.fill and not white))


def _is_upright(points: Sequence[tuple[float, float]]) -> bool:
    return len({round(x) for x, _ in points}) <= 3 and len({round(y) for _, y in points}) <= 3


def _cells(rules: list[dict[str, Any]]) -> list[list[Box]]:
    """The cells of every table on a page, by table; pdfplumber's method on our own rules."""
    from pdfplumber.table import cells_to_tables, edges_to_intersections, intersections_to_cells, merge_edges

    merged = merge_edges(rules, _SNAP, _SNAP, _SNAP, _SNAP)
    if len({rule["orientation"] for rule in merged}) < 2:
        return []
    crossings = edges_to_intersections(merged, _MEET, _MEET)
    found: list[list[Box]] = cells_to_tables(intersections_to_cells(crossings))
    return found


def _divide(chars: Sequence[Char], box: Box) -> tuple[list[Char], list[Char]]:
    """The characters inside a box, and those outside."""
    x0, top, x1, bottom = box
    inside: list[Char] = []
    outside: list[Char] = []
    for char in chars:
        within = x0 <= (char.x0 + char.x1) / 2 <= x1 and top <= char.base - _ABOVE * char.size <= bottom
        (inside if within else outside).append(char)
    return inside, outside


def _texts(cells: Sequence[Box], chars: Sequence[Char], page: int) -> dict[Box, str]:
    """The words of each cell."""
    found: dict[Box, list[Char]] = defaultdict(list)
    beside: dict[tuple[float, float], list[Box]] = defaultdict(list)
    for cell in cells:
        beside[cell[1], cell[3]].append(cell)
    rest = list(chars)
    for (top, bottom), row in sorted(beside.items(), key=lambda item: item[0][1] - item[0][0]):
        left: list[Char] = []
        for char in rest:
            middle = (char.x0 + char.x1) / 2
            high = top <= char.base - _ABOVE * char.size <= bottom
            around = next((one for one in row if one[0] <= middle <= one[2]), None) if high else None
            (left if around is None else found[around]).append(char)
        rest = left
    return {cell: one_line(join([line.text for line in lines_of(some, page)])) for cell, some in found.items()}


def _is_frame(texts: Iterable[str]) -> bool:
    """Whether cells are a frame around text rather than a table."""
    words = [len(text.split()) for text in texts if text]
    return len(words) < 2 or (len(words) == 2 and max(words) > _FRAME_WORDS)


def _shown(row: Sequence[Box | None], columns: Sequence[float], texts: dict[Box, str]) -> tuple[str, ...]:
    """The texts of a row; what is merged over several rows is given in each."""
    own = [cell for cell in row if cell is not None]
    top = min(cell[1] for cell in own)
    above = [cell for cell in texts if cell[1] < top < cell[3] - 1]
    shown = []
    for cell, x in zip(row, columns, strict=True):
        merged = cell or next((one for one in above if abs(one[0] - x) <= 1), None)
        shown.append(texts.get(merged, "") if merged is not None else "")
    return tuple(shown)
