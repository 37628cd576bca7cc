"""What is usual in a document, and which lines stand out of it."""

from __future__ import annotations

import pytest

from pipelines.documents.readers.pdf_headings import Measures, headings, measure
from pipelines.documents.readers.pdf_lines import Line
from pipelines.documents.readers.pdf_tables import Drawn

pytestmark = pytest.mark.unit
TEXT = "some words of a line that goes to the margin and on to the next one in the document"


def line(
    text: str,
    base: float,
    *,
    page: int = 1,
    x0: float = 72,
    x1: float | None = None,
    size: float = 10,
    bold: bool = False,
) -> Line:
    return Line(
        page, base, x0, x1 or min(520, x0 + 5 * len(text)), size, bold, bold, text, x0, 5 * len(text.split()[0])
    )


def paragraph(base: float, count: int = 3) -> list[Line]:
    return [line(TEXT, base + 13 * n, x1=520) for n in range(count)]


def found(*items: Line | Drawn | list[Line]) -> dict[str, int]:
    """Levels of the headings, by text."""
    flat = [one for item in items for one in (item if isinstance(item, list) else [item])]
    measures = measure(flat, [595.0] * 3)
    return {
        one.text: level
        for index, (level, _) in headings(flat, measures).items()
        if isinstance(one := flat[index], Line)
    }


def test_measures() -> None:
    measures = measure([line("Title", 50, size=18, bold=True), *paragraph(100, 8), *paragraph(230, 8)], [595.0])
    assert measures == Measures(body=10, bold_body=False, pitch=1.3, left=72, right={1: 520})


def test_measures_of_short_lines_come_from_the_page() -> None:
    assert measure([line("short", 100), line("lines", 113)], [595.0]).right == {1: 595 - 1.2 * 72}


def test_measures_of_nothing() -> None:
    assert measure([], []) == Measures(body=10.0, bold_body=False, pitch=1.2, left=0.0, right={})


def test_levels_by_size_then_weight_then_number() -> None:
    assert found(
        line("Title", 50, size=18), paragraph(100), line("Scope", 160, size=14, bold=True), paragraph(180),
        line("Light", 240, size=14), paragraph(260), line("1. One", 320, bold=True), paragraph(335),
        line("1.1 Deep", 395, bold=True), paragraph(410), line("Other", 470, bold=True), paragraph(485),
    ) == {"Title": 1, "Scope": 2, "Light": 3, "1. One": 4, "1.1 Deep": 5, "Other": 4}  # fmt: skip


@pytest.mark.parametrize("text", ["It ends here.", "Do this:", "First, second,", "Stop!"])
def test_bold_lines_that_are_sentences(text: str) -> None:
    assert found(paragraph(50), line(text, 110, bold=True), paragraph(130)) == {}


def test_a_bold_line_inside_a_paragraph() -> None:
    lines = [line(TEXT, 100, x1=520), line(TEXT, 113, x1=520, bold=True), line(TEXT, 126, x1=520)]
    assert found(lines, paragraph(170)) == {}


def test_a_bold_line_that_is_indented_or_last() -> None:
    assert found(paragraph(50), line("Indented", 110, x0=110, bold=True), paragraph(130)) == {}
    assert found(paragraph(50), line("Last", 110, bold=True)) == {}


def test_a_centred_bold_line() -> None:
    assert found(paragraph(50), line("Centred", 110, x0=278, x1=314, bold=True), paragraph(130)) == {"Centred": 1}


def test_a_heading_before_a_table_or_a_page_break() -> None:
    table = Drawn(1, 120, 300, (72.0, 200.0), (("a", "b"), ("1", "2")))
    assert found(paragraph(50), line("Limits", 110, bold=True), table) == {"Limits": 1}
    after = [line(TEXT, 60 + 13 * n, page=2, x1=520) for n in range(3)]
    assert found(paragraph(50), line("Limits", 110, bold=True), after) == {"Limits": 1}


def test_numbered_bold_lines_in_a_row_are_a_list() -> None:
    steps = [line(f"{n}. Step", 110 + 13 * n, bold=True) for n in range(1, 4)]
    assert found(paragraph(50), steps, paragraph(200)) == {}


def test_capitals_count_only_where_nothing_else_does() -> None:
    assert found(paragraph(50), line("PURPOSE", 110), paragraph(130)) == {"PURPOSE": 1}
    assert found(line("Title", 20, size=18), paragraph(50), line("PURPOSE", 110), paragraph(130)) == {"Title": 1}


def test_control_lines_and_bullets_are_none() -> None:
    assert found(line("Revision: 4", 20, bold=True), paragraph(50)) == {}
    assert found(paragraph(50), line("• gloves", 110, size=14), paragraph(130)) == {}


def test_too_many_words() -> None:
    assert found(paragraph(50), line("word " * 26, 110, size=14), paragraph(130)) == {}
