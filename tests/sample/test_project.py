from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

import sample
from fleet_manifests import DataClass, HardwareProfile, extra
from fleet_manifests.authors import BY_KEY
from fleet_manifests.errors import DataError, MissingExtraError, StorageError, UsageError
from fleet_manifests.placement import Factors, Where, place
from fleet_manifests.profile import HostFacts
from pipelines.project.load import load_project

pytestmark = pytest.mark.unit

SMALL = sample.Size(orders=400, exceptions=60, others=10, documents=70, other_documents=12)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("scaffold") / "deep" / "demo"
    sample.scaffold(directory, size=SMALL)
    return directory


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def names(found: duckdb.DuckDBPyConnection) -> list[str]:
    return [str(column[0]) for column in found.description or ()]


def test_the_project_is_complete_and_nothing_else_is_left(project: Path) -> None:
    packaged = resources.files("sample") / "project"
    with resources.as_file(packaged) as root:
        expected = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    found = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    made = {name for name in found if name.startswith(("sops/", "questions/"))}
    assert found - made == expected | {"erp.sqlite"}
    assert len(made) >= 35 and {name.split("/")[0] for name in made} == {"sops", "questions"}
    assert [path.name for path in project.parent.iterdir()] == ["demo"]
    assert {path.stem for path in (project / "profiles").iterdir()} == {
        "edge-x86-vnni", "edge-x86-avx2", "edge-arm64", "central-x86", "edge-this-machine",
    }  # fmt: skip


def test_profiles_are_profiles(project: Path) -> None:
    host = HostFacts(architecture="x86_64", features=("avx2", "avx512_vnni"), cores=2, memory_mb=8000)
    profiles = {p.stem: HardwareProfile(name=p.stem, **read(p)) for p in (project / "profiles").iterdir()}
    fitting = [name for name, profile in profiles.items() if profile.resolved(host).mismatch(host) is None]
    assert sorted(fitting) == ["central-x86", "edge-this-machine", "edge-x86-vnni"]
    assert profiles["edge-this-machine"].preference < profiles["edge-x86-vnni"].preference
    assert all(set(read(p)) <= set(HardwareProfile.model_fields) for p in (project / "profiles").iterdir())


def test_the_source_lists_columns_that_exist_and_their_classes(project: Path) -> None:
    source = read(project / "sources" / "erp.yaml")
    with closing(sqlite3.connect(project / "erp.sqlite")) as erp:
        for name, table in source["tables"].items():
            existing = [row[1] for row in erp.execute(f"PRAGMA table_info({name})")]
            assert list(table["columns"]) == existing, name
            assert {table["cursor"], *table["primary_key"]} <= set(existing)
    classes = {
        f"{name}.{column}": DataClass(spec["class"] if isinstance(spec, dict) else spec)
        for name, table in source["tables"].items()
        for column, spec in table["columns"].items()
    }
    for column, data_class in classes.items():
        if re.search(r"contact|reported_by", column):
            assert data_class is DataClass.PERSONAL, column
        if re.search(r"price|cost|discount|credit", column):
            assert data_class is DataClass.PRICING, column
    for table, column in (("order_exceptions", "note"), ("inbound_documents", "body")):
        assert source["tables"][table]["columns"][column] == {"class": "internal", "scrub": True}
    assert classes["inbound_documents.partner_id"] is DataClass.CUSTOMER


@pytest.mark.parametrize(
    ("name", "table", "personal", "labelled", "others"),
    [
        ("exception_triage", "order_exceptions", {"reported_by"}, 60, 10),
        ("document_intake", "inbound_documents", set(), 70, 12),
    ],
)
def test_corpora_run_over_a_lake_with_only_the_columns_that_may_leave(
    project: Path, name: str, table: str, personal: set[str], labelled: int, others: int
) -> None:
    source = read(project / "sources" / "erp.yaml")
    workflow = read(project / "workflows" / f"{name}.yaml")
    columns = source["tables"][table]["columns"]
    allowed = [
        column for column, spec in columns.items()
        if (spec["class"] if isinstance(spec, dict) else spec) in workflow["data_classes"]
    ]  # fmt: skip
    assert set(columns) - set(allowed) == personal
    with closing(sqlite3.connect(project / "erp.sqlite")) as erp, closing(duckdb.connect()) as lake:
        lake.execute("CREATE SCHEMA erp")
        lake.execute(f"CREATE TABLE erp.{table} ({', '.join(f'{column} VARCHAR' for column in allowed)})")
        marks = ", ".join("?" * len(allowed))
        rows = erp.execute(f"SELECT {', '.join(allowed)} FROM {table}").fetchall()
        lake.executemany(f"INSERT INTO erp.{table} VALUES ({marks})", rows)
        found = lake.execute((project / workflow["corpus"]["sql"]).read_text())
        assert names(found) == ["id", "text", "label", "group", "time", "channel"]
        assert len(found.fetchall()) == labelled
        found = lake.execute((project / workflow["corpus"]["out_of_scope_sql"]).read_text())
        assert names(found) == ["id", "text", "group", "time", "channel"]
        assert len(found.fetchall()) == others


