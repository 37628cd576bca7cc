"""Starting measuring processes, and what is said when one does not come back."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from evals.percentiles import min_queries
from fleet_manifests import (
    DataError,
    HardwareProfile,
    IntegrityError,
    IsaClass,
    LadingError,
    LatencyObjective,
    RefusedError,
)
from runtimes.measure import process
from runtimes.measure.latency import Outcome
from runtimes.measure.process import alone

pytestmark = pytest.mark.integration

HEAD = "import os, resource, signal, sys\nfrom runtimes.measure.outputs import Job, pack\nfrom fleet_manifests import parse\n"
JOB = "job = parse(Job, sys.stdin.buffer.read())\n"


@pytest.fixture
def profile() -> HardwareProfile:
    latency = LatencyObjective(percentile=90, milliseconds=9, tokens=16)
    return HardwareProfile(name="edge", isa=IsaClass.X86_64, latency=latency, memory_mb=64, recipes=("fp32",))


def answers(tmp_path: Path, profile: HardwareProfile, script: str, **more: float) -> bytes:
    path = tmp_path / "worker.py"
    path.write_text(HEAD + JOB + script)
    return process.answers(tmp_path, {"test": ["a", "b"]}, profile, worker=(sys.executable, str(path)), **more)


GOOD = "import numpy as np\nsys.stdout.buffer.write(pack({'test': np.ones((2, 3), np.float32)}))"


def test_the_process_that_answers_is_told_its_limits(tmp_path: Path, profile: HardwareProfile) -> None:
    check = "assert len(job.cpus) == 1 == job.threads and job.memory_guard_mb == 4 * 64 + 1024\n"
    assert answers(tmp_path, profile, check + GOOD)


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", RefusedError, "ended by SIGKILL, which usually means"),
        ("os.kill(os.getpid(), signal.SIGILL)", RefusedError, "ended by SIGILL; nothing was measured"),
        ("1 / 0", LadingError, "ended with code 1: ZeroDivisionError"),
        ("print('hello')", IntegrityError, "expected arrays of outputs"),
        (GOOD.replace("(2, 3)", "(1, 3)"), IntegrityError, r"expected float32 of shape \(2, width\)"),
    ],
)
def test_no_answer_is_an_error(
    tmp_path: Path, profile: HardwareProfile, script: str, kind: type[LadingError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        answers(tmp_path, profile, script)


def test_an_answer_that_never_comes_is_given_up(tmp_path: Path, profile: HardwareProfile) -> None:
    with pytest.raises(RefusedError, match="were not answered in 1 s"):
        answers(tmp_path, profile, "import time; time.sleep(60)", timeout=1.0)


def test_a_latency_process_that_dies_is_an_outcome(tmp_path: Path, profile: HardwareProfile) -> None:
    job = process.latency_job(tmp_path, profile, ["a"])
    killed = process.once(job, (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), 20)
    assert killed.failure == "memory" and "ended by SIGKILL" in killed.message
    hung = process.once(job, (sys.executable, "-c", "import time; time.sleep(60)"), 1)
    assert hung.failure == "time" and "did not finish in 1 s" in hung.message


@pytest.mark.parametrize("percentile", [50, 90, 99])
def test_queries_are_those_of_early_stopping(percentile: int) -> None:
    assert process.QUERIES[percentile] == min_queries(percentile)


@pytest.mark.parametrize(
    ("outcome", "calm"),
    [(Outcome(), True), (Outcome(drift=0.2), False), (Outcome(waited=0.2), False), (Outcome(waited=0.05), True)],
)
def test_when_a_measurement_was_not_disturbed(outcome: Outcome, calm: bool) -> None:
    assert process.calm(outcome) is calm


def test_texts_are_sampled_from_all_over_and_must_be_there(tmp_path: Path, profile: HardwareProfile) -> None:
    found = process.sampled([str(number) for number in range(3500)])
    assert len(found) == 1000 and found[-1] == str(3 * 999)
    with pytest.raises(DataError, match="no texts"):
        process.latency_job(tmp_path, profile, [])


def test_two_measurements_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    order: list[str] = []

    def second() -> None:
        with alone():
            order.append("second")

    with alone():
        other = threading.Thread(target=second)
        other.start()
        other.join(timeout=0.3)
        assert other.is_alive()
        order.append("first")
    other.join(timeout=10)
    assert order == ["first", "second"]
