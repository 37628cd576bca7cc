"""Libraries and what changed between two of them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fleet_manifests import Passage
from pipelines.documents import Changes, DocumentCard, Library, Problem, Superseded, compare

pytestmark = pytest.mark.unit


def passage(id_: str, text: str = "text", **more: Any) -> Passage:
    document = id_.split("/")[0].upper()
    return Passage(id=id_, document=document, title=document, text=text, **more)


def library(*passages: Passage, **more: Any) -> Library:
    return Library(passages=passages, **more)


def test_ids_are_unique() -> None:
    with pytest.raises(ValidationError, match="the passage a/x is there twice"):
        library(passage("a/x"), passage("a/x", "other"))


def test_a_library_survives_writing_and_reading() -> None:
    card = DocumentCard(
        file="a.md", format="md", digest="sha256:" + "0" * 64, document="A", title="A", passages=1, words=1
    )
    first = library(
        passage("a/x", effective_from="2026-01-01"), documents=(card,), problems=(Problem(file="b", problem="p", kind="note"),),
        superseded=(Superseded(file="c", document="A", revision="1", by="2"),),
    )  # fmt: skip
    assert Library.model_validate_json(first.model_dump_json()) == first


def test_nothing_changed() -> None:
    one = library(passage("a/x"))
    changes = compare(one, one)
    assert changes == Changes()
    assert not changes


def test_before_the_first_time_everything_is_new() -> None:
    changes = compare(None, library(passage("a/x"), passage("a/y"), passage("b/x")))
    assert changes == Changes(new=("A", "B"), passages_added=3)
    assert changes


def test_documents_and_passages_that_changed() -> None:
    before = library(passage("a/x"), passage("b/x"), passage("b/y"), passage("c/x"), passage("d/x"))
    now = library(passage("a/x"), passage("b/x", "new"), passage("b/z"), passage("d/x", owner="dock"), passage("e/x"))
    assert compare(before, now) == Changes(
        new=("E",), changed=("B", "D"), removed=("C",), passages_added=2, passages_removed=2, passages_changed=2
    )


def test_superseded_and_duplicate_since_the_last_time() -> None:
    old = Superseded(file="r1.md", document="A", revision="1", by="2")
    new = Superseded(file="r2.md", document="A", revision="2", by="3", kept=True)
    twice = [Problem(file=name, problem="duplicate of a.md", kind="duplicate") for name in ("b.md", "c.md")]
    before = library(passage("a/x"), superseded=(old,), problems=(twice[0],))
    now = library(passage("a/x"), superseded=(old, new), problems=(*twice, Problem(file="d.md", problem="broken")))
    changes = compare(before, now)
    assert changes.superseded == ("A revision 2: until revision 3 takes effect",)
    assert changes.duplicate == ("c.md",)
    assert changes


def test_what_is_said_of_a_revision() -> None:
    assert (
        Superseded(file="f", document="A", revision="", by="2").said
        == "A revision without a number: revision 2 is in the library"
    )


def test_lists_for_a_table() -> None:
    assert list(Changes().lists()) == ["new", "changed", "removed", "superseded", "duplicate"]
    assert compare(None, library(passage("a/x"))).lists()["new"] == ("A",)
