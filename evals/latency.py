"""Latency and memory of a bundle, in a process held to the profile's cores.

MLPerf LoadGen's single-stream method: warm-up, then one query after the other, as many as
the percentile needs, through the engine that sites run. Once with a synthetic input of
exactly the objective's length, which decides the gate, and once with the workflow's own texts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import evals
from evals import gates
from evals.accuracy import require_profile
from evals.engines import this_machine
from evals.percentiles import min_queries, percentile
from fleet_manifests import (
    BundleConfig,
    DataError,
    Gate,
    HardwareProfile,
    IntegrityError,
    LadingError,
    LatencyReport,
    Machine,
    Measurement,
    Metric,
    Verdict,
    dump,
    parse,
    worst,
)
from fleet_manifests.bundle import BUNDLE_FILE
from runtimes.measure.latency import Job, Outcome

WORKER = (sys.executable, "-m", "runtimes.measure.latency")
STEADY = 0.10
"""A reference kernel that moved by more than this share means that the machine was not steady."""
QUIET = 0.10
"""A process that waited for a cpu for more than this share of the time was not alone."""
ATTEMPTS = 3
SECONDS = 3.0
"""Time per load that a fast model's queries fill."""
MAX_TEXTS = 1000
PERCENTILES = (50, 90, 99)


class WorkerDiedError(Exception):
    """The measuring process ended without an answer: which gate that fails, and how it ended."""

    def __init__(self, gate: str, reason: str) -> None:
        """Name the gate and give the sentence."""
        super().__init__(reason)
        self.gate = gate


def measure(
    bundle: Path,
    *,
    profile: HardwareProfile,
    bundle_digest: str,
    texts: Sequence[str],
    taken: datetime,
    machine: Machine | None = None,
    timeout: float = 600.0,
    seconds: float = SECONDS,
    worker: Sequence[str] = WORKER,
) -> LatencyReport:
    """Measure a bundle against the objective, memory and size budget of its profile.

    Args:
        bundle: folder of the bundle.
        profile: what the bundle was built for.
        bundle_digest: what the report is about.
        texts: the workflow's own texts, for example those of its validation split.
        taken: when.
        machine: who measures; None asks the machine.
        timeout: seconds after which a measuring process is killed, per attempt.
        seconds: time per load that a fast model's queries fill.
        worker: command of the measuring process.

    Raises:
        UsageError: the bundle is for another profile.
        DataError: no texts.
        IntegrityError: the folder is not a bundle, or the bundle does not load.
        LadingError: the measuring process could not do its work.
    """
    config = _config(bundle)
    require_profile(config.profile, profile)
    if not texts:
        raise DataError("latency: no texts; give the texts of the workflow's validation split")
    machine = machine or this_machine()
    size = Metric(name="size_mb", value=_size_mb(bundle), n=1, unit="MB")
    found = [gates.at_most(size, profile.size_budget_mb, name="size", what="bundle size")]
    metrics = [size]
    outcome = Outcome()
    mismatch = profile.mismatch(machine.host) or _too_few_cpus(profile.cores)
    if mismatch is not None:
        found.append(gates.unmeasured(mismatch))
    else:
        try:
            outcome = _settled(_job(bundle, profile, texts, seconds), profile, worker, timeout)
        except WorkerDiedError as exc:
            found.append(Gate(name=exc.gate, verdict=Verdict.FAIL, reason=str(exc)))
        else:
            metrics += _metrics(outcome, profile)
            found += _gates(outcome, metrics, profile)
    return LatencyReport(
        workflow=config.workflow,
        profile=profile.name,
        bundle=bundle_digest,
        taken=taken,
        measurement=Measurement.MEASURED if mismatch is None else Measurement.ABSENT,
        machine=machine,
        metrics=tuple(metrics),
        gates=tuple(found),
        verdict=worst(gate.verdict for gate in found),
        queries=len(outcome.objective_ms),
        cores=profile.cores,
        samples_ms=tuple(round(sample, 4) for sample in outcome.objective_ms),
    )


def _config(bundle: Path) -> BundleConfig:
    path = bundle / BUNDLE_FILE
    try:
        return parse(BundleConfig, path.read_bytes(), where=str(path))
    except OSError as exc:
        raise IntegrityError(f"{path}: expected the description of a bundle, found none: {exc.strerror}") from exc


