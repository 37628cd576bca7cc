"""From the bytes of a file to its blocks, one module a format.

    >>> read(b"# Receiving\\n\\n1. Open the receipt.\\n", "md").blocks[1].marker
    '1.'

Readers know nothing of sources, projects or passages. They run in a process of their own: see
`pipelines.documents.worker`.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.documents.blocks import Document
from pipelines.documents.readers.markdown import read_markdown
from pipelines.documents.readers.pdf import read_pdf
from pipelines.documents.readers.plain import read_plain
from pipelines.documents.readers.webpage import read_webpage
from pipelines.documents.readers.word import read_word

READERS: dict[str, Callable[[bytes], Document]] = {
    "md": read_markdown,
    "txt": read_plain,
    "html": read_webpage,
    "docx": read_word,
    "pdf": read_pdf,
}
"""Readers by format."""

SUFFIXES = {
    ".md": "md",
    ".markdown": "md",
    ".txt": "txt",
    ".html": "html",
    ".htm": "html",
    ".docx": "docx",
    ".pdf": "pdf",
}
"""Formats by the suffix of a file, in lower case."""

LIBRARIES = (
    "beautifulsoup4", "lxml", "markdown-it-py", "markdownify", "markitdown", "pdfminer.six", "pdfplumber",
    "python-docx", "ruamel.yaml",
)  # fmt: skip
"""Distributions that decide what is read."""


def read(raw: bytes, kind: str) -> Document:
    """Read a file.

    Args:
        raw: its bytes.
        kind: its format, one of `READERS`.

    Raises:
        DataError: it cannot be read; the message says why and what to do.
    """
    return READERS[kind](raw)


__all__ = ["LIBRARIES", "READERS", "SUFFIXES", "read"]
