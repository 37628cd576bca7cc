"""Latency and memory of a bundle, in a process held to the profile's cores.

MLPerf LoadGen's single-stream method: warm-up, then one query after the other, as many as
the percentile needs, through the engine that sites run. Once with a synthetic input of
exactly the objective's length, which decides the gate, and once with the workflow's own texts.
`measure` does both; `judge` makes the report of an outcome, whichever machine it came from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from evals import gates, latency_gates
from evals.accuracy import require_profile
from evals.engines import config_of, this_machine
from evals.percentiles import percentile
from fleet_manifests import (
    BundleConfig,
    Gate,
    HardwareProfile,
    IntegrityError,
    LatencyReport,
    Machine,
    Measurement,
    Metric,
    Verdict,
    worst,
)
from runtimes.measure import process
from runtimes.measure.latency import Outcome

PERCENTILES = (50, 90, 99)
FAILED_GATES = {"memory": "memory", "time": "latency"}
"""The gate that a measurement fails which came to no end."""


def measure(
    bundle: Path,
    *,
    profile: HardwareProfile,
    bundle_digest: str,
    texts: Sequence[str],
    taken: datetime,
    machine: Machine | None = None,
    timeout: float = process.TIMEOUT,
    seconds: float = process.SECONDS,
    worker: Sequence[str] = process.LATENCY,
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
    require_profile(config_of(bundle).profile, profile)
    machine = machine or this_machine()
    job = process.latency_job(bundle, profile, texts, seconds)
    mismatch = profile.mismatch(machine.host) or _too_few_cpus(profile.cores)
    outcome = None
    if mismatch is None:
        outcome = process.latency(
            job, worker=worker, timeout=timeout, enough=lambda found: not undecided(found, profile)
        )
    return _report(bundle, outcome, mismatch, profile, bundle_digest, taken, machine)


def judge(
    bundle: Path,
    outcome: Outcome,
    *,
    profile: HardwareProfile,
    bundle_digest: str,
    taken: datetime,
    machine: Machine,
) -> LatencyReport:
    """The report of an outcome, wherever it was measured.

    Args:
        bundle: folder of the bundle.
        outcome: what was measured of it.
        profile: what the bundle was built for.
        bundle_digest: what the report is about.
        taken: when it was measured.
        machine: who measured.

    Raises:
        UsageError: the bundle is for another profile.
        IntegrityError: the folder is not a bundle, or the outcome is not one of this bundle and profile.
    """
    config = config_of(bundle)
    require_profile(config.profile, profile)
    _require_outcome(outcome, config, profile)
    return _report(bundle, outcome, profile.mismatch(machine.host), profile, bundle_digest, taken, machine)


def undecided(outcome: Outcome, profile: HardwareProfile) -> bool:
    """Whether noise leaves a measurement open, so that it is worth taking again."""
    return any(gate.verdict is Verdict.INCONCLUSIVE for gate in _noise_gates(outcome, profile))


def _report(
    bundle: Path,
    outcome: Outcome | None,
    mismatch: str | None,
    profile: HardwareProfile,
    bundle_digest: str,
    taken: datetime,
    machine: Machine,
) -> LatencyReport:
    """The report; without an outcome, or of a machine that is not of the profile, of the size alone."""
    size = Metric(name="size_mb", value=size_mb(bundle), n=1, unit="MB")
    found = [latency_gates.at_most(size, profile.size_budget_mb, name="size", what="bundle size")]
    metrics, counted = [size], Outcome()
    if outcome is None or mismatch is not None:
        found.append(gates.unmeasured(mismatch or "nothing was measured"))
    elif outcome.failure:
        name = FAILED_GATES[outcome.failure]
        found.append(Gate(name=name, verdict=Verdict.FAIL, reason=outcome.message))
    else:
        counted = outcome
        metrics += _metrics(outcome, profile)
        found += _gates(outcome, metrics, profile)
    return LatencyReport(
        workflow=config_of(bundle).workflow,
        profile=profile.name,
        bundle=bundle_digest,
        taken=taken,
        measurement=Measurement.MEASURED if mismatch is None else Measurement.ABSENT,
        machine=machine,
        metrics=tuple(metrics),
        gates=tuple(found),
        verdict=worst(gate.verdict for gate in found),
        queries=len(counted.objective_ms),
        cores=profile.cores,
        samples_ms=tuple(round(sample, 4) for sample in counted.objective_ms),
        loadgen=counted.loadgen.version if counted.loadgen else None,
        memory_held=counted.memory_held if outcome and not outcome.failure else None,
    )


def _require_outcome(outcome: Outcome, config: BundleConfig, profile: HardwareProfile) -> None:
    """Refuse an outcome that no measurement of this bundle for this profile has."""
    if outcome.failure:
        if outcome.failure not in FAILED_GATES:
            raise IntegrityError(f"latency outcome: nothing was measured: {outcome.message}")
        return
    expected = config.length_of(profile.latency.tokens)
    if outcome.tokens != expected:
        raise IntegrityError(f"latency outcome: tokens: expected {expected}, found {outcome.tokens}; measure again")
    for name in ("objective_ms", "workload_ms"):
        found = getattr(outcome, name)
        if not found or min(found) <= 0:
            raise IntegrityError(f"latency outcome: {name}: expected latencies above 0 ms; measure again")


def _too_few_cpus(cores: int) -> str | None:
    allowed = len(os.sched_getaffinity(0))
    return None if allowed >= cores else f"{cores} cores are needed, this process may use {allowed}"


def _metrics(outcome: Outcome, profile: HardwareProfile) -> Iterator[Metric]:
    """Percentiles at the objective's length and on the workload, then the single figures."""
    for samples, suffix in ((outcome.objective_ms, ""), (outcome.workload_ms, "/workload")):
        for which in PERCENTILES:
            found = percentile(samples, which, name=f"p{which}{suffix}")
            if found.high is not None or which == profile.latency.percentile:
                yield found
    yield Metric(name="load_ms", value=outcome.load_ms, n=1, unit="ms")
    yield Metric(name="first_answer_ms", value=outcome.first_answer_ms, n=1, unit="ms")
    if outcome.cold_start_ms is not None:
        yield Metric(name="cold_start_ms", value=outcome.cold_start_ms, n=1, unit="ms")
    yield Metric(name="peak_rss_mb", value=outcome.peak_rss_mb, n=1, unit="MB")
    if outcome.throughput is not None:
        yield Metric(name="throughput", value=outcome.throughput, n=1, unit="1/s")
    if outcome.energy_mj is not None:
        yield Metric(name="energy_mj", value=outcome.energy_mj, n=1, unit="mJ")
    if outcome.loadgen is not None:
        n, which = len(outcome.objective_ms), profile.latency.percentile
        said = outcome.loadgen
        yield Metric(name=f"p{which}/loadgen", value=said.percentile_ms, n=n, high=said.estimate_ms, unit="ms")
    yield Metric(name="drift", value=outcome.drift, n=1)
    if outcome.waited is not None:
        yield Metric(name="waited", value=outcome.waited, n=1)


