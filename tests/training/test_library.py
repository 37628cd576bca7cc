"""Reading libraries: what is read, and what is refused with which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import DataError, Passage, dump
from training.library import read_library

pytestmark = pytest.mark.unit

QUESTION = {"id": "q", "text": "how long", "relevant": ["a"]}


def passage(id_: str, **fields: Any) -> Passage:
    return Passage.model_validate({"id": id_, "document": "D", "title": "T", "text": f"text of {id_}", **fields})


def write(folder: Path, passages: list[Passage], **splits: list[Any]) -> Path:
    (folder / "passages.jsonl").write_bytes(b"".join(dump(one) + b"\n" for one in passages))
    for name, rows in {"validation": [QUESTION], "test": [QUESTION], **splits}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_passages_are_sorted_and_questions_name_their_places(tmp_path: Path) -> None:
    asked = [{"id": "1", "text": "x", "relevant": ["c", "a"], "slices": {"style": "terse"}}]
    library = read_library(write(tmp_path, [passage("c"), passage("a"), passage("b")], train=asked))
    assert [one.id for one in library.passages] == ["a", "b", "c"]
    assert library.train[0].relevant == {0, 2}
    assert library.contents[0] == "T\ntext of a"
    assert (library.validation[0].text, library.test[0].relevant) == ("how long", {0})


@pytest.mark.parametrize("splits", [{}, {"train": []}])
def test_training_questions_may_be_absent_and_it_is_said(tmp_path: Path, splits: dict[str, list[Any]]) -> None:
    library = read_library(write(tmp_path, [passage("a"), passage("b")], **splits))
    assert library.train == ()
    assert any("no training questions" in note for note in library.notes())
    assert any("validation has 1 questions" in note for note in library.notes())


def test_enough_questions_need_no_note(tmp_path: Path) -> None:
    asked = [QUESTION | {"id": str(n)} for n in range(50)]
    assert read_library(write(tmp_path, [passage("a"), passage("b")], train=asked, validation=asked)).notes() == ()


@pytest.mark.parametrize("name", ["passages", "validation", "test"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, [passage("a"), passage("b")])
    (folder / f"{name}.jsonl").unlink()
    with pytest.raises(DataError, match=rf"{name}\.jsonl: expected a corpus file, found none; build the corpus first"):
        read_library(folder)


@pytest.mark.parametrize("name", ["validation", "test"])
def test_a_split_without_questions_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"{name}\.jsonl: expected questions, found none"):
        read_library(write(tmp_path, [passage("a"), passage("b")], **{name: []}))


@pytest.mark.parametrize("passages", [[], [passage("a")]])
def test_one_passage_cannot_be_told_apart(tmp_path: Path, passages: list[Passage]) -> None:
    with pytest.raises(DataError, match=f"expected at least 2 passages to tell apart, found {len(passages)}"):
        read_library(write(tmp_path, passages))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": "q", "relevant": ["a"]}, "text: expected a non-empty string, found None"),
        ({"id": "q", "text": " ", "relevant": ["a"]}, "text: expected a non-empty string"),
        ({"text": "x", "relevant": ["a"]}, "id: expected a non-empty string"),
        ({"id": "q", "text": "x"}, "relevant: expected ids of passages, found None"),
        ({"id": "q", "text": "x", "relevant": []}, r"relevant: expected ids of passages, found \[\]"),
        ({"id": "q", "text": "x", "relevant": "a"}, "relevant: expected ids of passages, found 'a'"),
        ({"id": "q", "text": "x", "relevant": ["a", "z"]}, "relevant: the library has no passage 'z'"),
        ({"id": "q", "text": "x", "relevant": [3]}, "relevant: the library has no passage 3"),
        (["q"], "expected an object with id, text and relevant, found list"),
    ],
)
def test_a_question_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, row: Any, said: str) -> None:
    for name in ("train", "validation", "test"):
        with pytest.raises(DataError, match=rf"{name}\.jsonl:2: {said}"):
            read_library(write(tmp_path, [passage("a"), passage("b")], **{name: [QUESTION, row]}))
        (tmp_path / f"{name}.jsonl").unlink()


def test_an_id_that_appears_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"passages\.jsonl: the id 'a' appears twice"):
        read_library(write(tmp_path, [passage("a"), passage("b"), passage("a")]))
    with pytest.raises(DataError, match=r"test\.jsonl: the id 'q' appears twice"):
        read_library(write(tmp_path, [passage("a"), passage("b")], test=[QUESTION, QUESTION]))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "c"}', "document: Field required"),
        ('{"id": "c", "document": "D", "title": "T", "text": ""}', "text: String should have at least 1"),
        ("{", "not a line of JSON"),
        ("[]", "expected an object with the fields of a passage, found list"),
    ],
)
def test_a_line_that_is_no_passage_is_refused(tmp_path: Path, line: str, said: str) -> None:
    folder = write(tmp_path, [passage("a"), passage("b")])
    with (folder / "passages.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(DataError, match=rf"passages\.jsonl:3: {said}"):
        read_library(folder)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, [passage("a"), passage("b")])
    (folder / "train.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="expected UTF-8 lines of JSON"):
        read_library(folder)
