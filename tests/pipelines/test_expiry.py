"""The sensor warns before a role or manifest expires, and says what renews it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests.evidence import now
from pipelines.project.load import Project, load_project
from pipelines.steps.release import release_of

pytestmark = pytest.mark.unit


@pytest.fixture
def project(project_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose keys are apart."""
    monkeypatch.setenv("LADING_KEYS", str(tmp_path / "keys"))
    return load_project(project_folder())


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Moves the clock that releases are read with."""
    from release import Release

    real = Release.__init__

    def move(span: timedelta) -> None:
        def moved(self: Any, *args: Any, **more: Any) -> None:
            def clock() -> datetime:
                return now() + span

            real(self, *args, **{**more, "now": clock})

        monkeypatch.setattr(Release, "__init__", moved)

    return move


def ask(project: Project) -> Any:
    """One evaluation of the sensor, as the daemon makes it."""
    import dagster as dg

    from pipelines.defs import build_defs

    defs = build_defs(project)
    sensor = defs.resolve_sensor_def("expiring_roles")
    with dg.DagsterInstance.ephemeral() as instance:
        return sensor.evaluate_tick(
            dg.build_sensor_context(instance=instance, repository_def=defs.get_repository_def())
        )


def test_nothing_released_nothing_to_say(project: Project) -> None:
    found = ask(project)
    assert found.skip_message == "nothing is released yet"
    assert not found.asset_events


def test_a_new_release_passes_and_says_what_is_first(project: Project) -> None:
    release_of(project).init()
    observation, evaluation = ask(project).asset_events
    assert evaluation.passed
    assert "the first to expire: role snapshot" in evaluation.description
    assert "| role root | 1 |" in observation.metadata["expiry"].value


def test_what_expires_soon_warns_with_the_command(project: Project, later: Callable[[timedelta], None]) -> None:
    import dagster as dg

    release_of(project).init()
    later(timedelta(days=340))
    found = ask(project)
    observation, evaluation = found.asset_events
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert evaluation.asset_check_key == dg.AssetCheckKey(dg.AssetKey("fleet_manifest"), "lasting")
    assert "role root, version 1, expires on" in evaluation.description
    assert "role targets, version 1, expired on" in evaluation.description
    assert "renew it: `lading release ceremony renew`" in found.skip_message
    table = observation.metadata["expiry"].value
    assert "| expired | `lading release ceremony renew` |" in table
    assert "| soon | `lading release ceremony renew` |" in table


def test_the_sensor_runs_by_itself(project: Project) -> None:
    import dagster as dg

    from pipelines.defs import build_defs

    sensor = build_defs(project).resolve_sensor_def("expiring_roles")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 3600


def test_a_fleet_manifest_shows_channels_approvals_and_what_expires(project: Project) -> None:
    from pipelines.defs.release import _stands

    release_of(project).init()
    shown = _stands(project)
    assert shown["channels"].value.splitlines()[0] == "| channel | version | approved by | issued | until |"
    lines = shown["expiry"].value.splitlines()
    assert lines[0] == "| what | version | until | days left |  | renewed by |"
    assert lines[2].startswith("| role snapshot | 1 | ")
    assert len(lines) == 2 + 9, "six roles of the fleet and its bins, three channels that have no manifest yet"