def _gates(outcome: Outcome, metrics: Sequence[Metric], profile: HardwareProfile) -> Iterator[Gate]:
    by_name = {metric.name: metric for metric in metrics}
    yield from _noise_gates(outcome, profile)
    if outcome.loadgen is not None and not outcome.loadgen.valid:
        yield latency_gates.invalid()
    yield latency_gates.at_most(by_name["peak_rss_mb"], profile.memory_mb, name="memory", what="peak memory")


def _noise_gates(outcome: Outcome, profile: HardwareProfile) -> Iterator[Gate]:
    """The gates that an unquiet machine can change.

    Other processes on the cpu can only lengthen a latency: an objective met in spite of
    them is met, one that is missed may be missed because of them.
    """
    objective = profile.latency
    metric = percentile(outcome.objective_ms, objective.percentile, name=f"p{objective.percentile}")
    found = latency_gates.latency(metric, objective, outcome.tokens)
    waited = outcome.waited or 0.0
    yield latency_gates.busy(found, waited) if found.verdict is Verdict.FAIL and waited > process.QUIET else found
    headroom = objective.milliseconds / found.observed if found.observed else 0.0
    yield latency_gates.steady(outcome.drift, process.STEADY, process.ATTEMPTS, headroom=headroom)


def size_mb(bundle: Path) -> float:
    """All files of a bundle together, MB."""
    return sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) / 1e6
