"""HTML: the content of a page, through Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_manifests import DataError
from pipelines.documents.blocks import Document, Metadata
from pipelines.documents.readers.labels import FIELDS, take_control
from pipelines.documents.readers.markdown import markdown_blocks
from pipelines.documents.readers.text import decode, one_line
from pipelines.documents.readers.typed import with_typed_items

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

AROUND = ["nav", "footer", "aside", "script", "style", "noscript", "template", "form", "iframe", "svg", "button"]
"""Elements that are not content."""


def read_webpage(raw: bytes) -> Document:
    """Read an HTML file: `<meta name>` and a control block as metadata, `<title>` as a property.

    Content is the only `<main>` or `<article>`, or else the body, without navigation, header and footer.

    Raises:
        DataError: the page has no content.
    """
    from bs4 import BeautifulSoup
    from bs4.dammit import EncodingDetector
    from markitdown.converters import HtmlConverter

    notes: tuple[str, ...] = ()
    soup = BeautifulSoup(raw, "lxml")
    if not raw.strip():
        raise DataError("empty: it has no text")
    unicode = ("utf-8", "ascii", "utf-16le", "utf-16be")
    if soup.original_encoding not in unicode and EncodingDetector.find_declared_encoding(raw, is_html=True) is None:
        text, notes = decode(raw)
        soup = BeautifulSoup(text, "lxml")
    named, properties = _metadata(soup)
    content = _content(soup)
    markdown = HtmlConverter().convert_string(str(content), strict=True, escape_misc=True).markdown
    stated, blocks = take_control(with_typed_items(markdown_blocks(markdown)))
    return Document(metadata=Metadata(stated={**stated, **named}, properties=properties), blocks=blocks, notes=notes)


def _metadata(soup: BeautifulSoup) -> tuple[dict[str, str], dict[str, str]]:
    """What `<meta name>` says of the document, and what else is known of the page."""
    stated: dict[str, str] = {}
    properties: dict[str, str] = {}
    if soup.title is not None and (title := one_line(soup.title.get_text())):
        properties["title"] = title
    for meta in soup.find_all("meta", attrs={"name": True, "content": True}):
        name, value = str(meta["name"]).casefold().replace("-", "_"), one_line(str(meta["content"]))
        if value:
            (stated if name in FIELDS else properties).setdefault(name, value)
    return stated, properties


def _content(soup: BeautifulSoup) -> Tag | BeautifulSoup:
    """The part of a page that is content; the page is changed."""
    for element in soup(AROUND):
        element.decompose()
    for element in soup.find_all(attrs={"role": ["navigation", "banner", "contentinfo", "search"]}):
        element.decompose()
    for element in soup.find_all(hidden=True):
        element.decompose()
    for name in ("main", "article"):
        if len(found := soup.find_all(name)) == 1:
            return found[0]
    for element in soup("header"):
        if element.find_parent(["main", "article"]) is None:
            element.decompose()
    return soup.body or soup
