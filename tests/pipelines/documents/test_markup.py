"""Blocks as Markdown, in pieces."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from pipelines.documents.blocks import Bullet, Content, Paragraph, Step, TableBlock
from pipelines.documents.markup import Group, Piece, count_words, groups_of

pytestmark = pytest.mark.unit


def s(marker: str, text: str, depth: int = 0) -> Step:
    return Step(marker=marker, text=text, depth=depth)


def b(text: str, depth: int = 0) -> Bullet:
    return Bullet(text=text, depth=depth)


def p(text: str, depth: int = 0) -> Paragraph:
    return Paragraph(text=text, depth=depth)


def texts(*blocks: Content, max_words: int = 100) -> list[str]:
    return [group.text(group.pieces) for group in groups_of(blocks, max_words)]


def test_each_kind() -> None:
    table = TableBlock(rows=(("Item", "Limit | kg"), ("A", "5\n6")))
    assert texts(p("One.\nTwo."), s("1.", "Do."), s("2.", "Go."), b("red"), b("blue"), table) == [
        "One.\nTwo.",
        "1. Do.\n2. Go.",
        "- red\n- blue",
        "| Item | Limit \\| kg |\n| --- | --- |\n| A | 5 6 |",
    ]


def test_what_is_inside_an_item_is_indented_under_its_text() -> None:
    blocks = (
        s("9.", "Look:"),
        b("red", 1),
        b("deep", 2),
        p("More.", 1),
        s("10.", "Go:"),
        s("a)", "left", 1),
        p("By foot.", 2),
    )
    assert texts(*blocks) == ["9. Look:\n   - red\n     - deep\n\n   More.\n\n10. Go:\n    a) left\n\n       By foot."]


def test_a_table_inside_a_step() -> None:
    assert texts(s("1.", "Fill in:"), TableBlock(rows=(("a", "b"), ("1", "2")), depth=1), s("2.", "Sign.")) == [
        "1. Fill in:\n\n   | a | b |\n   | --- | --- |\n   | 1 | 2 |\n\n2. Sign."
    ]


def test_what_stands_between_two_steps_belongs_to_the_first() -> None:
    assert texts(s("1.", "One."), p("A note."), b("red"), s("2.", "Two."), p("After.")) == [
        "1. One.\n\nA note.\n\n- red\n2. Two.",
        "After.",
    ]


@pytest.mark.parametrize(
    ("blocks", "groups"),
    [
        ((s("1.", "a"), p("note"), s("1.", "b")), 3),
        ((s("1.", "a"), s("2.", "b"), s("1.", "c"), s("2.", "d")), 2),
        ((s("1.", "a"), s("3.", "b")), 1),
        ((s("a)", "x"), s("b)", "y"), s("a)", "z")), 2),
        ((s("3.1", "x"), s("3.2", "y"), s("4.1", "z")), 1),
        ((b("x"), p("text"), b("y")), 3),
        ((b("x"), s("1.", "y")), 2),
        ((s("1.", "a"), *[p("note")] * 6, s("2.", "b")), 8),
        ((s("1.", "a", 1), s("2.", "b", 1), s("2.", "c")), 2),
    ],
)
def test_where_a_list_ends(blocks: tuple[Content, ...], groups: int) -> None:
    assert len(texts(*blocks)) == groups


def test_markdown_is_read_as_it_was_meant() -> None:
    blocks = (s("9.", "Look:"), b("red", 1), p("More.", 1), s("10.", "Go."), p("Not in it."), s("11.", "End."))
    (text,) = texts(*blocks)
    html = MarkdownIt().render(text)
    assert html.count("<ol") == 2  # the paragraph at the margin ends the first list, and 11 begins another
    assert '<ol start="9">' in html
    assert '<ol start="11">' in html
    assert "<li>red</li>" in html


def test_a_long_paragraph_is_divided_between_sentences() -> None:
    text = 'He said "Stop." Then 5 cars came. (All of them.) Version 1.5 of it e.g. this one.'
    (group,) = groups_of((p(text),), 5)
    assert [piece.text for piece in group.pieces] == [
        'He said "Stop."',
        "Then 5 cars came.",
        "(All of them.)",
        "Version 1.5 of it e.g. this one.",
    ]
    assert group.text(group.pieces) == text


def test_a_long_paragraph_of_lines_is_divided_between_lines() -> None:
    (group,) = groups_of((p("x = 1\ny = 2. Or\nz = 3"),), 3)
    assert [piece.text for piece in group.pieces] == ["x = 1", "y = 2. Or", "z = 3"]
    assert group.text(group.pieces) == "x = 1\ny = 2. Or\nz = 3"


def test_an_item_that_is_far_too_long_is_opened() -> None:
    table = TableBlock(rows=(("Field", "Value"), *((f"f{n}", "word word") for n in range(10))), depth=1)
    blocks = (s("1.", "One."), s("2.", "Fill in:"), table, p("Done.", 1), s("3.", "Three."))
    assert len(texts(*blocks, max_words=40)) == 1
    opened = list(groups_of(blocks, 10))
    assert [group.text(group.pieces).split("\n")[0] for group in opened] == [
        "1. One.",
        "| Field | Value |",
        "Done.",
        "3. Three.",
    ]
    assert opened[0].text(opened[0].pieces) == "1. One.\n2. Fill in:"


def test_a_table_of_one_row() -> None:
    assert texts(TableBlock(rows=(("a", "b"),))) == ["| a | b |\n| --- | --- |"]


def test_words_are_those_with_letters_or_digits() -> None:
    assert count_words("| Item | Limit |\n| --- | --- |\n- 5 kg – ok") == 5
    group = Group((Piece("| a | b |", 1),), head="| Item | Limit |\n| --- | --- |")
    assert group.words == 4
    assert group.words_of(()) == 2
