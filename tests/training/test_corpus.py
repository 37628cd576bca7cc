"""What a corpus must be before anything is fitted on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_manifests import DataError
from training.corpus import RECOMMENDED_ROWS, read_corpus

pytestmark = pytest.mark.unit

Write = Callable[..., Path]


def rows(**counts: int) -> list[dict[str, str]]:
    return [
        {"id": f"{label}{n}", "text": f"{label} {n}", "label": label} for label, k in counts.items() for n in range(k)
    ]


def test_labels_are_sorted_and_rows_keep_their_order(write_corpus: Write) -> None:
    corpus = read_corpus(write_corpus(rows(late=3, damage=2)))
    assert corpus.labels == ("damage", "late")
    assert corpus.classes(corpus.train) == [1, 1, 1, 0, 0]
    assert corpus.counts() == [2, 3]
    assert corpus.train[1].text == "late 1"


def test_a_unicode_line_separator_in_a_text_is_not_a_line_end(write_corpus: Write) -> None:
    folder = write_corpus(rows(a=2, b=2))
    with (folder / "train.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"text": "one\u2028two", "label": "a"}\n')
    assert read_corpus(folder).train[-1].text == "one\u2028two"


def test_two_hundred_classes(write_corpus: Write) -> None:
    corpus = read_corpus(write_corpus(rows(**{f"c{n:03d}": 2 for n in range(200)})))
    assert len(corpus.labels) == 200


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_a_missing_file_is_named(write_corpus: Write, name: str) -> None:
    folder = write_corpus(rows(a=2, b=2))
    (folder / f"{name}.jsonl").unlink()
    with pytest.raises(DataError, match=rf"{name}\.jsonl: expected a corpus file, found none"):
        read_corpus(folder)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
@pytest.mark.parametrize("content", ["", "\n  \n"])
def test_an_empty_split_is_named(write_corpus: Write, name: str, content: str) -> None:
    folder = write_corpus(rows(a=2, b=2))
    (folder / f"{name}.jsonl").write_text(content)
    with pytest.raises(DataError, match=rf"{name}\.jsonl: expected labelled rows, found none"):
        read_corpus(folder)


def test_a_class_with_one_example_is_named_with_its_count(write_corpus: Write) -> None:
    with pytest.raises(DataError, match=r"class 'b' has 1 row; at least 2 are needed \(8 recommended\)"):
        read_corpus(write_corpus(rows(a=9, b=1)))


def test_a_single_class_is_refused(write_corpus: Write) -> None:
    with pytest.raises(DataError, match="at least 2 classes, found only 'a'"):
        read_corpus(write_corpus(rows(a=9)))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_label_never_seen_in_training_is_named_with_its_line(write_corpus: Write, split: str) -> None:
    folder = write_corpus(rows(a=2, b=2), **{split: [*rows(a=2), {"text": "x", "label": "new"}]})
    with pytest.raises(DataError, match=rf"{split}\.jsonl:3: label 'new' was never seen in training"):
        read_corpus(folder)


@pytest.mark.parametrize("field", ["text", "label"])
@pytest.mark.parametrize("value", [None, "", "  ", 7])
def test_a_row_without_text_or_label_is_named_with_its_line(write_corpus: Write, field: str, value: object) -> None:
    bad = {"id": "1", "text": "x", "label": "a", field: value}
    with pytest.raises(DataError, match=rf"train\.jsonl:5: {field}: expected a non-empty string"):
        read_corpus(write_corpus([*rows(a=2, b=2), bad]) if field == "text" else _with_line(write_corpus, bad))


def _with_line(write_corpus: Write, bad: dict[str, object]) -> Path:
    import json

    folder = write_corpus(rows(a=2, b=2))
    with (folder / "train.jsonl").open("a") as stream:
        stream.write(json.dumps(bad) + "\n")
    return folder


@pytest.mark.parametrize("line", ["not json", "[1, 2]", '{"text": "cut'])
def test_a_line_that_is_no_row_is_named(write_corpus: Write, line: str) -> None:
    folder = write_corpus(rows(a=2, b=2))
    (folder / "test.jsonl").write_text('{"text": "x", "label": "a"}\n' + line + "\n")
    with pytest.raises(DataError, match=r"test\.jsonl:2: "):
        read_corpus(folder)


def test_bytes_that_are_not_utf8_are_refused(write_corpus: Write) -> None:
    folder = write_corpus(rows(a=2, b=2))
    (folder / "train.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(DataError, match="expected UTF-8"):
        read_corpus(folder)


def test_small_classes_are_reported_not_refused(write_corpus: Write) -> None:
    notes = read_corpus(write_corpus(rows(a=RECOMMENDED_ROWS, b=RECOMMENDED_ROWS - 1))).notes()
    assert notes == ("class 'b' has 7 training rows; 8 or more are recommended",)
