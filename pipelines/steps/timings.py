"""The times of a recipe search: builds side by side in one process, kept in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import HardwareProfile, LadingError, digest_of, dump
from pipelines.project.load import Project
from pipelines.steps.configs import ENGINE_LIBRARIES
from pipelines.store import Step

if TYPE_CHECKING:
    from quantize.choice import Timing
    from runtimes.measure.abreast import Build, Job

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

    A build that ends the process that measures its memory is out of the running. Where it is the process of all that
    ends, or the machine moved or had other work, the times may not decide.
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
        memory, failed = _memory(job)
        left = tuple(build for build in builds if build.name in memory)
        found, ended = None, ""
        try:
            found = process.side_by_side(job.model_copy(update={"builds": left})) if left else None
        except LadingError as exc:
            ended = str(exc)
        times = found.model_dump(mode="json") if found else {"rounds": {}}
        told = {**times, "memory_mb": memory, "failed": failed, "ended": ended}
        (out / TIMING).write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")

    found = json.loads((project.store.run(step, work).path / TIMING).read_text())
    rounds = {
        build.name: tuple(found["rounds"][build.name]) for build in builds if build.name in found.get("rounds", ())
    }
    return Timing(rounds, found["memory_mb"], _unusable(found), found["failed"])


def _unusable(found: Mapping[str, Any]) -> str:
    """Why times may not decide; empty: they may.

    Rounds hit all builds alike only where a query is not cut into pieces: with other work on the same cores, the best
    of three short queries is whole, and none of three long ones.
    """
    from runtimes.measure.process import QUIET, STEADY

    drift, waited = found.get("drift", 0.0), found.get("waited") or 0.0
    if drift > STEADY:
        return f"the machine was not steady: its speed moved by {drift:.0%}"
    if waited > QUIET:
        return f"the machine had other work: the builds waited for a core for {waited:.0%} of the time"
    return str(found["ended"])


def _memory(job: Job) -> tuple[dict[str, float], dict[str, str]]:
    """Peak memory of each build in MB, in a process of its own, and why some have none."""
    from runtimes.measure import process

    peaks, failed = {}, {}
    for build in job.builds:
        try:
            alone = process.side_by_side(job.model_copy(update={"builds": (build,), "rounds": 0}))
        except LadingError as exc:
            failed[build.name] = str(exc)
        else:
            peaks[build.name] = alone.peak_rss_mb
    return peaks, failed


def _spread(texts: Sequence[str]) -> tuple[str, ...]:
    """Some texts of all lengths."""
    ranked = sorted(texts, key=len)
    step = max(len(ranked) // TIMED_TEXTS, 1)
    return tuple(ranked[step // 2 :: step][:TIMED_TEXTS])
