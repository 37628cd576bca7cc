"""From Markdown to a text that can be rendered."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING
from unicodedata import category

from fleet_manifests.errors import DataError
from sample.rendering.model import Block, Heading, Listing, Paragraph, Run, Spans, Table, Text, plain

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

_FRONT = re.compile(r"\A---\n(.*?)^---[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(r"<!--.*?-->|<[^>]*>", re.DOTALL)
_CALLOUT = re.compile(r"\A\[!(\w+)\]\s*")


def read(markdown: str) -> Text:
    """Read a Markdown text with or without front matter.

    A lone `#` that comes first is the title, and the headings below it count from 1. Otherwise the title is that of
    the front matter, or empty, and every heading keeps its level.

    Raises:
        DataError: the front matter is not YAML.
    """
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

    front, body = split_front(_printable(markdown))
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    blocks = tuple(_blocks(SyntaxTreeNode(parser.parse(body))))
    tops = [block for block in blocks if isinstance(block, Heading) and block.level == 1]
    if len(tops) != 1 or blocks[0] is not tops[0]:
        return Text(front.get("title", ""), front, blocks)
    below = [Heading(max(1, b.level - 1), b.spans) if isinstance(b, Heading) else b for b in blocks[1:]]
    return Text(plain(tops[0].spans), front, tuple(below))


def split_front(markdown: str) -> tuple[Mapping[str, str], str]:
    """Divide front matter, its values as words, from the text below it.

    Raises:
        DataError: the front matter is not YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    found = _FRONT.match(markdown)
    if found is None:
        return {}, markdown
    try:
        values = YAML(typ="safe", pure=True).load(found[1])
    except MarkedYAMLError as exc:
        mark = exc.context_mark or exc.problem_mark
        where = f"line {mark.line + 2}: " if mark else ""
        raise DataError(f"front matter: {where}expected YAML, found: {exc.problem}; mend it or remove it") from exc
    except YAMLError as exc:
        raise DataError(f"front matter: expected YAML, found: {exc}; mend it or remove it") from exc
    if not isinstance(values, dict):
        return {}, markdown  # a rule, not front matter
    return {str(key): _words(value) for key, value in values.items()}, markdown[found.end() :]


def _printable(markdown: str) -> str:
    """Without the characters that no format can hold; line ends are newlines."""
    text = markdown.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char for char in text if char in "\n\t" or category(char) not in ("Cc", "Cs", "Cn"))


def _words(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_words, value))
    return value.isoformat() if isinstance(value, date) else str(value)


def _blocks(node: SyntaxTreeNode) -> Iterator[Block]:
    """The blocks below a node; what only groups others is opened, what says nothing is left out."""
    for child in node.children:
        if child.type == "heading":
            if spans := _inline(child):
                yield Heading(int(child.tag[1:]), spans)
        elif child.type == "paragraph":
            if spans := _inline(child):
                yield Paragraph(spans)
        elif child.type in ("bullet_list", "ordered_list"):
            items = tuple(tuple(_blocks(item)) for item in child.children)
            yield Listing(child.type == "ordered_list", int(child.attrs.get("start", 1)), items)
        elif child.type == "table":
            yield _table(child)
        elif child.type in ("fence", "code_block", "html_block"):
            if said := (_without_tags(child.content) if child.type == "html_block" else child.content).strip():
                yield Paragraph((Run(said),))
        elif child.type == "blockquote":
            yield from _blocks(child)


def _table(node: SyntaxTreeNode) -> Table:
    rows = [tuple(_inline(cell) for cell in row.children) for part in node.children for row in part.children]
    return Table(rows[0], tuple(rows[1:]))


def _inline(node: SyntaxTreeNode) -> Spans:
    """The words of a heading, paragraph or cell."""
    runs: list[Run] = []
    for inline in node.children:
        for text, bold in _pieces(inline, bold=False):
            if not text:
                continue
            if runs and runs[-1].bold == bold:
                runs[-1] = Run(runs[-1].text + text, bold)
            else:
                runs.append(Run(text, bold))
    if runs and (callout := _CALLOUT.match(runs[0].text)):
        runs[0] = Run(f"{callout[1].capitalize()}: {runs[0].text[callout.end() :]}", runs[0].bold)
    return tuple(runs) if any(run.text.strip() for run in runs) else ()


def _pieces(node: SyntaxTreeNode, *, bold: bool) -> Iterator[tuple[str, bool]]:
    for child in node.children:
        if child.type in ("text", "code_inline", "text_special"):
            yield child.content, bold
        elif child.type == "softbreak":
            yield " ", bold
        elif child.type == "hardbreak":
            yield "\n", bold
        elif child.type == "html_inline":
            yield ("\n" if _BREAK.fullmatch(child.content) else ""), bold
        else:  # strong, em, strikethrough, link, image
            yield from _pieces(child, bold=bold or child.type == "strong")


def _without_tags(source: str) -> str:
    """The words of a piece of HTML."""
    return html.unescape(_TAG.sub(" ", _BREAK.sub("\n", source)))
