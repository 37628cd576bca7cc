"""DOCX as people write it: built-in and own styles, lists, tables, and what Word hides in a file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from docx.shared import Pt

from fleet_manifests import DataError
from pipelines.documents.blocks import Document
from pipelines.documents.readers import read

pytestmark = pytest.mark.unit
Shown = Callable[[Document], list[str]]


def test_styles_of_word(word: Any, shown: Shown) -> None:
    word.add("Receiving", "Title")
    word.add("Scope", "Heading 1")
    word.add("For everyone.")
    word.add("At night", "Heading 2")
    for text in ("Open.", "Look."):
        word.add(text, "List Number")
    word.add("red", "List Bullet 2")
    word.add("Go on.", "List Number")
    word.add("It has two lines.", "List Continue")
    word.table("Item | Limit", "A-1 | 5 kg")
    assert shown(word.read()) == [
        "= Receiving",
        "# Scope",
        "For everyone.",
        "## At night",
        "1. Open.",
        "2. Look.",
        "  - red",
        "3. Go on.",
        "  It has two lines.",
        "Item | Limit / A-1 | 5 kg",
    ]


def test_own_styles_are_headings_by_what_they_are_based_on_or_by_outline(word: Any, shown: Shown) -> None:
    word.style("SOP section", "Heading 2")
    word.style("SOP subsection", "SOP section")
    word.style("Clause", outline=2)
    word.style("Not a heading", "Heading 1", outline=9)
    for style in ("SOP section", "SOP subsection", "Clause", "Not a heading"):
        word.add(style, style)
    assert shown(word.read()) == ["## SOP section", "## SOP subsection", "### Clause", "Not a heading"]


@pytest.mark.parametrize("name", ["Überschrift 1", "Titre 1", "Título 1", "Kop 1", "Заголовок 1", "heading 1"])
def test_headings_in_other_languages(word: Any, name: str, shown: Shown) -> None:
    if name != "heading 1":
        word.style(name)
    word.add("Scope", "Heading 1" if name == "heading 1" else name)
    word.add("Text.")
    assert shown(word.read()) == ["# Scope", "Text."]


def test_the_outline_level_of_a_paragraph(word: Any, shown: Shown) -> None:
    paragraph = word.add("Scope")
    paragraph._p.get_or_add_pPr().append(word.document.styles["Heading 3"].element.find(".//{*}outlineLvl"))
    word.add("Text.")
    assert shown(word.read()) == ["### Scope", "Text."]


def test_a_long_paragraph_in_a_heading_style_is_text(word: Any, shown: Shown) -> None:
    word.add("word " * 41, "Heading 1")
    assert shown(word.read()) == [("word " * 41).strip()]


def test_numbered_headings_keep_their_numbers(word: Any, shown: Shown) -> None:
    n = word.number(word.abstract("decimal %1", "decimal %1.%2"))
    for level, style in enumerate(("Heading 1", "Heading 2")):
        properties = word.document.styles[style].element.get_or_add_pPr().get_or_add_numPr()
        properties.get_or_add_numId().val = n
        properties.get_or_add_ilvl().val = level
    word.add("Scope", "Heading 1")
    word.add("Rules", "Heading 1")
    word.add("Gloves", "Heading 2")
    word.add("Text.")
    assert shown(word.read()) == ["# 1 Scope", "# 2 Rules", "## 2.1 Gloves", "Text."]


def test_steps_with_the_numbers_that_word_shows(word: Any, shown: Shown) -> None:
    abstract = word.abstract("decimal %1.", "lowerLetter %2)")
    first, again, bullets = (
        word.number(abstract),
        word.number(abstract, level0=1),
        word.number(word.abstract("bullet •", key=78)),
    )
    word.item("one", first)
    word.item("in it", first, 1)
    word.add("A note.")
    word.item("two", first)
    word.add("Another list", "Heading 1")
    word.item("one again", again)
    word.item("dot", bullets)
    assert shown(word.read()) == [
        "1. one",
        "  a) in it",
        "A note.",
        "2. two",
        "# Another list",
        "1. one again",
        "- dot",
    ]


def test_a_list_style_can_be_switched_off(word: Any, shown: Shown) -> None:
    word.item("ordinary", 0).style = word.document.styles["List Number"]
    word.add("# not a list")
    assert shown(word.read()) == ["ordinary", "# not a list"]


def test_list_styles_without_numbering(word: Any, shown: Shown) -> None:
    for name in ("List Number", "List Bullet"):
        element = word.document.styles[name].element
        element.pPr.remove(element.pPr.find("{*}numPr"))
    word.add("one", "List Number")
    word.add("two", "List Number")
    word.add("dot", "List Bullet")
    word.add("Text ends it.")
    word.add("one", "List Number")
    assert shown(word.read()) == ["1. one", "2. two", "- dot", "Text ends it.", "1. one"]


def test_indented_text_below_a_step_belongs_to_it(word: Any, shown: Shown) -> None:
    word.add("one", "List Number")
    word.add("More on one.").paragraph_format.left_indent = Pt(18)
    word.add("At the margin.")
    word.add("Indented, in no list.").paragraph_format.left_indent = Pt(18)
    assert shown(word.read()) == ["1. one", "  More on one.", "At the margin.", "Indented, in no list."]


def test_typed_numbers(word: Any, shown: Shown) -> None:
    word.add("Scope", "Heading 1")
    for text in ("1) one", "a) in it", "b) too", "2) two"):
        word.add(text)
    assert shown(word.read()) == ["# Scope", "1) one", "  a) in it", "  b) too", "2) two"]


def test_headings_by_direct_formatting_are_guessed_with_a_note(word: Any, shown: Shown) -> None:
    word.add("Receiving", bold=True, size=16)
    for title in ("1. Purpose", "2. Steps"):
        word.add(title, bold=True)
        word.add("This is the usual text of the document and there is enough of it to see that.")
    word.add("Never work alone.", bold=True)
    document = word.read()
    assert shown(document)[:4] == ["# Receiving", "## 1. Purpose", shown(document)[2], "## 2. Steps"]
    assert shown(document)[-1] == "Never work alone."
    assert "guessed" in document.notes[0]


def test_bold_lists_and_last_lines_are_not_guessed(word: Any, shown: Shown) -> None:
    word.add("Text of the document, as usual, in the usual size.")
    for text in ("gloves", "helmet", "boots"):
        word.add(text, bold=True)
    document = word.read()
    assert shown(document)[1:] == ["gloves", "helmet", "boots"]
    assert document.notes == ()


def test_with_heading_styles_bold_is_only_bold(word: Any, shown: Shown) -> None:
    word.add("Scope", "Heading 1")
    word.add("Important", bold=True)
    word.add("Text.")
    assert shown(word.read()) == ["# Scope", "Important", "Text."]


def test_a_title_alone_does_not_stop_the_guess(word: Any, shown: Shown) -> None:
    word.add("Receiving", "Title")
    word.add("Scope", bold=True)
    word.add("For everyone.")
    assert shown(word.read()) == ["= Receiving", "# Scope", "For everyone."]


def test_merged_cells(word: Any, shown: Shown) -> None:
    table = word.table("Limits | | ", "Item | Weight | Height", "A | 5 kg | 1 m", "x | 7 kg | 2 m")
    table.cell(0, 0).merge(table.cell(0, 2))
    table.cell(2, 0).merge(table.cell(3, 0))
    assert shown(word.read()) == ["Limits", "Item | Weight | Height / A x | 5 kg | 1 m / A x | 7 kg | 2 m"]


def test_steps_inside_cells_keep_their_numbers(word: Any, shown: Shown) -> None:
    table = word.table("Who | What", "clerk | ")
    for text in ("Open.", "Look."):
        table.cell(1, 1).add_paragraph(text, style="List Number")
    word.add("Go on.", "List Number")
    assert shown(word.read()) == ["Who | What / clerk | 1. Open. 2. Look.", "3. Go on."]


def test_a_table_of_one_cell_is_a_frame(word: Any, shown: Shown) -> None:
    table = word.table("Danger.")
    table.cell(0, 0).add_paragraph("Stop.", style="List Number")
    word.add("Text.")
    assert shown(word.read()) == ["Danger.", "1. Stop.", "Text."]


def test_a_nested_table_is_words_of_its_cell(word: Any, shown: Shown) -> None:
    table = word.table("Who | What", "clerk | see")
    inner = table.cell(1, 1).add_table(rows=1, cols=2)
    inner.cell(0, 0).text, inner.cell(0, 1).text = "in", "side"
    assert shown(word.read()) == ["Who | What / clerk | see in side"]


def test_a_control_table_and_properties(word: Any, shown: Shown) -> None:
    word.add("Receiving", "Title")
    word.table("Document | WH-1", "Revision | 6", "Effective from | 1 March 2026", "Approved by | J. Doe")
    word.add("Text.")
    word.document.core_properties.title = "Draft"
    word.document.core_properties.category = "internal"
    document = word.read()
    assert document.metadata.stated == {"document": "WH-1", "revision": "6", "effective_from": "1 March 2026"}
    assert document.metadata.properties["title"] == "Draft"
    assert shown(document) == ["= Receiving", "Text."]


def test_the_page_header_is_no_content_but_may_say_what_holds(word: Any, shown: Shown) -> None:
    section = word.document.sections[0]
    section.header.paragraphs[0].text = "Doc. No.: QA-7\tRev.: 4"
    cell = section.header.add_table(1, 2, Pt(300)).rows[0].cells[0]
    cell.text = "Classification: customer"
    section.footer.paragraphs[0].text = "Page 1 of 9"
    word.add("Text.")
    document = word.read()
    assert document.metadata.stated == {"document": "QA-7", "revision": "4", "data_class": "customer"}
    assert shown(document) == ["Text."]


def test_the_control_block_wins_over_the_page_header(word: Any) -> None:
    word.document.sections[0].header.paragraphs[0].text = "Revision: 3"
    word.table("Document | WH-1", "Revision | 6")
    word.add("Text.")
    assert word.read().metadata.stated["revision"] == "6"


def test_custom_properties(word: Any) -> None:
    word.add("Text.")
    custom = (
        b'<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties" '
        b'xmlns:vt="http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes">'
        b'<property fmtid="{x}" pid="2" name="Document Number"><vt:lpwstr>QM-12</vt:lpwstr></property>'
        b'<property fmtid="{x}" pid="3" name="Department"><vt:lpwstr>Dock</vt:lpwstr></property></Properties>'
    )
    relationship = (
        b'<Relationship Id="rIdC" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
        b'custom-properties" Target="docProps/custom.xml"/></Relationships>'
    )
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(word.raw)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "_rels/.rels":
                content = content.replace(b"</Relationships>", relationship)
            if name == "[Content_Types].xml":
                content = content.replace(
                    b"</Types>",
                    b'<Override PartName="/docProps/custom.xml" ContentType="application/vnd.openxmlformats-officedocument.'
                    b'custom-properties+xml"/></Types>',
                )
            new.writestr(name, content)
        new.writestr("docProps/custom.xml", custom)
    metadata = read(stream.getvalue(), "docx").metadata
    assert metadata.stated == {"document": "QM-12"}
    assert metadata.properties["department"] == "Dock"


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (run("a") + '<w:ins w:id="1" w:author="x">' + run(" new") + "</w:ins>", "a new"),
        (run("a") + '<w:del w:id="1" w:author="x"><w:r><w:delText>old</w:delText></w:r></w:del>', "a"),
        (run("a") + run("hidden", "<w:vanish/>"), "a"),
        (run("a") + run(" shown", '<w:vanish w:val="0"/>'), "a shown"),
        (run("10") + run("6", '<w:vertAlign w:val="superscript"/>'), "10⁶"),
        (run("H") + run("2", '<w:vertAlign w:val="subscript"/>') + run("O"), "H2O"),
        (run("5 ") + '<w:r><w:sym w:font="Symbol" w:char="F0B3"/></w:r>' + run(" 4"), "5 ≥ 4"),
        ('<w:r><w:sym w:font="Wingdings" w:char="F0FC"/></w:r>' + run("done"), "done"),
        ("<w:r><w:t>a</w:t><w:br/><w:t>b</w:t><w:tab/><w:t>c</w:t><w:noBreakHyphen/><w:t>d</w:t></w:r>", "a\nb c-d"),
        ('<w:r><w:t>a</w:t><w:br w:type="page"/><w:t>b</w:t></w:r>', "a b"),
        ('<w:fldSimple w:instr="REF x">' + run("section 3") + "</w:fldSimple>", "section 3"),
        ("<w:sdt><w:sdtContent>" + run("chosen") + "</w:sdtContent></w:sdt>", "chosen"),
        ('<w:r><w:instrText>HYPERLINK "x"</w:instrText></w:r>' + run("link"), "link"),
        ("<w:smartTag>" + run("smart") + "</w:smartTag>", "smart"),
    ],
)
def test_what_a_reader_sees(word: Any, inside: str, text: str, shown: Shown) -> None:
    word.xml(f"<w:p>{inside}</w:p>")
    assert shown(word.read()) == [text]


def test_content_controls_are_content_and_a_table_of_contents_is_not(word: Any, shown: Shown) -> None:
    gallery = '<w:docPartObj><w:docPartGallery w:val="Table of Contents"/></w:docPartObj>'
    word.xml(f"<w:sdt><w:sdtPr>{gallery}</w:sdtPr><w:sdtContent><w:p>{run('Scope 1')}</w:p></w:sdtContent></w:sdt>")
    word.style("toc 1")
    word.add("Scope\t1", "toc 1")
    word.xml(f"<w:sdt><w:sdtPr/><w:sdtContent><w:p>{run('kept')}</w:p></w:sdtContent></w:sdt>")
    assert shown(word.read()) == ["kept"]


def test_a_text_box_is_read_once(word: Any, shown: Shown) -> None:
    mc = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    box = f"<w:txbxContent><w:p>{run('In a box.')}</w:p></w:txbxContent>"
    word.xml(
        f'<w:p xmlns:mc="{mc}">{run("Text.")}<w:r><mc:AlternateContent><mc:Choice Requires="wps"><w:drawing>{box}</w:drawing>'
        f"</mc:Choice><mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent></w:r></w:p>"
    )
    assert shown(word.read()) == ["Text.", "In a box."]


def test_an_empty_document_has_no_blocks(word: Any) -> None:
    assert word.read().blocks == ()


def test_there_are_no_pages(word: Any) -> None:
    word.add("Text.")
    document = word.read()
    assert document.pages is None
    assert document.blocks[0].page is None


def without(raw: bytes, part: str, content: bytes | None = None) -> bytes:
    """The same archive without a part, or with other content in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            if name != part:
                new.writestr(name, old.read(name))
            elif content is not None:
                new.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda raw: b"", "empty"),
        (lambda raw: raw[: len(raw) // 2], "not a zip archive"),
        (lambda raw: without(raw, "word/document.xml"), "not a DOCX that can be read"),
        (lambda raw: without(raw, "word/document.xml", b"<w:document"), "not a DOCX that can be read"),
        (lambda raw: without(raw, "_rels/.rels"), "not a DOCX that can be read"),
        (lambda raw: without(raw, "[Content_Types].xml", b"<Types/>"), "not a DOCX that can be read"),
        (lambda raw: raw.replace(raw[2000:2100], b"\xff" * 100), "damaged|not a DOCX"),
    ],
)
def test_broken_files(word: Any, spoil: Callable[[bytes], bytes], said: str) -> None:
    word.add("Text.")
    with pytest.raises(DataError, match=said):
        read(spoil(word.raw), "docx")


def test_entities_are_not_expanded(word: Any) -> None:
    word.add("TEXT")
    xml = zipfile.ZipFile(io.BytesIO(word.raw)).read("word/document.xml")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(9))
    bomb = xml.replace(b"?>", f"?><!DOCTYPE d [{laughs}]>".encode(), 1).replace(b"TEXT", b"a&l8;b")
    try:
        document = read(without(word.raw, "word/document.xml", bomb), "docx")
    except DataError:
        return
    assert len("".join(block.text for block in document.blocks)) < 100
