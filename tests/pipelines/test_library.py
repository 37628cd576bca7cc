"""Documents, the passages that a workflow may see, and their frozen snapshot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_manifests import ConfigError, DataError, RefusedError
from pipelines.documents import Library, Problem
from pipelines.project.load import load_project
from pipelines.steps import corpora, library

pytestmark = pytest.mark.integration


def test_unchanged_documents_are_not_taken_in_again(library_folder: Callable[..., Path]) -> None:
    project = load_project(library_folder())
    (first,) = library.sop_documents(project)
    assert first.changes.lists()["new"] == ("HS-1", "WH-1")
    (again,) = library.sop_documents(project)
    assert again.entry.reused
    assert not again.changes


def test_a_changed_document_leaves_the_corpus_and_changes_the_library(library_folder: Callable[..., Path]) -> None:
    root = library_folder()
    project = load_project(root)
    library.sop_documents(project)
    before = corpora.corpus(project, "floor")
    path = root / "sops" / "wh-1.md"
    path.write_text(path.read_text().replace("overflow aisle", "mezzanine").replace("revision: 2", "revision: 3"))
    (taken,) = library.sop_documents(project)
    assert taken.changes.lists()["changed"] == ("WH-1",)
    now, _ = library.passages(project, "floor")
    assert any("mezzanine" in passage.text for passage in now)
    assert corpora.corpus(project, "floor").digest == before.digest, "the snapshot is frozen"


def test_a_snapshot_is_renewed_on_purpose(library_folder: Callable[..., Path]) -> None:
    root = library_folder()
    project = load_project(root)
    library.sop_documents(project)
    first, _ = library.snapshot(project, "floor")
    (root / "sops" / "hs-2.md").write_text("# Ladders\n\n## Checking\n\n1. Look at every rung.\n")
    library.sop_documents(project)
    kept, source = library.snapshot(project, "floor")
    assert kept == first
    assert source.name == "snapshots/floor.jsonl"
    renewed, _ = library.snapshot(project, "floor", renew=True)
    assert len(renewed) == len(first) + 1
    assert [path.name for path in (root / "snapshots").iterdir()] == ["floor.jsonl"], "nothing half-written"


def test_a_damaged_snapshot_is_named(library_folder: Callable[..., Path]) -> None:
    root = library_folder()
    project = load_project(root)
    library.sop_documents(project)
    library.snapshot(project, "floor")
    (root / "snapshots" / "floor.jsonl").write_text("{}\n")
    with pytest.raises((DataError, ConfigError), match=r"snapshots/floor\.jsonl"):
        corpora.corpus(project, "floor")


def test_a_question_about_a_missing_section_names_it(library_folder: Callable[..., Path]) -> None:
    root = library_folder()
    project = load_project(root)
    library.sop_documents(project)
    path = root / "questions" / "test.jsonl"
    path.write_text(path.read_text().replace("Full slots", "Empty slots"))
    with pytest.raises(DataError, match=r"Empty slots"):
        corpora.corpus(project, "floor")


def test_passages_before_documents_are_refused(library_folder: Callable[..., Path]) -> None:
    with pytest.raises(RefusedError, match=r"sop_documents"):
        library.passages(load_project(library_folder()), "floor")


def test_what_a_workflow_may_not_see_is_not_in_its_library(library_folder: Callable[..., Path]) -> None:
    root = library_folder()
    path = root / "sops" / "wh-1.md"
    path.write_text(path.read_text().replace("revision: 2", "revision: 2\ndata_class: customer"))
    project = load_project(root)
    library.sop_documents(project)
    now, _ = library.passages(project, "floor")
    assert {passage.document for passage in now} == {"HS-1"}


def test_a_document_that_cannot_be_read_stops_nothing(library_folder: Callable[..., Path]) -> None:
    root = library_folder()
    (root / "sops" / "torn.docx").write_bytes(b"not a zip")
    (root / "sops" / "copy.md").write_text((root / "sops" / "hs-1.md").read_text())
    project = load_project(root)
    (taken,) = library.sop_documents(project)
    assert {card.document for card in taken.library.documents} == {"WH-1", "HS-1"}
    assert [file for _, file, _ in library.refused(project)] == ["torn.docx"], "a duplicate is no refusal"


def test_what_failed_by_chance_is_tried_again(
    library_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = load_project(library_folder())
    real = library.take_in
    slow = Problem(file="hs-1.md", problem="took longer than 120 s", lasting=False)
    monkeypatch.setattr(library, "take_in", lambda *args, **named: Library(problems=(slow,)))
    (first,) = library.sop_documents(project)
    assert first.library.problems == (slow,)
    monkeypatch.setattr(library, "take_in", real)
    (again,) = library.sop_documents(project)
    assert again.changes.lists()["new"] == ("HS-1", "WH-1")
