"""Starting the processes that measure, and what is known when one does not come back.

A machine of the factory and a device start the same processes, held to the profile in the same way.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType

from fleet_manifests import DataError, HardwareProfile, IntegrityError, LadingError, RefusedError, dump, parse
from runtimes.measure import abreast, outputs
from runtimes.measure.latency import Job, Outcome

LATENCY = (sys.executable, "-m", "runtimes.measure.latency")
OUTPUTS = (sys.executable, "-m", "runtimes.measure.outputs")
ABREAST = (sys.executable, "-m", "runtimes.measure.abreast")
QUERIES = MappingProxyType({50: 11, 90: 64, 99: 662})
"""Queries that a percentile needs at 99 % confidence, by MLPerf LoadGen's early stopping."""
STEADY = 0.10
"""A reference kernel that moved by more than this share means that the machine was not steady."""
QUIET = 0.10
"""A process that waited for a cpu for more than this share of the time was not alone."""
ATTEMPTS = 3
SECONDS = 2.0
"""Time per load that a fast model's queries fill."""
TIMEOUT = 600.0
"""Seconds after which a latency process is killed, per attempt."""
OUTPUTS_TIMEOUT = 3600.0
"""Seconds after which the process that answers the cases is killed."""
MAX_TEXTS = 1000


def latency_job(bundle: Path, profile: HardwareProfile, texts: Sequence[str], seconds: float = SECONDS) -> Job:
    """What to measure of a bundle, within the limits of its profile.

    Raises:
        DataError: no texts.
    """
    if not texts:
        raise DataError("latency: no texts; give the texts of the workflow's validation split")
    return Job(
        bundle=str(bundle),
        cpus=cpus(profile),
        memory_guard_mb=memory_guard_mb(profile),
        texts=sampled(texts),
        tokens=profile.latency.tokens,
        queries=QUERIES[profile.latency.percentile],
        percentile=profile.latency.percentile,
        seconds=seconds,
        memory_mb=profile.memory_mb,
    )


