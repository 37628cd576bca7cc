"""The asset graph: its shape, its partitions, and how an asset's refusal reaches the command line."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import DataError
from pipelines.project.load import Project, load_project

pytestmark = pytest.mark.integration

GRAPH = {
    "erp_tables": ("corpora", None, []),
    "corpus": ("corpora", {"triage"}, ["erp_tables"]),
    "baselines": ("models", {"triage"}, ["corpus"]),
    "adapter": ("models", {"triage"}, ["corpus"]),
    "merged_model": ("models", {"triage"}, ["adapter"]),
    "chosen_model": ("models", {"triage"}, ["corpus", "merged_model"]),
    "onnx_model": ("edge_builds", {"triage"}, ["chosen_model", "corpus"]),
    "quantized_model": ("edge_builds", {"edge|triage"}, ["onnx_model"]),
    "bundle": ("release", {"edge|triage"}, ["quantized_model"]),
    "accuracy_report": ("evidence", {"edge|triage"}, ["baselines", "bundle"]),
    "latency_report": ("evidence", {"edge|triage"}, ["bundle"]),
    "emulated_accuracy_report": ("evidence", {"edge|triage"}, ["accuracy_report", "baselines", "bundle"]),
    "build_report": ("evidence", {"edge|triage"}, ["accuracy_report", "latency_report"]),
    "device_receipts": ("evidence", None, ["baselines", "bundle", "corpus"]),
    "fleet_manifest": ("release", {"candidates", "canary", "stable"}, ["accuracy_report", "latency_report"]),
}
CHECKS = {
    ("corpus", "leakage"), ("onnx_model", "parity"), ("bundle", "signature"), ("accuracy_report", "accuracy_gate"),
    ("latency_report", "latency_gate"), ("emulated_accuracy_report", "emulated_accuracy_gate"), ("fleet_manifest", "pullable"),
    ("fleet_manifest", "lasting"),
}  # fmt: skip


@pytest.fixture
def project(project_folder: Callable[..., Path]) -> Project:
    root = project_folder()
    with sqlite3.connect(root / "erp.sqlite") as erp:
        erp.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, updated_at TIMESTAMP, note TEXT, label TEXT)")
        words = {"late": "pallet arrived days after promise", "short": "cases missing from the count"}
        rows = [
            (number, f"2026-01-{number % 27 + 1:02} 10:00:00", f"{words[label]} ref {number * 7919} dock {number % 5}", label)
            for number, label in enumerate(list(words) * 60)
        ]  # fmt: skip
        erp.executemany("INSERT INTO notes VALUES (?, ?, ?, ?)", rows)
    return load_project(root)


def test_graph(project: Project) -> None:
    from pipelines.defs import build_defs

    graph = build_defs(project).resolve_asset_graph()
    found: dict[str, Any] = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        keys = set(node.partitions_def.get_partition_keys()) if node.partitions_def else None
        parents = sorted(parent.to_user_string() for parent in node.parent_keys)
        found[key.to_user_string()] = (node.group_name, keys, parents)
    assert found == GRAPH
    assert {(check.asset_key.to_user_string(), check.name) for check in graph.asset_check_keys} == CHECKS


def test_a_library_adds_documents_and_packs(library_folder: Callable[..., Path]) -> None:
    from pipelines.defs import build_defs

    graph = build_defs(load_project(library_folder())).resolve_asset_graph()
    names = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert names - set(GRAPH) == {"sop_documents", "knowledge_pack"}
    parents = {
        key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }
    assert parents["corpus"] == ["erp_tables", "sop_documents"]
    assert parents["knowledge_pack"] == ["bundle", "sop_documents"]
    assert parents["fleet_manifest"] == ["accuracy_report", "knowledge_pack", "latency_report"]
    checks = {(check.asset_key.to_user_string(), check.name) for check in graph.asset_check_keys}
    assert checks - CHECKS == {("sop_documents", "readable"), ("knowledge_pack", "knowledge_gate")}


def test_documents_are_taken_in_and_named_where_they_cannot_be(library_folder: Callable[..., Path]) -> None:
    from dagster import AssetKey

    from pipelines.cli.plans import Run
    from pipelines.cli.runs import execute, instance

    root = library_folder()
    (root / "sops" / "torn.pdf").write_bytes(b"%PDF-1.7 torn")
    project = load_project(root)
    execute(project, [Run(("sop_documents",)), Run(("corpus",), workflow="floor")], lambda number, run: None)
    with instance(project) as live:
        event = live.get_latest_materialization_event(AssetKey("sop_documents"))
        assert event is not None
        assert event.asset_materialization is not None
        shown = event.asset_materialization.metadata
        assert shown["documents"].value == 2
        assert "WH-1" in str(shown["changes"].value)
        assert "torn.pdf" in str(shown["problems"].value)
        card = live.get_latest_materialization_event(AssetKey("corpus"))
        assert card is not None
        assert card.asset_materialization is not None
        assert "2 passages of 2 documents" in str(card.asset_materialization.metadata["data_card"].value)


def test_code_location_is_that_of_the_chosen_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.definitions import definitions

    monkeypatch.setenv("LADING_PROJECT", str(project.root))
    assert len(list(definitions().resolve_asset_graph().get_all_asset_keys())) == len(GRAPH)


def test_corpora_are_built_once_and_reported(project: Project) -> None:
    from pipelines.cli.plans import Run
    from pipelines.cli.runs import execute, instance

    runs = [Run(("erp_tables",)), Run(("corpus",), workflow="triage")]
    titles: list[str] = []
    execute(project, runs, lambda number, run: titles.append(run.title))
    assert titles == ["erp_tables", "corpus [triage]"]
    assert project.store.latest("corpus", "triage").reused
    with instance(project) as live:
        assert live.get_runs_count() == 2
    execute(project, runs, lambda number, run: None)
    with instance(project) as live:
        from dagster import AssetKey

        event = live.get_latest_materialization_event(AssetKey("corpus"))
        assert event is not None
        assert event.asset_materialization is not None
        shown = event.asset_materialization.metadata
        assert "TF-IDF" in str(shown["data_card"].value)
        assert live.get_runs_count() == 3, "the tables were looked at, and the corpus that follows from them was left"
        tables = live.get_latest_materialization_event(AssetKey("erp_tables"))
        assert tables is not None
        assert tables.asset_materialization is not None
        assert tables.asset_materialization.metadata["rows_loaded"].value == 0, "the second load brings nothing new"


@pytest.mark.parametrize("change", ["a new row", "a damaged entry", "another version of the code", "a failed run"])
def test_what_is_not_as_it_was_runs_again(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    import dagster as dg

    from pipelines.cli.plans import Run
    from pipelines.cli.runs import execute, instance

    runs = [Run(("erp_tables",)), Run(("corpus",), workflow="triage")]
    execute(project, runs, lambda number, run: None)
    entry = project.store.latest("corpus", "triage")
    if change == "a new row":
        with sqlite3.connect(project.root / "erp.sqlite") as erp:
            erp.execute("INSERT INTO notes VALUES (999, '2026-02-27 10:00:00', 'pallet days after promise 77', 'late')")
    elif change == "a damaged entry":
        (entry.path / "train.jsonl").write_text("")
    elif change == "another version of the code":
        monkeypatch.setattr("pipelines.store.source_digest", lambda name: f"sha256:{name}")
    else:
        with instance(project) as live:
            for record in live.get_run_records(dg.RunsFilter(tags={"dagster/partition": "triage"})):
                live.report_run_failed(record.dagster_run)
    execute(load_project(project.root), runs, lambda number, run: None)
    with instance(project) as live:
        assert live.get_runs_count() == 4


def test_what_an_asset_refuses_is_our_error(project: Project) -> None:
    from pipelines.cli.plans import Run
    from pipelines.cli.runs import execute

    with sqlite3.connect(project.root / "erp.sqlite") as erp:
        erp.execute("ALTER TABLE notes RENAME COLUMN note TO remark")
    with pytest.raises(DataError, match=r"no column note"):
        execute(project, [Run(("erp_tables",))], lambda number, run: None)


def test_telemetry_is_off_in_the_instance_we_ship(project: Project) -> None:
    from pipelines.cli.runs import instance

    with instance(project) as live:
        assert live.telemetry_enabled is False
