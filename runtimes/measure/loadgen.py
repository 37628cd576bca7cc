"""MLPerf LoadGen drives the engine: single stream for latency, offline for throughput.

LoadGen (MLCommons, Reddi et al. 2020, "MLPerf inference benchmark") draws the samples, issues the queries and
ends the run when enough of them were answered for the percentile. Latencies are taken beside it, query by query;
its own percentile and early-stopping estimate come back for comparison.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_manifests import MissingExtraError

Query = Callable[[str], object]
DETAIL = "detail.txt"
ENTRY = ":::MLLOG "
DISCARDED = re.compile(r"Would discard (\d+) highest latency queries")


@dataclass(frozen=True)
class Stream:
    """A single-stream run."""

    latencies_ms: tuple[float, ...]
    """Of each query, in order."""
    percentile_ms: float
    """LoadGen's percentile of its own latencies."""
    estimate_ms: float | None
    """LoadGen's early-stopping estimate: the percentile is below it at 99 % confidence; None: too few queries."""
    discarded: int | None
    """How many of the highest latencies LoadGen leaves above its estimate."""
    valid: bool
    """LoadGen's verdict on duration, number of queries and early stopping."""


def single_stream(query: Query, texts: Sequence[str], *, percentile: int, queries: int, most: int, ms: int) -> Stream:
    """Ask one text after the other, the next when the last is answered.

    Args:
        query: the engine.
        texts: what is drawn from, with a fixed seed.
        percentile: 50, 90 or 99.
        queries: at least as many.
        most: at most as many.
        ms: milliseconds that it takes at least.

    Raises:
        MissingExtraError: LoadGen is not installed.
        Exception: what the engine raised.
    """
    lg = _loadgen()
    settings = _settings(lg, lg.TestScenario.SingleStream, queries, ms)
    settings.max_query_count = most
    settings.single_stream_target_latency_percentile = percentile / 100
    settings.single_stream_expected_latency_ns = max(ms * 1_000_000 // most, 1)  # it draws no more queries than so fast
    took: list[float] = []
    said = _run(lg, settings, query, texts, took)
    estimate = said.get("early_stopping_latency_ss", 0)
    discarded = DISCARDED.search(said.get("early_stopping_result", ""))
    return Stream(
        latencies_ms=tuple(took),
        percentile_ms=said[f"result_{percentile:.2f}_percentile_latency_ns"] / 1e6,
        estimate_ms=estimate / 1e6 if estimate else None,
        discarded=int(discarded.group(1)) if discarded else None,
        valid=said["result_validity"] == "VALID",
    )


def offline(query: Query, texts: Sequence[str], *, samples: int) -> float:
    """Samples per second where all of them lie ready at once; as many as `samples`, rounded up to whole rounds.

    Raises:
        MissingExtraError: LoadGen is not installed.
        Exception: what the engine raised.
    """
    lg = _loadgen()
    settings = _settings(lg, lg.TestScenario.Offline, 1, 1)
    settings.offline_expected_qps = float(samples) * 1000 / 1.1
    said = _run(lg, settings, query, texts, [])
    return float(said["result_samples_per_second"])


def require() -> None:
    """Refuse before any work what cannot be measured here.

    Raises:
        MissingExtraError: LoadGen is not installed.
    """
    _loadgen()


def _loadgen() -> Any:
    try:
        import mlperf_loadgen
    except ModuleNotFoundError as exc:
        raise MissingExtraError(
            "measuring needs MLPerf LoadGen, which is not installed; run: pip install 'lading[measure]'"
        ) from exc
    return mlperf_loadgen


def _settings(lg: Any, scenario: Any, queries: int, ms: int) -> Any:
    settings = lg.TestSettings()
    settings.scenario, settings.mode = scenario, lg.TestMode.PerformanceOnly
    settings.min_query_count, settings.min_duration_ms = queries, ms
    settings.qsl_rng_seed = settings.sample_index_rng_seed = settings.schedule_rng_seed = 13
    return settings


def _run(lg: Any, settings: Any, query: Query, texts: Sequence[str], took: list[float]) -> dict[str, Any]:
    """What LoadGen's detail log says of a run; an error of the engine ends it and is raised."""
    failed: list[BaseException] = []

    def issue(samples: Any) -> None:
        for sample in samples:
            start = time.perf_counter_ns()
            if not failed:
                try:
                    query(texts[sample.index])
                except BaseException as exc:  # an exception must not cross LoadGen's own code
                    failed.append(exc)
            took.append((time.perf_counter_ns() - start) / 1e6)
            lg.QuerySamplesComplete([lg.QuerySampleResponse(sample.id, 0, 0)])

    sut = lg.ConstructSUT(issue, lambda: None)
    library = lg.ConstructQSL(len(texts), len(texts), lambda _: None, lambda _: None)
    with tempfile.TemporaryDirectory() as folder:
        output, logs = lg.LogOutputSettings(), lg.LogSettings()
        output.outdir, output.prefix, output.copy_summary_to_stdout = folder, "", False
        logs.log_output, logs.enable_trace = output, False
        try:
            lg.StartTestWithLogSettings(sut, library, settings, logs, "")
        finally:
            lg.DestroyQSL(library)
            lg.DestroySUT(sut)
        if failed:
            raise failed[0]
        return _logged(Path(folder, DETAIL))


def _logged(path: Path) -> dict[str, Any]:
    """Keys and values of LoadGen's log."""
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = (json.loads(line.removeprefix(ENTRY)) for line in lines if line.startswith(ENTRY))
    return {entry["key"]: entry["value"] for entry in entries}
