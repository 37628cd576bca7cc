"""PDF: headings by size and weight, paragraphs by the gaps between lines, tables by their rules."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet_manifests import DataError
from pipelines.documents.blocks import Document, Metadata
from pipelines.documents.readers.labels import field_of, pairs_in, table_pairs, take_control
from pipelines.documents.readers.pdf_blocks import blocks_of
from pipelines.documents.readers.pdf_chars import chars_of
from pipelines.documents.readers.pdf_furniture import furniture, is_contents
from pipelines.documents.readers.pdf_headings import measure
from pipelines.documents.readers.pdf_lines import Line, lines_of
from pipelines.documents.readers.pdf_tables import Drawn, tables_of
from pipelines.documents.readers.pdf_words import hyphenated
from pipelines.documents.readers.text import one_line

_SCAN = 16
"""Characters a page, on average, below which a document is a scan."""
_EMPTY = 5
"""Characters below which a page with a picture is a scan."""
_NO_TEXT = "(cid:"
"""How pdfminer gives a character of which the font does not say what it shows."""
_UNREADABLE = 0.1
"""Share of characters without a meaning above which a document cannot be read."""


def read_pdf(raw: bytes) -> Document:
    """Read a PDF file.

    Its control block and what its running header says are metadata; the PDF information dictionary is properties.
    Running headers and footers, page numbers and rotated text are not content.

    Raises:
        DataError: empty, not a PDF, damaged, encrypted, a scan, or with fonts that do not say what they show.
    """
    import pdfplumber
    from pdfminer.pdfdocument import PDFPasswordIncorrect
    from pdfplumber.utils.exceptions import MalformedPDFException, PdfminerException

    if not raw:
        raise DataError("empty: it has no bytes")
    if b"%PDF-" not in raw[:1024]:
        raise DataError("not a PDF: it does not begin like one; export the document again")
    pages = _Pages()
    try:
        with pdfplumber.open(io.BytesIO(raw)) as pdf:
            for number, page in enumerate(pdf.pages, start=1):
                pages.add(page.layout, number)
                page.close()
            properties = dict(_information(pdf.metadata))
    except (PdfminerException, MalformedPDFException) as exc:
        if any(isinstance(one, PDFPasswordIncorrect) for one in exc.args):
            raise DataError("encrypted: save a copy without a password") from exc
        raise DataError(f"a damaged PDF ({_said(exc)}); export the document again") from exc
    pages.check()
    return pages.document(properties)


@dataclass
class _Pages:
    """What was found on the pages of one document."""

    lines: list[Line] = field(default_factory=list)
    tables: list[Drawn] = field(default_factory=list)
    heights: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    characters: int = 0
    unreadable: int = 0
    pictures: list[int] = field(default_factory=list)
    """Pages that have a picture and hardly any character."""

    def add(self, layout: Any, number: int) -> None:
        """Take a page in."""
        found = chars_of(layout)
        solid = [char for char in found if char.text.strip()]
        chars = [char for char in found if not char.text.startswith(_NO_TEXT)]
        tables, rest = tables_of(layout, chars, number)
        self.heights.append(float(layout.height))
        self.widths.append(float(layout.width))
        self.characters += len(solid)
        self.unreadable += len(found) - len(chars)
        if len(solid) < _EMPTY and _has_picture(layout):
            self.pictures.append(number)
        self.lines += lines_of(rest, number)
        self.tables += tables

    def check(self) -> None:
        """Refuse what cannot be read as text.

        Raises:
            DataError: no page, a scan, or fonts that do not say what they show.
        """
        if not self.heights:
            raise DataError("a PDF without pages; export the document again")
        if self.characters < _SCAN * len(self.heights):
            raise DataError("a scan without text; run OCR first")
        if self.unreadable > _UNREADABLE * self.characters:
            raise DataError("its fonts do not say which characters they show; export it again, or run OCR first")

    def document(self, properties: dict[str, str]) -> Document:
        """Blocks and metadata of the whole document."""
        size = Counter[float]()
        for line in self.lines:
            size[line.size] += len(line.text)
        body = size.most_common(1)[0][0] if size else 0.0
        running = furniture(self.lines, self.tables, self.heights, body)
        lines = [line for line in self.lines if id(line) not in running and not is_contents(line)]
        tables = [table for table in self.tables if id(table) not in running]
        items = list(_in_order(lines, tables))
        measures = measure(items, self.widths)
        blocks = blocks_of(items, measures, hyphenated([line.text for line in lines]))
        stated, blocks = take_control(blocks)
        header = _header(
            [one for one in self.lines if id(one) in running], [one for one in self.tables if id(one) in running]
        )
        named = {known: value for name, value in properties.items() if (known := field_of(name)) not in (None, "title")}
        return Document(
            metadata=Metadata(stated={**named, **header, **stated}, properties=properties),
            blocks=blocks,
            pages=len(self.heights),
            notes=tuple(self._notes()),
        )

    def _notes(self) -> Iterator[str]:
        if self.pictures:
            which = ", ".join(map(str, self.pictures[:10]))
            yield f"no text on page {which}: a scan or a picture, not taken in; run OCR for its text"


def _in_order(lines: Sequence[Line], tables: Sequence[Drawn]) -> Iterator[Line | Drawn]:
    """Lines in their order, each table before the first line of its page below it."""
    waiting = sorted(tables, key=lambda table: (table.page, table.top))
    for line in lines:
        while waiting and (waiting[0].page, waiting[0].top) < (line.page, line.base):
            yield waiting.pop(0)
        yield line
    yield from waiting


def _header(lines: Sequence[Line], tables: Sequence[Drawn]) -> dict[str, str]:
    """What running headers and footers say of the document."""
    found = pairs_in([line.text for line in lines])
    for table in tables:
        found = {**table_pairs(table.rows), **found}
    return found


def _has_picture(container: Any) -> bool:
    from pdfminer.layout import LTFigure, LTImage

    return any(isinstance(item, LTImage) or (isinstance(item, LTFigure) and _has_picture(item)) for item in container)


def _information(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The PDF information dictionary as words."""
    for name, value in values.items():
        if isinstance(value, str) and (text := one_line(value)):
            yield name.casefold(), text


def _said(exc: BaseException) -> str:
    cause = next((one for one in exc.args if isinstance(one, BaseException)), exc)
    return (str(cause).strip().split("\n")[0] or type(cause).__name__)[:120]
