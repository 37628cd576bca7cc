"""Tables on several pages."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.documents.readers.pdf_tables import Drawn, continued

pytestmark = pytest.mark.unit
HEADER = ("Item", "Text")


def drawn(*rows: tuple[str, ...], page: int = 1, columns: tuple[float, ...] = (72.0, 200.0)) -> Drawn:
    return Drawn(page=page, top=100, bottom=700, columns=columns, rows=rows)


def test_a_repeated_header_is_given_once() -> None:
    found = continued(drawn(HEADER, ("A", "1")), drawn(HEADER, ("B", "2"), page=2))
    assert found is not None
    assert (found.rows, found.page) == ((HEADER, ("A", "1"), ("B", "2")), 2)


def test_without_a_repeated_header_all_rows_are_rows() -> None:
    found = continued(drawn(HEADER, ("A", "1")), drawn(("B", "2"), page=2))
    assert found is not None
    assert found.rows == (HEADER, ("A", "1"), ("B", "2"))


def test_a_row_that_the_page_ends_in_goes_on() -> None:
    found = continued(drawn(HEADER, ("A", "it is docu-")), drawn(HEADER, ("", "mented."), ("B", "2"), page=2))
    assert found is not None
    assert found.rows == (HEADER, ("A", "it is documented."), ("B", "2"))


def test_columns_may_move_a_little() -> None:
    assert continued(drawn(HEADER, ("A", "1")), drawn(HEADER, ("B", "2"), page=2, columns=(73.5, 201.0))) is not None


@pytest.mark.parametrize(
    "more",
    [{"page": 3}, {"page": 1}, {"page": 2, "columns": (72.0, 260.0)}, {"page": 2, "columns": (72.0, 200.0, 300.0)}],
)
def test_other_tables_are_other_tables(more: dict[str, Any]) -> None:
    assert continued(drawn(HEADER, ("A", "1")), drawn(HEADER, ("B", "2"), **more)) is None
