"""A text as a PDF file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from sample.rendering.model import Block, Heading, Listing, Paragraph, Run, Spans, Text, plain

TITLE_SIZE, HEADING_SIZES, BODY_SIZE = 18, (14, 12, 11, 10), 10
"""Points; headings are bold, the deepest ones as large as the body."""

_MARGIN = 62
_PADDING = 6
"""What the library leaves free within a margin, in points."""
_STEP = 18
"""Indentation of a list, in points."""
_COLUMNS = 16
"""Most columns that fit on a page; a wider table is given line by line."""
_REPLACED = str.maketrans({"\u202f": "\xa0", "\u2011": "-", "\u2212": "-", "\u200b": "", "\xad": ""})
"""Characters that the standard fonts lack and that look the same, or like nothing."""


def pdf(text: Text) -> bytes:
    """Render a text as PDF on A4, with a running header and `Page n of m` below.

    It is laid out twice, the first time to count its pages.
    """
    layout = _Layout(text)
    pages = layout.build(io.BytesIO(), of=0)
    raw = io.BytesIO()
    layout.build(raw, of=pages)
    return raw.getvalue()


class _Layout:
    """Fonts, styles and what stands on every page of one text."""

    def __init__(self, text: Text) -> None:
        from reportlab.lib.pagesizes import A4
        from reportlab.lib.styles import ParagraphStyle

        self.text = text
        self.regular, self.bold = _fonts(text)
        self.paper = A4
        self.width = A4[0] - 2 * _MARGIN
        self.body = ParagraphStyle(
            "body", fontName=self.regular, fontSize=BODY_SIZE, leading=1.3 * BODY_SIZE, spaceAfter=0.6 * BODY_SIZE
        )

    def build(self, to: io.BytesIO, of: int) -> int:
        """Lay the text out, with `of` as the number of pages, and give how many there are."""
        from reportlab.platypus import SimpleDocTemplate

        def decorate(canvas: Any, document: Any) -> None:
            self._decorate(canvas, document.page, of)

        sides = {f"{side}Margin": _MARGIN - _PADDING for side in ("left", "right", "top", "bottom")}
        template = SimpleDocTemplate(
            to, pagesize=self.paper, **sides,
            title=self.text.title, author=self.text.field("owner"), subject=self.text.field("document"),
            creator="", invariant=1,
        )  # fmt: skip
        template.build(list(self._story()), onFirstPage=decorate, onLaterPages=decorate)
        return int(template.page)

    def _decorate(self, canvas: Any, page: int, of: int) -> None:
        """Header and footer, each with a rule."""
        width, height = self.paper
        below = f"Revision {self.text.field('revision')}" if self.text.field("revision") else ""
        lines = ((height - 40, self.text.title, self.text.field("document")), (34, below, f"Page {page} of {of}"))
        canvas.setFont(self.regular, 8)
        for y, left, right in lines:
            canvas.drawString(_MARGIN, y, _shown(left)[:90])
            canvas.drawRightString(width - _MARGIN, y, _shown(right)[:40])
        for y in (height - 46, 46):
            canvas.line(_MARGIN, y, width - _MARGIN, y)

    def _story(self) -> Iterator[Any]:
        from reportlab.platypus import Spacer

        if self.text.title:
            yield self._paragraph((Run(self.text.title),), size=TITLE_SIZE, bold=True, after=10)
        if self.text.control:
            rows = [((Run(label, bold=True),), (Run(value),)) for label, value in self.text.control]
            yield self._ruled(rows, [0.25 * self.width, 0.75 * self.width], header=False)
        yield Spacer(1, BODY_SIZE)
        for block in self.text.blocks:
            yield from self._block(block, depth=0)

    def _block(self, block: Block, depth: int) -> Iterator[Any]:
        from reportlab.platypus import Spacer

        if isinstance(block, Heading):
            size = HEADING_SIZES[min(block.level, len(HEADING_SIZES)) - 1]
            yield self._paragraph(block.spans, size=size, bold=True, before=size, after=5, keepWithNext=1)
        elif isinstance(block, Paragraph):
            yield self._paragraph(block.spans, leftIndent=_STEP * depth)
        elif isinstance(block, Listing):
            yield from self._listing(block, depth)
        elif len(block.header) > _COLUMNS:
            for row in (block.header, *block.rows):
                yield self._paragraph((Run(" | ".join(map(plain, row))),))
        else:
            rows = [tuple(tuple(Run(run.text, bold=True) for run in cell) for cell in block.header), *block.rows]
            yield Spacer(1, 0.4 * BODY_SIZE)
            yield self._ruled(rows, _widths(rows, self.width), header=True)
            yield Spacer(1, BODY_SIZE)

    def _listing(self, block: Listing, depth: int) -> Iterator[Any]:
        """Items with their number or bullet hanging to the left of the text."""
        for number, item in enumerate(block.items, block.start):
            mark = f"{number}." if block.ordered else "•" if depth == 0 else "–"
            font = "Symbol" if mark == "•" and self.regular == "Helvetica" else self.regular
            begins = bool(item) and isinstance(item[0], Paragraph)
            spans = item[0].spans if item and isinstance(item[0], Paragraph) else ()
            yield self._paragraph(
                spans, mark=mark, after=3, leftIndent=_STEP * (depth + 1), bulletIndent=_STEP * depth,
                bulletFontName=font, bulletFontSize=BODY_SIZE,
            )  # fmt: skip
            for inner in item[begins:]:
                yield from self._block(inner, depth + 1)

    def _paragraph(
        self,
        spans: Spans,
        *,
        mark: str | None = None,
        size: int = BODY_SIZE,
        bold: bool = False,
        before: float = 0,
        after: float = 0.6 * BODY_SIZE,
        **layout: Any,
    ) -> Any:
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.platypus import Paragraph as Printed

        layout |= {"fontName": self.bold if bold else self.regular, "fontSize": size, "leading": 1.3 * size}
        style = ParagraphStyle("one", parent=self.body, spaceBefore=before, spaceAfter=after, **layout)
        return Printed(self._markup(spans), style, bulletText=mark)

    def _markup(self, spans: Spans) -> str:
        """Words in the small markup language of the library."""
        pieces = []
        for run in spans:
            said = escape(_shown(run.text), quote=False).replace("\n", "<br/>")
            pieces.append(f'<font name="{self.bold}">{said}</font>' if run.bold else said)
        return "".join(pieces)

    def _ruled(self, rows: Sequence[tuple[Spans, ...]], widths: list[float], *, header: bool) -> Any:
        """A ruled table; its header is repeated on every page."""
        from reportlab.lib import colors
        from reportlab.platypus import LongTable, TableStyle

        cells = [[self._paragraph(cell, after=0) for cell in row] for row in rows]
        look = [("GRID", (0, 0), (-1, -1), 0.5, colors.black), ("VALIGN", (0, 0), (-1, -1), "TOP")]
        return LongTable(
            cells, colWidths=widths, repeatRows=int(header), splitInRow=1, hAlign="LEFT", style=TableStyle(look)
        )


def _widths(rows: Sequence[tuple[Spans, ...]], available: float) -> list[float]:
    """Widths of columns: more for those with more to say, within reason."""
    columns = list(zip(*rows, strict=True))
    said = [[sum(len(run.text) for run in cell) for cell in column] for column in columns]
    weights = [min(60, max(8, *lengths)) for lengths in said]
    return [available * weight / sum(weights) for weight in weights]


def _shown(words: str) -> str:
    return words.translate(_REPLACED)


def _fonts(text: Text) -> tuple[str, str]:
    """Names of the regular and the bold font: the standard ones where they have every character."""
    shown = _shown("".join(sorted(text.characters)))
    try:
        shown.encode("cp1252")
    except UnicodeEncodeError:
        return _wide_fonts()
    if "•" in shown:  # the library writes it under a code that readers of text do not know
        return _wide_fonts()
    return "Helvetica", "Helvetica-Bold"


@cache
def _wide_fonts() -> tuple[str, str]:
    """Register fonts with many more characters, which come with the plotting library."""
    import matplotlib
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    names = {"DejaVuSans": "DejaVuSans.ttf", "DejaVuSans-Bold": "DejaVuSans-Bold.ttf"}
    for name, file in names.items():
        pdfmetrics.registerFont(TTFont(name, str(folder / file)))
    regular, bold = names
    return regular, bold
