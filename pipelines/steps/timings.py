"""The times of a recipe search: builds side by side in one process, kept in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import HardwareProfile, digest_of, dump
from pipelines.project.load import Project
from pipelines.steps.configs import ENGINE_LIBRARIES
from pipelines.store import Step

if TYPE_CHECKING:
    from quantize.choice import Timing
    from runtimes.measure.abreast import Build

ROUNDS = 15
"""Rounds of a timing: enough for an interval at 95 % that leaves out the three largest and smallest."""
TIMED_TEXTS = 6
TIMING = "timing.json"


def side_by_side(
    project: Project, profile: HardwareProfile, builds: Sequence[Build], inputs: Mapping[str, str], texts: Sequence[str]
) -> Timing:
    """Builds side by side on some of the texts, and the memory of each.

    Args:
        project: whose store keeps the times.
        profile: what the builds are held to; this machine is one of it.
        builds: at least one.
        inputs: digests of builds and texts.
        texts: of the workflow.

    Raises:
        RefusedError: a process that times was ended, or did not finish.
    """
    from quantize.choice import Timing
    from runtimes.engine.host import machine
    from runtimes.measure import abreast, process

    step = Step(
        name="recipe_timing",
        inputs={**inputs, "machine": digest_of(dump(machine()))},
        parameters={
            "profile": profile.model_dump(mode="json", include={"cores", "isa", "memory_mb"}),
            "configs": [digest_of(dump(build.config)) for build in builds],
            "rounds": ROUNDS,
            "texts": TIMED_TEXTS,
        },
        code=("runtimes.engine", "runtimes.measure", "pipelines.steps.timings"),
        libraries=ENGINE_LIBRARIES,
    )

    def work(out: Path) -> None:
        job = abreast.Job(
            builds=tuple(builds),
            texts=_spread(texts),
            rounds=ROUNDS,
            cpus=process.cpus(profile),
            memory_guard_mb=process.memory_guard_mb(profile) * len(builds),
        )
        memory = {
            build.name: process.side_by_side(job.model_copy(update={"builds": (build,), "rounds": 0})).peak_rss_mb
            for build in builds
        }
        found = process.side_by_side(job)
        (out / TIMING).write_text(
            json.dumps({**found.model_dump(mode="json"), "memory_mb": memory}, indent=2, sort_keys=True) + "\n"
        )

    found = json.loads((project.store.run(step, work).path / TIMING).read_text())
    drift = found["drift"]
    why = f"the machine was not steady: its speed moved by {drift:.0%}" if drift > process.STEADY else ""
    return Timing({build.name: tuple(found["rounds"][build.name]) for build in builds}, found["memory_mb"], why)


def _spread(texts: Sequence[str]) -> tuple[str, ...]:
    """Some texts of all lengths."""
    ranked = sorted(texts, key=len)
    step = max(len(ranked) // TIMED_TEXTS, 1)
    return tuple(ranked[step // 2 :: step][:TIMED_TEXTS])
