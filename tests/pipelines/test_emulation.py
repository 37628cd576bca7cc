"""The step and the asset of emulated accuracy; the emulator is a script that answers as the test says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from evals.emulation import Emulator, Missing
from fleet_manifests import (
    AccuracyReport,
    BaseRef,
    BundleConfig,
    Comparison,
    HostFacts,
    IsaClass,
    LadingError,
    LatencyReport,
    Machine,
    Measurement,
    RefusedError,
    SplitRef,
    Task,
    Verdict,
    dump,
    sha256_of,
)
from fleet_manifests.evidence import now
from pipelines.cli.plans import EMULATED, Run, not_emulated, plan
from pipelines.cli.runs import execute
from pipelines.project.load import Project, load_project
from pipelines.steps import emulation
from pipelines.store import Step

pytestmark = pytest.mark.integration

NAME = "triage--edge"
LABELS = ("late", "short")
ANY = "sha256:" + "ab" * 32
N = 900
FAKE = """
import pathlib, sys
import numpy as np
here = pathlib.Path(__file__).parent
if sys.argv[2] == "runtimes.measure.machine":
    sys.stdout.buffer.write((here / "machine.json").read_bytes())
    raise SystemExit
from fleet_manifests import parse
from runtimes.measure.outputs import Job, pack
job = parse(Job, sys.stdin.buffer.read(), where="job")
with (here / "calls").open("a") as calls:
    calls.write(f"{sorted((split, len(some)) for split, some in job.texts.items())}\\n")
right = lambda text: int(text.split()[0] == "short")
codes = {split: [(right(text) + (int(text.split()[1]) % 10 < WRONG)) % 2 for text in some]
         for split, some in job.texts.items()}
sys.stdout.buffer.write(pack({split: np.eye(2, dtype=np.float32)[some] * 8 for split, some in codes.items()}))
"""


@pytest.fixture
def project(project_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Project:
    """A project whose triage is built for `edge` and measured here, on a machine of another class."""
    monkeypatch.setenv("LADING_KEYS", str(tmp_path / "keys"))
    project = load_project(project_folder())
    truth = [LABELS[n % 2] for n in range(N)]
    rows = [{"id": str(n), "text": f"{label} {n}", "label": label} for n, label in enumerate(truth)]
    put(project, "corpus", "triage", {"test.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    put(project, "unquantized", "triage", {"predictions.json": json.dumps({"test": truth})})
    put(project, "baselines", "triage", {"predictions.json": json.dumps({"majority": {"test": ["late"] * N}})})
    build(project)
    return project


def put(project: Project, step: str, partition: str, files: dict[str, str | bytes]) -> Path:
    def work(out: Path) -> None:
        for name, content in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    inputs = {name: str(hash(content)) for name, content in files.items()}
    return project.store.keep(partition, Step(name=step, inputs=inputs, parameters={}, code=()), work).path


def build(project: Project, recipe: str = "int8", reach: float = 0.03) -> None:
    """A bundle, and its accuracy as it is on another machine."""
    config = BundleConfig(
        workflow="triage", task=Task.CLASSIFY, profile="edge", isa=IsaClass.X86_64_V3, recipe=recipe, labels=LABELS,
        base=BaseRef(name="base", revision="1", digest=ANY, licence="Apache-2.0"), data_card=ANY,
    )  # fmt: skip
    manifest = json.dumps({"recipe": recipe})
    path = put(project, "bundle", NAME, {f"{NAME}/bundle.json": dump(config), "manifest.json": manifest})
    found = Comparison(
        against="unquantized", metric="macro_f1", ours=1.0, theirs=1.0, difference=0.0, low=-reach, high=reach, n=N,
        lost=9, gained=9,
    )  # fmt: skip
    report = AccuracyReport(
        workflow="triage", profile="edge", bundle=sha256_of(path / "manifest.json"), taken=now(),
        measurement=Measurement.ABSENT, machine=machine("avx2", "avx512_vnni"), metrics=(), gates=(),
        verdict=Verdict.INCONCLUSIVE, split=SplitRef(name="test", digest=ANY, n=N), comparisons=(found,),
    )  # fmt: skip
    put(project, "accuracy_report", NAME, {"report.json": dump(report)})


def machine(*features: str) -> Machine:
    host = HostFacts(architecture="x86_64", features=tuple(sorted(features)), cores=2, memory_mb=4096)
    return Machine(host=host, isa="x86-64-v3", onnxruntime=metadata.version("onnxruntime"))


@pytest.fixture
def emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts an emulator in place that is wrong about a share of the texts, in tenths."""
    folder = tmp_path / "fake"
    folder.mkdir()

    def make(wrong: int = 0, features: tuple[str, ...] = ("avx2",)) -> Path:
        (folder / "machine.json").write_bytes(dump(machine(*features)))
        (folder / "qemu.py").write_text(FAKE.replace("WRONG", str(wrong)))
        found = Emulator(IsaClass.X86_64_V3, "Test, emulated by fake 1", (sys.executable, str(folder / "qemu.py")))
        monkeypatch.setattr(emulation, "emulator_of", lambda project, profile: found)
        return folder

    return make


