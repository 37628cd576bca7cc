"""A folder of documents becomes a library; what is wrong with a file is that file's problem."""

from __future__ import annotations

import io
import os
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from reportlab.pdfgen.canvas import Canvas

from fleet_manifests import ConfigError, DataClass
from fleet_manifests.knowledge import library_digest
from pipelines.documents import Library, compare
from pipelines.documents.readers import SUFFIXES

pytestmark = pytest.mark.integration

FRONT = """---
document: WH-001
title: Receiving
revision: {revision}
effective_from: {since}
site_classes: [warehouse]
---

# Receiving

What this covers.

## Opening the door

1. Look at the seal.
2. Open.
"""


def front(revision: int = 6, since: str = "2026-01-01") -> str:
    return FRONT.format(revision=revision, since=since)


def problems(library: Library) -> dict[str, list[str]]:
    """What is wrong, by file, each as `kind: problem`."""
    found: dict[str, list[str]] = {}
    for one in library.problems:
        found.setdefault(one.file, []).append(f"{one.kind}: {one.problem}")
    return found


def test_a_library_of_every_format(folder: Any, word: Any, make_pdf: Any) -> None:
    folder.add("a.md", front())
    folder.add("b.txt", "Putaway\n=======\n\nCarry it.\n")
    folder.add("c.html", "<title>x</title><h1>Spills</h1><p>Mop it.</p><h2>At night</h2><p>Call.</p>")
    word.add("Returns", "Title")
    word.add("Scope", "Heading 1")
    word.add("All of them.")
    folder.add("d.DOCX", word.raw)
    folder.add("e.pdf", make_pdf().line("Picking", bold=True, size=18).lines("Take the goods from the place.").raw)
    library = folder.take_in()
    assert [(one.file, one.format, one.title, one.passages, one.pages) for one in library.documents] == [
        ("a.md", "md", "Receiving", 2, None), ("b.txt", "txt", "Putaway", 1, None), ("c.html", "html", "Spills", 2, None),
        ("d.DOCX", "docx", "Returns", 1, None), ("e.pdf", "pdf", "Picking", 1, 1),
    ]  # fmt: skip
    assert [passage.id for passage in library.passages] == [
        "wh-001/receiving", "wh-001/opening-the-door", "b/putaway", "c/spills", "c/at-night", "d/scope", "e/picking",
    ]  # fmt: skip
    assert library.problems == library.superseded == ()
    opening = library.passages[1]
    assert opening.text == "1. Look at the seal.\n2. Open."
    assert (opening.revision, opening.effective_from, opening.site_classes) == ("6", date(2026, 1, 1), ("warehouse",))
    assert library.passages[-1].page == 1


def test_the_same_folder_gives_the_same_library(folder: Any, tmp_path: Path, make_pdf: Any) -> None:
    folder.add("a.md", front())
    folder.add("b.pdf", make_pdf().lines("Some text on a page.").raw)
    first = folder.take_in(workers=1)
    assert folder.take_in(workers=3) == first
    assert folder.take_in(cache=tmp_path / "cache") == first
    assert folder.take_in(cache=tmp_path / "cache") == first
    assert library_digest(first.passages) == library_digest(folder.take_in().passages)


def bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("[Content_Types].xml", "<Types/>")
        out.writestr("word/document.xml", b"\0" * 30_000_000)
    return stream.getvalue()


def blank_pages() -> bytes:
    stream = io.BytesIO()
    canvas = Canvas(stream)
    for _ in range(3):
        canvas.rect(0, 0, 500, 500, fill=1)
        canvas.showPage()
    canvas.save()
    return stream.getvalue()


def test_bad_files_stop_nothing(folder: Any) -> None:
    folder.add("good.md", front())
    folder.add("empty.md", "")
    folder.add("spaces.txt", " \n")
    folder.add("headings.md", "# A\n\n## B\n")
    folder.add("bomb.docx", bomb())
    folder.add("text.docx", "not a zip")
    folder.add("broken.pdf", b"%PDF-1.4\nbroken")
    folder.add("scan.pdf", blank_pages())
    folder.add("binary.txt", b"\x00\x01\x02")
    folder.add("classified.md", "---\ndata_class: top secret\n---\n\ntext\n")
    folder.add("where.md", "---\nsite_classes: [dc/south]\n---\n\ntext\n")
    folder.add("yaml.md", "---\ntitle: a: b\n---\n\ntext\n")
    folder.add("old.doc", "x")
    folder.add("large.txt", "x" * 1_000_001)
    library = folder.take_in(include=["**/*"], max_file_mb=1)
    assert [one.file for one in library.documents] == ["good.md"]
    found = problems(library)
    assert all(
        len(lines) == 1 and lines[0].startswith("refused: ") and "\n" not in lines[0] for lines in found.values()
    )
    expected = {
        "empty.md": "empty", "spaces.txt": "empty", "headings.md": "no text: nothing but headings", "bomb.docx": "zip bomb",
        "text.docx": "not a DOCX", "broken.pdf": "damaged PDF", "scan.pdf": "a scan without text; run OCR first",
        "binary.txt": "not text", "classified.md": "data_class: expected one of", "where.md": "site_classes: expected names",
        "yaml.md": "line 2: front matter", "old.doc": "no reader for such a file", "large.txt": "1.0 MB; at most 1 MB",
    }  # fmt: skip
    assert {name for name in expected if expected[name] not in found[name][0]} == set()
    assert set(found) == set(expected)


