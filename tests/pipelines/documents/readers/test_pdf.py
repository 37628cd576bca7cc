"""PDF as many programs write it: the structure that a reader sees, and what cannot be read."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reportlab.lib import colors, pdfencrypt
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph

from fleet_manifests import DataError
from pipelines.documents.blocks import Document, Step, TableBlock
from pipelines.documents.readers import read

pytestmark = pytest.mark.unit
Shown = Callable[[Document], list[str]]
BOLD = {"fontName": "Times-Bold"}
STEP = {"leftIndent": 20, "bulletIndent": 0}
SUB = {"leftIndent": 40, "bulletIndent": 20}


def heading(text: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return text, {**BOLD, "spaceBefore": 8, "spaceAfter": 2, **more}


def step(text: str, mark: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return text, {**STEP, "mark": mark, **more}


def test_headings_by_size(flow: Any, sentence: str, shown: Shown) -> None:
    raw = flow(
        heading("Receiving of goods", fontSize=20, leading=24, alignment=1), sentence,
        heading("Scope", fontSize=14, leading=17), sentence, heading("At night", fontSize=12, leading=15), sentence,
        ("Larger, and not bold", {"fontSize": 14, "leading": 17}), sentence,
    )  # fmt: skip
    lines = [line for line in shown(read(raw, "pdf")) if line != sentence]
    assert lines == ["# Receiving of goods", "## Scope", "#### At night", "### Larger, and not bold"]


def test_headings_of_the_size_of_the_text_by_weight_and_number(flow: Any, sentence: str, shown: Shown) -> None:
    raw = flow(
        heading("1. Purpose"), sentence, heading("2. Scope"), sentence, heading("2.1 Sites"), sentence,
        heading("2.1.1 Night shift"), sentence, heading("3 Records"), sentence,
    )  # fmt: skip
    lines = [line for line in shown(read(raw, "pdf")) if line != sentence]
    assert lines == ["# 1. Purpose", "# 2. Scope", "## 2.1 Sites", "### 2.1.1 Night shift", "# 3 Records"]


def test_a_heading_of_several_lines(flow: Any, sentence: str, shown: Shown) -> None:
    title = "Standard operating procedure for the receiving of goods at the distribution centres of the company"
    full = "A heading of the size of the text that is so long that it does not fit a line of this page"
    more = full.replace("this", "any of these")
    raw = flow(heading(title, fontSize=20, leading=24), sentence, heading(full), sentence, heading(more), sentence)
    assert shown(read(raw, "pdf"))[::2] == [f"# {title}", f"## {full}", f"## {more}"]


@pytest.mark.parametrize(
    "text",
    ["Never stand under a raised load.", "You need the following tools:", "This much is bold, and then it goes on; so"],
)
def test_bold_sentences_are_text(text: str, flow: Any, sentence: str, shown: Shown) -> None:
    raw = flow(
        heading("Scope", fontSize=14, leading=17),
        sentence,
        (text, BOLD) if text[-1] in ".:" else f"<b>{text}</b> {sentence}",
    )
    assert shown(read(raw, "pdf"))[2].startswith(text)


def test_a_bold_list_is_a_list(flow: Any, sentence: str, shown: Shown) -> None:
    raw = flow(
        heading("Tools", fontSize=14, leading=17),
        sentence,
        *[step(f"tool {n}", f"{n}.", **BOLD, bulletFontName="Times-Bold") for n in (1, 2, 3)],
    )
    assert shown(read(raw, "pdf"))[2:] == ["1. tool 1", "2. tool 2", "3. tool 3"]


def test_where_everything_is_bold_bold_says_nothing(flow: Any, sentence: str, shown: Shown) -> None:
    raw = flow((sentence, BOLD), ("Not a heading", BOLD), (sentence, BOLD))
    assert shown(read(raw, "pdf")) == [sentence, "Not a heading", sentence]


def test_typewritten_headings_in_capitals(make_pdf: Any, shown: Shown) -> None:
    pdf = make_pdf("Courier")
    pdf.line("PURPOSE").lines("This text has one size and one weight only.").line("PROCEDURE", gap=8)
    pdf.lines("1. Open the door.", "2. Wait, and if nothing happens then call the", "   supervisor.")
    assert shown(pdf.read()) == [
        "# PURPOSE", "This text has one size and one weight only.", "# PROCEDURE",
        "1. Open the door.", "2. Wait, and if nothing happens then call the supervisor.",
    ]  # fmt: skip


def test_steps_across_pages(flow: Any, sentence: str, shown: Shown) -> None:
    numbers = range(1, 19)
    story = [step(f"Step {n}. {sentence * 2}", f"{n}.") for n in numbers]
    story[6:6] = [step(f"Sub {mark} {sentence}", mark, **SUB) for mark in ("a)", "b)")]
    document = read(flow(heading("Steps", fontSize=14, leading=17), *story), "pdf")
    assert document.pages == 2
    steps = [block for block in document.blocks if isinstance(block, Step)]
    assert [one.marker for one in steps] == [
        *[f"{n}." for n in range(1, 7)],
        "a)",
        "b)",
        *[f"{n}." for n in range(7, 19)],
    ]
    assert [one.depth for one in steps] == [0] * 6 + [1, 1] + [0] * 12
    assert all(
        one.text == f"Step {n}. {sentence * 2}"
        for n, one in zip(numbers, [s for s in steps if s.depth == 0], strict=True)
    )
    assert [one.page for one in steps] == sorted(one.page or 0 for one in steps)
    assert {one.page for one in steps} == {1, 2}


def test_a_second_paragraph_of_a_step(flow: Any, sentence: str, shown: Shown) -> None:
    raw = flow(step("Open.", "1."), ("More on it.", {"leftIndent": 20}), step("Look.", "2."), "After it all.")
    assert shown(read(raw, "pdf")) == ["1. Open.", "  More on it.", "2. Look.", "After it all."]


@pytest.mark.parametrize("mark", ["•", "–", "-", "*", "o"])
def test_bullets(mark: str, flow: Any, shown: Shown) -> None:
    raw = flow("You need:", step("gloves", mark), step("a helmet", mark), step("red", "•", **SUB), step("boots", mark))
    assert shown(read(raw, "pdf")) == ["You need:", "- gloves", "- a helmet", "  - red", "- boots"]


def test_a_mark_that_is_a_little_lower(pdf: Any, shown: Shown) -> None:
    for number in (1, 2):
        pdf.canvas.drawString(72, pdf.y - 0.8, f"{number}.")
        pdf.line(f"Step number {number} goes on over two lines of", 95).line("text.", 95)
    assert shown(pdf.read()) == [
        "1. Step number 1 goes on over two lines of text.",
        "2. Step number 2 goes on over two lines of text.",
    ]


def test_lines_that_begin_with_a_number_by_chance(pdf: Any, shown: Shown) -> None:
    text = (
        "The rule has been in force since the first of May of the year",
        "2019. It allows loads of up to a weight of, as a rule, about",
        "12.5 kg for one person and much more for two of them.",
    )
    pdf.lines(*text).lines("- 5 degrees is cold", "- 9 degrees is colder", gap=40)
    assert shown(pdf.read())[0] == " ".join(text)


def test_paragraphs_by_gaps_indents_and_short_lines(pdf: Any, shown: Shown) -> None:
    pdf.lines("The first paragraph is a line of text that goes to the right margin of it", "and ends here.")
    pdf.lines("The second paragraph comes after a gap, and it is of two lines as well as", "the first one.")
    pdf.line("The third one is only indented, and also of two lines that go to the margin", 90).line("as they do.")
    pdf.line("A fourth one begins after a short line, at the same place, without any gap.")
    assert [line.split(" paragraph")[0][:10] for line in shown(pdf.read())] == [
        "The first",
        "The second",
        "The third ",
        "A fourth o",
    ]


def test_a_paragraph_across_pages(pdf: Any, shown: Shown) -> None:
    pdf.lines("The paragraph begins on one page and is not at its end where the page ends, so").page()
    pdf.lines("it goes on with the next one.")
    document = pdf.read()
    assert shown(document) == [
        "The paragraph begins on one page and is not at its end where the page ends, so it goes on with the next one."
    ]
    assert document.blocks[0].page == 1


def test_hyphens_at_line_ends(pdf: Any, shown: Shown) -> None:
    pdf.lines(
        "The in-house archive keeps the docu-",
        "ments for ten years. The in-",
        "house rule is the same for WH-",
        "001 and for the and/",
        "or list.",
    )
    assert shown(pdf.read()) == [
        "The in-house archive keeps the documents for ten years. The in-house rule is the same for WH-001 and for the and/or list."
    ]


def test_running_lines_and_page_numbers_are_left_out(flow: Any, sentence: str, shown: Shown) -> None:
    def decorate(canvas: Any, document: Any) -> None:
        canvas.setFont("Times-Roman", 11)
        canvas.drawString(72, 800, "ACME Distribution - Standard Operating Procedure")
        canvas.drawRightString(520, 800, "WH-017 Rev. 4")
        canvas.drawCentredString(300, 30, f"- {document.page} -")
        if document.page % 2:
            canvas.drawString(72, 50, "Printed copies are not controlled")

    document = read(flow(*[sentence * 3] * 25, decorate=decorate), "pdf")
    assert document.pages == 2 or document.pages == 3
    assert set(shown(document)) == {(sentence * 3).strip()}


def test_on_a_single_page_what_is_small_in_the_margin_is_left_out(pdf: Any, shown: Shown) -> None:
    pdf.at(72, 805, "Receiving").at(480, 805, "WH-1").at(72, 30, "Revision 6").at(480, 30, "Page 1 of 1")
    pdf.lines("The text of the page is larger than what stands in its margins.")
    assert shown(pdf.read()) == ["The text of the page is larger than what stands in its margins."]


def test_the_running_header_may_say_what_holds(flow: Any, sentence: str) -> None:
    def decorate(canvas: Any, document: Any) -> None:
        canvas.drawString(72, 800, "Doc. no.: WH-017")
        canvas.drawString(300, 800, "Rev.: 4")
        canvas.drawString(400, 800, f"Page {document.page} of 2")

    document = read(flow(*[sentence * 3] * 25, decorate=decorate), "pdf")
    assert document.metadata.stated == {"document": "WH-017", "revision": "4"}


def test_a_watermark_is_left_out(flow: Any, sentence: str, shown: Shown) -> None:
    def decorate(canvas: Any, document: Any) -> None:
        canvas.saveState()
        canvas.setFont("Times-Bold", 60)
        canvas.translate(300, 400)
        canvas.rotate(45)
        canvas.drawCentredString(0, 0, "UNCONTROLLED")
        canvas.restoreState()

    assert set(shown(read(flow(*[sentence] * 20, decorate=decorate), "pdf"))) == {sentence}


def test_a_table_of_contents_is_left_out(pdf: Any, shown: Shown) -> None:
    pdf.lines("Purpose .................................. 1", "Scope ..................... 2").lines(
        "The text.", gap=20
    )
    assert shown(pdf.read()) == ["The text."]


def test_tables_at_their_place(flow: Any, ruled: Any, sentence: str, shown: Shown) -> None:
    raw = flow("Before it.", ruled("Item | Limit of the | ", "A-1 | 5 kg | x", "B-2 | 7 kg | "), "After it.")
    assert shown(read(raw, "pdf")) == [
        "Before it.",
        "Item | Limit of the |  / A-1 | 5 kg | x / B-2 | 7 kg | ",
        "After it.",
    ]


def test_a_table_across_pages_is_one(flow: Any, ruled: Any, shown: Shown) -> None:
    rows = [f"I-{n} | {n} kg | {'remark ' * 8}" for n in range(70)]
    document = read(flow("Limits:", ruled("Item | Limit | Remark", *rows), "After it."), "pdf")
    (table,) = [block for block in document.blocks if isinstance(block, TableBlock)]
    assert document.pages is not None and document.pages > 2
    assert len(table.rows) == 71
    assert table.rows[0] == ("Item", "Limit", "Remark")
    assert [row[0] for row in table.rows[1:]] == [f"I-{n}" for n in range(70)]
    assert table.page == 1


def test_a_row_across_pages(flow: Any, ruled: Any, sentence: str) -> None:
    long = " ".join([sentence] * 40)
    table = ruled("Item | Text", f"A | {long}", "B | short", colWidths=[60, 380], splitInRow=1)
    document = read(flow(sentence, table), "pdf")
    (found,) = [block for block in document.blocks if isinstance(block, TableBlock)]
    assert found.rows == (("Item", "Text"), ("A", long), ("B", "short"))


def test_merged_cells_and_shading(flow: Any, ruled: Any, shown: Shown) -> None:
    look = (
        ("GRID", (0, 0), (-1, -1), 0.5, "black"),
        ("SPAN", (0, 1), (0, 2)),
        ("BACKGROUND", (0, 0), (-1, 0), colors.lightgrey),
    )
    raw = flow(ruled("Item | Weight | Height", "A | 5 kg | 1 m", " | 7 kg | 2 m", look=look))
    assert shown(read(raw, "pdf")) == ["Item | Weight | Height / A | 5 kg | 1 m / A | 7 kg | 2 m"]


def test_a_frame_around_text_is_no_table(flow: Any, ruled: Any, sentence: str, shown: Shown) -> None:
    raw = flow(ruled("Warning: do not touch it.", repeat=0, look=(("BOX", (0, 0), (-1, -1), 1, "black"),)), sentence)
    assert shown(read(raw, "pdf")) == ["Warning: do not touch it.", sentence]


def test_white_boxes_and_underlines_are_no_tables(pdf: Any, shown: Shown) -> None:
    for row in range(4):
        pdf.canvas.setFillGray(1)
        pdf.canvas.rect(70, pdf.y - 3, 100, 13, stroke=0, fill=1)
        pdf.canvas.rect(170, pdf.y - 3, 100, 13, stroke=0, fill=1)
        pdf.canvas.setFillGray(0)
        pdf.canvas.line(72, pdf.y - 2, 140, pdf.y - 2)
        pdf.line(f"underlined {row}")
    assert all("|" not in line for line in shown(pdf.read()))


def test_a_table_inside_a_step(flow: Any, ruled: Any, shown: Shown) -> None:
    raw = flow(
        step("Fill in:", "1."),
        ruled("Field | Value", "a | 1", "b | 2", hAlign="RIGHT", colWidths=[100, 200]),
        step("Sign.", "2."),
    )
    assert shown(read(raw, "pdf")) == ["1. Fill in:", "  Field | Value / a | 1 / b | 2", "2. Sign."]


def test_a_control_table(flow: Any, ruled: Any, sentence: str, shown: Shown) -> None:
    table = ruled("Document | WH-1", "Revision | 6", "Effective from | 01.03.2026", repeat=0)
    document = read(flow(heading("Receiving", fontSize=18, leading=22), table, sentence), "pdf")
    assert document.metadata.stated == {"document": "WH-1", "revision": "6", "effective_from": "01.03.2026"}
    assert shown(document) == ["# Receiving", sentence]


def test_control_lines(pdf: Any, shown: Shown) -> None:
    pdf.line("Receiving", size=18, bold=True)
    pdf.lines("Document: WH-1", "Revision: 6", "Owner: dock team").lines("The text of the document, on a line.")
    document = pdf.read()
    assert document.metadata.stated == {"document": "WH-1", "revision": "6", "owner": "dock team"}
    assert shown(document) == ["# Receiving", "The text of the document, on a line."]


def test_two_columns(sentence: str, shown: Shown) -> None:
    stream = io.BytesIO()
    template = BaseDocTemplate(stream, invariant=1)
    template.addPageTemplates([PageTemplate(frames=[Frame(x, 72, 210, 690, 0, 0, 0, 0) for x in (72, 306)])])
    from reportlab.lib.styles import ParagraphStyle

    body = ParagraphStyle("b", fontName="Times-Roman", fontSize=11, leading=13, spaceAfter=6)
    template.build([Paragraph(f"Paragraph {n}. {sentence * 3}", body) for n in range(1, 15)])
    assert [line.split(".")[0] for line in shown(read(stream.getvalue(), "pdf"))] == [
        f"Paragraph {n}" for n in range(1, 15)
    ]


def test_words_without_spaces_between_them(pdf: Any, shown: Shown) -> None:
    x = 72.0
    for word in ("These", "words", "have", "no", "space", "characters", "between", "them"):
        pdf.canvas.drawString(x, pdf.y, word)
        x += pdf.canvas.stringWidth(word, "Helvetica", 12) + 3.2
    assert shown(pdf.read()) == ["These words have no space characters between them"]


def test_powers_and_text_that_is_printed_twice(pdf: Any, shown: Shown) -> None:
    pdf.at(72, 700, "About 10", 10).at(112.5, 704, "6", 6).at(119, 700, "cells.", 10)
    for shift in (0, 0.3):
        pdf.at(72 + shift, 600, "Twice as bold", 10)
    pdf.at(72, 586, "and the text below it, which is longer than the heading is.", 10)
    assert shown(pdf.read()) == [
        "About 10⁶ cells.",
        "# Twice as bold",
        "and the text below it, which is longer than the heading is.",
    ]


def test_rotated_pages(pdf: Any, shown: Shown) -> None:
    pdf.canvas.setPageRotation(90)
    pdf.canvas.rotate(90)
    pdf.canvas.translate(0, -595)
    pdf.y = 500
    pdf.lines("A page on its side has", "lines as well.")
    assert shown(pdf.read()) == ["A page on its side has lines as well."]


def test_properties(pdf: Any) -> None:
    pdf.canvas.setTitle("Receiving")
    pdf.canvas.setSubject("WH-1")
    properties = pdf.lines("The text of the page.").read().metadata.properties
    assert (properties["title"], properties["subject"]) == ("Receiving", "WH-1")


def picture() -> ImageReader:
    from PIL import Image

    return ImageReader(Image.new("RGB", (60, 60), "grey"))


def test_a_scan_is_refused(pdf: Any) -> None:
    for _ in range(3):
        pdf.canvas.drawImage(picture(), 0, 0, 595, 842)
        pdf.page()
    with pytest.raises(DataError, match="a scan without text; run OCR first"):
        pdf.read()


def test_a_scanned_page_among_others_is_noted(pdf: Any, sentence: str) -> None:
    pdf.lines(sentence).page()
    pdf.canvas.drawImage(picture(), 0, 0, 595, 842)
    pdf.page().lines(sentence).page().page()
    document = pdf.read()
    assert document.notes == ("no text on page 2: a scan or a picture, not taken in; run OCR for its text",)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b"<html>", "not a PDF"),
        (b"%PDF-1.4\n%%EOF", "damaged PDF"),
        (b"%PDF-1.4\n" + b"junk " * 500, "damaged PDF"),
    ],
)
def test_what_is_no_pdf(raw: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(raw, "pdf")


def encrypted(user: str, owner: str) -> bytes:
    stream = io.BytesIO()
    canvas = Canvas(stream, encrypt=pdfencrypt.StandardEncryption(user, owner, canPrint=0))
    canvas.drawString(72, 700, "The text of the page is protected.")
    canvas.save()
    return stream.getvalue()


def test_a_file_with_a_password_is_refused() -> None:
    with pytest.raises(DataError, match="encrypted: save a copy without a password"):
        read(encrypted("secret", "secret"), "pdf")


def test_a_file_that_only_may_not_be_printed_is_read(shown: Shown) -> None:
    assert shown(read(encrypted("", "owner"), "pdf")) == ["The text of the page is protected."]


def test_a_truncated_file_is_refused_or_read_in_part(flow: Any, sentence: str) -> None:
    raw = flow(*[sentence * 3] * 40)
    for part in (0.3, 0.6, 0.9):
        try:
            document = read(raw[: int(part * len(raw))], "pdf")
        except DataError:
            continue
        assert document.blocks


def test_fonts_that_do_not_say_what_they_show(make_pdf: Any) -> None:
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    pdfmetrics.registerFont(TTFont("Wide", str(folder / "DejaVuSans.ttf")))
    raw = make_pdf("Wide").lines(*["Κάθε παλέτα ζυγίζεται"] * 5).raw
    assert "παλέτα" in read(raw, "pdf").blocks[0].text  # type: ignore[union-attr]
    with pytest.raises(DataError, match="its fonts do not say"):
        read(raw.replace(b"/ToUnicode", b"/ToNothing"), "pdf")


def test_chapter_titles_with_page_numbers_are_left_out(pdf: Any, sentence: str, shown: Shown) -> None:
    parts = [f"Part {letter}: {sentence}" for letter in "ABCDEFG"]
    for number, part in enumerate(parts, start=1):
        pdf.at(72, 800, f"Of {part[5]} and its title {number + 4}", 10).lines(part).page()
    assert shown(pdf.read()) == parts


def test_quantities_at_the_top_of_pages_stay(pdf: Any, shown: Shown) -> None:
    for number, letter in enumerate("ABCDE", start=1):
        pdf.lines(f"{number * number * 7} kg is the limit of pallets of type {letter}.").page()
    assert len(shown(pdf.read())) == 5


def test_bullets_that_are_drawn(pdf: Any, ruled: Any, shown: Shown) -> None:
    pdf.line("You need, as far as it is not there yet:")
    for text in ("gloves", "a helmet"):
        pdf.canvas.circle(76, pdf.y + 3.5, 1.8, stroke=0, fill=1)
        pdf.line(text, 90)
    pdf.line("A text with a dot in the middle", gap=8)
    pdf.canvas.circle(120, pdf.y + 16, 1.8, stroke=0, fill=1)
    assert shown(pdf.read()) == [
        "You need, as far as it is not there yet:",
        "- gloves",
        "- a helmet",
        "A text with a dot in the middle",
    ]


def test_bullets_of_symbol_fonts(flow: Any, shown: Shown) -> None:
    raw = flow("You need:", *[step(text, "n", bulletFontName="ZapfDingbats") for text in ("gloves", "boots")])
    assert shown(read(raw, "pdf")) == ["You need:", "- gloves", "- boots"]
