"""The release log as MLflow shows it: made anew each time, and never read back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import (
    BuildEntry,
    BundleRef,
    Descriptor,
    FleetManifest,
    HardwareProfile,
    IsaClass,
    LatencyObjective,
    Placement,
    Task,
    Verdict,
    Where,
    WorkflowEntry,
    digest_of,
)
from pipelines.steps.views import View, views
from training.tracking import Tracker

pytestmark = pytest.mark.unit
NAME = "triage--edge"
OLD, NEW = (digest_of(content) for content in (b"old", b"new"))


def manifest(channel: Any, version: int, digest: str) -> FleetManifest:
    moment = datetime(2026, 5, 4, tzinfo=UTC)
    blob = Descriptor(media_type="application/x", digest=digest, size=3)
    build = BuildEntry(
        bundle=BundleRef(name=NAME, manifest=blob, signature=blob), defer_threshold=0.5, verdict=Verdict.PASS
    )
    entry = WorkflowEntry(
        task=Task.CLASSIFY,
        title="Triage",
        owner="desk",
        placement=Placement(where=Where.EDGE, reasons=("offline",)),
        builds={"edge": build},
    )
    profile = HardwareProfile(
        name="edge", isa=IsaClass.AVX512_VNNI, latency=LatencyObjective(milliseconds=40), recipes=("int8",)
    )
    return FleetManifest(
        channel=channel,
        version=version,
        issued=moment,
        expires=moment,
        profiles={"edge": profile},
        workflows={"triage": entry},
    )


def test_versions_aliases_and_tags() -> None:
    history = {
        "candidates": [manifest("candidates", 1, NEW)],
        "canary": [manifest("canary", 2, NEW), manifest("canary", 1, OLD)],
        "stable": [manifest("stable", 3, OLD), manifest("stable", 1, OLD)],
    }
    assert views(history, {}) == {
        NAME: View(
            versions={
                NEW: {"lading.candidates": "1", "lading.canary": "2"},
                OLD: {"lading.canary": "1", "lading.stable": "1, 3"},
            },
            aliases={"candidate": NEW, "champion": OLD},
        )
    }


def test_canary_is_champion_where_stable_has_nothing() -> None:
    assert views({"canary": [manifest("canary", 1, NEW)]}, {})[NAME].aliases == {"champion": NEW}


def test_what_is_revoked_is_no_champion() -> None:
    found = views({"stable": [manifest("stable", 1, NEW)]}, {NEW: "wrong labels"})[NAME]
    assert found.aliases == {}
    assert found.versions[NEW]["lading.revoked"] == "wrong labels"


def test_nothing_is_shown_of_nothing() -> None:
    assert views({}, {}) == {}


def test_mlflow_says_what_it_is_told_whatever_it_said_before(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    tracker.show(NAME, {OLD: {"lading.stable": "1"}}, {"champion": OLD, "candidate": OLD})
    client = MlflowClient(
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", registry_uri=f"sqlite:///{tmp_path}/mlflow.db"
    )
    client.set_model_version_tag(NAME, "1", "lading.revoked", "somebody wrote this by hand")
    client.set_registered_model_alias(NAME, "approved", "1")
    tracker.show(NAME, {OLD: {"lading.stable": "1"}, NEW: {"lading.stable": "2"}}, {"champion": NEW})
    model = client.get_registered_model(NAME)
    assert {alias: str(number) for alias, number in model.aliases.items()} == {"champion": "2"}
    versions = {one.version: dict(one.tags) for one in client.search_model_versions(f"name='{NAME}'")}
    assert {str(number): tags for number, tags in versions.items()} == {
        "1": {"lading.stable": "1", "lading.digest": OLD},
        "2": {"lading.stable": "2", "lading.digest": NEW},
    }
    tracker.show(NAME, {OLD: {}, NEW: {}}, {"champion": OLD})
    aliases = client.get_registered_model(NAME).aliases
    assert {alias: str(number) for alias, number in aliases.items()} == {"champion": "1"}