def test_a_file_that_may_not_be_read(folder: Any) -> None:
    folder.add("a.md", front())
    path = folder.add("b.md", "text")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert problems(folder.take_in()) == {"b.md": ["refused: cannot be read from disk: Permission denied"]}


def test_time_is_limited_for_each_file(folder: Any) -> None:
    folder.add("a.md", front())
    (problem,) = folder.take_in(seconds=0.0001).problems
    assert (problem.file, problem.kind, problem.lasting) == ("a.md", "refused", False)
    assert problem.problem.startswith("its reader took longer than 0.0001 s")


def test_notes_do_not_keep_a_document_out(folder: Any) -> None:
    folder.add("a.txt", "Größe und mehr davon.".encode("cp1252"))
    folder.add("b.md", "---\neffective_from: soon\n---\n\n# T\n\ntext\n")
    library = folder.take_in()
    assert len(library.documents) == 2
    found = problems(library)
    assert [line.split(":")[0] for line in found["a.txt"]] == ["note", "note"]
    assert found["b.md"] == [
        "note: effective_from: expected a date such as 2026-03-01, found 'soon'; the field is left empty"
    ]
    assert library.passages[1].effective_from is None


def test_duplicates_across_formats(folder: Any, word: Any) -> None:
    folder.add("b.md", "# Spills\n\n1. Mop *it* up.\n")
    folder.add("c.html", "<h1>Spills</h1><ol><li>Mop it up.</li></ol>")
    word.add("Spills", "Heading 1")
    word.add("Mop it up.", "List Number")
    folder.add("a.docx", word.raw)
    library = folder.take_in()
    assert [one.file for one in library.documents] == ["a.docx"]
    assert problems(library) == {
        "b.md": ["duplicate: duplicate of a.docx"],
        "c.html": ["duplicate: duplicate of a.docx"],
    }


def test_a_new_revision_beside_the_old_one(folder: Any) -> None:
    folder.add("r6.md", front(6))
    before = folder.take_in()
    folder.add("r7.md", front(7, "2026-06-01").replace("Open.", "Open slowly."))
    now = folder.take_in()
    assert [(passage.id, passage.revision, passage.effective_until) for passage in now.passages] == [
        ("wh-001@6/receiving", "6", date(2026, 6, 1)), ("wh-001@6/opening-the-door", "6", date(2026, 6, 1)),
        ("wh-001/receiving", "7", None), ("wh-001/opening-the-door", "7", None),
    ]  # fmt: skip
    changes = compare(before, now)
    assert changes.changed == ("WH-001",)
    assert changes.superseded == ("WH-001 revision 6: until revision 7 takes effect",)
    assert (changes.passages_added, changes.passages_changed) == (2, 2)


def test_a_register_decides(folder: Any) -> None:
    folder.add("a.md", front())
    folder.add("night/b.txt", "text of b")
    (folder.project / "register.csv").write_text(
        "file;document;title;data_class;department\na.md;;;customer;dock\nnight/b.txt;WH-2;Putaway;;dock\ngone.md;;;;\n"
    )
    library = folder.take_in(register="register.csv", data_class="public")
    assert {(passage.document, passage.title, passage.data_class) for passage in library.passages} == {
        ("WH-001", "Receiving", DataClass.CUSTOMER), ("WH-2", "Putaway", DataClass.PUBLIC),
    }  # fmt: skip
    assert problems(library)["register.csv"] == [
        "note: file gone.md is registered and was not taken in", "note: the column department has no meaning here",
    ]  # fmt: skip


def test_a_register_opens_what_a_file_closes(folder: Any) -> None:
    folder.add("a.md", front().replace("site_classes", "data_class: Confidential\nsite_classes"))
    assert folder.take_in().passages == ()
    (folder.project / "register.csv").write_text("document,data_class\nWH-001,internal\n")
    assert len(folder.take_in(register="register.csv").passages) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "register: register.csv cannot be read: No such file"), ("a,b\n", "expected a column file or document")],
)
def test_a_register_that_is_none(folder: Any, content: str | None, said: str) -> None:
    if content is not None:
        (folder.project / "register.csv").write_text(content)
    with pytest.raises(ConfigError, match=said):
        folder.take_in(register="register.csv")


def test_an_unchanged_file_is_not_read_again(folder: Any, tmp_path: Path) -> None:
    folder.add("a.md", front())
    folder.add("b.md", "# B\n\ntext\n")
    first = folder.take_in(cache=tmp_path / "cache")
    entries = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    folder.add("b.md", "# B\n\nother text\n")
    second = folder.take_in(cache=tmp_path / "cache")
    assert compare(first, second).changed == ("b",)
    assert all(path.stat().st_mtime_ns == before for path, before in entries.items())
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_an_empty_folder_is_an_empty_library(folder: Any) -> None:
    assert folder.take_in() == Library()


def test_every_suffix_of_the_defaults_has_a_reader(folder: Any) -> None:
    for number, suffix in enumerate(SUFFIXES):
        folder.add(f"{number}{suffix}", "x")
    assert all("no reader" not in one.problem for one in folder.take_in().problems)
