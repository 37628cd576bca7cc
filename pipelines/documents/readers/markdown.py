"""Markdown (CommonMark with tables) and its YAML front matter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from fleet_manifests import DataError
from pipelines.documents.blocks import Block, Bullet, Document, Heading, Metadata, Paragraph, Step, TableBlock
from pipelines.documents.readers.labels import FIELDS, field_of, take_control
from pipelines.documents.readers.text import clean, decode, one_line
from pipelines.documents.readers.typed import with_typed_items

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

_FRONT = re.compile(r"\A\s*---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_CALLOUT = re.compile(r"\A\[!(\w+)\]\s*")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


def read_markdown(raw: bytes) -> Document:
    """Read a Markdown file: front matter or a control block as metadata, the rest as blocks without markup.

    Raises:
        DataError: the bytes are not text, or the front matter is not YAML.
    """
    text, notes = decode(raw)
    if not text.strip():
        raise DataError("empty: it has no text")
    front, body = _front_matter(text.replace("\r\n", "\n").replace("\r", "\n"))
    stated, blocks = take_control(with_typed_items(markdown_blocks(body)))
    return Document(metadata=Metadata(stated={**stated, **front}), blocks=blocks, notes=notes)


def markdown_blocks(text: str) -> tuple[Block, ...]:
    """The blocks of a Markdown text without front matter."""
    from markdown_it.tree import SyntaxTreeNode

    return tuple(_blocks(SyntaxTreeNode(_parser().parse(text)), depth=0))


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def _front_matter(text: str) -> tuple[dict[str, str], str]:
    """The fields of the front matter, as they are written, and the text below it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    found = _FRONT.match(text)
    if found is None:
        return {}, text
    try:
        values = YAML(typ="base", pure=True).load(found[1])
    except YAMLError as exc:
        mark = exc.problem_mark if isinstance(exc, MarkedYAMLError) else None
        line = text[: found.start(1)].count("\n") + (mark.line if mark else 0) + 1
        raise DataError(f"line {line}: front matter: not YAML; mend it (a value with a colon needs quotes)") from exc
    if not isinstance(values, dict):
        return {}, text  # a rule, not front matter
    fields = {_field(str(key)): _written(value) for key, value in values.items()}
    return {field: value for field, value in fields.items() if field and value}, text[found.end() :]


def _field(key: str) -> str:
    return key if key in FIELDS else field_of(key) or ""


def _written(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_written, value))
    return "" if value is None or str(value) in ("~", "null") else one_line(str(value))


def _blocks(node: SyntaxTreeNode, depth: int) -> Iterator[Block]:
    """The blocks below a node; `depth` is the number of list items around it."""
    for child in node.children:
        if child.type == "heading" and depth == 0:
            if text := one_line(_inline(child)):
                yield Heading(level=int(child.tag[1:]), text=text)
        elif child.type in ("paragraph", "heading"):
            if text := _callout(clean(_inline(child))):
                yield Paragraph(text=text, depth=depth)
        elif child.type in ("bullet_list", "ordered_list"):
            yield from _list(child, depth)
        elif child.type == "table":
            rows = (row for part in child.children for row in part.children)
            yield TableBlock(
                rows=tuple(tuple(one_line(_inline(cell)) for cell in row.children) for row in rows), depth=depth
            )
        elif child.type in ("fence", "code_block", "html_block"):
            text = _without_tags(child.content) if child.type == "html_block" else child.content
            if text := clean(text):
                yield Paragraph(text=text, depth=depth)
        elif child.type == "blockquote":
            yield from _blocks(child, depth)


def _list(node: SyntaxTreeNode, depth: int) -> Iterator[Block]:
    """The items of a list, each with what it holds; numbers are those that a browser shows."""
    for number, item in enumerate(node.children, int(node.attrs.get("start", 1))):
        inner = list(_blocks(item, depth + 1))
        first = inner[0] if inner and isinstance(inner[0], Paragraph) else None
        text, rest = (first.text, inner[1:]) if first else ("", inner)
        if not text and not rest:
            continue
        if node.type == "ordered_list":
            yield Step(marker=f"{number}{item.markup or '.'}", text=text, depth=depth)
        else:
            yield Bullet(text=text, depth=depth)
        yield from rest


def _inline(node: SyntaxTreeNode) -> str:
    """The words of a heading, paragraph or cell, without emphasis, links and pictures."""
    return "".join(piece for inline in node.children for piece in _pieces(inline))


def _pieces(node: SyntaxTreeNode) -> Iterator[str]:
    for child in node.children:
        if child.type in ("text", "code_inline", "text_special"):
            yield child.content
        elif child.type == "softbreak":
            yield " "
        elif child.type == "hardbreak" or (child.type == "html_inline" and _BREAK.fullmatch(child.content)):
            yield "\n"
        elif child.type != "html_inline":
            yield from _pieces(child)


def _callout(text: str) -> str:
    """`[!WARNING] text` as `Warning: text`."""
    return _CALLOUT.sub(lambda found: f"{found[1].capitalize()}: ", text, count=1)


def _without_tags(source: str) -> str:
    """The words of a piece of HTML inside Markdown."""
    from bs4 import BeautifulSoup, Comment

    soup = BeautifulSoup(source, "html.parser")
    for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    for hidden in soup(["script", "style"]):
        hidden.decompose()
    return str(soup.get_text(" "))
