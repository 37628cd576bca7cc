"""Documents that are made on the spot: Word and PDF files as many programs write them, and folders of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import pytest
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Pt
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, TableStyle

from pipelines.documents import DocumentSource, Library, take_in
from pipelines.documents.blocks import Block, Bullet, Document, Heading, Step, TableBlock
from pipelines.documents.readers import read

SENTENCE = (
    "The clerk checks the delivery note against the order and writes the time on both copies before a door opens."
)


def shown(document: Document) -> list[str]:
    """Blocks as short lines: `## heading`, `= title`, `  a) step`, `- bullet`, `cell | cell / cell | cell`."""
    return [_shown(block) for block in document.blocks]


def _shown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level or '='} {block.text}"
    indent = "  " * block.depth
    if isinstance(block, TableBlock):
        return indent + " / ".join(" | ".join(row) for row in block.rows)
    if isinstance(block, Step):
        return f"{indent}{block.marker} {block.text}"
    return f"{indent}- {block.text}" if isinstance(block, Bullet) else indent + block.text


class Word:
    """A Word file that tests add to."""

    def __init__(self) -> None:
        self.document = docx.Document()

    def add(self, text: str, style: str | None = None, *, bold: bool = False, size: int | None = None) -> Any:
        """A paragraph of one run."""
        paragraph = self.document.add_paragraph(style=style)
        run = paragraph.add_run(text)
        run.bold = bold or None
        run.font.size = Pt(size) if size else None
        return paragraph

    def item(self, text: str, number: int, level: int = 0) -> Any:
        """A paragraph of a list, numbered by Word."""
        paragraph = self.add(text)
        properties = paragraph._p.get_or_add_pPr().get_or_add_numPr()
        properties.get_or_add_ilvl().val = level
        properties.get_or_add_numId().val = number
        return paragraph

    def abstract(self, *levels: str, key: int = 77) -> int:
        """A definition of a list, each level as `form text [extra XML]`."""
        numbering = self.document.part.numbering_part.element
        described = ""
        for level, (form, text, *extra) in enumerate(one.split(" ", 2) for one in levels):
            start = "" if extra and "<w:start " in extra[0] else '<w:start w:val="1"/>'
            described += f'<w:lvl w:ilvl="{level}">{start}<w:numFmt w:val="{form}"/>{"".join(extra)}<w:lvlText w:val="{text}"/></w:lvl>'
        numbering.insert(
            0, parse_xml(f'<w:abstractNum {nsdecls("w")} w:abstractNumId="{key}">{described}</w:abstractNum>')
        )
        return key

    def number(self, abstract: int, **restarts: int) -> int:
        """An instance of a list; `level0=5` restarts a level there."""
        number = self.document.part.numbering_part.element.add_num(abstract)
        for level, value in restarts.items():
            number.add_lvlOverride(ilvl=int(level.removeprefix("level"))).add_startOverride(value)
        return int(number.numId)

    def style(self, name: str, based_on: str = "Normal", *, outline: int | None = None) -> str:
        """A paragraph style of one's own."""
        style = self.document.styles.add_style(name, 1)
        style.base_style = self.document.styles[based_on]
        if outline is not None:
            level = OxmlElement("w:outlineLvl")
            level.set(qn("w:val"), str(outline))
            style.element.get_or_add_pPr().append(level)
        return name

    def table(self, *rows: str) -> Any:
        """A table, its cells divided by `|`."""
        cells = [[cell.strip() for cell in row.split("|")] for row in rows]
        table = self.document.add_table(rows=len(cells), cols=len(cells[0]))
        for row, texts in zip(table.rows, cells, strict=True):
            for cell, text in zip(row.cells, texts, strict=True):
                cell.text = text
        return table

    def xml(self, source: str) -> None:
        """Append a piece of WordprocessingML."""
        body = self.document.element.body
        body.insert(len(body) - 1, parse_xml(source.replace(">", f" {nsdecls('w')}>", 1)))

    @property
    def raw(self) -> bytes:
        """The file."""
        stream = io.BytesIO()
        self.document.save(stream)
        return stream.getvalue()

    def read(self) -> Document:
        """The file, read."""
        return read(self.raw, "docx")