@pytest.mark.parametrize(("name", "where"), [("exception_triage", Where.EDGE), ("document_intake", Where.HYBRID)])
def test_where_a_workflow_is_placed(project: Path, name: str, where: Where) -> None:
    workflow = read(project / "workflows" / f"{name}.yaml")
    classes = frozenset(DataClass(one) for one in workflow["data_classes"])
    assert place(Factors(**workflow["placement"]), classes).where is where


def test_every_bundle_says_where_it_comes_from(project: Path) -> None:
    """The policy is the one that holds without a word, and requires what each build attests."""
    from pipelines.steps.configs import signing_policy
    from release.attestations import FILES

    policy = signing_policy(load_project(project))["authors"]
    assert policy.authors == BY_KEY.authors
    assert set(policy.require) == set(FILES)


def test_document_intake_is_one_yaml_and_two_sql_files_that_the_factory_takes(project: Path) -> None:
    workflow = load_project(project).workflows["document_intake"]
    assert workflow.profiles == ("edge-this-machine", "edge-x86-vnni", "central-x86")
    assert workflow.training.epochs == 3 and workflow.training.max_tokens == 192
    assert (workflow.gates.metric, workflow.gates.floor, workflow.gates.margin) == ("macro_f1", 0.8, 0.04)
    mentioning = [
        path.relative_to(project).as_posix() for path in sorted(project.rglob("*"))
        if path.suffix in (".yaml", ".sql") and "document_intake" in path.read_text(encoding="utf-8")
    ]  # fmt: skip
    assert mentioning == ["workflows/document_intake.yaml"]


def test_the_fleet_is_the_erps_places_and_the_centre(project: Path) -> None:
    fleet = read(project / "fleet.yaml")
    with closing(sqlite3.connect(project / "erp.sqlite")) as erp:
        rows = erp.execute("SELECT warehouse_id FROM warehouses UNION SELECT branch_id FROM branches").fetchall()
    places = {name for (name,) in rows}
    sites = [site["site"] for site in fleet["sites"]]
    assert set(sites) == places | {"central"} and len(set(sites)) == len(sites)
    assert fleet["channels"]["stable"]["threshold"] <= len(fleet["channels"]["stable"]["managers"])
    assert {site["channel"] for site in fleet["sites"]} == set(fleet["channels"])


def test_an_empty_folder_is_accepted_and_keeps_its_identity(tmp_path: Path) -> None:
    before = tmp_path.stat().st_ino
    sample.scaffold(tmp_path, size=SMALL)
    assert tmp_path.stat().st_ino == before
    assert (tmp_path / "lading.yaml").is_file() and (tmp_path / "erp.sqlite").is_file()


@pytest.mark.parametrize("fill", [lambda p: p.write_text("mine"), lambda p: (p.mkdir(), (p / "x").write_text("mine"))])
def test_a_folder_that_holds_something_is_refused_untouched(tmp_path: Path, fill: Callable[[Path], object]) -> None:
    target = tmp_path / "demo"
    fill(target)
    with pytest.raises(UsageError, match="expected a new or an empty folder"):
        sample.scaffold(target, size=SMALL)
    kept = target if target.is_file() else target / "x"
    assert kept.read_text() == "mine"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [kept.name]


@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool) -> None:
    target = tmp_path / "demo"
    if exists:
        target.mkdir()

    def full(path: Path, **_: object) -> sample.Summary:
        path.write_bytes(b"half")
        raise StorageError(f"{path}: No space left on device")

    monkeypatch.setattr("sample.scaffolding.generate", full)
    with pytest.raises(StorageError, match=r"could not be written.*No space left"):
        sample.scaffold(target)
    assert target.exists() == exists
    assert list(tmp_path.rglob("*")) == ([target] if exists else [])


@pytest.mark.parametrize("exists", [True, False])
def test_a_procedure_that_cannot_be_rendered_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    target = tmp_path / "demo"
    if exists:
        target.mkdir()

    def broken(project: Path) -> None:
        (project / "sops").mkdir()
        raise DataError("wh-001.md: front matter: format: expected a value, found none; add it")

    monkeypatch.setattr("sample.scaffolding.write_procedures", broken)
    with pytest.raises(DataError, match=r"^wh-001\.md: front matter"):
        sample.scaffold(target, size=SMALL)
    assert list(tmp_path.rglob("*")) == ([target] if exists else [])


def test_without_the_factory_the_extra_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == "reportlab" else object())
    with pytest.raises(MissingExtraError, match=r"`lading init` needs the factory, and reportlab is not installed"):
        sample.scaffold(tmp_path / "demo", size=SMALL)
    assert list(tmp_path.iterdir()) == []
