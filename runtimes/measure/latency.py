"""The process that a latency measurement runs in: nothing in it but the engine.

Reads a `Job` as JSON from stdin and writes an `Outcome` as JSON to stdout. It holds itself
to the profile's cores and to a memory guard before it loads anything, so that memory and
time are those of a site's process, not of the factory's.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import Field

from fleet_manifests import BundleConfig, DataError, IntegrityError, LadingError, Wire, dump, parse

WARM_UP_SECONDS = 0.3
WARM_UP_QUERIES = 10
MAX_QUERIES = 5000
"""Queries per load; more would not move a percentile."""
FILLERS = ("a", "the", "1", "x", ".")
"""Words that some tokenizer or other reads as one token."""


class Answer(Protocol):
    """What an engine says about one text, as far as a measurement looks at it."""

    @property
    def tokens(self) -> int:
        """Length of the input that the model saw, special tokens included."""


class Loaded(Protocol):
    """A loaded bundle of any task."""

    @property
    def config(self) -> BundleConfig:
        """The bundle's `bundle.json`."""

    def query(self, text: str) -> Answer:
        """One request, exactly as a site serves it."""


Load = Callable[[Path, int], Loaded]


class Job(Wire):
    """What to measure, and within what limits."""

    bundle: str
    cpus: tuple[int, ...]
    memory_guard_mb: int
    """Data segment limit, a guard against a runaway model; the gate is about the measured peak."""
    texts: Annotated[tuple[str, ...], Field(min_length=1)]
    tokens: Annotated[int, Field(ge=1)]
    queries: Annotated[int, Field(ge=1)]
    seconds: float


class Outcome(Wire):
    """What was measured, or why not."""

    failure: Literal["", "memory", "time", "integrity", "data"] = ""
    """`time`: it did not come to an end and was killed, as the process that started it says."""
    message: str = ""
    load_ms: float = 0.0
    """Importing the engine and loading the bundle."""
    first_answer_ms: float = 0.0
    peak_rss_mb: float = 0.0
    tokens: int = 0
    objective_ms: tuple[float, ...] = ()
    """Latencies at the objective's length."""
    workload_ms: tuple[float, ...] = ()
    """Latencies of the workflow's own texts."""
    drift: float = 0.0
    """How much the reference kernel's CPU time moved between the beginning and the end, as a share."""
    waited: float | None = None
    """Share of the measurement that this process was ready to run and had no cpu; None: the kernel does not say."""


def load_any(bundle: Path, threads: int) -> Loaded:
    """Load a bundle with the engine that sites run; only now, so that its import counts as loading.

    Raises:
        IntegrityError: the folder is not a bundle that loads.
    """
    from runtimes import engine

    return engine.load_any(bundle, threads=threads)


def run(job: Job, load: Load = load_any) -> Outcome:
    """Measure, single stream: the next query is issued when the last one is answered."""
    os.sched_setaffinity(0, job.cpus)
    guard = job.memory_guard_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (guard, guard))
    try:
        return _measure(job, load)
    except MemoryError:
        return Outcome(failure="memory")
    except IntegrityError as exc:
        return Outcome(failure="integrity", message=str(exc))
    except LadingError as exc:
        return Outcome(failure="data", message=str(exc))


def _measure(job: Job, load: Load) -> Outcome:
    started = time.perf_counter()
    engine = load(Path(job.bundle), len(job.cpus))
    loaded = time.perf_counter()
    engine.query(job.texts[0])
    first = time.perf_counter()
    tokens = min(job.tokens, engine.config.max_tokens)
    text = text_of_length(engine, tokens)
    _warm_up(engine, [*islice(cycle(job.texts), WARM_UP_QUERIES), text])
    before = reference_kernel()
    begun, waiting = time.perf_counter(), waited_seconds()
    objective = _queries(engine, [text], job)
    workload = _queries(engine, job.texts, job)
    ended, still_waiting = time.perf_counter(), waited_seconds()
    after = reference_kernel()
    return Outcome(
        load_ms=(loaded - started) * 1e3,
        first_answer_ms=(first - loaded) * 1e3,
        peak_rss_mb=peak_rss_mb(),
        tokens=tokens,
        objective_ms=objective,
        workload_ms=workload,
        drift=max(before, after) / min(before, after) - 1,
        waited=None if waiting is None or still_waiting is None else (still_waiting - waiting) / (ended - begun),
    )


def _queries(engine: Loaded, texts: Sequence[str], job: Job) -> tuple[float, ...]:
    """Latencies in ms: at least `job.queries`, more while `job.seconds` are not over."""
    found: list[float] = []
    enough = time.perf_counter() + job.seconds
    for text in islice(cycle(texts), max(MAX_QUERIES, job.queries)):
        start = time.perf_counter_ns()
        engine.query(text)
        end = time.perf_counter_ns()
        found.append((end - start) / 1e6)
        if len(found) >= job.queries and end / 1e9 >= enough:
            break
    return tuple(found)


def _warm_up(engine: Loaded, texts: Sequence[str]) -> None:
    """Run until caches, arenas and clocks have settled."""
    enough = time.perf_counter() + WARM_UP_SECONDS
    while True:
        for text in texts:
            engine.query(text)
        if time.perf_counter() >= enough:
            return


def text_of_length(engine: Loaded, tokens: int) -> str:
    """A text that the engine reads as exactly that many tokens, special tokens included.

    Raises:
        DataError: the tokenizer makes no text of that length from simple words.
    """
    for filler in FILLERS:
        one = engine.query(filler).tokens
        step = engine.query(f"{filler} {filler}").tokens - one
        words, rest = divmod(tokens - one, step) if step > 0 else (0, 1)
        if rest == 0 and words >= 0:
            text = " ".join([filler] * (1 + words))
            if engine.query(text).tokens == tokens:
                return text
    raise DataError(
        f"no text of exactly {tokens} tokens could be made; choose another length for the latency objective"
    )


def reference_kernel() -> float:
    """Median CPU seconds of a fixed piece of work: moves with clock speed and neighbours on the same core."""
    import numpy as np

    data = np.random.default_rng(0).random(100_000)
    times = []
    for _ in range(41):
        start = time.thread_time()
        np.sort(data)
        times.append(time.thread_time() - start)
    return float(np.median(times))


def waited_seconds() -> float | None:
    """Seconds that the main thread was ready to run and other processes had the cpu (Linux `sched-stats`)."""
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except OSError:
        return None


def peak_rss_mb() -> float:
    """Peak resident memory of this process since it began.

    From VmHWM: `getrusage` carries the parent's peak over `exec`.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main(load: Load = load_any) -> None:
    """Read the job, measure, answer. Everything that libraries print goes to stderr."""
    answer = os.dup(1)
    os.dup2(2, 1)
    outcome = run(parse(Job, sys.stdin.buffer.read(), where="job"), load)
    with os.fdopen(answer, "wb") as stream:
        stream.write(dump(outcome))


if __name__ == "__main__":
    main()
