from __future__ import annotations

from pathlib import Path

import pytest

from evals.rows import read_rows, read_split
from fleet_manifests import DataError, UsageError, sha256_of

pytestmark = pytest.mark.unit


def saved(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def parquet(folder: Path, columns: dict[str, list[object]]) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "rows.parquet")
    return folder / "rows.parquet"


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    csv = saved(tmp_path, "rows.csv", '\ufefftext,label\n"late, again",late\nlost,missing\nwhat time is it,oos\n')
    jsonl = saved(
        tmp_path,
        "rows.jsonl",
        '{"text": "late, again", "label": "late"}\n\n{"text": "lost", "label": "missing"}\n'
        '{"text": "what time is it", "label": "oos"}\n',
    )
    table = parquet(tmp_path, {"text": ["late, again", "lost", "what time is it"], "label": ["late", "missing", None]})
    expected = [("late, again", "late"), ("lost", "missing"), ("what time is it", None)]
    for path, lines in ((csv, [2, 3, 4]), (jsonl, [1, 3, 4]), (table, [1, 2, 3])):
        rows = read_rows(path)
        assert [(row.text, row.label) for row in rows] == expected
        assert [row.line for row in rows] == lines


def test_a_text_over_several_lines_begins_on_the_first(tmp_path: Path) -> None:
    path = saved(tmp_path, "rows.csv", 'text,label\n"one\ntwo\nthree",late\nlost,missing\n')
    assert [row.line for row in read_rows(path)] == [2, 5]


def test_columns_and_the_out_of_scope_label_have_names(tmp_path: Path) -> None:
    path = saved(tmp_path, "rows.csv", "note,cause\nlost,missing\nhello,none of these\n")
    rows = read_rows(path, text="note", label="cause", out_of_scope=["none of these"])
    assert [row.label for row in rows] == ["missing", None]


def test_whole_numbers_are_labels(tmp_path: Path) -> None:
    path = saved(tmp_path, "rows.jsonl", '{"text": "lost", "label": 3}\n')
    assert read_rows(path)[0].label == "3"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.csv", "note,label\nlost,missing\n", r"rows.csv:2: no column 'text'; the columns are 'note', 'label'"),
        ("rows.csv", "text,label\nlost,missing\n ,late\n", r"rows.csv:3: column 'text': expected a text"),
        ("rows.csv", "text,label\nlate, again,late\n", r"rows.csv:2: the header has 2 columns"),
        ("rows.csv", "text,label\nlate\n", r"rows.csv:2: the header has 2 columns"),
        ("rows.csv", 'text,label\n"late,late\n', r"rows.csv:2: not CSV"),
        ("rows.csv", b"text,label\nverz\xf6gert,late\n", r"rows.csv: not UTF-8 at byte 15"),
        ("rows.csv", "text,label\n", r"rows.csv: no row"),
        ("rows.csv", "", r"rows.csv: no row"),
        ("rows.jsonl", '{"text": "lost", "label": "missing"}\n{"text": \n', r"rows.jsonl:2: not JSON"),
        ("rows.jsonl", "[1, 2]\n", r"rows.jsonl:1: expected a JSON object, found list"),
        ("rows.jsonl", '{"text": 5, "label": "a"}\n', r"rows.jsonl:1: column 'text': expected a text, found 5"),
        ("rows.jsonl", '{"text": "a", "label": 1.5}\n', r"rows.jsonl:1: column 'label': .* found 1.5"),
        ("rows.jsonl", '{"text": "a", "label": true}\n', r"rows.jsonl:1: column 'label'"),
        ("rows.parquet", "this is no parquet", r"rows.parquet: not a Parquet file"),
    ],
)
def test_bad_input_names_file_line_and_column(tmp_path: Path, name: str, content: str | bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_rows(saved(tmp_path, name, content))


def test_a_parquet_file_without_the_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows.parquet:1: no column 'label'"):
        read_rows(parquet(tmp_path, {"text": ["lost"]}))


def test_another_suffix_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a file ending in \.csv, \.jsonl"):
        read_rows(saved(tmp_path, "rows.xlsx", ""))


def test_a_missing_file(tmp_path: Path) -> None:
    for name in ("rows.csv", "rows.jsonl", "rows.parquet"):
        with pytest.raises(DataError, match="cannot be read"):
            read_rows(tmp_path / name)


def test_a_split_knows_its_bytes(tmp_path: Path) -> None:
    path = saved(tmp_path, "test.jsonl", '{"id": "1", "text": "lost", "label": "missing", "slices": {"style": "x"}}\n')
    split = read_split(tmp_path, "test")
    assert split.ref.digest == sha256_of(path) and split.ref.n == 1 and split.ref.name == "test"
    assert split.rows[0].slices == {"style": "x"} and split.texts == ["lost"]


def test_rows_of_a_split_have_labels_and_those_outside_need_none(tmp_path: Path) -> None:
    saved(tmp_path, "test.jsonl", '{"id": "1", "text": "lost", "label": null}\n')
    saved(tmp_path, "oos_test.jsonl", '{"id": "1", "text": "hello"}\n')
    with pytest.raises(DataError, match=r"test.jsonl:1: column 'label': expected a label"):
        read_split(tmp_path, "test")
    assert read_split(tmp_path, "oos_test").rows[0].label is None


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, "test.jsonl", "")
    with pytest.raises(DataError, match="needs at least one"):
        read_split(tmp_path, "test")
