"""Procedures as a company has them: one Markdown text as Word, PDF or intranet page.

    render(markdown, "docx")     # bytes of a Word file

The text may begin with YAML front matter (document, title, revision, owner, effective_from, review_by, site_classes,
data_class); without it there is no control block. Links are given by their text, pictures by their description, code
and notes as plain paragraphs. The same text gives the same bytes.
"""

from __future__ import annotations

from typing import Literal, get_args

from fleet_manifests.errors import UsageError
from sample.rendering.extra import need_libraries

Kind = Literal["md", "docx", "pdf", "html"]

KINDS: tuple[Kind, ...] = get_args(Kind)
"""Also the suffixes of the files."""


def render(markdown: str, kind: Kind) -> bytes:
    """Render a Markdown text.

    Raises:
        UsageError: `kind` is none of `KINDS`.
        MissingExtraError: the libraries of the factory are not installed.
        DataError: the front matter is not YAML.
    """
    if kind not in KINDS:
        raise UsageError(f"render: kind: expected one of {', '.join(KINDS)}, found {kind}")
    if kind == "md":
        return markdown.encode()
    need_libraries("render")
    from sample.rendering.reading import read

    text = read(markdown)
    if kind == "docx":
        from sample.rendering.word import word

        return word(text)
    if kind == "pdf":
        from sample.rendering.pdf import pdf

        return pdf(text)
    from sample.rendering.page import page

    return page(text)
