"""Lines joined to text."""

from __future__ import annotations

import pytest

from pipelines.documents.readers.pdf_words import hyphenated, join

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["one", "two"], "one two"),
        (["docu-", "ments"], "documents"),
        (["docu\u00ad", "ments"], "documents"),
        (["docu\u2010", "ments"], "documents"),
        (["in-", "house rule"], "in-house rule"),
        (["WH-", "001"], "WH-001"),
        (["North-", "South"], "North-South"),
        (["4-", "6 hours"], "4-6 hours"),
        (["and/", "or"], "and/or"),
        (["this -", "that"], "this - that"),
        ([], ""),
    ],
)
def test_join(lines: list[str], text: str) -> None:
    assert join(lines, known={"in-house"}) == text


def test_words_with_a_hyphen_inside_lines() -> None:
    assert hyphenated(["The In-house rule and the self-", "service of a state-of-the-art WH-001"]) == {
        "in-house",
        "state-of-the-art",
    }
