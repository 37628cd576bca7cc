"""The process that reads: whatever happens inside it is an answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_manifests import DataError, digest_of
from pipelines.documents import worker
from pipelines.documents.blocks import Paragraph
from pipelines.documents.worker import Job, Reading, read_job

pytestmark = pytest.mark.unit


def job(path: Path, kind: str = "txt") -> Job:
    return Job(path=str(path), kind=kind, digest=digest_of(path.read_bytes()))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("text\n")
    return path


def test_a_document(file: Path) -> None:
    reading = read_job(job(file))
    assert reading.document is not None
    assert reading.document.blocks == (Paragraph(text="text"),)
    assert (reading.refusal, reading.lasting) == ("", True)


def test_an_answer_survives_the_pipe(file: Path) -> None:
    reading = read_job(job(file))
    assert Reading.model_validate_json(reading.model_dump_json()) == reading


@pytest.mark.parametrize(
    ("raised", "said", "lasting"),
    [
        (DataError("a scan without text; run OCR first"), "a scan without text; run OCR first", True),
        (MemoryError(), "needs more than 3072 MB", True),
        (RecursionError(), "nested too deeply", True),
        (KeyError("/Root"), r"its reader failed \(KeyError: '/Root'\); export", True),
        (ValueError("two\nlines"), r"its reader failed \(ValueError: two\);", True),
        (OSError(5, "Input/output error"), "cannot be read from disk: Input/output error", False),
    ],
)
def test_whatever_a_reader_raises(
    file: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, said: str, lasting: bool
) -> None:
    def fail(raw: bytes, kind: str) -> None:
        raise raised

    monkeypatch.setattr(worker, "read", fail)
    reading = read_job(job(file))
    assert reading.document is None
    assert reading.lasting is lasting
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(reading.refusal)


def test_a_file_that_changes_meanwhile(file: Path) -> None:
    asked = job(file)
    file.write_text("other\n")
    reading = read_job(asked)
    assert "changed while" in reading.refusal
    assert not reading.lasting


def test_a_file_that_is_gone(file: Path) -> None:
    asked = job(file)
    file.unlink()
    assert "No such file" in read_job(asked).refusal


def test_the_process_answers_line_by_line_and_ends_with_its_input(file: Path, tmp_path: Path) -> None:
    page = tmp_path / "b.html"
    page.write_text("<p>two</p>")
    asked = f"{job(file).model_dump_json()}\n{job(page, 'html').model_dump_json()}\n"
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.documents.worker"],
        input=asked.encode(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["document"]["blocks"][0]["text"] for answer in answers] == ["text", "two"]
