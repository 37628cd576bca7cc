"""A text as a page of an intranet."""

from __future__ import annotations

from functools import cache
from html import escape

from jinja2 import Environment, Template

from sample.rendering.model import Block, Heading, Listing, Paragraph, Spans, Table, Text

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ text.title or "Untitled" }}</title>
{% for key, value in text.front.items() %}<meta name="{{ key }}" content="{{ value }}">
{% endfor %}<style>
body { font-family: sans-serif; margin: 0 auto; max-width: 60em; }
nav ul { list-style: none; padding: 0; } nav li { display: inline; margin-right: 1em; }
table { border-collapse: collapse; } th, td { border: 1px solid #888; padding: 0.3em; }
</style>
</head>
<body>
<header><p>Company intranet</p>
<nav><ul><li><a href="/">Home</a></li><li><a href="/procedures/">Procedures</a></li><li><a href="/forms/">Forms</a></li>
<li><a href="/people/">Who does what</a></li><li><a href="/search">Search</a></li></ul></nav></header>
<main>
{% if text.title %}<h1>{{ text.title }}</h1>
{% endif %}{{ body | safe }}</main>
<footer><p>{% if text.control %}{% for label, value in text.control %}{{ label }}: {{ value }}. {% endfor %}{% endif %}\
Printed copies are not controlled.</p>
<p><a href="/feedback">Something wrong on this page?</a></p></footer>
</body>
</html>
"""


def page(text: Text) -> bytes:
    """Render a text as HTML 5, in UTF-8."""
    body = "".join(_block(block, bool(text.title)) for block in text.blocks)
    return (_template().render(text=text, body=body) + "\n").encode()


@cache
def _template() -> Template:
    return Environment(autoescape=True).from_string(_PAGE)


def _block(block: Block, titled: bool) -> str:
    """One block; below a title the headings begin at `h2`."""
    if isinstance(block, Heading):
        level = min(6, block.level + titled)
        return f"<h{level}>{_words(block.spans)}</h{level}>\n"
    if isinstance(block, Paragraph):
        return f"<p>{_words(block.spans)}</p>\n"
    if isinstance(block, Table):
        body = "".join(_row(cells, "td") for cells in block.rows)
        return f"<table>\n<thead>\n{_row(block.header, 'th')}</thead>\n<tbody>\n{body}</tbody>\n</table>\n"
    return _listing(block, titled)


def _listing(block: Listing, titled: bool) -> str:
    tag = "ol" if block.ordered else "ul"
    start = f' start="{block.start}"' if block.ordered and block.start != 1 else ""
    items = "".join(f"<li>{_item(item, titled)}</li>\n" for item in block.items)
    return f"<{tag}{start}>\n{items}</{tag}>\n"


def _item(item: tuple[Block, ...], titled: bool) -> str:
    """An item: its first paragraph bare, as in a tight list, then the rest."""
    first, rest = (item[0], item[1:]) if item and isinstance(item[0], Paragraph) else (None, item)
    said = _words(first.spans) + ("\n" if rest else "") if first else ""
    return said + "".join(_block(block, titled) for block in rest)


def _row(cells: tuple[Spans, ...], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{_words(cell)}</{tag}>' for cell in cells)}</tr>\n"


def _words(spans: Spans) -> str:
    pieces = (f"<strong>{escape(run.text)}</strong>" if run.bold else escape(run.text) for run in spans)
    return "<br>\n".join("".join(pieces).split("\n"))
