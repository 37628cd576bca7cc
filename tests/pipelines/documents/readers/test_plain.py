"""Plain text: what is unmistakable becomes structure, the rest stays text."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

import pytest

from fleet_manifests import DataError
from pipelines.documents.blocks import Document
from pipelines.documents.readers import read

pytestmark = pytest.mark.unit


def plain(text: str) -> Document:
    return read(dedent(text).encode(), "txt")


def test_a_procedure(shown: Callable[[Document], list[str]]) -> None:
    document = plain(
        """\
        Receiving of goods
        ==================

        Document: WH-1
        Revision: 6

        This covers everything between the
        gate and the dock.

        Before opening
        --------------
        1. Ask the driver for the papers and
           compare them with the order.
        2. Look at the seal:
           a) broken: stop
           b) whole: go on
        3. Open the door.

        You need:
        - gloves
        - a torch

        EMERGENCY STOP

        Press the red button.
        """
    )
    assert document.metadata.stated == {"document": "WH-1", "revision": "6"}
    assert shown(document) == [
        "# Receiving of goods",
        "This covers everything between the gate and the dock.",
        "## Before opening",
        "1. Ask the driver for the papers and compare them with the order.",
        "2. Look at the seal:",
        "  a) broken: stop",
        "  b) whole: go on",
        "3. Open the door.",
        "You need:",
        "- gloves",
        "- a torch",
        "# EMERGENCY STOP",
        "Press the red button.",
    ]


def test_numbers_go_on_after_an_empty_line_and_a_note(shown: Callable[[Document], list[str]]) -> None:
    document = plain("1. One.\n\n2. Two.\n\n   A note to two.\n\n3. Three.\n")
    assert shown(document) == ["1. One.", "2. Two.", "  A note to two.", "3. Three."]


@pytest.mark.parametrize(
    "text",
    [
        "The order of the year\n2026. was large.",
        "A range of 2 to\n12.5 kg is allowed.",
        "Turn it by about\n- 5 degrees.",
        "STOP!",
        "A LINE IN CAPITALS, THAT IS FAR TOO LONG TO BE A HEADING OF ANYTHING AT ALL",
        "OK",
        "------",
    ],
)
def test_what_is_text(text: str, shown: Callable[[Document], list[str]]) -> None:
    assert shown(plain(text + "\n")) == ([] if text == "------" else [" ".join(text.split())])


def test_capitals_inside_a_paragraph_are_no_heading(shown: Callable[[Document], list[str]]) -> None:
    assert shown(plain("WEAR GLOVES\nat all times.\n")) == ["WEAR GLOVES at all times."]


def test_aligned_lines_keep_their_breaks(shown: Callable[[Document], list[str]]) -> None:
    assert shown(plain("Item     Limit\nA-1      5 kg\nA-2      7 kg\n")) == ["Item Limit\nA-1 5 kg\nA-2 7 kg"]


def test_a_list_right_below_its_introduction(shown: Callable[[Document], list[str]]) -> None:
    assert shown(plain("Do this:\n1. one\n2. two\n")) == ["Do this:", "1. one", "2. two"]
    assert shown(plain("You need:\n- one\n- two\n")) == ["You need:", "- one", "- two"]


def test_pages_and_tabs(shown: Callable[[Document], list[str]]) -> None:
    assert shown(plain("One.\fTwo.\n\n1.\tThree.\n")) == ["One.", "Two.", "1. Three."]


@pytest.mark.parametrize("raw", [b"", b"  \n\n "])
def test_an_empty_file(raw: bytes) -> None:
    with pytest.raises(DataError, match="empty"):
        read(raw, "txt")


def test_windows_bytes_are_noted() -> None:
    document = read("Größe".encode("cp1252"), "txt")
    assert "Windows-1252" in document.notes[0]
