"""Building a corpus from the lake and from files: what is written, and what bad data gets."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import ConfigError, DataClass, DataError, StorageError, digest_of, dump, parse
from pipelines.corpora import CorpusSpec, DataCard, find_leaks, read_card

pytestmark = pytest.mark.unit


def read(project: Any, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (project.out / f"{name}.jsonl").read_text().splitlines()]


def test_the_folder_and_its_card(project: Any) -> None:
    card = project.build()
    assert sorted(path.name for path in project.out.iterdir()) == [
        "data_card.json", "oos_test.jsonl", "oos_validation.jsonl", "test.jsonl", "train.jsonl", "validation.jsonl",
    ]  # fmt: skip
    assert [path.name for path in project.out.parent.iterdir()] == ["corpus"]
    assert read_card(project.out) == card == parse(DataCard, dump(card))
    assert card.labels == ("damaged", "late", "short")
    for name, split in card.splits.items():
        raw = (project.out / f"{name}.jsonl").read_bytes()
        assert (split.digest, split.rows) == (digest_of(raw), len(raw.splitlines()))
    row = read(project, "test")[0]
    assert set(row) == {"id", "text", "label", "group", "time", "slices"}
    assert row["slices"]["long"] in ("True", "False")
    assert "label" not in read(project, "oos_test")[0]


def test_nothing_leaks_and_nothing_is_lost_unsaid(project: Any) -> None:
    card = project.build()
    assert find_leaks(project.out) == []
    removed = card.removed
    gone = (
        removed.exact_duplicates + sum(removed.near_duplicates.values()) + removed.contradicted + removed.out_of_scope
    )
    assert card.rows_read == 240 == gone + sum(split.rows for split in card.splits.values())


def test_the_same_twice_and_another_seed(project: Any) -> None:
    spec = {"sql": "corpora/notes.sql", "split": {"by": "random"}}
    first = project.build(**spec)
    files = {path.name: path.read_bytes() for path in project.out.iterdir()}
    assert project.build(**spec) == first
    assert {path.name: path.read_bytes() for path in project.out.iterdir()} == files
    assert project.build(seed=8, **spec).digest != first.digest


def test_time_is_the_default_split(project: Any) -> None:
    card = project.build()
    assert card.split == "by time, 15% validation, 15% test"
    train, validation, test = (card.splits[name] for name in ("train", "validation", "test"))
    assert train.last < validation.first <= validation.last < test.first  # type: ignore[operator]
    assert card.splits["oos_validation"].last < card.splits["oos_test"].first  # type: ignore[operator]


def test_groups_stay_apart(project: Any) -> None:
    project.build(sql="corpora/notes.sql", split={"by": "group"})
    groups = [{row["group"] for row in read(project, name)} for name in ("train", "validation", "test")]
    assert not groups[0] & groups[1] and not groups[1] & groups[2] and not groups[0] & groups[2]


def test_the_sql_may_give_the_splits(project: Any) -> None:
    parts = "CASE id % 5 WHEN 0 THEN 'test' WHEN 1 THEN 'validation' ELSE 'train' END AS split"
    sql = f"SELECT id, note AS text, cause AS label, {parts} FROM erp.notes WHERE cause IS NOT NULL"
    project.write("corpora/own.sql", sql)
    card = project.build(sql="corpora/own.sql", split={"by": "column"})
    assert card.split == "as the data says"
    assert {int(row["id"]) % 5 for row in read(project, "test")} == {0}
    with pytest.raises(ConfigError, match=r"own\.sql: the rows have a column named split, the workflow splits by time"):
        project.build(sql="corpora/own.sql")


def test_duplicates_contradictions_and_scope_are_counted(project: Any, notes: Any) -> None:
    late = str(notes[-1][4])
    notes += [
        (900, notes[0][1].upper(), notes[0][2], "C1", late),  # exact duplicate of a first row
        (901, "box seventeen upside down", "damaged", "C1", late),
        (902, "Box seventeen upside down", "late", "C1", late),  # contradicts it, both in the test
        (903, notes[1][1] + "!", notes[1][2], "C1", late),  # near duplicate, in the test, of an old row
        (904, notes[2][1], None, "C1", late),  # out of scope, but a labelled row says the same
    ]
    project.load(notes)
    base = project.build().removed
    assert (base.exact_duplicates, base.contradicted, base.out_of_scope) == (1, 2, 1)
    assert base.near_duplicates["train"] >= 1
    everything = [row["id"] for name in ("train", "validation", "test") for row in read(project, name)]
    assert "0" in everything and "903" in everything
    assert not {"1", "900", "901", "902"} & set(everything)


def test_the_card_counts_scrub_tokens(project: Any, notes: Any) -> None:
    notes[0] = (0, "mail jo@acme.com or call 408-555-1234 about the drum", *notes[0][2:])
    project.load(notes)
    assert project.build().scrubbed == {"<email>": 1, "<phone>": 1}


def test_difficulty_is_a_figure_of_the_data(project: Any, notes: Any) -> None:
    spec = {"sql": "corpora/notes.sql", "split": {"by": "random"}}
    assert project.build(**spec).difficulty.test_macro_f1 > 0.9
    causes = ["damaged", "late", "short"]
    shuffled = [(n, text, cause and causes[n * 31 % 7 % 3], *rest) for n, text, cause, *rest in notes]
    project.load(shuffled)
    assert project.build(**spec).difficulty.test_macro_f1 < 0.6


def test_the_card_reads_well(project: Any) -> None:
    text = project.build(sql="corpora/notes.sql", licences=["CC-BY-4.0"]).markdown()
    assert text.startswith("# Data card: triage\n")
    for said in (
        "| digest | `sha256:",
        "macro-F1 ",
        "| erp.notes | 240 |",
        "CC-BY-4.0",
        "| damaged |",
        "corpora/notes.sql",
    ):
        assert said in text
    assert "out-of-scope rows removed | 0" in text


def test_a_build_that_fails_leaves_the_old_corpus(project: Any) -> None:
    project.build()
    before = {path.name: path.read_bytes() for path in project.out.iterdir()}
    project.write("corpora/notes.sql", "SELECT id, note AS text, cause AS label FROM erp.notes")
    with pytest.raises(DataError, match=r"corpora/notes\.sql: 60 rows have no label"):
        project.build()
    assert {path.name: path.read_bytes() for path in project.out.iterdir()} == before


def test_a_folder_that_cannot_be_written(project: Any) -> None:
    project.write("out", "a file stands where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        project.build()


def test_an_empty_result(project: Any) -> None:
    project.write("corpora/notes.sql", "SELECT id, note AS text, cause AS label FROM erp.notes WHERE id < 0")
    with pytest.raises(DataError, match=r"corpora/notes\.sql: no row"):
        project.build()
    assert not project.out.exists()


def test_a_class_with_one_example(project: Any, notes: Any) -> None:
    project.load([*notes, (999, "pallet floated away", "flood", "C1", "2026-01-01 00:00:00")])
    with pytest.raises(DataError, match="class 'flood' has 1 example"):
        project.build()


def test_a_label_that_training_never_sees(project: Any, notes: Any) -> None:
    new = [
        (900 + n, f"{word} floated away", "flood", "C1", f"2026-12-0{n + 1} 00:00:00")
        for n, word in enumerate(("pallet", "forklift"))
    ]
    project.load([*notes, *new])
    with pytest.raises(DataError, match="test: label 'flood' is never seen in training"):
        project.build()


def test_a_blank_text(project: Any, notes: Any) -> None:
    project.load([*notes, (999, "  ", "late", "C1", "2026-01-01 00:00:00")])
    with pytest.raises(DataError, match="1 rows have no text, ids 999"):
        project.build()


def test_an_id_that_appears_twice(project: Any, notes: Any) -> None:
    project.load([*notes, (1, "another note with an old id", "late", "C1", "2026-01-01 00:00:00")])
    with pytest.raises(DataError, match="1 ids appear twice: 1"):
        project.build()


def test_a_corpus_that_says_one_thing(project: Any) -> None:
    rows = [
        (n, "wet pallet at dock" + "!" * n, ("damaged", "late")[n % 2], "C1", f"2026-01-01 {n:02d}:00:00")
        for n in range(20)
    ]
    project.load(rows)
    with pytest.raises(DataError, match="no row is left after duplicates were removed"):
        project.build(sql="corpora/notes.sql")


def labelled(notes: Any) -> list[dict[str, Any]]:
    return [{"utterance": text, "intent": cause, "style": "typed"} for _, text, cause, *_ in notes if cause]


def write_files(project: Any, notes: Any) -> dict[str, str]:
    """The labelled notes as three files of three kinds, and the others as a fourth."""
    import pyarrow
    import pyarrow.parquet

    rows = labelled(notes)
    train, validation, test = rows[0::2], rows[1::4], rows[3::4]
    with (project.root / "train.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(train[0]))
        writer.writeheader()
        writer.writerows(train)
    project.write("validation.jsonl", "".join(json.dumps(row) + "\n" for row in validation))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(test), project.root / "test.parquet")
    outside = [{"utterance": text, "intent": "oos"} for _, text, cause, *_ in notes if cause is None]
    project.write("outside.jsonl", "".join(json.dumps(row) + "\n" for row in outside))
    return {
        "train": "train.csv",
        "validation": "validation.jsonl",
        "test": "test.parquet",
        "out_of_scope_test": "outside.jsonl",
    }


def test_bring_your_own_files(project: Any, notes: Any) -> None:
    files = write_files(project, notes)
    card = project.build(files=files, text_column="utterance", label_column="intent")
    assert [source.name for source in card.sources] == [
        "train.csv",
        "validation.jsonl",
        "test.parquet",
        "outside.jsonl",
    ]
    assert card.split == "as the data says"
    assert "oos_validation" not in card.splits and card.splits["oos_test"].rows == 60
    assert card.splits["test"].rows == 45
    assert all(row["id"].startswith("test-") and row["slices"] == {"style": "typed"} for row in read(project, "test"))
    assert card.data_classes == ()
    assert find_leaks(project.out) == []


def test_one_file_is_split(project: Any, notes: Any) -> None:
    write_files(project, notes)
    names = {"text_column": "utterance", "label_column": "intent"}
    card = project.build(files={"train": "train.csv"}, split={"by": "random", "validation": 0.2, "test": 0.2}, **names)
    assert card.splits["test"].rows == 18
    with pytest.raises(DataError, match="row train-0000001 has no time"):
        project.build(files={"train": "train.csv"}, **names)


@pytest.mark.parametrize(
    ("name", "text", "error", "says"),
    [
        ("a.csv", "utterance,label\nx,y\n", ConfigError, r"a\.csv: no column text .*there are: id, utterance, label"),
        ("a.csv", "text,label\na,b,c\n", DataError, r"a\.csv:2: not as many values as the header"),
        ("a.csv", 'text,label\n"open', DataError, r"a\.csv:2: not CSV"),
        ("a.jsonl", '{"text": "a", "label": "b"}\n{"text": \n', DataError, r"a\.jsonl:2: not JSON"),
        ("a.jsonl", "[1]\n", DataError, r"a\.jsonl:1: expected a JSON object, found list"),
        ("a.jsonl", '{"text": "a", "label": "b"}\n{"text": "c"}\n', DataError, r"1 rows have no label, ids a-0000002"),
        ("a.jsonl", "", DataError, r"a\.jsonl: no row"),
        ("a.parquet", "PAR1", DataError, r"a\.parquet: not a Parquet file"),
    ],
)  # fmt: skip
def test_a_bad_file(project: Any, name: str, text: str, error: type[Exception], says: str) -> None:
    project.write(name, text)
    with pytest.raises(error, match=says):
        project.build(files={"train": name}, split={"by": "random"})


def test_a_missing_file_and_one_in_another_encoding(project: Any) -> None:
    with pytest.raises(ConfigError, match=r"none\.csv: there is no such file"):
        project.build(files={"train": "none.csv"})
    (project.root / "old.csv").write_bytes("text,label\ncafé,a\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"old\.csv: not UTF-8"):
        project.build(files={"train": "old.csv"})


def test_an_id_in_two_files(project: Any) -> None:
    for name in ("train", "validation", "test"):
        project.write(f"{name}.jsonl", json.dumps({"id": 1, "text": name, "label": "a"}))
    with pytest.raises(DataError, match="the id 1 is in two files"):
        project.build(files={name: f"{name}.jsonl" for name in ("train", "validation", "test")})


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "exactly one of sql and files"),
        ({"sql": "a.sql", "files": {"train": "a.csv"}}, "exactly one of sql and files"),
        ({"sql": "a.sql", "text_column": "note"}, "text_column and label_column are for files"),
        ({"sql": "a.sql", "spilt": {}}, "not permitted"),
        ({"sql": "a.sql", "split": {"by": "chance"}}, "'time', 'group', 'random' or 'column'"),
        ({"sql": "a.sql", "split": {"test": 0.6}}, "less than 0.5"),
        ({"sql": "a.sql", "split": {"by": "column", "test": 0.1}}, "no meaning with by: column"),
        ({"files": {"train": "a.xlsx"}}, "not a .csv, .jsonl or .parquet"),
        ({"files": {"train": "a.csv", "test": "b.csv"}}, "both, or neither"),
        ({"files": {"train": "a.csv", "validation": "b.csv", "test": "c.csv"}, "split": {}}, "split already"),
        ({"files": {"train": "a.csv"}, "out_of_scope_sql": "a.sql"}, "goes with sql"),
    ],
)
def test_what_a_workflow_may_not_say(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CorpusSpec.model_validate(spec)


def test_a_card_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data card"):
        read_card(tmp_path)


def test_the_card_names_the_classes_the_workflow_may_see(project: Any) -> None:
    card = project.build()
    assert card.data_classes == (DataClass.CUSTOMER, DataClass.INTERNAL)