class Pdf:
    """A PDF file that tests draw line by line; y falls with every line."""

    def __init__(self, font: str = "Helvetica", size: float = 10, pitch: float = 13) -> None:
        self.stream = io.BytesIO()
        self.canvas = Canvas(self.stream, pagesize=A4, invariant=1)
        self.font, self.size, self.pitch = font, size, pitch
        self.y = 760.0

    def line(self, text: str, x: float = 72, *, bold: bool = False, size: float | None = None, gap: float = 0) -> Pdf:
        """A line, `gap` points further down than the pitch says."""
        size = size or self.size
        self.y -= gap
        self.canvas.setFont(f"{self.font}-Bold" if bold else self.font, size)
        self.canvas.drawString(x, self.y, text)
        self.y -= self.pitch * size / self.size
        return self

    def lines(self, *texts: str, gap: float = 8, x: float = 72) -> Pdf:
        """A paragraph."""
        for number, text in enumerate(texts):
            self.line(text, x, gap=0 if number else gap)
        return self

    def at(self, x: float, y: float, text: str, size: float = 8) -> Pdf:
        """Text somewhere on the page, such as in its margin."""
        self.canvas.setFont(self.font, size)
        self.canvas.drawString(x, y, text)
        return self

    def page(self) -> Pdf:
        """Go on with a new page."""
        self.canvas.showPage()
        self.y = 760.0
        return self

    @property
    def raw(self) -> bytes:
        """The file, which is then finished."""
        self.canvas.save()
        return self.stream.getvalue()

    def read(self) -> Document:
        """The file, read."""
        return read(self.raw, "pdf")


BODY = ParagraphStyle("body", fontName="Times-Roman", fontSize=11, leading=13, spaceAfter=6)


def flow(*story: Any, decorate: Callable[[Any, Any], None] | None = None, **options: Any) -> bytes:
    """A PDF of flowing text, as report generators make it. A text is a paragraph; a pair has a style of its own."""
    stream = io.BytesIO()
    template = SimpleDocTemplate(stream, pagesize=A4, invariant=1, **options)
    decorate = decorate or (lambda canvas, document: None)
    template.build([_flowable(one) for one in story], onFirstPage=decorate, onLaterPages=decorate)
    return stream.getvalue()


def _flowable(one: Any) -> Any:
    if isinstance(one, str):
        return Paragraph(one, BODY)
    if isinstance(one, tuple):
        text, changes = one
        bullet = changes.pop("mark", None)
        return Paragraph(text, ParagraphStyle("own", parent=BODY, **changes), bulletText=bullet)
    return one


def ruled(
    *rows: str, repeat: int = 1, look: tuple[Any, ...] = (("GRID", (0, 0), (-1, -1), 0.5, "black"),), **options: Any
) -> Any:
    """A table with rules, its cells divided by `|`, its header repeated on every page."""
    cells = [[Paragraph(cell.strip(), BODY) for cell in row.split("|")] for row in rows]
    return LongTable(cells, repeatRows=repeat, style=TableStyle(list(look)), **options)


class Folder:
    """A project with a folder of documents."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.docs = project / "docs"
        self.docs.mkdir()

    def add(self, name: str, content: str | bytes) -> Path:
        """Write a document."""
        path = self.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def source(self, **changes: Any) -> DocumentSource:
        """What the source file says."""
        return DocumentSource.model_validate({"name": "sops", "kind": "documents", "path": "docs", **changes})

    def take_in(self, *, cache: Path | None = None, workers: int = 1, seconds: float = 60, **changes: Any) -> Library:
        """Take the folder in."""
        return take_in(self.source(**changes), project=self.project, cache=cache, workers=workers, seconds=seconds)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def word() -> Word:
    return Word()


@pytest.fixture
def pdf() -> Pdf:
    return Pdf()


@pytest.fixture
def make_pdf() -> type[Pdf]:
    return Pdf


@pytest.fixture(name="flow")
def _flow() -> Callable[..., bytes]:
    return flow


@pytest.fixture(name="ruled")
def _ruled() -> Callable[..., Any]:
    return ruled


@pytest.fixture(name="shown")
def _shown_fixture() -> Callable[[Document], list[str]]:
    return shown


@pytest.fixture
def sentence() -> str:
    return SENTENCE
