from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evals import latency
from fleet_manifests import (
    DataError,
    HardwareProfile,
    IntegrityError,
    IsaClass,
    LadingError,
    LatencyObjective,
    LatencyReport,
    Machine,
    Measurement,
    UsageError,
    Verdict,
    dump,
    parse,
)
from runtimes.measure import process
from runtimes.measure.latency import Job, Outcome, objective_text, peak_rss_mb, text_of_length, waited_seconds

pytestmark = pytest.mark.integration

ENGINE = """
import os, signal, sys, time
from types import SimpleNamespace
from runtimes.measure import process
from runtimes.measure.latency import main
from fleet_manifests import BundleConfig, DataError, IntegrityError, parse

class Engine:
    def __init__(self, folder, threads):
        self.threads = threads
        self.config = parse(BundleConfig, (folder / "bundle.json").read_bytes())
        {on_load}

    def query(self, text):
        {on_query}
        return SimpleNamespace(tokens=len(text.split()) + 2)

main(load=Engine)
"""

STEADY = """
import sys
from runtimes.measure import process
from runtimes.measure.latency import Job, Outcome
from fleet_manifests import dump, parse
job = parse(Job, sys.stdin.buffer.read())
with open(job.texts[0], "a") as stream:
    stream.write("x")
drift = {drifts}[len(open(job.texts[0]).read()) - 1]
n = job.queries
sys.stdout.buffer.write(dump(Outcome(
    load_ms=100.0, first_answer_ms=9.0, peak_rss_mb=90.0, tokens=job.tokens, drift=drift, waited={waited},
    objective_ms=({ms},) * n, workload_ms=(4.0,) * n)))
"""


@pytest.fixture
def measured(tmp_path: Path, bundle: Path, profile: HardwareProfile, machine: Machine) -> Callable[..., LatencyReport]:
    """Measure with a worker whose engine does what the test says."""

    def go(script: str | None = None, *, on_load: str = "", on_query: str = "", **changes: Any) -> LatencyReport:
        path = tmp_path / "worker.py"
        path.write_text(script or ENGINE.format(on_load=on_load or "pass", on_query=on_query or "pass"))
        arguments: dict[str, Any] = {
            "profile": profile,
            "machine": machine,
            "texts": ["pallet is late", "lost"],
            "seconds": 0.1,
            "worker": (sys.executable, str(path)),
            **changes,
        }
        taken = datetime(2026, 1, 2, tzinfo=UTC)
        return latency.measure(bundle, bundle_digest="sha256:" + "ab" * 32, taken=taken, **arguments)

    return go


def gate(report: LatencyReport, name: str) -> Any:
    return next(found for found in report.gates if found.name == name)


def test_a_fast_engine_meets_the_objective(measured: Any) -> None:
    report = measured()
    assert gate(report, "latency").verdict is Verdict.PASS
    assert gate(report, "memory").verdict is Verdict.PASS and gate(report, "size").verdict is Verdict.PASS
    assert report.measurement is Measurement.MEASURED
    assert report.queries == len(report.samples_ms) >= 662 and report.cores == 1
    assert parse(LatencyReport, dump(report)) == report


def test_the_report_holds_what_a_person_judges_by(measured: Any) -> None:
    report = measured()
    for name in ("p50", "p90", "p99", "p50/workload", "p90/workload", "p99/workload"):
        metric = report.metric(name)
        assert metric.n >= 662 and metric.unit == "ms" and metric.low <= metric.value <= metric.high
    assert report.metric("load_ms").value > 0 and report.metric("first_answer_ms").value > 0
    assert 10 < report.metric("peak_rss_mb").value < 400
    assert report.metric("size_mb").value == pytest.approx(1.0, abs=0.01)


def test_a_slow_engine_fails(measured: Any, profile: HardwareProfile) -> None:
    objective = LatencyObjective(percentile=90, milliseconds=2, tokens=16)
    slow = "end = time.thread_time() + 0.005\n        while time.thread_time() < end: pass"
    report = measured(on_query=slow, profile=profile.model_copy(update={"latency": objective}))
    assert report.metric("p90").value >= 5
    alone = report.metric("waited").value <= process.QUIET
    assert gate(report, "latency").verdict is (Verdict.FAIL if alone else Verdict.INCONCLUSIVE)
    assert report.queries >= 64
    assert "p99" not in {metric.name for metric in report.metrics}, "64 queries say nothing about p99"


def test_the_gate_is_about_the_length_of_the_objective(measured: Any, profile: HardwareProfile) -> None:
    objective = LatencyObjective(percentile=90, milliseconds=8, tokens=16)
    report = measured(
        on_query="time.sleep(0.010 if len(text.split()) == 14 else 0.001)",
        profile=profile.model_copy(update={"latency": objective}),
    )
    assert gate(report, "latency").verdict is not Verdict.PASS and "at 16 tokens" in gate(report, "latency").reason
    assert report.metric("p50/workload").value < report.metric("p50").value


