"""Emulated accuracy of a built project: what the command says, and both tasks through the whole step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from evals.emulation import Emulator, Missing
from fleet_manifests import Measurement, Verdict
from pipelines.project.load import load_project
from pipelines.steps import emulation
from runtimes.engine.host import facts

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


def test_the_command_says_what_is_not_emulated(built: Any) -> None:
    done = built("lading", "build", "--emulate", PATH=str(Path(sys.executable).parent))
    assert done.code == 0, done.err
    assert "edge-arm64: not emulated: arm64-dotprod: qemu-aarch64 is not installed" in done.err
    assert "edge-this-machine: not emulated:" in done.err


@pytest.mark.parametrize("workflow", ["exception_triage", "sop_assistant"])
def test_both_tasks(workflow: str, copy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine stands for the emulated one, so that the figures must be those that were measured."""
    isa = facts().isa()
    assert isa is not None
    here = Emulator(isa, "this machine", (sys.executable,))
    monkeypatch.setattr(emulation, "emulator_of", lambda project, profile: here)
    monkeypatch.setenv("LADING_KEYS", copy.environment["LADING_KEYS"])
    project = load_project(copy.project)
    entry = emulation.emulated_accuracy_report(project, workflow, "edge-this-machine")
    assert not isinstance(entry, Missing)
    report = emulation.read_accuracy(entry)
    measured = emulation.read_accuracy(project.store.latest("accuracy_report", f"{workflow}--edge-this-machine"))
    assert (report.measurement, measured.measurement) == (Measurement.EMULATED, Measurement.MEASURED)
    assert report.verdict is not Verdict.PASS
    assert report.machine.host.cpu_model == "this machine"
    if report.split.n == measured.split.n:
        assert report.comparisons == measured.comparisons
    else:
        assert 500 <= report.split.n < measured.split.n
