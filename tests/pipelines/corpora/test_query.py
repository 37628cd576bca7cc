"""The SQL of a corpus: what it may see, and what its mistakes are told like."""

from __future__ import annotations

from typing import Any

import pytest

from fleet_manifests import ConfigError, DataClass, DataError, LadingError
from pipelines.corpora.query import run_query

pytestmark = pytest.mark.unit

CLASSES = frozenset({DataClass.INTERNAL, DataClass.CUSTOMER})


def ask(project: Any, text: str, classes: frozenset[DataClass] = CLASSES) -> list[dict[str, Any]]:
    project.write("corpora/q.sql", text)
    return run_query("corpora/q.sql", project=project.root, lake=project.lake, data_classes=classes).records


def test_a_query_and_what_it_read(project: Any) -> None:
    project.write("q.sql", "WITH few AS (SELECT id FROM erp.notes LIMIT 3)\nSELECT count(*) AS n FROM few")
    found = run_query("q.sql", project=project.root, lake=project.lake, data_classes=CLASSES)
    assert found.records == [{"n": 3}]
    assert [(table.name, table.rows) for table in found.tables] == [("erp.notes", 240)]


def test_the_table_digest_follows_its_rows(project: Any, notes: Any) -> None:
    project.write("q.sql", "SELECT id FROM erp.notes")
    before = run_query("q.sql", project=project.root, lake=project.lake, data_classes=CLASSES).tables[0]
    project.load(notes[::-1])
    same = run_query("q.sql", project=project.root, lake=project.lake, data_classes=CLASSES).tables[0]
    project.load([*notes[1:], (0, "changed", *notes[0][2:])])
    other = run_query("q.sql", project=project.root, lake=project.lake, data_classes=CLASSES).tables[0]
    assert (same, other.rows) == (before, before.rows)
    assert other.digest != before.digest


def test_star_is_only_what_the_workflow_may_see(project: Any) -> None:
    assert list(ask(project, "SELECT * FROM erp.notes LIMIT 1")[0]) == ["id", "note", "cause", "customer", "seen"]


def test_a_column_of_another_class_is_refused_by_name(project: Any) -> None:
    with pytest.raises(
        ConfigError,
        match=r"q\.sql:2: column credit_limit of erp\.notes has data class pricing; the workflow may see customer,",
    ):
        ask(project, "SELECT id,\n credit_limit FROM erp.notes")
    assert ask(project, "SELECT credit_limit FROM erp.notes LIMIT 1", frozenset(DataClass)) == [{"credit_limit": 9}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SELECT id,\n  nope\nFROM erp.notes", r'q\.sql:2: Binder Error: Referenced column "nope" not found'),
        ("SELECT id\nFROM erp.note", r"q\.sql:2: the lake has no table erp\.note; did you mean erp\.notes\?"),
        ("SELECT id FROM notes", r"q\.sql:1: the lake has no table notes; .*erp\.notes"),
        ("SELECT id FROM lake.erp.notes", r"the lake has no table lake\.erp\.notes"),
        ("SELECT id\nFRM erp.notes WHERE", r"q\.sql:2: Parser Error"),
        ("", "expected one SELECT, found none"),
        ("SELECT 1; SELECT 2", "expected one SELECT, found SELECT, SELECT"),
        ("DROP TABLE erp.notes", "expected one SELECT, found DROP"),
        ("COPY erp.notes TO 'x.csv'", "expected one SELECT, found COPY"),
        ("SET threads = 1", "expected one SELECT, found SET"),
        ("SELECT id, note AS id FROM erp.notes", "two columns are named id"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_file_and_line(project: Any, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        ask(project, text)
    assert str(caught.value).startswith("corpora/q.sql")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM read_csv('{root}/secret.csv')",
        "SELECT * FROM read_text('{root}/secret.csv')",
        "SELECT * FROM '{root}/secret.csv'",
        "SELECT * FROM glob('{root}/*')",
        "SELECT * FROM query_table('lake.erp.notes')",
        "SELECT * FROM query('SELECT credit_limit FROM erp.notes')",
        "ATTACH '{root}/lake/lake.duckdb' AS other",
        "SELECT getenv('HOME')",
    ],
)
def test_nothing_else_is_in_reach(project: Any, text: str) -> None:
    project.write("secret.csv", "a,b\n1,2\n")
    with pytest.raises(LadingError):
        ask(project, text.format(root=project.root))


def test_a_value_that_cannot_be_read_is_the_datas_fault(project: Any) -> None:
    with pytest.raises(DataError, match=r"q\.sql.*: a value is not what the query asks for: .*Could not convert"):
        ask(project, "SELECT note::INTEGER AS id FROM erp.notes")


def test_a_missing_file_and_a_missing_lake(project: Any, tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=r"corpora/none\.sql: the SQL file cannot be read"):
        run_query("corpora/none.sql", project=project.root, lake=project.lake, data_classes=CLASSES)
    with pytest.raises(DataError, match=r"there is no lake .* load the sources first"):
        run_query("corpora/notes.sql", project=project.root, lake=tmp_path / "other", data_classes=CLASSES)
    assert not (tmp_path / "other").exists()


def test_the_lake_is_only_read(project: Any) -> None:
    before = (project.lake / "lake.duckdb").read_bytes()
    ask(project, "SELECT id FROM erp.notes")
    assert (project.lake / "lake.duckdb").read_bytes() == before
    assert [path.name for path in project.lake.iterdir()] == ["lake.duckdb"]