def test_a_hungry_engine_fails(measured: Any, profile: HardwareProfile) -> None:
    report = measured(on_load="self.data = bytearray(150 << 20)", profile=profile.model_copy(update={"memory_mb": 150}))
    assert gate(report, "memory").verdict is Verdict.FAIL
    assert gate(report, "memory").observed > 150


def test_a_bundle_over_its_size_fails(measured: Any, profile: HardwareProfile) -> None:
    report = measured(profile=profile.model_copy(update={"size_budget_mb": 0.5}))
    assert gate(report, "size").verdict is Verdict.FAIL and report.verdict is Verdict.FAIL


def test_a_runaway_engine_ends_in_a_failed_gate(measured: Any, profile: HardwareProfile) -> None:
    report = measured(on_load="self.data = bytearray(64 << 30)", profile=profile.model_copy(update={"memory_mb": 64}))
    assert report.verdict is Verdict.FAIL and "ran out of memory" in gate(report, "memory").reason
    assert report.queries == 0 and report.samples_ms == ()


def test_a_killed_worker_ends_in_a_failed_gate(measured: Any) -> None:
    report = measured(on_query="os.kill(os.getpid(), signal.SIGKILL)")
    assert report.verdict is Verdict.FAIL and "SIGKILL" in gate(report, "memory").reason


def test_a_hanging_worker_ends_in_a_failed_gate(measured: Any) -> None:
    started = time.monotonic()
    report = measured(on_query="time.sleep(600)", timeout=2.0)
    assert time.monotonic() - started < 20
    assert report.verdict is Verdict.FAIL and "did not finish in 2 s" in gate(report, "latency").reason


def test_a_bundle_that_does_not_load_is_an_error(measured: Any) -> None:
    with pytest.raises(IntegrityError, match=r"model\.onnx: not a model"):
        measured(on_load="raise IntegrityError('model.onnx: not a model')")
    with pytest.raises(DataError, match="text: empty"):
        measured(on_query="raise DataError('text: empty')")


def test_a_worker_with_a_defect_is_an_error_with_its_last_line(measured: Any) -> None:
    with pytest.raises(LadingError, match="ended with code 1: ZeroDivisionError"):
        measured(on_load="1 / 0")


def test_what_libraries_print_does_not_disturb_the_answer(measured: Any) -> None:
    assert measured(on_load="print('hello'); os.system('echo loud')").queries > 0


def test_a_restless_machine_is_measured_again(measured: Any, tmp_path: Path) -> None:
    count = tmp_path / "count"
    report = measured(STEADY.format(drifts=[0.5, 0.02], waited=0.0, ms=45.0), texts=[str(count)])
    assert count.read_text() == "xx" and report.verdict is Verdict.PASS
    assert report.metric("drift").value == 0.02


def test_a_machine_that_stays_restless_is_inconclusive(measured: Any, tmp_path: Path) -> None:
    count = tmp_path / "count"
    report = measured(STEADY.format(drifts=[0.5, 0.3, 0.4], waited=0.0, ms=45.0), texts=[str(count)])
    assert count.read_text() == "xxx"
    assert report.verdict is Verdict.INCONCLUSIVE and gate(report, "steady").observed == 0.3


def test_drift_that_could_not_overturn_the_objective_does_not_decide(measured: Any, tmp_path: Path) -> None:
    report = measured(STEADY.format(drifts=[0.5, 0.3, 0.4], waited=0.0, ms=5.0), texts=[str(tmp_path / "count")])
    assert report.verdict is Verdict.PASS and "cannot matter" in gate(report, "steady").reason


@pytest.mark.parametrize(
    ("waited", "ms", "attempts", "verdict"),
    [
        (0.6, 80.0, 3, Verdict.INCONCLUSIVE),
        (0.6, 5.0, 1, Verdict.PASS),
        (0.05, 80.0, 1, Verdict.FAIL),
        (None, 80.0, 1, Verdict.FAIL),
    ],
)
def test_other_processes_excuse_a_miss_and_only_a_miss(
    measured: Any, tmp_path: Path, waited: float | None, ms: float, attempts: int, verdict: Verdict
) -> None:
    count = tmp_path / "count"
    report = measured(STEADY.format(drifts=[0.0] * 3, waited=waited, ms=ms), texts=[str(count)])
    assert len(count.read_text()) == attempts and gate(report, "latency").verdict is report.verdict is verdict
    assert ("waited" in {metric.name for metric in report.metrics}) is (waited is not None)


