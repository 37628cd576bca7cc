"""Times of a search: what they are worth, and what a build that ends its process costs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fleet_manifests import HardwareProfile, IsaClass, LadingError, LatencyObjective, RefusedError
from pipelines.steps.timings import side_by_side
from pipelines.store import Store
from quantize.choice import Timing
from runtimes.measure import abreast, process

pytestmark = pytest.mark.unit
PROFILE = HardwareProfile(
    name="edge", isa=IsaClass.AVX512_VNNI, latency=LatencyObjective(milliseconds=40), recipes=("fp32",)
)
ROUNDS = {"int8": (1.0, 1.1), "fp32": (4.0, 4.1), "int8-mixed": (1.2, 1.2)}


class Process:
    """Stands for the process that times."""

    def __init__(self, **outcome: float) -> None:
        self.outcome, self.jobs = outcome, cast(list[abreast.Job], [])
        self.ends: dict[str, LadingError] = {}
        """What measuring one build alone, or all (`""`), ends with."""

    def __call__(self, job: abreast.Job) -> abreast.Outcome:
        self.jobs.append(job)
        names = [build.name for build in job.builds]
        if (end := self.ends.get("" if job.rounds else names[0])) is not None:
            raise end
        rounds = {name: ROUNDS[name] if job.rounds else () for name in names}
        return abreast.Outcome(rounds=rounds, peak_rss_mb=100.0, **{"drift": 0.01, **self.outcome})


def times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: Process) -> Timing:
    monkeypatch.setattr(process, "side_by_side", measured)
    project = cast(Any, SimpleNamespace(store=Store(tmp_path)))
    builds = [abreast.Build.model_construct(name=name, folder=name, config=PROFILE) for name in ROUNDS]
    inputs = {f"{name}/recipe_build": "sha256:0" for name in ROUNDS}
    return side_by_side(project, PROFILE, builds, inputs, [f"{'x' * n}" for n in range(1, 13)])


def test_builds_are_timed_together_and_weighed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Process(waited=0.02)
    found = times(tmp_path, monkeypatch, measured)
    assert found == Timing(ROUNDS, dict.fromkeys(ROUNDS, 100.0))
    assert [len(job.builds) for job in measured.jobs] == [1, 1, 1, 3]
    assert times(tmp_path, monkeypatch, measured) == found and len(measured.jobs) == 4


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        ({"drift": 0.2, "waited": 0.0}, "not steady: its speed moved by 20%"),
        ({"waited": 0.3}, "had other work: the builds waited for a core for 30% of the time"),
    ],
)
def test_times_of_a_disturbed_machine_do_not_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: dict[str, float], why: str
) -> None:
    found = times(tmp_path, monkeypatch, Process(**outcome))
    assert why in found.unusable and found.rounds == ROUNDS


def test_a_kernel_that_does_not_say_how_long_they_waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert times(tmp_path, monkeypatch, Process()).unusable == ""


def test_a_build_that_ends_its_process_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Process()
    measured.ends["fp32"] = RefusedError("ended by SIGSEGV")
    found = times(tmp_path, monkeypatch, measured)
    assert found.failed == {"fp32": "ended by SIGSEGV"}
    assert set(found.rounds) == set(found.memory_mb) == {"int8", "int8-mixed"} and not found.unusable


def test_the_end_of_the_process_of_all_leaves_the_choice_without_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Process()
    measured.ends[""] = RefusedError("the builds were not timed in 600 s")
    found = times(tmp_path, monkeypatch, measured)
    assert (found.rounds, found.unusable) == ({}, "the builds were not timed in 600 s")
    assert found.memory_mb == dict.fromkeys(ROUNDS, 100.0)


def test_nothing_is_timed_where_every_build_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Process()
    measured.ends = dict.fromkeys(ROUNDS, RefusedError("ended by SIGKILL"))
    assert set(times(tmp_path, monkeypatch, measured).failed) == set(ROUNDS)
    assert all(not job.rounds for job in measured.jobs)