def made(project: Project) -> tuple[Any, AccuracyReport]:
    entry = emulation.emulated_accuracy_report(project, "triage", "edge")
    assert not isinstance(entry, Missing)
    return entry, emulation.read_accuracy(entry)


def test_a_report_of_its_own_on_a_sample(project: Project, emulated: Callable[..., Path]) -> None:
    folder = emulated()
    before = project.store.latest("accuracy_report", NAME)
    entry, report = made(project)
    assert (report.measurement, report.verdict) == (Measurement.EMULATED, Verdict.INCONCLUSIVE)
    assert [gate.name for gate in report.gates if gate.verdict is Verdict.PASS] == ["canary"]
    assert report.machine.host.cpu_model == "Test, emulated by fake 1"
    assert 500 <= report.split.n < N
    assert {one.against: one.n for one in report.comparisons} == dict.fromkeys(
        ("majority", "unquantized"), report.split.n
    )
    unquantized = next(one for one in report.comparisons if one.against == "unquantized")
    assert (unquantized.ours, unquantized.theirs, unquantized.lost) == (1.0, 1.0, 0)
    assert "disturbed" not in (folder / "calls").read_text()
    assert {path.name for path in entry.path.iterdir()} >= {"evidence.dsse.json", "report.json"}
    assert project.store.latest("accuracy_report", NAME) == before
    assert emulation.latest(project, "triage", "edge") == report
    assert "nothing fails; macro_f1 1.000, unquantized 1.000" in emulation.says(report)


def test_it_is_done_once(project: Project, emulated: Callable[..., Path]) -> None:
    folder = emulated()
    first, _ = made(project)
    calls = (folder / "calls").read_text()
    again, _ = made(project)
    assert again.reused and again.key == first.key
    assert (folder / "calls").read_text() == calls


