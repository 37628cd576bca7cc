from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pdfplumber
import pytest

from sample.rendering import render
from sample.rendering.pdf import BODY_SIZE, HEADING_SIZES, TITLE_SIZE

pytestmark = pytest.mark.unit


@pytest.fixture
def opened(procedure: str) -> Iterator[Any]:
    with pdfplumber.open(io.BytesIO(render(procedure, "pdf"))) as found:
        yield found


def lines(markdown: str, page: int = 0) -> list[dict[str, Any]]:
    with pdfplumber.open(io.BytesIO(render(markdown, "pdf"))) as found:
        return list(found.pages[page].extract_text_lines())


def look(line: dict[str, Any]) -> tuple[int, bool]:
    """Size and weight of the first letter."""
    first = line["chars"][0]
    return round(first["size"]), "Bold" in first["fontname"]


def test_sizes_tell_title_headings_and_body_apart(opened: Any) -> None:
    found = {line["text"]: look(line) for line in opened.pages[0].extract_text_lines()}
    title = next(one for one in opened.pages[0].extract_text_lines() if look(one)[0] == TITLE_SIZE)
    assert title["text"] == "Putaway of palletised goods" and look(title) == (18, True)
    assert found["Before you start"] == found["Putting a pallet away"] == (14, True)
    assert found["When the location is occupied"] == (12, True)
    assert found["1. Stop."] == (BODY_SIZE, False) == (10, False)
    sizes = [round(char["size"]) for char in opened.pages[0].chars]
    assert max(set(sizes), key=sizes.count) == BODY_SIZE
    assert sorted(HEADING_SIZES, reverse=True) == list(HEADING_SIZES)


def test_steps_hang(opened: Any) -> None:
    words = opened.pages[0].extract_words()
    at = next(n for n, word in enumerate(words) if word["text"] == "1." and words[n + 1]["text"] == "Scan")
    number, first = words[at], words[at + 1]
    wrapped = next(word for word in words if word["top"] > first["bottom"])
    assert number["x0"] < first["x0"] and wrapped["x0"] == pytest.approx(first["x0"], abs=0.5)


def test_tables_are_ruled(opened: Any) -> None:
    control, table = opened.pages[0].extract_tables()
    assert ["Effective from", "2025-03-01"] in control and len(control) == 7
    assert table == [["Code", "Meaning"], ["A1", "Full location"], ["B2", "Wrong | other"]]


def test_header_and_footer_stand_on_every_page(procedure: str) -> None:
    long = procedure + "".join(f"\n## Section {n}\n\n" + "Some words about it. " * 60 + "\n" for n in range(12))
    with pdfplumber.open(io.BytesIO(render(long, "pdf"))) as found:
        count = len(found.pages)
        assert count >= 3
        for number, page in enumerate(found.pages, 1):
            assert (round(page.width), round(page.height)) == (595, 842)
            rows = page.extract_text_lines()
            assert rows[0]["text"] == "Putaway of palletised goods WH-017"
            assert rows[-1]["text"] == f"Revision 4 Page {number} of {count}"
            body = [row for row in rows[1:-1] if row["top"] > rows[0]["bottom"]]
            assert len(body) == len(rows) - 2 and body[-1]["bottom"] < rows[-1]["top"]


def test_information(opened: Any) -> None:
    assert {key: opened.metadata[key] for key in ("Title", "Author", "Subject")} == {
        "Title": "Putaway of palletised goods", "Author": "Inbound supervisor", "Subject": "WH-017",
    }  # fmt: skip


def test_a_heading_stays_with_what_follows() -> None:
    for count in range(28, 60):
        text = "".join(f"line {n}\n\n" for n in range(count)) + "## Heading\n\nbelow\n"
        with pdfplumber.open(io.BytesIO(render(text, "pdf"))) as found:
            pages = [page.extract_text() for page in found.pages]
        assert any("Heading" in page and "below" in page for page in pages), count


def test_a_long_table_repeats_its_header() -> None:
    text = "|Code|Meaning|\n|-|-|\n" + "".join(f"|A{n}|word {n}|\n" for n in range(90))
    with pdfplumber.open(io.BytesIO(render(text, "pdf"))) as found:
        assert len(found.pages) >= 2
        rows = [page.extract_table() for page in found.pages]
    assert all(table[0] == ["Code", "Meaning"] for table in rows)
    assert [row[0] for table in rows for row in table[1:]] == [f"A{n}" for n in range(90)]


def test_a_table_that_is_too_wide_is_given_line_by_line() -> None:
    names = [f"n{n}" for n in range(20)]
    text = f"|{'|'.join(names)}|\n|{'-|' * 20}\n|{'|'.join('x' * 20)}|\n"
    assert [one["text"] for one in lines(text)][:2] == [" | ".join(names), " | ".join("x" * 20)]


def test_lists_within_lists_are_indented() -> None:
    found = {one["text"]: one["x0"] for one in lines("- a\n  1. b\n     - c\n\n     more\n")}
    assert found["• a"] < found["1. b"] < found["– c"]
    assert found["more"] > found["1. b"]


@pytest.mark.parametrize(
    "said", ["≤ 5 °C → stop", "Łódź – ž", "½ × 3 “quoted”", "a • b", "5\u202f% non\u2011stop \u22121"]
)
def test_characters_survive(said: str) -> None:
    (line,) = lines(said)[:1]
    expected = said.replace("\u202f", " ")
    if all(ord(char) < 256 or char in "–“”" for char in said.translate({0x202F: " ", 0x2011: "-", 0x2212: "-"})):
        expected = expected.replace("\u2011", "-").replace("\u2212", "-")
    assert line["text"].replace("\xa0", " ") == expected


def test_markup_is_not_interpreted() -> None:
    assert lines("a \\<b> c & d `<font>`")[0]["text"] == "a <b> c & d <font>"


def test_foreign_text_has_no_control_block() -> None:
    with pdfplumber.open(io.BytesIO(render("# a\n\ntext\n", "pdf"))) as found:
        assert found.pages[0].extract_tables() == []
        assert [row["text"] for row in found.pages[0].extract_text_lines()] == ["a", "a", "text", "Page 1 of 1"]
