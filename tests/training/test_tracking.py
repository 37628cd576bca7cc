"""Runs and model versions in a real SQLite store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_manifests import StorageError, UsageError
from training.tracking import Tracker

pytestmark = pytest.mark.integration

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def tracker(folder: Path) -> Tracker:
    return Tracker(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")


def client(folder: Path):  # type: ignore[no-untyped-def]
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")


def test_a_run_keeps_params_metrics_per_epoch_tags_and_files(tracker: Tracker, folder: Path) -> None:
    note = folder / "history.json"
    note.write_text("{}")
    run_id = tracker.log_run(
        "triage",
        params={"rank": 16, "base": "tiny"},
        history=[{"macro_f1": 0.5}, {"macro_f1": 0.75}],
        metrics={"best_macro_f1": 0.75},
        tags={"corpus": A},
        artifacts=[note],
    )
    run = client(folder).get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"rank": "16", "base": "tiny"}
    assert run.data.tags["corpus"] == A
    steps = client(folder).get_metric_history(run_id, "macro_f1")
    assert [(m.step, m.value) for m in steps] == [(0, 0.5), (1, 0.75)]
    assert [found.path for found in client(folder).list_artifacts(run_id)] == ["history.json"]
    assert list((folder / "artifacts").rglob("history.json"))


def test_a_run_that_cannot_be_recorded_is_marked_as_failed(tracker: Tracker, folder: Path) -> None:
    with pytest.raises(StorageError, match="run of broken cannot be recorded"):
        tracker.log_run("broken", params={"a": 1}, artifacts=[folder / "absent"])
    experiment = client(folder).get_experiment_by_name("broken")
    assert [run.info.status for run in client(folder).search_runs([experiment.experiment_id])] == ["FAILED"]


def test_versions_rise_and_the_candidate_follows(tracker: Tracker) -> None:
    run_id = tracker.log_run("versions", params={})
    first = tracker.register("versions", source="/store/a", digest=A, run_id=run_id)
    second = tracker.register("versions", source="/store/b", digest=B, run_id=run_id, tags={"corpus": A})
    assert (first.number, second.number) == (1, 2)
    assert second.aliases == ("candidate",)
    assert (second.source, second.digest, second.run_id) == ("/store/b", B, run_id)
    assert tracker.named("versions", "candidate") == second
    champion = tracker.point("versions", "champion", 1)
    assert champion.aliases == ("champion",)
    assert tracker.find("versions", A) == tracker.named("versions", "champion") == champion


def test_the_same_digest_is_registered_once(tracker: Tracker) -> None:
    run_id = tracker.log_run("once", params={})
    first = tracker.register("once", source="/store/a", digest=A, run_id=run_id)
    tracker.register("once", source="/store/b", digest=B, run_id=run_id)
    again = tracker.register("once", source="/store/a", digest=A, run_id=run_id)
    assert again == first
    assert tracker.named("once", "candidate") == first


def test_workflows_do_not_share_versions(tracker: Tracker) -> None:
    run_id = tracker.log_run("one", params={})
    tracker.register("one", source="/store/a", digest=A, run_id=run_id)
    assert tracker.find("other", A) is None
    assert tracker.named("other", "candidate") is None
    assert tracker.named("one", "champion") is None


def test_an_alias_needs_a_version(tracker: Tracker) -> None:
    with pytest.raises(UsageError, match="no registered version 9"):
        tracker.point("never", "champion", 9)


@pytest.mark.parametrize("uri", ["file:./mlruns", "mlruns", "http://localhost:5000", ""])
def test_a_store_that_is_no_database_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a URI such as sqlite"):
        Tracker(uri, tmp_path)


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is not a database " * 100)
    with pytest.raises(StorageError, match="cannot be opened"):
        Tracker(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)


def test_nothing_is_reported_to_anyone(tmp_path: Path) -> None:
    """In a process of its own, whose environment does not switch telemetry off."""
    code = (
        "from pathlib import Path; from training.tracking import Tracker\n"
        f"Tracker('sqlite:///{tmp_path}/m.db', Path('{tmp_path}'))\n"
        "from mlflow.telemetry import get_telemetry_client\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled\n"
        "assert is_telemetry_disabled() and get_telemetry_client() is None\n"
    )
    quiet = {"MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "CI", "PYTEST_CURRENT_TEST"}
    environment = {key: value for key, value in os.environ.items() if key not in quiet}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
