"""Tables as people read them."""

from __future__ import annotations

import pytest

from pipelines.documents.blocks import Paragraph, TableBlock
from pipelines.documents.readers.tables import tidy

pytestmark = pytest.mark.unit


def test_empty_rows_and_columns_are_left_out() -> None:
    (table,) = tidy([["a", "", "b"], ["", "", ""], ["1", "", "2"]], page=2, depth=1)
    assert table == TableBlock(rows=(("a", "b"), ("1", "2")), page=2, depth=1)


def test_short_rows_are_filled_up() -> None:
    (table,) = tidy([["a", "b"], ["1"]])
    assert table == TableBlock(rows=(("a", "b"), ("1", "")))


def test_a_repeated_header_is_given_once() -> None:
    (table,) = tidy([["a", "b"], ["1", "2"], ["a", "b"], ["3", "4"]])
    assert table == TableBlock(rows=(("a", "b"), ("1", "2"), ("3", "4")))


def test_a_merged_first_row_is_a_caption() -> None:
    caption, table = tidy([["Limits", "", ""], ["a", "b", "c"], ["1", "2", "3"]])
    assert caption == Paragraph(text="Limits")
    assert table == TableBlock(rows=(("a", "b", "c"), ("1", "2", "3")))


def test_one_column_is_a_frame() -> None:
    assert list(tidy([["Warning"], ["hot"]])) == [Paragraph(text="Warning"), Paragraph(text="hot")]


@pytest.mark.parametrize("rows", [[], [[]], [["", ""], ["", ""]]])
def test_nothing_is_nothing(rows: list[list[str]]) -> None:
    assert list(tidy(rows)) == []