def _job(bundle: Path, profile: HardwareProfile, texts: Sequence[str], seconds: float) -> Job:
    """The last of the allowed cpus: the first ones serve the interrupts."""
    step = max(len(texts) // MAX_TEXTS, 1)
    return Job(
        bundle=str(bundle),
        cpus=tuple(sorted(os.sched_getaffinity(0))[-profile.cores :]),
        memory_guard_mb=4 * profile.memory_mb + 1024,
        texts=tuple(texts[::step][:MAX_TEXTS]),
        tokens=profile.latency.tokens,
        queries=min_queries(profile.latency.percentile),
        seconds=seconds,
    )


def _too_few_cpus(cores: int) -> str | None:
    allowed = len(os.sched_getaffinity(0))
    return None if allowed >= cores else f"{cores} cores are needed, this process may use {allowed}"


def _settled(job: Job, profile: HardwareProfile, worker: Sequence[str], timeout: float) -> Outcome:
    """Measure until noise leaves no doubt, at most `ATTEMPTS` times; then the calmest attempt counts."""
    outcomes: list[Outcome] = []
    for _ in range(ATTEMPTS):
        outcome = _run(job, worker, timeout)
        if all(gate.verdict is not Verdict.INCONCLUSIVE for gate in _noise_gates(outcome, profile)):
            return outcome
        outcomes.append(outcome)
    return min(outcomes, key=lambda outcome: outcome.drift + (outcome.waited or 0.0))


def _run(job: Job, worker: Sequence[str], timeout: float) -> Outcome:
    """One measuring process.

    Raises:
        WorkerDiedError: killed, out of memory or out of time.
        LadingError: it ended in an error that is not the model's.
    """
    root = str(Path(evals.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            list(worker), input=dump(job), capture_output=True, timeout=timeout, env={**os.environ, "PYTHONPATH": path}
        )
    except subprocess.TimeoutExpired as exc:
        raise WorkerDiedError(
            "latency", f"the measuring process did not finish in {timeout:g} s and was killed"
        ) from exc
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        hint = ", which usually means that the machine ran out of memory" if name == "SIGKILL" else ""
        raise WorkerDiedError("memory", f"the measuring process was ended by {name}{hint}")
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rsplit("\n", 1)[-1]
        raise LadingError(f"the measuring process ended with code {done.returncode}: {last or 'no message'}")
    outcome = parse(Outcome, done.stdout, where="answer of the measuring process")
    if outcome.failure == "memory":
        raise WorkerDiedError("memory", f"the measuring process ran out of memory at {job.memory_guard_mb} MB")
    if outcome.failure:
        kind = IntegrityError if outcome.failure == "integrity" else DataError
        raise kind(f"{job.bundle}: cannot be measured: {outcome.message}")
    return outcome


def _metrics(outcome: Outcome, profile: HardwareProfile) -> Iterator[Metric]:
    """Percentiles at the objective's length and on the workload, then the single figures."""
    for samples, suffix in ((outcome.objective_ms, ""), (outcome.workload_ms, "/workload")):
        for which in PERCENTILES:
            found = percentile(samples, which, name=f"p{which}{suffix}")
            if found.high is not None or which == profile.latency.percentile:
                yield found
    yield Metric(name="load_ms", value=outcome.load_ms, n=1, unit="ms")
    yield Metric(name="first_answer_ms", value=outcome.first_answer_ms, n=1, unit="ms")
    yield Metric(name="peak_rss_mb", value=outcome.peak_rss_mb, n=1, unit="MB")
    yield Metric(name="drift", value=outcome.drift, n=1)
    if outcome.waited is not None:
        yield Metric(name="waited", value=outcome.waited, n=1)


def _gates(outcome: Outcome, metrics: Sequence[Metric], profile: HardwareProfile) -> Iterator[Gate]:
    by_name = {metric.name: metric for metric in metrics}
    yield from _noise_gates(outcome, profile)
    yield gates.at_most(by_name["peak_rss_mb"], profile.memory_mb, name="memory", what="peak memory")


def _noise_gates(outcome: Outcome, profile: HardwareProfile) -> Iterator[Gate]:
    """The gates that an unquiet machine can change.

    Other processes on the cpu can only lengthen a latency: an objective met in spite of
    them is met, one that is missed may be missed because of them.
    """
    objective = profile.latency
    metric = percentile(outcome.objective_ms, objective.percentile, name=f"p{objective.percentile}")
    found = gates.latency(metric, objective, outcome.tokens)
    waited = outcome.waited or 0.0
    yield gates.busy(found, waited) if found.verdict is Verdict.FAIL and waited > QUIET else found
    headroom = objective.milliseconds / found.observed if found.observed else 0.0
    yield gates.steady(outcome.drift, STEADY, ATTEMPTS, headroom=headroom)


def _size_mb(bundle: Path) -> float:
    return sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) / 1e6
