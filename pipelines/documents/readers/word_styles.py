"""The styles of a Word file: which of them are headings, lists, bold or large, through all they are based on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.documents.readers.word_text import W, is_on, number_in

_HEADING = re.compile(
    r"(?:heading|überschrift|titre|título|titolo|kop|rubrik|overskrift|otsikko|nagłówek|nadpis|заголовок|标题|見出し)\s*([1-9])"
)
_TITLES = {"title", "titel", "titre", "título", "titolo"}
_LIST = re.compile(r"list (number|bullet|continue)(?: ([2-5]))?")
_BODY_TEXT = 9
"""The outline level of what is no heading."""
_DEFAULT_SIZE = 20
"""Half points, where a file says nothing."""


@dataclass(frozen=True)
class Look:
    """How a paragraph looks: whether all of it is bold, and its size in half points."""

    bold: bool
    size: int


class Styles:
    """The styles of one document, by id."""

    def __init__(self, element: Any) -> None:
        """Take the root of `styles.xml`."""
        found = element.findall(W + "style")
        self._styles = {style.get(W + "styleId"): style for style in found}
        kinds = (style for style in found if style.get(W + "type") == "paragraph" and style.get(W + "default") == "1")
        self._default = next((style.get(W + "styleId") for style in kinds), None)
        self._size = number_in(element, "docDefaults/rPrDefault/rPr/sz") or _DEFAULT_SIZE

    def chain(self, style_id: str | None) -> Iterator[Any]:
        """A style and those that it is based on."""
        seen: set[str] = set()
        while style_id is not None and style_id in self._styles and style_id not in seen:
            seen.add(style_id)
            style = self._styles[style_id]
            yield style
            based = style.find(W + "basedOn")
            style_id = based.get(W + "val") if based is not None else None

    def of(self, paragraph: Any) -> list[Any]:
        """The styles of a paragraph, the nearest first."""
        named = paragraph.find(f"{W}pPr/{W}pStyle")
        return list(self.chain(named.get(W + "val") if named is not None else self._default))

    def heading_level(self, paragraph: Any, styles: list[Any]) -> int | None:
        """0 for a title, 1 to 9 for a heading, None for text."""
        level = number_in(paragraph, "pPr/outlineLvl")
        if level is not None:
            return level + 1 if level < _BODY_TEXT else None
        for style in styles:
            level = number_in(style, "pPr/outlineLvl")
            if level is not None:
                return level + 1 if level < _BODY_TEXT else None
            name = _name(style)
            if name in _TITLES:
                return 0
            if found := _HEADING.fullmatch(name):
                return int(found[1])
        return None

    def numbering(self, paragraph: Any, styles: list[Any]) -> tuple[int, int] | None:
        """The number definition of a paragraph and the level in it, its own or that of its styles."""
        level = number_in(paragraph, "pPr/numPr/ilvl")
        for owner in (paragraph, *styles):
            number = number_in(owner, "pPr/numPr/numId")
            if number is not None:
                own = level if level is not None else number_in(owner, "pPr/numPr/ilvl")
                return (number, own or 0) if number else None
        return None

    def indent(self, paragraph: Any, styles: list[Any]) -> int:
        """How far a paragraph is indented on the left, in twentieths of a point."""
        for owner in (paragraph, *styles):
            indent = owner.find(f"{W}pPr/{W}ind")
            value = indent.get(W + "left") or indent.get(W + "start") if indent is not None else None
            if value is not None and re.fullmatch(r"-?\d+", value):
                return int(value)
        return 0

    def look(self, paragraph: Any, styles: list[Any]) -> Look:
        """How a paragraph looks, by its runs or its styles."""
        runs = [run for run in paragraph.iter(W + "r") if "".join(run.itertext(W + "t")).strip()]
        sizes: Counter[int] = Counter()
        for run in runs:
            sizes[self._of_run(run, styles, "sz") or self._size] += len("".join(run.itertext(W + "t")))
        bold = bool(runs) and all(self._of_run(run, styles, "b") for run in runs)
        return Look(bold, sizes.most_common(1)[0][0] if sizes else self._size)

    def _of_run(self, run: Any, styles: list[Any], name: str) -> int:
        """A property of a run: its own, its character style's, or its paragraph's styles'."""
        styled = run.find(f"{W}rPr/{W}rStyle")
        named = self.chain(styled.get(W + "val")) if styled is not None else ()
        for owner in (run, *named, *styles):
            found = owner.find(f"{W}rPr/{W}{name}")
            if found is not None:
                return int(is_on(found)) if name == "b" else number_in(owner, f"rPr/{name}") or 0
        return 0


def list_style(styles: list[Any]) -> tuple[str, int] | None:
    """`number`, `bullet` or `continue` and the depth, where a style is one of Word's for lists."""
    for style in styles:
        if found := _LIST.fullmatch(_name(style)):
            return found[1], int(found[2] or 1) - 1
    return None


def is_contents(styles: list[Any]) -> bool:
    """Whether a paragraph is a line of a table of contents."""
    return any(re.fullmatch(r"toc( heading| \d)?|table of figures|index \d", _name(style)) for style in styles)


def _name(style: Any) -> str:
    name = style.find(W + "name")
    return str(name.get(W + "val") or "").casefold() if name is not None else ""