def test_a_fail_is_a_fail_and_is_offered_nowhere(
    project: Project, emulated: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    emulated(wrong=6)
    _, report = made(project)
    assert (report.measurement, report.verdict) == (Measurement.EMULATED, Verdict.FAIL)
    assert "floor/macro_f1: macro_f1 0.4" in emulation.says(report)

    from pipelines.steps import candidates
    from release import Candidate, check_candidate

    one = Candidate("triage", project.profile("edge"), Path("x"), ())
    monkeypatch.setattr(candidates, "candidates", lambda project, workflows: [one])
    checked = check_candidate(one, b"")
    monkeypatch.setattr("release.check_candidate", lambda candidate, key, rules: checked)
    from pipelines.steps.release import release_of

    release = release_of(project)
    release.init()
    found = candidates.sort(project, release, (), {checked.verdict})
    assert found.builds == []
    assert any("Test, emulated by fake 1" in reason for reason in found.refused)


def test_the_outcome_of_a_build_has_it(project: Project, emulated: Callable[..., Path]) -> None:
    from pipelines.steps.outcomes import outcomes

    bundle = project.store.latest("bundle", NAME)
    latency = LatencyReport(
        workflow="triage", profile="edge", bundle=sha256_of(bundle.path / "manifest.json"), taken=now(),
        measurement=Measurement.ABSENT, machine=machine("avx2", "avx512_vnni"), metrics=(), gates=(),
        verdict=Verdict.INCONCLUSIVE, queries=0, cores=1,
    )  # fmt: skip
    put(project, "latency_report", NAME, {"report.json": dump(latency)})
    (before,) = outcomes(project)
    assert (before.emulated, before.verdict) == (None, Verdict.INCONCLUSIVE)
    emulated()
    made(project)
    (fine,) = outcomes(project)
    assert fine.emulated is not None and "nothing fails" in fine.emulated
    assert fine.verdict is Verdict.INCONCLUSIVE
    emulated(wrong=6)
    build(project, recipe="int4")
    bundle = project.store.latest("bundle", NAME)
    moved = latency.model_copy(update={"bundle": sha256_of(bundle.path / "manifest.json")})
    put(project, "latency_report", NAME, {"report.json": dump(moved)})
    made(project)
    (failed,) = outcomes(project)
    assert failed.verdict is Verdict.FAIL
    assert failed.emulated is not None and "floor/macro_f1" in failed.emulated


def test_a_report_about_an_older_bundle_says_nothing(project: Project, emulated: Callable[..., Path]) -> None:
    emulated(wrong=6)
    made(project)
    build(project, recipe="int8-reduced-range")
    assert emulation.latest(project, "triage", "edge") is None


def test_the_more_it_differs_the_larger_the_sample(project: Project, emulated: Callable[..., Path]) -> None:
    emulated()
    build(project, reach=0.001)
    _, few = made(project)
    build(project, reach=0.2)
    _, all_ = made(project)
    assert (few.split.n, all_.split.n) == (500, N)


def test_an_emulator_of_another_class_is_refused(project: Project, emulated: Callable[..., Path]) -> None:
    emulated(features=("avx2", "avx512_vnni"))
    with pytest.raises(RefusedError, match="isa: expected x86-64-v3, found"):
        emulation.emulated_accuracy_report(project, "triage", "edge")
    assert emulation.latest(project, "triage", "edge") is None


def test_a_worker_that_fails_leaves_no_report(project: Project, emulated: Callable[..., Path]) -> None:
    folder = emulated()
    (folder / "qemu.py").write_text(FAKE.replace("WRONG", "1 // 0"))
    with pytest.raises(LadingError, match="ZeroDivisionError"):
        emulation.emulated_accuracy_report(project, "triage", "edge")
    assert emulation.latest(project, "triage", "edge") is None


@pytest.mark.parametrize("features", [("avx2",), ("avx2", "avx512_vnni")])
def test_a_class_that_is_here_is_measured_not_emulated(
    project: Project, features: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = machine(*features).host
    monkeypatch.setattr("runtimes.engine.host.facts", lambda: host)
    monkeypatch.setattr("evals.emulation.find", lambda isa: Missing(f"{isa.value}: asked"))
    found = emulation.emulated_accuracy_report(project, "triage", "edge")
    assert isinstance(found, Missing)
    assert ("this machine is of that class" in found.reason) == (host.isa() is IsaClass.X86_64_V3)
    assert ("asked" in found.reason) == (host.isa() is not IsaClass.X86_64_V3)


def test_a_build_emulates_only_where_asked_and_possible(
    project: Project, emulated: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def emulates(**options: bool) -> list[Run]:
        return [run for run in plan(project, **options) if run.assets == EMULATED]

    emulated()
    assert emulates() == []
    assert emulates(emulate=True) == [Run(EMULATED, workflow="triage", profile="edge")]
    assert plan(project, emulate=True)[-1].channel == "candidates"
    monkeypatch.setattr(emulation, "emulator_of", lambda project, profile: Missing("qemu is not installed"))
    assert emulates(emulate=True) == []
    assert not_emulated(project, ["edge", "edge"]) == {"edge": "qemu is not installed"}


def test_the_asset_says_what_is_missing_and_what_failed(
    project: Project, emulated: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster import AssetKey

    from pipelines.cli.runs import instance

    run = Run(EMULATED, workflow="triage", profile="edge")
    monkeypatch.setattr(emulation, "emulator_of", lambda project, profile: Missing("qemu is not installed"))
    execute(project, [run], lambda number, run: None)
    emulated(wrong=6)
    execute(project, [run], lambda number, run: None)
    with instance(project) as live:
        events = live.fetch_materializations(AssetKey(EMULATED[0]), limit=2).records
        last, first = (event.asset_materialization for event in events)
    assert first is not None and first.metadata["not_emulated"].value == "qemu is not installed"
    assert last is not None and last.metadata["verdict"].value == "fail"
    assert last.metadata["measurement"].value == "emulated"
