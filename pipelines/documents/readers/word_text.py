"""The words in the XML of a Word file: what a reader sees when changes are accepted and nothing is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.documents.readers.text import clean, raised

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MATH_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_ALTERNATE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"

_SKIPPED = {
    *(W + name for name in ("del", "moveFrom", "instrText", "delText", "delInstrText", "rPr", "pPr", "sdtPr")),
    *(W + name for name in ("drawing", "pict", "object")),
    _ALTERNATE,
}
_SPOKEN = {W + "tab": "\t", W + "br": "\n", W + "cr": "\n", W + "noBreakHyphen": "-", W + "ptab": "\t"}
_SYMBOLS = {
    0x44: "Δ", 0x57: "Ω", 0x6D: "µ", 0xA3: "≤", 0xAE: "→", 0xB0: "°", 0xB1: "±", 0xB3: "≥", 0xB4: "×", 0xB8: "÷",
    0xB9: "≠", 0xBB: "≈",
}  # fmt: skip
"""Characters of the font Symbol (Adobe Symbol encoding) that change what a procedure says."""


def text_of(element: Any) -> str:
    """The words of a paragraph or of anything in one; a line break is a newline."""
    return clean("".join(_pieces(element)))


def _pieces(element: Any) -> Iterator[str]:
    for child in element:
        tag = child.tag
        if tag == W + "t" or tag == _MATH_TEXT:
            yield child.text or ""
        elif tag in _SPOKEN:
            yield " " if child.get(W + "type") == "page" else _SPOKEN[tag]
        elif tag == W + "sym":
            yield _symbol(child)
        elif tag == W + "r" and hidden(child):
            continue
        elif tag == W + "r" and _is_raised(child):
            yield raised("".join(_pieces(child)))
        elif isinstance(tag, str) and tag not in _SKIPPED:
            yield from _pieces(child)


def _symbol(element: Any) -> str:
    code = int(element.get(W + "char") or "0", 16)
    if (element.get(W + "font") or "").casefold() == "symbol":
        return _SYMBOLS.get(code & 0xFF, "")
    return "" if 0xE000 <= code <= 0xF8FF else chr(code)


def hidden(run: Any) -> bool:
    """Whether a run is hidden text."""
    mark = run.find(f"{W}rPr/{W}vanish")
    return mark is not None and is_on(mark)


def _is_raised(run: Any) -> bool:
    """Whether a run is superscript."""
    mark = run.find(f"{W}rPr/{W}vertAlign")
    return mark is not None and mark.get(W + "val") == "superscript"


def is_on(element: Any) -> bool:
    """Whether an on/off property is on."""
    return element.get(W + "val") not in ("0", "false", "off")


def number_in(element: Any, path: str) -> int | None:
    """The whole number in the attribute `val` of the element at a path, such as `numPr/ilvl`."""
    found = element.find("/".join(W + name for name in path.split("/"))) if element is not None else None
    value = found.get(W + "val") if found is not None else None
    try:
        return int(value) if value is not None else None
    except ValueError:
        return None


def body_of(container: Any) -> Iterator[Any]:
    """The paragraphs and tables of a body or cell in order; a table of contents is left out."""
    for child in container:
        if child.tag in (W + "p", W + "tbl"):
            yield child
        elif child.tag == W + "sdt":
            gallery = child.find(f"{W}sdtPr/{W}docPartObj/{W}docPartGallery")
            if gallery is None or gallery.get(W + "val") != "Table of Contents":
                yield from body_of(child.find(W + "sdtContent") if child.find(W + "sdtContent") is not None else ())
        elif child.tag in (W + "customXml", W + "ins", W + "moveTo"):
            yield from body_of(child)


def boxes_of(paragraph: Any) -> Iterator[Any]:
    """The content of text boxes that hang on a paragraph, each once."""
    for box in paragraph.iter(W + "txbxContent"):
        if not any(above.tag in (_FALLBACK, W + "txbxContent") for above in box.iterancestors()):
            yield box
