"""DOCX: paragraphs and tables in document order, headings by style, steps with the numbers that Word shows."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from fleet_manifests import DataError
from pipelines.documents.blocks import Block, Bullet, Document, Heading, Metadata, Paragraph, Step, TableBlock
from pipelines.documents.readers.archive import check_archive
from pipelines.documents.readers.labels import field_of, pairs_in, table_pairs, take_control
from pipelines.documents.readers.tables import tidy
from pipelines.documents.readers.text import one_line
from pipelines.documents.readers.typed import with_typed_items
from pipelines.documents.readers.word_numbering import Numbering
from pipelines.documents.readers.word_styles import Look, Styles, is_contents, list_style
from pipelines.documents.readers.word_text import W, body_of, boxes_of, text_of

_PROPERTIES = ("title", "subject", "author", "category", "keywords", "version")
_HEADING_WORDS = 40
"""A longer paragraph in a heading style is text."""
_GUESSED_WORDS = 12
_LARGER = 3
"""Half points above the usual size from which a paragraph looks like a heading."""
_GUESSED = "no heading styles: headings are guessed from bold or large paragraphs; use Heading 1 to 3 in Word"


def read_word(raw: bytes) -> Document:
    """Read a DOCX file.

    Its control block and what its page header says are metadata, core and custom properties are properties.
    Headers, footers, footnotes, comments, hidden and deleted text are not content.

    Raises:
        DataError: empty, not a DOCX, encrypted, or a zip bomb.
    """
    import docx
    from docx.opc.exceptions import OpcError

    if not raw:
        raise DataError("empty: it has no bytes")
    check_archive(raw)
    try:
        document = docx.Document(io.BytesIO(raw))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as exc:
        raise DataError(f"damaged: {_first_line(exc)}; open it in Word and save it again") from exc
    except (OpcError, KeyError, ValueError, SyntaxError, AttributeError) as exc:
        raise DataError(f"not a DOCX that can be read ({_first_line(exc)}); open it in Word and save it again") from exc
    reader = _Reader(document)
    reader.take(body_of(document.element.body))
    blocks, notes = reader.result()
    stated, blocks = take_control(with_typed_items(blocks))
    properties = _core(document)
    custom = _custom(document)
    header = _header(document)
    named = {field: value for name, value in custom.items() if (field := field_of(name))}
    return Document(
        metadata=Metadata(stated={**named, **header, **stated}, properties={**custom, **properties}),
        blocks=blocks,
        notes=notes,
    )


class _Reader:
    """Goes through the body of a document once, in order, because numbers count."""

    def __init__(self, document: Any) -> None:
        from docx.opc.constants import RELATIONSHIP_TYPE

        parts = {one.reltype: one for one in document.part.rels.values()}
        numbering = parts.get(RELATIONSHIP_TYPE.NUMBERING)
        self.styles = Styles(document.styles.element)
        self.numbering = Numbering(getattr(numbering.target_part, "element", None) if numbering is not None else None)
        self.found: list[tuple[Block, Look | None]] = []
        self.fallback: Counter[int] = Counter()
        """Counts of list styles that point to no numbering, by depth."""
        self.inside: int | None = None
        """Depth of the last item, until a text at the margin ends its list."""

    def take(self, elements: Iterator[Any]) -> None:
        """Add paragraphs and tables."""
        for element in elements:
            if element.tag == W + "p":
                self._paragraph(element)
                for box in boxes_of(element):
                    self.take(body_of(box))
            else:
                self._table(element)

    def result(self) -> tuple[tuple[Block, ...], tuple[str, ...]]:
        """The blocks and what to note; headings are guessed where no style says them, save for the title."""
        blocks = tuple(block for block, _ in self.found)
        if any(isinstance(block, Heading) and block.level > 0 for block in blocks):
            return blocks, ()
        guessed = _guess_headings(self.found)
        return guessed, (_GUESSED,) if guessed != blocks else ()

    def _paragraph(self, paragraph: Any) -> None:
        styles = self.styles.of(paragraph)
        marker = self._marker(paragraph, styles)
        text = text_of(paragraph)
        if not text or is_contents(styles):
            return
        level = self.styles.heading_level(paragraph, styles)
        if level is not None and len(text.split()) <= _HEADING_WORDS:
            self.inside = None
            self.fallback.clear()
            numbered = f"{marker[1]} {text}" if marker and marker[0] != "bullet" else text
            self.found.append((Heading(level=level, text=one_line(numbered)), None))
            return
        block = self._text(paragraph, styles, text, marker)
        self.found.append((block, self.styles.look(paragraph, styles)))

    def _marker(self, paragraph: Any, styles: list[Any]) -> tuple[str, str, int] | None:
        """Count a paragraph: form, marker and depth; None where it is no item."""
        listed = list_style(styles)
        numbered = self.styles.numbering(paragraph, styles)
        if numbered is not None and (found := self.numbering.marker(*numbered)):
            return (*found, max(numbered[1], listed[1] if listed else 0))
        if (
            listed is None
            or listed[0] == "continue"
            or (numbered is None and paragraph.find(f"{W}pPr/{W}numPr") is not None)
        ):
            return None
        kind, depth = listed
        if kind == "number":
            self.fallback[depth] += 1
            return "decimal", f"{self.fallback[depth]}.", depth
        return "bullet", "", depth

    def _text(self, paragraph: Any, styles: list[Any], text: str, marker: tuple[str, str, int] | None) -> Block:
        """A step, a bullet, or a paragraph that may belong to one."""
        if marker is not None:
            form, shown, depth = marker
            self.inside = depth
            if form == "bullet" or (form != "none" and not shown):
                return Bullet(text=text, depth=depth)
            if shown:
                return Step(marker=shown, text=text, depth=depth)
        listed = list_style(styles)
        indented = self.inside is not None and self.styles.indent(paragraph, styles) > 0
        if listed is not None and listed[0] == "continue":
            return Paragraph(text=text, depth=listed[1] + 1)
        if indented and self.inside is not None:
            return Paragraph(text=text, depth=self.inside + 1)
        self.inside = None
        self.fallback.clear()
        return Paragraph(text=text)

    def _table(self, table: Any) -> None:
        cells = list(_grid(table))
        if len({id(cell) for row in cells for cell in row if cell is not None}) == 1:
            self.take(body_of(next(cell for row in cells for cell in row if cell is not None)))  # a frame
            return
        texts: dict[int, str] = {}
        rows = []
        for row in cells:
            seen: set[int] = set()
            rows.append([self._cell(cell, texts, seen) for cell in row])
        depth = 0 if self.inside is None else self.inside + 1
        indent = table.find(f"{W}tblPr/{W}tblInd")
        self.found += [(block, None) for block in tidy(rows, depth=depth if _indented(indent) else 0)]

    def _cell(self, cell: Any, texts: dict[int, str], seen: set[int]) -> str:
        """The words of a cell, each paragraph with its marker; a cell over several columns has them once a row."""
        if cell is None or id(cell) in seen:
            return ""
        seen.add(id(cell))
        if id(cell) not in texts:
            texts[id(cell)] = one_line(" ".join(self._words(cell)))
        return texts[id(cell)]

    def _words(self, cell: Any) -> Iterator[str]:
        for element in body_of(cell):
            if element.tag == W + "tbl":
                for row in _grid(element):
                    yield from (word for inner in row if inner is not None for word in self._words(inner))
                continue
            marker = self._marker(element, self.styles.of(element))
            if marker is not None and marker[1]:
                yield marker[1]
            yield text_of(element)
            yield from (word for box in boxes_of(element) for word in self._words(box))


def _grid(table: Any) -> Iterator[list[Any]]:
    """The cells of a table by row and column; a merged cell is there in every place that it covers."""
    above: dict[int, Any] = {}
    for row in _inside(table, W + "tr"):
        before = row.find(f"{W}trPr/{W}gridBefore")
        cells: list[Any] = [None] * (int(before.get(W + "val")) if before is not None else 0)
        for cell in _inside(row, W + "tc"):
            span = cell.find(f"{W}tcPr/{W}gridSpan")
            merged = cell.find(f"{W}tcPr/{W}vMerge")
            goes_on = merged is not None and merged.get(W + "val") != "restart"
            shown = above.get(len(cells), cell) if goes_on else cell
            cells += [shown] * (int(span.get(W + "val")) if span is not None else 1)
        above = dict(enumerate(cells))
        yield cells


def _inside(element: Any, tag: str) -> Iterator[Any]:
    """Children with a tag, also through content controls and tracked insertions."""
    for child in element:
        if child.tag == tag:
            yield child
        elif child.tag in (W + "sdt", W + "sdtContent", W + "customXml", W + "ins"):
            yield from _inside(child, tag)


def _indented(element: Any) -> bool:
    value = element.get(W + "w") if element is not None else None
    return value is not None and value.isdigit() and int(value) > 0


def _guess_headings(found: Sequence[tuple[Block, Look | None]]) -> tuple[Block, ...]:
    """Short bold or large paragraphs as headings, levels by their size; for documents without heading styles."""
    usual: Counter[int] = Counter()
    for block, look in found:
        if look is not None and not isinstance(block, TableBlock | Heading):
            usual[look.size] += len(block.text)
    body = usual.most_common(1)[0][0] if usual else 0
    looks = [_heading_look(found, index, body) for index in range(len(found))]
    ranks = sorted({look for look in looks if look is not None}, key=lambda look: (-look.size, not look.bold))
    blocks: list[Block] = []
    for (block, _), look in zip(found, looks, strict=True):
        if look is None or isinstance(block, TableBlock):
            blocks.append(block)
        else:
            text = f"{block.marker} {block.text}" if isinstance(block, Step) else block.text
            blocks.append(Heading(level=ranks.index(look) + 1, text=one_line(text)))
    return tuple(blocks)


def _heading_look(found: Sequence[tuple[Block, Look | None]], index: int, body: int) -> Look | None:
    """The look of a paragraph that is probably a heading, or None."""
    block, look = found[index]
    if (
        look is None
        or not isinstance(block, Paragraph | Step)
        or block.depth
        or not (look.bold or look.size >= body + _LARGER)
    ):
        return None
    if look.size < body or len(block.text.split()) > _GUESSED_WORDS or block.text[-1] in ".,;:!" or "\n" in block.text:
        return None
    after = found[index + 1] if index + 1 < len(found) else None
    if after is None or (after[1] == look and type(after[0]) is type(block)):
        return None  # the last line, or one of several like it
    return look


def _core(document: Any) -> dict[str, str]:
    """The core properties that are filled in."""
    core = document.core_properties
    values = {name: one_line(str(getattr(core, name, "") or "")) for name in _PROPERTIES}
    return {name: value for name, value in values.items() if value}


def _custom(document: Any) -> dict[str, str]:
    """The custom properties, which document management systems fill in."""
    from docx.oxml import parse_xml

    part = next(
        (one for one in document.part.package.iter_parts() if str(one.partname) == "/docProps/custom.xml"), None
    )
    if part is None:
        return {}
    values = {str(one.get("name") or "").casefold(): one_line("".join(one.itertext())) for one in parse_xml(part.blob)}
    return {name: value for name, value in values.items() if name and value}


def _header(document: Any) -> dict[str, str]:
    """What the page headers and footers of the first section say of the document."""
    section = document.sections[0] if len(document.sections) else None
    parts = [section.first_page_header, section.header, section.footer] if section is not None else []
    found: dict[str, str] = {}
    for part in parts:
        if part.is_linked_to_previous:
            continue
        elements = list(body_of(part._element))
        rows = [
            [one_line(" ".join(map(text_of, body_of(cell)))) if cell is not None else "" for cell in row]
            for element in elements if element.tag == W + "tbl" for row in _grid(element)
        ]  # fmt: skip
        lines = [text_of(element) for element in elements if element.tag == W + "p"]
        found = {**table_pairs(rows), **pairs_in(lines), **found}
    return found


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().split("\n")[0][:120] or type(exc).__name__
