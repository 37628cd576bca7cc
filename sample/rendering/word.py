"""A text as a Word file."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from typing import Any

from sample.rendering.model import Block, Heading, Listing, Paragraph, Run, Spans, Table, Text

_LEVELS = 9
"""Levels of a list that Word knows."""
_INDENT = 360
"""Indentation a level, in twentieths of a point."""
_NUMBERS = (("decimal", "%{}."), ("lowerLetter", "%{})"), ("lowerRoman", "%{}."))
_BULLETS = ("•", "–", "·")
_UNDATED = datetime(2000, 1, 1)
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can name."""


def word(text: Text) -> bytes:
    """Render a text as DOCX on A4: the built-in styles, lists numbered by Word, header, footer, properties."""
    import docx

    document = docx.Document()
    _page(document, text)
    _properties(document, text)
    if text.title:
        document.add_paragraph(text.title, style="Title")
    if text.control:
        _control(document, text)
    writer = _Writer(document)
    for block in text.blocks:
        writer.write(block, depth=0)
    raw = io.BytesIO()
    document.save(raw)
    return _without_times(raw.getvalue())


class _Writer:
    """Appends blocks to a document; each list gets a numbering of its own."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self.numbering = document.part.numbering_part.element
        self.steps = _abstract(self.numbering, [(form, mark.format(n + 1)) for n, (form, mark) in _levels(_NUMBERS)])
        self.bullets = _abstract(self.numbering, [("bullet", mark) for _, mark in _levels(_BULLETS)])

    def write(self, block: Block, depth: int) -> None:
        """Append a block; `depth` is the number of lists around it."""
        if isinstance(block, Heading):
            _say(self.document.add_paragraph(style=f"Heading {min(9, block.level)}"), block.spans)
        elif isinstance(block, Paragraph):
            style = None if depth == 0 else _numbered_style("List Continue", depth - 1)
            _say(self.document.add_paragraph(style=style), block.spans)
        elif isinstance(block, Listing):
            self._listing(block, min(depth, _LEVELS - 1))
        else:
            _table(self.document, block)

    def _listing(self, block: Listing, depth: int) -> None:
        number = self.numbering.add_num(self.steps if block.ordered else self.bullets)
        if block.ordered:
            number.add_lvlOverride(ilvl=depth).add_startOverride(block.start)
        style = _numbered_style("List Number" if block.ordered else "List Bullet", depth)
        for item in block.items:
            begins = bool(item) and isinstance(item[0], Paragraph)
            paragraph = self.document.add_paragraph(style=style)
            properties = paragraph._p.get_or_add_pPr().get_or_add_numPr()
            properties.get_or_add_ilvl().val = depth
            properties.get_or_add_numId().val = number.numId
            if begins and isinstance(item[0], Paragraph):
                _say(paragraph, item[0].spans)
            for inner in item[begins:]:
                self.write(inner, depth + 1)


def _levels(marks: tuple[Any, ...]) -> list[tuple[int, Any]]:
    """The marks of the nine levels, the given ones again and again."""
    return [(level, marks[level % len(marks)]) for level in range(_LEVELS)]


def _numbered_style(name: str, depth: int) -> str:
    """`List Number`, `List Number 2`, `List Number 3`."""
    return name if depth == 0 else f"{name} {min(3, depth + 1)}"


def _abstract(numbering: Any, levels: list[tuple[str, str]]) -> int:
    """Define a way of numbering and give its id; definitions come before what uses them."""
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls, qn

    taken = [int(one.get(qn("w:abstractNumId"))) for one in numbering.findall(qn("w:abstractNum"))]
    key = max(taken, default=-1) + 1
    described = "".join(
        f'<w:lvl w:ilvl="{level}"><w:start w:val="1"/><w:numFmt w:val="{form}"/><w:lvlText w:val="{mark}"/>'
        f'<w:lvlJc w:val="left"/><w:pPr><w:ind w:left="{_INDENT * (level + 1)}" w:hanging="{_INDENT}"/></w:pPr></w:lvl>'
        for level, (form, mark) in enumerate(levels)
    )
    kind = '<w:multiLevelType w:val="multilevel"/>'
    definition = f'<w:abstractNum {nsdecls("w")} w:abstractNumId="{key}">{kind}{described}</w:abstractNum>'
    numbering.insert(len(taken), parse_xml(definition))
    return key


def _say(paragraph: Any, spans: Spans) -> None:
    for run in spans:
        paragraph.add_run(run.text, style="Strong" if run.bold else None)


def _table(document: Any, block: Table) -> None:
    """A ruled table with a bold header that is repeated on every page."""
    from docx.oxml import OxmlElement

    table = document.add_table(rows=1 + len(block.rows), cols=len(block.header), style="Table Grid")
    header = tuple(tuple(Run(run.text, bold=True) for run in cell) for cell in block.header)
    for row, cells in zip(table.rows, (header, *block.rows), strict=True):
        for cell, spans in zip(row.cells, cells, strict=True):
            _say(cell.paragraphs[0], spans)
    table.rows[0]._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))
    document.add_paragraph()


def _control(document: Any, text: Text) -> None:
    """The control block: who owns the text and from when it holds."""
    table = document.add_table(rows=len(text.control), cols=2, style="Table Grid")
    for row, (label, value) in zip(table.rows, text.control, strict=True):
        key, said = row.cells
        key.paragraphs[0].add_run(label, style="Strong")
        said.paragraphs[0].add_run(value)
    document.add_paragraph()


def _page(document: Any, text: Text) -> None:
    """A4, a running header with title and document, a footer with the page."""
    from docx.shared import Mm

    section = document.sections[0]
    section.page_width, section.page_height = Mm(210), Mm(297)
    section.left_margin = section.right_margin = Mm(22)
    header = section.header.paragraphs[0]
    header.add_run("\t\t".join(part for part in (text.title, text.field("document")) if part))
    footer = section.footer.paragraphs[0]
    revision = f"Revision {text.field('revision')}" if text.field("revision") else ""
    footer.add_run(f"{revision}\t\tPage ")
    _field(footer, "PAGE")
    footer.add_run(" of ")
    _field(footer, "NUMPAGES")


def _field(paragraph: Any, instruction: str) -> None:
    """A number that Word works out."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    field = OxmlElement("w:fldSimple")
    field.set(qn("w:instr"), instruction)
    shown = paragraph.add_run("1")._r
    paragraph._p.append(field)
    field.append(shown)


def _properties(document: Any, text: Text) -> None:
    properties = document.core_properties
    properties.title, properties.subject = text.title[:255], text.field("document")[:255]
    properties.author = properties.last_modified_by = text.field("owner")[:255]
    properties.category, properties.comments = text.field("data_class")[:255], ""
    properties.version, properties.keywords = text.field("revision")[:255], text.field("site_classes")[:255]
    properties.created = properties.modified = _date(text.field("effective_from"))


def _date(written: str) -> datetime:
    """When the text took effect; what has no date gets one and the same."""
    try:
        return datetime.fromisoformat(written).replace(tzinfo=None)
    except ValueError:
        return _UNDATED


def _without_times(raw: bytes) -> bytes:
    """The same archive, every entry with the same time, so that the same text gives the same bytes."""
    rewritten = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(rewritten, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
            new.writestr(entry, old.read(name))
    return rewritten.getvalue()
