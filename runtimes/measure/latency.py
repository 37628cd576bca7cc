"""The process that a latency measurement runs in: nothing in it but the engine.

Reads a `Job` as JSON from stdin and writes an `Outcome` as JSON to stdout. It holds itself
to the profile's cores and to a memory guard before it loads anything, so that memory and
time are those of a site's process, not of the factory's.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import Field

from fleet_manifests import BundleConfig, DataError, IntegrityError, LadingError, Wire, dump, parse
from runtimes.measure import loadgen
from runtimes.measure.gauges import energy_uj, joules_between, peak_rss_mb, reference_kernel, waited_seconds
from runtimes.measure.limits import hold_memory
from runtimes.measure.worker import answer

WARM_UP_SECONDS = 0.3
WARM_UP_QUERIES = 10
MAX_QUERIES = 5000
"""Queries per load; more would not move a percentile."""
FILLERS = ("a", "the", "1", "x", ".")
"""Words that some tokenizer or other reads as one token."""

PADDING, MOST_PADDED = "e", 16
"""A letter that makes a text one character longer, and how often it may be put behind one."""


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
    """Of the objective, in word pieces."""
    queries: Annotated[int, Field(ge=1)]
    percentile: Literal[50, 90, 99] = 99
    """That `queries` are enough for."""
    seconds: float
    memory_mb: int | None = None
    """Memory of the process, where a control group can hold it to that."""
    started: float | None = None
    """When the process was started, seconds of the machine's monotonic clock."""


class LoadgenFigures(Wire):
    """What LoadGen itself says of the load that decides."""

    version: str
    percentile_ms: float
    """The objective's percentile of LoadGen's own latencies."""
    estimate_ms: float | None = None
    """Its early-stopping estimate."""
    valid: bool


class Outcome(Wire):
    """What was measured, or why not."""

    failure: Literal["", "memory", "time", "integrity", "data"] = ""
    """`time`: it did not come to an end and was killed, as the process that started it says."""
    message: str = ""
    load_ms: float = 0.0
    """Importing the engine and loading the bundle."""
    first_answer_ms: float = 0.0
    cold_start_ms: float | None = None
    """From the start of the process, the interpreter and its imports included, to the first answer."""
    peak_rss_mb: float = 0.0
    """Of engine and texts, before LoadGen is loaded."""
    tokens: int = 0
    """Of the objective's text, as the model counts them."""
    objective_ms: tuple[float, ...] = ()
    """Latencies at the objective's length."""
    workload_ms: tuple[float, ...] = ()
    """Latencies of the workflow's own texts."""
    loadgen: LoadgenFigures | None = None
    throughput: float | None = None
    """Queries a second, where all texts lie ready."""
    energy_mj: float | None = None
    """Millijoules a query; None: the machine does not tell."""
    memory_held: Literal["cgroup", "rlimit"] = "rlimit"
    """What held the process to its memory."""
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
    held = hold_memory(job.memory_mb, job.memory_guard_mb)
    try:
        return _measure(job, load).model_copy(update={"memory_held": held})
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
    cold = None if job.started is None else (time.clock_gettime(time.CLOCK_MONOTONIC) - job.started) * 1e3
    tokens = engine.config.length_of(job.tokens)
    text = objective_text(engine, tokens, job.texts)
    alone, *each = _warm_up(engine, [text, *_from_all_over(job.texts), max(job.texts, key=len)])
    usual = sum(each[:-1]) / len(each[:-1])
    peak = peak_rss_mb()
    before = reference_kernel()
    begun, waiting = time.perf_counter(), waited_seconds()
    objective, workload = _stream(engine, [text], job, alone), _stream(engine, job.texts, job, usual)
    ended, still_waiting = time.perf_counter(), waited_seconds()
    samples = min(max(int(job.seconds / 3 / usual), 1), MAX_QUERIES)
    energy = energy_uj()
    throughput = loadgen.offline(engine.query, job.texts, samples=samples)
    used = energy_uj()
    after = reference_kernel()
    return Outcome(
        load_ms=(loaded - started) * 1e3,
        first_answer_ms=(first - loaded) * 1e3,
        cold_start_ms=cold,
        peak_rss_mb=peak,
        tokens=tokens,
        objective_ms=objective.latencies_ms,
        workload_ms=workload.latencies_ms,
        loadgen=LoadgenFigures(
            version=metadata.version("mlcommons-loadgen"),
            percentile_ms=objective.percentile_ms,
            estimate_ms=objective.estimate_ms,
            valid=objective.valid and workload.valid,
        ),
        throughput=throughput,
        energy_mj=None if energy is None or used is None else joules_between(energy, used) / samples * 1e3,
        drift=max(before, after) / min(before, after) - 1,
        waited=None if waiting is None or still_waiting is None else (still_waiting - waiting) / (ended - begun),
    )


def _stream(engine: Loaded, texts: Sequence[str], job: Job, each: float) -> loadgen.Stream:
    """One load: as many queries as the percentile needs, and more of a fast model, as far as the report holds them."""
    most = max(MAX_QUERIES, job.queries)
    seconds = min(job.seconds, 0.5 * most * each)
    return loadgen.single_stream(
        engine.query,
        texts,
        percentile=job.percentile,
        queries=job.queries,
        most=most,
        ms=max(int(seconds * 1e3), 1),
    )


def _from_all_over(texts: Sequence[str]) -> Sequence[str]:
    """Some of the texts, from the first to the last."""
    return texts[:: max(len(texts) // WARM_UP_QUERIES, 1)]


def _warm_up(engine: Loaded, texts: Sequence[str]) -> list[float]:
    """Run until caches, arenas and clocks have settled; the least seconds that each text took."""
    enough = time.perf_counter() + WARM_UP_SECONDS
    least = [math.inf] * len(texts)
    while (now := time.perf_counter()) < enough or math.inf in least:
        for place, text in enumerate(texts):
            begun, _ = now, engine.query(text)
            now = time.perf_counter()
            least[place] = min(least[place], now - begun)
    return least


def objective_text(engine: Loaded, tokens: int, texts: Sequence[str]) -> str:
    """The text of the objective: simple words for a model whose time depends on the length alone, as a transformer's.

    The time of a model that reads characters depends on what it knows of the text too, so its text is made of the
    workflow's own.

    Raises:
        DataError: no text of that length can be made.
    """
    if engine.config.tokens_per_piece == 1:
        return text_of_length(engine, tokens)
    return text_from(engine, tokens, texts)


def text_from(engine: Loaded, tokens: int, texts: Sequence[str]) -> str:
    """A text that the engine reads as exactly that many tokens, cut from the given ones, one behind the other.

    Raises:
        DataError: no cut has that length.
    """
    joined = " ".join(texts)
    joined = " ".join([joined] * (tokens // len(joined) + 1))[:tokens]
    for end in range(len(joined), 0, -1):
        if not joined[:end].strip():
            break
        short = tokens - engine.query(joined[:end]).tokens
        for letters in (short, short - 1):  # a letter behind punctuation is set apart by a space
            text = joined[:end] + PADDING * letters
            if 0 <= letters <= MOST_PADDED and engine.query(text).tokens == tokens:
                return text
    raise DataError(f"no text of exactly {tokens} tokens could be cut from the workflow's own; give other texts")


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


def main(load: Load = load_any) -> None:
    """Measure what the job on stdin says."""
    answer(lambda raw: dump(run(parse(Job, raw, where="job"), load)))


if __name__ == "__main__":
    main()
