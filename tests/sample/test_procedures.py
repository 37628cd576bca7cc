from __future__ import annotations

import io
import json
from importlib import resources
from pathlib import Path
from typing import Any

import docx
import pytest

from fleet_manifests.errors import DataError
from sample.procedures import SPLITS, file_of, merge_questions, write_procedures
from sample.rendering import KINDS
from sample.rendering.model import Heading, plain
from sample.rendering.reading import read

pytestmark = pytest.mark.unit

PACKAGED = Path(str(resources.files("sample"))) / "sops"
TEXTS = {path.name: path.read_text("utf-8") for path in sorted((PACKAGED / "documents").glob("*.md"))}
QUESTIONS = {path.name: path.read_text("utf-8") for path in sorted((PACKAGED / "questions").glob("*.jsonl"))}


def line(**values: Any) -> str:
    row = {"id": "a-1", "text": "where", "answers": [{"document": "X", "section": "Y"}], "style": "full"}
    return json.dumps({**row, "split": "test", **values}) + "\n"


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(one) for one in text.splitlines()]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_procedures(folder)
    return folder


def test_every_procedure_is_there_in_its_format(written: Path) -> None:
    assert len(TEXTS) >= 30
    found = sorted(path.name for path in (written / "sops").iterdir())
    assert found == sorted(file_of(text, name)[0] for name, text in TEXTS.items())
    assert len(found) == len(TEXTS), "no two have the same name"
    assert {Path(name).suffix for name in found} == {f".{kind}" for kind in KINDS}
    beginnings = {".pdf": b"%PDF-", ".docx": b"PK", ".html": b"<!DOCTYPE html>", ".md": b"---\n"}
    for path in (written / "sops").iterdir():
        assert path.read_bytes().startswith(beginnings[path.suffix]), path.name
        assert path.name == path.name.lower()


def test_word_files_keep_every_heading(written: Path) -> None:
    checked = 0
    for name, text in TEXTS.items():
        file, kind = file_of(text, name)
        if kind == "docx":
            document = docx.Document(io.BytesIO((written / "sops" / file).read_bytes()))
            headings = [p.text for p in document.paragraphs if p.style.name.startswith("Heading")]
            assert headings == [plain(block.spans) for block in read(text).blocks if isinstance(block, Heading)]
            checked += 1
    assert checked


def test_writing_again_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    write_procedures(tmp_path)
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(written) for path in written.rglob("*") if path.is_file())
    assert all((tmp_path / name).read_bytes() == (written / name).read_bytes() for name in files)


def test_question_files_are_those_of_the_workflow(written: Path) -> None:
    assert sorted(path.name for path in (written / "questions").iterdir()) == [
        "sop_assistant_test.jsonl", "sop_assistant_train.jsonl", "sop_assistant_unanswered_test.jsonl",
        "sop_assistant_unanswered_validation.jsonl", "sop_assistant_validation.jsonl",
    ]  # fmt: skip
    for split in SPLITS:
        answered = rows((written / "questions" / f"sop_assistant_{split}.jsonl").read_text("utf-8"))
        assert answered and all(list(row) == ["id", "text", "answers", "style"] for row in answered)
        unanswered = rows((written / "questions" / f"sop_assistant_unanswered_{split}.jsonl").read_text("utf-8"))
        assert unanswered and all(list(row) == ["id", "text", "style"] for row in unanswered)


def test_every_answer_is_a_section_of_the_library(written: Path) -> None:
    sections = set()
    for text in map(read, TEXTS.values()):
        sections |= {(text.field("document"), text.title)}
        sections |= {(text.field("document"), plain(one.spans)) for one in text.blocks if isinstance(one, Heading)}
    for split in ("train", *SPLITS):
        found = rows((written / "questions" / f"sop_assistant_{split}.jsonl").read_text("utf-8"))
        assert len(found) > 100
        for row in found:
            for answer in row["answers"]:
                assert (answer["document"], answer["section"]) in sections, row["id"]


def test_disagreements_stay_in_the_package(written: Path) -> None:
    assert any(name.endswith("_disagreements.jsonl") for name in QUESTIONS)
    assert not any("disagree" in path.name for path in written.rglob("*"))
    assert '"values"' not in "".join(path.read_text("utf-8") for path in (written / "questions").iterdir())


def test_questions_go_where_their_split_says_in_order() -> None:
    merged = merge_questions(
        {
            "b.jsonl": line(id="b-1") + line(id="b-2", split="validation"),
            "a.jsonl": line(id="a-1", text="wo ist's, ü?") + line(id="a-2"),
            "a_unanswered.jsonl": line(id="a-n1", near="X") + line(id="a-n2", split="validation"),
            "a_train.jsonl": json.dumps({"id": "a-t1", "text": "t", "answers": [{}], "style": "typo"}) + "\n",
            "a_disagreements.jsonl": "this is never read",
        }
    )
    ids = {name: [row["id"] for row in rows(text)] for name, text in merged.items()}
    assert ids == {
        "sop_assistant_validation.jsonl": ["b-2"], "sop_assistant_test.jsonl": ["a-1", "a-2", "b-1"],
        "sop_assistant_unanswered_validation.jsonl": ["a-n2"], "sop_assistant_unanswered_test.jsonl": ["a-n1"],
        "sop_assistant_train.jsonl": ["a-t1"],
    }  # fmt: skip
    assert "wo ist's, ü?" in merged["sop_assistant_test.jsonl"]
    assert rows(merged["sop_assistant_unanswered_test.jsonl"]) == [{"id": "a-n1", "text": "where", "style": "full"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"a\.jsonl:1: expected a line of JSON"),
        (line() + "[]", r"a\.jsonl:2: id: expected a value, found none"),
        (line(answers=[]), r"a\.jsonl:1: answers: expected a value"),
        (line(split="train"), r"a\.jsonl:1: split: expected validation or test, found train"),
        (line() + line(), r"a\.jsonl:2: id: a-1 is taken"),
    ],
)
def test_what_is_no_question_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        merge_questions({"a.jsonl": text})


def test_an_unanswered_question_needs_no_answer() -> None:
    text = json.dumps({"id": "n", "text": "t", "style": "full", "split": "test"})
    assert rows(merge_questions({"a_unanswered.jsonl": text})["sop_assistant_unanswered_test.jsonl"])
    with pytest.raises(DataError, match="answers: expected a value"):
        merge_questions({"a.jsonl": text})


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("document: X\nrevision: 1", "x.md: front matter: format: expected a value, found none"),
        ("revision: 1\nformat: pdf", "document: expected a value"),
        ("document: X\nformat: pdf", "revision: expected a value"),
        ("document: X\nrevision: 1\nformat: odt", "format: expected one of md, docx, pdf, html, found odt"),
    ],
)
def test_a_procedure_without_a_name_is_refused(front: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        file_of(f"---\n{front}\n---\n# x\n", "x.md")


def test_a_file_name_is_lower_case() -> None:
    assert file_of("---\ndocument: WH-017\nrevision: 10\nformat: pdf\n---\n", "x.md") == ("wh-017-r10.pdf", "pdf")
