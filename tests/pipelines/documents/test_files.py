"""The files of a folder: which match, and which are not followed."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from fleet_manifests import ConfigError
from pipelines.documents import files_of
from pipelines.documents.files import find

pytestmark = pytest.mark.unit


def names(folder: Any, **changes: Any) -> list[str]:
    return list(files_of(folder.source(**changes), project=folder.project))


def test_files_below_the_folder_in_order(folder: Any) -> None:
    for name in ("b.md", "a.PDF", "night/shift/c.docx", "Z.Html", "picture.png", "notes.odt"):
        folder.add(name, "x")
    assert names(folder) == ["Z.Html", "a.PDF", "b.md", "night/shift/c.docx"]
    assert files_of(folder.source(), project=folder.project)["b.md"] == folder.docs / "b.md"


def test_patterns(folder: Any) -> None:
    for name in ("a.md", "night/a.md", "night/b.txt"):
        folder.add(name, "x")
    assert names(folder, include=["*.md"]) == ["a.md"]
    assert names(folder, include=["night/*"]) == ["night/a.md", "night/b.txt"]
    assert names(folder, include=["**/A.MD", "**/a.md"]) == ["a.md", "night/a.md"]


def test_hidden_files_and_locks_are_left_out(folder: Any) -> None:
    for name in (".a.md", "~$b.docx", ".git/c.md", "night/.d.md"):
        folder.add(name, "x")
    assert names(folder) == []


def test_a_folder_with_the_name_of_a_file_is_none(folder: Any) -> None:
    (folder.docs / "folder.md").mkdir()
    folder.add("folder.md/real.md", "x")
    assert names(folder) == ["folder.md/real.md"]


def test_links_inside_the_folder_are_files(folder: Any) -> None:
    folder.add("a.md", "x")
    (folder.docs / "b.md").symlink_to("a.md")
    assert names(folder) == ["a.md", "b.md"]


def test_links_out_of_the_folder_are_named(folder: Any) -> None:
    secret = folder.project / "secret.md"
    secret.write_text("x")
    (folder.docs / "a.md").symlink_to(secret)
    (folder.docs / "b.md").symlink_to("/etc/hostname")
    found = find(folder.source(), project=folder.project)
    assert found.files == {}
    assert [(one.file, one.kind) for one in found.problems] == [("a.md", "refused"), ("b.md", "refused")]
    assert "leaves the folder" in found.problems[0].problem


def test_linked_folders_and_broken_links_are_named(folder: Any) -> None:
    (folder.project / "other").mkdir()
    (folder.project / "other" / "x.md").write_text("x")
    (folder.docs / "linked").symlink_to(folder.project / "other")
    (folder.docs / "gone.md").symlink_to(folder.docs / "nothing.md")
    found = find(folder.source(), project=folder.project)
    assert found.files == {}
    assert [one.problem.split(";")[0] for one in found.problems] == [
        "a link to nothing",
        "a link to a folder, which is not followed",
    ]


def test_a_folder_that_is_itself_a_link(folder: Any) -> None:
    folder.add("a.md", "x")
    (folder.project / "elsewhere").symlink_to(folder.docs)
    assert names(folder, path="elsewhere") == ["a.md"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that takes any bytes")
def test_a_name_that_is_not_utf_8_is_named(folder: Any) -> None:
    (folder.docs / os.fsdecode(b"gr\xf6sse.md")).write_text("x")
    found = find(folder.source(), project=folder.project)
    assert found.files == {}
    assert [(one.file, one.problem) for one in found.problems] == [
        ("gr\ufffdsse.md", "a file name that is not UTF-8; rename it")
    ]


@pytest.mark.parametrize("path", ["nowhere", "lading.yaml"])
def test_no_such_folder(folder: Any, path: str) -> None:
    (folder.project / "lading.yaml").write_text("")
    with pytest.raises(ConfigError, match=rf"sources/sops\.yaml: path: {path} is no folder"):
        names(folder, path=path)
