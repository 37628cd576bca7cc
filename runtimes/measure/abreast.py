"""The process that times several builds side by side: text by text, round by round, so that noise hits all alike.

Reads a `Job` as JSON from stdin and writes an `Outcome` as JSON to stdout. What counts are the ratios of the rounds;
a claim about one build's percentiles is for `runtimes.measure.latency`. With one build and no rounds it tells how
much memory a process needs that runs it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fleet_manifests import BundleConfig, Task, Wire, dump, parse
from runtimes.measure.gauges import peak_rss_mb, reference_kernel, waited_seconds
from runtimes.measure.latency import Loaded
from runtimes.measure.limits import hold_memory
from runtimes.measure.worker import answer

WARM_UP = 1
"""Rounds that do not count."""
BEST_OF = 3
"""Queries in a row of which the fastest counts, so that being put aside by another process for a moment does not."""


class Build(Wire):
    """A build that has no `bundle.json` yet."""

    name: str
    folder: str
    config: BundleConfig


class Job(Wire):
    """What to time, and within what limits."""

    builds: Annotated[tuple[Build, ...], Field(min_length=1)]
    texts: Annotated[tuple[str, ...], Field(min_length=1)]
    rounds: Annotated[int, Field(ge=0)]
    cpus: Annotated[tuple[int, ...], Field(min_length=1)]
    memory_guard_mb: int


class Outcome(Wire):
    """What was measured."""

    rounds: dict[str, tuple[float, ...]]
    """Mean milliseconds a text in each round, by build."""
    peak_rss_mb: float
    drift: float
    """How much the reference kernel's CPU time moved between the beginning and the end, as a share."""
    waited: float | None = None
    """Share of the time that this process was ready to run and had no cpu; None: the kernel does not say."""
    out_of_memory: bool = False
    """It ended before it was done; the other figures mean nothing then."""


def run(job: Job) -> Outcome:
    """Load every build, then time them.

    Raises:
        IntegrityError: a build does not load, or fails on a text.
        DataError: a text is not one that the engine accepts.
    """
    os.sched_setaffinity(0, job.cpus)
    hold_memory(None, job.memory_guard_mb)
    import numpy as np

    from runtimes import engine

    engines = {}
    for build in job.builds:
        load = engine.load_parts if build.config.task is Task.CLASSIFY else engine.load_embedder_parts
        engines[build.name] = load(Path(build.folder), build.config, threads=len(job.cpus))
    for one in engines.values():
        for text in job.texts:
            one.query(text)
    peak, before = peak_rss_mb(), reference_kernel()
    begun, waiting = time.perf_counter(), waited_seconds()
    names, draw = list(engines), np.random.default_rng(0)
    spent: dict[str, list[float]] = {name: [] for name in names}
    for number in range(job.rounds + WARM_UP if job.rounds else 0):
        total = dict.fromkeys(names, 0.0)
        for text in job.texts:
            for name in draw.permutation(names).tolist():  # whoever follows a large build finds the caches cold
                total[name] += min(_seconds(engines[name], text) for _ in range(BEST_OF))
        if number >= WARM_UP:
            for name, seconds in total.items():
                spent[name].append(seconds / len(job.texts) * 1e3)
    ended, still, after = time.perf_counter(), waited_seconds(), reference_kernel()
    return Outcome(
        rounds={build.name: tuple(spent[build.name]) for build in job.builds},
        peak_rss_mb=peak,
        drift=max(before, after) / min(before, after) - 1,
        waited=None if waiting is None or still is None else (still - waiting) / (ended - begun),
    )


def _seconds(engine: Loaded, text: str) -> float:
    start = time.perf_counter()
    engine.query(text)
    return time.perf_counter() - start


def main() -> None:
    """Measure what the job on stdin says."""
    answer(lambda raw: dump(_within_memory(parse(Job, raw, where="job"))))


def _within_memory(job: Job) -> Outcome:
    try:
        return run(job)
    except MemoryError:
        return Outcome(rounds={}, peak_rss_mb=0, drift=0, out_of_memory=True)


if __name__ == "__main__":
    main()