def test_waiting_for_a_cpu_is_seen() -> None:
    """Two busy processes on one cpu: this one waits for a good part of the time."""
    cpu = max(os.sched_getaffinity(0))
    allowed = os.sched_getaffinity(0)
    other = subprocess.Popen([sys.executable, "-c", f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"])
    try:
        os.sched_setaffinity(0, {cpu})
        time.sleep(0.3)
        before, begun = waited_seconds(), time.perf_counter()
        while time.perf_counter() - begun < 1.0:
            pass
        after = waited_seconds()
    finally:
        other.kill()
        other.wait()
        os.sched_setaffinity(0, allowed)
    if before is None or after is None:
        pytest.skip("this kernel does not say how long a process waits")
    assert after - before > 0.2


def test_another_machine_measures_nothing(measured: Any, profile: HardwareProfile) -> None:
    arm = profile.model_copy(update={"isa": IsaClass.ARM64_DOTPROD})
    report = measured("raise SystemExit('must not run')", profile=arm)
    assert report.measurement is Measurement.ABSENT and report.verdict is Verdict.INCONCLUSIVE
    assert report.samples_ms == () and [metric.name for metric in report.metrics] == ["size_mb"]
    assert "on a machine that matches" in gate(report, "hardware").reason


def test_a_process_with_too_few_cpus_measures_nothing(
    measured: Any, profile: HardwareProfile, machine: Machine
) -> None:
    big = machine.host.model_copy(update={"cores": 256})
    report = measured(
        profile=profile.model_copy(update={"cores": 256}), machine=machine.model_copy(update={"host": big})
    )
    assert report.measurement is Measurement.ABSENT
    assert "this process may use" in gate(report, "hardware").reason


def test_what_cannot_be_measured_is_refused(measured: Any, profile: HardwareProfile, bundle: Path) -> None:
    with pytest.raises(DataError, match="no texts"):
        measured(texts=[])
    with pytest.raises(UsageError, match="built for edge-test"):
        measured(profile=profile.model_copy(update={"name": "other"}))
    (bundle / "bundle.json").unlink()
    with pytest.raises(IntegrityError, match="expected the description of a bundle"):
        measured()


def test_the_worker_holds_itself_to_its_cpus(measured: Any) -> None:
    check = "assert len(os.sched_getaffinity(0)) == self.threads == 1"
    assert measured(on_load=check).queries > 0


class Tokens:
    """An engine that only counts tokens: so many per word, so many around them."""

    def __init__(self, per_word: int, around: int) -> None:
        self.per_word, self.around = per_word, around

    def query(self, text: str) -> SimpleNamespace:
        return SimpleNamespace(tokens=len(text.split()) * self.per_word + self.around)


@pytest.mark.parametrize(("per_word", "around", "tokens"), [(1, 2, 128), (1, 0, 1), (2, 2, 128), (3, 1, 16)])
def test_a_text_of_exactly_that_length(per_word: int, around: int, tokens: int) -> None:
    engine: Any = Tokens(per_word, around)
    assert engine.query(text_of_length(engine, tokens)).tokens == tokens


def test_a_length_that_no_text_has_is_refused() -> None:
    engine: Any = Tokens(2, 2)
    with pytest.raises(DataError, match="exactly 127 tokens"):
        text_of_length(engine, 127)


class Characters:
    """An engine that counts characters, sets punctuation apart and cuts, as a classical model does."""

    def __init__(self, most: int = 2048, per_piece: int = 5) -> None:
        self.config = SimpleNamespace(tokens_per_piece=per_piece, max_tokens=most)

    def query(self, text: str) -> SimpleNamespace:
        read = " ".join(text.replace(",", " , ").replace(".", " . ").split())
        return SimpleNamespace(tokens=min(len(read) + 2, self.config.max_tokens))


@pytest.mark.parametrize("tokens", [80, 319, 640, 641, 1280])
@pytest.mark.parametrize("texts", [("late, again.", "lost"), ("x",), (",,,,", "....")])
def test_a_model_of_characters_reads_the_workflows_own_texts(tokens: int, texts: tuple[str, ...]) -> None:
    engine: Any = Characters()
    text = objective_text(engine, tokens, texts)
    assert engine.query(text).tokens == tokens
    assert text.startswith(" ".join(texts)[:20])


def test_a_model_of_word_pieces_reads_simple_words() -> None:
    engine: Any = Tokens(1, 2)
    engine.config = SimpleNamespace(tokens_per_piece=1)
    assert set(objective_text(engine, 128, ["late"]).split()) == {"a"}


def test_texts_that_give_no_such_length_are_refused() -> None:
    engine: Any = Tokens(2, 2)
    engine.config = SimpleNamespace(tokens_per_piece=5)
    with pytest.raises(DataError, match="exactly 127 tokens"):
        objective_text(engine, 127, ["late again"])


def test_peak_memory_is_that_of_this_process() -> None:
    before = peak_rss_mb()
    data = bytearray(os.urandom(1 << 20) * 64)
    assert peak_rss_mb() >= before and len(data) == 64 << 20


def test_an_outcome_survives_the_wire() -> None:
    outcome = Outcome(load_ms=1.5, objective_ms=(1.0, 2.0), tokens=16)
    assert parse(Outcome, dump(outcome)) == outcome


def test_a_job_needs_texts() -> None:
    with pytest.raises(ValueError, match="texts"):
        Job(bundle="x", cpus=(0,), memory_guard_mb=100, texts=(), tokens=8, queries=1, seconds=0)
