"""What runs along the pages of a document."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.documents.readers.pdf_furniture import furniture, is_contents
from pipelines.documents.readers.pdf_lines import Line
from pipelines.documents.readers.pdf_tables import Drawn

pytestmark = pytest.mark.unit
HEIGHT = 842.0


def line(text: str, page: int, base: float = 40, size: float = 10) -> Line:
    return Line(page, base, 72, 300, size, False, False, text, 72, 20)


def running(lines: list[Line], tables: list[Drawn] | None = None, pages: int = 4) -> list[Any]:
    found = furniture(lines, tables or [], [HEIGHT] * pages, body=10)
    return [one for one in [*lines, *(tables or [])] if id(one) in found]


def test_the_same_text_at_the_same_height_on_most_pages() -> None:
    lines = [line(f"WH-1 Rev. 4 page {page}", page) for page in (1, 2, 3)]
    assert running([*lines, line("Scope", 1, 60), line("Rules", 2, 60)]) == lines


def test_odd_and_even_pages_may_differ() -> None:
    lines = [line("ACME" if page % 2 else "Receiving", page) for page in (1, 2, 3, 4)]
    assert running(lines) == lines


@pytest.mark.parametrize(
    "lines",
    [
        [line("Scope", 1), line("Rules", 2), line("Steps", 3)],
        [line("Note:", page, 40 + 9 * page) for page in (1, 2, 3, 4)],
        [line("Note:", page, 400) for page in (1, 2, 3, 4)],
        [line("Note:", 1), line("Note:", 1, 42), line("other", 2)],
        [line("Note:", 1)],
    ],
)
def test_what_does_not_run(lines: list[Line]) -> None:
    assert running(lines) == []


@pytest.mark.parametrize(
    "text", ["7", "- 7 -", "Page 7", "page 7 of 12", "Seite 7/12", "WH-1 | Page 7 of 12", "7 von 12", "p. 7"]
)
def test_page_numbers_in_the_margin_of_a_single_page(text: str) -> None:
    assert running([line(text, 1, 815)], pages=1) != []
    assert running([line(text, 1, 500)], pages=1) == []


def test_small_text_in_the_margin_of_a_single_page() -> None:
    assert running([line("Printed copies are not controlled", 1, 815, size=8)], pages=1) != []
    assert running([line("A last line of the text", 1, 815)], pages=1) == []


def test_a_ruled_page_header() -> None:
    header = [Drawn(page, 30, 80, (72.0, 200.0), (("ACME", f"Page {page} of 4"),)) for page in (1, 2, 3, 4)]
    body = [Drawn(page, 100, 700, (72.0, 200.0), (("Item", "Limit"), (f"A-{page}", "5 kg"))) for page in (1, 2, 3, 4)]
    assert running([], [*header, *body]) == header


@pytest.mark.parametrize("text", ["Scope ........ 4", "2.1 Gloves . . . . . . . 12", "Rules …… 7"])
def test_lines_of_a_table_of_contents(text: str) -> None:
    assert is_contents(line(text, 1))


@pytest.mark.parametrize("text", ["Wait ... then 5", "It weighs 5", "Name: ............."])
def test_other_lines_with_dots(text: str) -> None:
    assert not is_contents(line(text, 1))