def sampled(texts: Sequence[str]) -> tuple[str, ...]:
    """At most `MAX_TEXTS` of some texts, from all over."""
    step = max(len(texts) // MAX_TEXTS, 1)
    return tuple(texts[::step][:MAX_TEXTS])


def cpus(profile: HardwareProfile) -> tuple[int, ...]:
    """The cpus of a measurement: the last of the allowed ones, as the first ones serve the interrupts."""
    return tuple(sorted(os.sched_getaffinity(0))[-profile.cores :])


def memory_guard_mb(profile: HardwareProfile) -> int:
    """Data segment limit of a measurement, far above the profile's memory: a guard, not the gate."""
    return 4 * profile.memory_mb + 1024


def calm(outcome: Outcome) -> bool:
    """Whether nothing disturbed a measurement, whatever its latencies are worth."""
    return outcome.drift <= STEADY and (outcome.waited or 0.0) <= QUIET


def latency(
    job: Job,
    *,
    worker: Sequence[str] = LATENCY,
    timeout: float = TIMEOUT,
    enough: Callable[[Outcome], bool] = calm,
) -> Outcome:
    """Measure until it is enough, at most `ATTEMPTS` times; then the calmest attempt counts.

    Raises:
        IntegrityError: the bundle does not load.
        DataError: the texts cannot be used.
        LadingError: the measuring process could not do its work.
    """
    outcomes: list[Outcome] = []
    for _ in range(ATTEMPTS):
        outcome = once(job, worker, timeout)
        if outcome.failure or enough(outcome):
            return outcome
        outcomes.append(outcome)
    return min(outcomes, key=lambda outcome: outcome.drift + (outcome.waited or 0.0))


def once(job: Job, worker: Sequence[str], timeout: float) -> Outcome:
    """One measuring process. That it was killed, or ran out of memory or time, is an outcome too.

    Raises:
        IntegrityError, DataError, LadingError: as `latency`.
    """
    try:
        with alone():
            started = time.clock_gettime(time.CLOCK_MONOTONIC)
            done = _run(worker, dump(job.model_copy(update={"started": started})), timeout)
    except subprocess.TimeoutExpired:
        said = f"the measuring process did not finish in {timeout:g} s and was killed"
        return Outcome(failure="time", message=said)
    if done.returncode < 0:
        return Outcome(failure="memory", message=f"the measuring process was ended by {ended_by(done.returncode)}")
    _require_done(done)
    outcome = parse(Outcome, done.stdout, where="answer of the measuring process")
    if outcome.failure == "memory":
        said = f"the measuring process ran out of memory at {job.memory_guard_mb} MB"
        return outcome.model_copy(update={"message": said})
    if outcome.failure:
        kind = IntegrityError if outcome.failure == "integrity" else DataError
        raise kind(f"{job.bundle}: cannot be measured: {outcome.message}")
    return outcome


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other measurement of this user runs on this machine, and keep others waiting meanwhile."""
    path = Path(tempfile.gettempdir(), f"lading-measure-{os.getuid()}.lock")
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def answers(
    bundle: Path,
    texts: outputs.Texts,
    profile: HardwareProfile,
    *,
    worker: Sequence[str] = OUTPUTS,
    timeout: float = OUTPUTS_TIMEOUT,
) -> bytes:
    """What a bundle gives for each text, from a process held to its profile, as `outputs.pack` writes it.

    Raises:
        IntegrityError: the answer is not one for these texts.
        RefusedError: the process was killed, or did not finish.
        LadingError: it ended in an error; its last line says why.
    """
    job = outputs.job(
        bundle, texts, threads=profile.cores, cpus=cpus(profile), memory_guard_mb=memory_guard_mb(profile)
    )
    try:
        done = _run(worker, job, timeout)
    except subprocess.TimeoutExpired as exc:
        raise RefusedError(
            f"{bundle.name}: the cases were not answered in {timeout:g} s; nothing was measured"
        ) from exc
    if done.returncode < 0:
        raise RefusedError(
            f"{bundle.name}: the process that answers the cases was ended by {ended_by(done.returncode)}; "
            "nothing was measured"
        )
    _require_done(done)
    outputs.unpack(done.stdout, {split: len(some) for split, some in texts.items()}, where=bundle.name)
    return done.stdout


def side_by_side(job: abreast.Job, *, worker: Sequence[str] = ABREAST, timeout: float = TIMEOUT) -> abreast.Outcome:
    """Time several builds in one process, alone on the machine.

    Raises:
        RefusedError: the process was killed, ran out of memory or did not finish.
        LadingError: it ended in an error; its last line says why.
    """
    try:
        with alone():
            done = _run(worker, dump(job), timeout)
    except subprocess.TimeoutExpired as exc:
        raise RefusedError(f"the builds were not timed in {timeout:g} s; nothing was measured") from exc
    if done.returncode < 0:
        raise RefusedError(f"the process that times builds was ended by {ended_by(done.returncode)}")
    _require_done(done)
    found = parse(abreast.Outcome, done.stdout, where="answer of the timing process")
    if found.out_of_memory:
        raise RefusedError(f"the process that times builds ran out of memory at {job.memory_guard_mb} MB")
    return found


def _run(worker: Sequence[str], job: bytes, timeout: float) -> subprocess.CompletedProcess[bytes]:
    """A measuring process, which imports this very program."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(list(worker), input=job, capture_output=True, timeout=timeout, env=environment)


def _require_done(done: subprocess.CompletedProcess[bytes]) -> None:
    """Refuse the answer of a process that ended in an error."""
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rsplit("\n", 1)[-1]
        raise LadingError(f"the measuring process ended with code {done.returncode}: {last or 'no message'}")


def ended_by(code: int) -> str:
    """The signal that ended a process, and what it usually means."""
    name = signal.Signals(-code).name
    return name + (", which usually means that the machine ran out of memory" if name == "SIGKILL" else "")
