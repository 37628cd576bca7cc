"""The corpus of a `retrieve` workflow: passages, questions, and what is refused."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from evals.questions import read_questions, read_unanswered
from fleet_manifests import ConfigError, DataClass, DataError, Passage
from pipelines.corpora.card import SourceCard
from pipelines.corpora.leakage import find_leaks
from pipelines.corpora.library import (
    LibraryCard,
    build_library_corpus,
    dump_passages,
    read_library_card,
    read_passages,
)
from pipelines.corpora.questions import Answers, parse_questions
from pipelines.corpora.spec import LibraryCorpusSpec

pytestmark = pytest.mark.unit
SOURCE = SourceCard(name="sops", rows=4, digest="sha256:" + "1" * 64)


def passage(id_: str, document: str = "WH-1", *section: str, **more: Any) -> Passage:
    return Passage(id=id_, document=document, title="Putaway", section=section, text=f"text of {id_}", **more)


LIBRARY = (
    passage("wh-1/putaway"),
    passage("wh-1/full", "WH-1", "When the slot is full", review_by=date(2029, 1, 1), site_classes=("warehouse",)),
    passage("wh-1/long", "WH-1", "A long procedure", review_by=date(2029, 5, 1)),
    passage("wh-1/long-2", "WH-1", "A long procedure (part 2)"),
    passage("hs-1/spill", "HS-1", "Spills", "Small spills", site_classes=("warehouse", "branch")),
)


def write(folder: Path, name: str, *records: dict[str, Any]) -> str:
    (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    return name


@pytest.fixture
def project(tmp_path: Path) -> Path:
    section = {"document": "wh-1", "section": "when the slot is FULL"}
    write(
        tmp_path,
        "validation.jsonl",
        {"id": "v1", "text": "slot taken, where to?", "answers": [section], "style": "terse"},
    )
    write(tmp_path, "test.jsonl", {"id": "t1", "text": "who mops up a puddle of oil", "relevant": ["hs-1/spill"]})
    write(tmp_path, "none.jsonl", {"id": "n1", "text": "what does a forklift cost"})
    return tmp_path


def spec(**more: Any) -> LibraryCorpusSpec:
    return LibraryCorpusSpec.model_validate(
        {"source": "sops", "questions": {"validation": "validation.jsonl", "test": "test.jsonl", **more}}
    )


def build(project: Path, out: Path, chosen: LibraryCorpusSpec | None = None) -> LibraryCard:
    return build_library_corpus(
        chosen or spec(unanswered_test="none.jsonl"),
        workflow="sop",
        project=project,
        passages=LIBRARY,
        source=SOURCE,
        out=out,
        data_classes=frozenset({DataClass.INTERNAL}),
    )


def test_a_corpus_holds_passages_questions_and_a_card(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    card = build(project, out)
    assert read_passages(out / "passages.jsonl", "passages") == tuple(sorted(LIBRARY, key=lambda one: one.id))
    (question,) = read_questions(out, "validation").questions
    assert (question.relevant, question.slices) == (("wh-1/full",), {"style": "terse"})
    assert read_questions(out, "test").questions[0].relevant == ("hs-1/spill",)
    assert [one.text for one in read_unanswered(out, "oos_test")] == ["what does a forklift cost"]
    assert read_unanswered(out, "oos_validation") == ()
    assert read_library_card(out) == card
    assert (card.documents, card.passages) == (2, 5)
    assert card.review == {"2029": 2}
    assert card.site_classes == {"branch": 1, "every": 3, "warehouse": 2}
    assert "style=terse 1" in card.markdown()


def test_the_same_inputs_give_the_same_bytes_and_digest(project: Path, tmp_path: Path) -> None:
    one, other = build(project, tmp_path / "a"), build(project, tmp_path / "b")
    assert one == other
    assert (tmp_path / "a/passages.jsonl").read_bytes() == (tmp_path / "b/passages.jsonl").read_bytes()


def test_a_changed_passage_changes_the_digest(project: Path, tmp_path: Path) -> None:
    before = build(project, tmp_path / "a")
    changed = [one.model_copy(update={"text": "new"}) if one.id == "hs-1/spill" else one for one in LIBRARY]
    after = build_library_corpus(
        spec(), workflow="sop", project=project, passages=changed, source=SOURCE, out=tmp_path / "b",
        data_classes=frozenset({DataClass.INTERNAL}),
    )  # fmt: skip
    assert before.library != after.library
    assert before.digest != after.digest


def test_a_long_section_is_answered_by_all_its_parts() -> None:
    answers = Answers(LIBRARY)
    found = answers.find({"answers": [{"document": "WH-1", "section": "A long procedure"}]}, "q")
    assert found == ("wh-1/long", "wh-1/long-2")


def test_the_introduction_is_asked_for_by_the_title() -> None:
    assert Answers(LIBRARY).find({"answers": [{"document": "WH-1", "section": "putaway"}]}, "q") == ("wh-1/putaway",)


def test_near_duplicates_leave_the_earlier_split(project: Path, tmp_path: Path) -> None:
    write(
        project, "validation.jsonl",
        {"id": "v1", "text": "Who mops up a puddle of oil?", "relevant": ["hs-1/spill"]},
        {"id": "v2", "text": "slot taken, where to?", "relevant": ["wh-1/full"]},
    )  # fmt: skip
    card = build(project, tmp_path / "corpus")
    assert card.removed == {"validation": 1}
    assert [one.id for one in read_questions(tmp_path / "corpus", "validation").questions] == ["v2"]
    assert find_leaks(tmp_path / "corpus") == []


def test_a_split_that_only_repeats_another_is_refused(project: Path, tmp_path: Path) -> None:
    write(project, "validation.jsonl", {"id": "v1", "text": "who mops up a puddle of oil", "relevant": ["hs-1/spill"]})
    with pytest.raises(DataError, match="validation: no question is left"):
        build(project, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"text": "x", "answers": [{"document": "WH-9", "section": "Spills"}]}, "no document 'WH-9'"),
        (
            {"text": "x", "answers": [{"document": "WH-1", "section": "When slot is full"}]},
            "did you mean 'when the slot is full'",
        ),
        ({"text": "x", "relevant": ["wh-1/ful"]}, "did you mean 'wh-1/full'"),
        ({"text": "x", "relevant": []}, "names no passage"),
        ({"text": "x", "answers": "WH-1"}, "expected a list of document and section"),
        ({"text": "  ", "relevant": ["wh-1/full"]}, "expected words"),
        ({"text": None, "relevant": ["wh-1/full"]}, "expected words"),
    ],
)
def test_a_question_that_cannot_be_used_is_named(record: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=r"questions/v\.jsonl: question q7") as caught:
        parse_questions([{"id": "q7", **record}], "questions/v.jsonl", Answers(LIBRARY))
    assert said in str(caught.value)


def test_files_without_questions_or_text_are_refused() -> None:
    with pytest.raises(DataError, match="no question"):
        parse_questions([], "v.jsonl", None)
    with pytest.raises(ConfigError, match="no column text"):
        parse_questions([{"id": "1", "question": "x"}], "v.jsonl", None)
    with pytest.raises(DataError, match="the id 1 appears twice"):
        parse_questions([{"id": "1", "text": "x"}, {"id": "1", "text": "y"}], "v.jsonl", None)


def test_an_id_in_two_splits_is_refused(project: Path, tmp_path: Path) -> None:
    write(project, "test.jsonl", {"id": "v1", "text": "who mops up", "relevant": ["hs-1/spill"]})
    with pytest.raises(DataError, match="the question id v1 is in validation and test"):
        build(project, tmp_path / "corpus")


def test_ready_passages_from_csv(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,title,text,site_classes\n2,B,two,\n1,A,one,\n")
    found = read_passages(tmp_path / "p.csv", "p.csv")
    assert [(one.id, one.document, one.heading) for one in found] == [("1", "1", "A"), ("2", "2", "B")]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('{"id": "1", "title": "A"}', "record 1: text"),
        ('{"id": "1", "title": "A", "text": "x", "review_by": "soon"}', "record 1: review_by"),
        ('{"id": "1", "title": "A", "text": "x"}\n{"id": "1", "title": "B", "text": "y"}', "the id 1 appears twice"),
        ('{"id": "1", "title": "A", "text": "x", "data_class": "secret"}', "record 1: data_class"),
        ("", "no passage"),
    ],
)
def test_a_file_that_holds_no_passages_is_refused(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "p.jsonl").write_text(lines)
    with pytest.raises(DataError, match=r"p\.jsonl") as caught:
        read_passages(tmp_path / "p.jsonl", "p.jsonl")
    assert said in str(caught.value)


def test_passages_round_trip(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(dump_passages(LIBRARY))
    assert dump_passages(read_passages(tmp_path / "p.jsonl", "p")) == dump_passages(LIBRARY)


@pytest.mark.parametrize("given", [{}, {"source": "sops", "passages": "p.csv"}])
def test_a_library_comes_from_one_place(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="exactly one of source and passages"):
        LibraryCorpusSpec.model_validate({**given, "questions": {"validation": "v.csv", "test": "t.csv"}})


def test_questions_come_in_known_formats() -> None:
    with pytest.raises(ValueError, match=r"not a \.csv, \.jsonl or \.parquet file"):
        spec(train="questions.xlsx")
