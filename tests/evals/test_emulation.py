"""Emulators by their command lines: a small script stands for QEMU and does what the test says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from evals import emulation
from evals.emulation import ARM64_ROOT, Emulator, Missing
from fleet_manifests import HostFacts, IntegrityError, IsaClass, LadingError, Machine, RefusedError, dump

pytestmark = pytest.mark.integration

FAKE = """
import os, pathlib, signal, sys, time
here = pathlib.Path(__file__).parent
(here / f"{{os.getpid()}}.pid").touch()
assert sys.argv[1] == "-m"
module = sys.argv[2]
{setup}
from fleet_manifests import parse
from runtimes.measure.outputs import Job, pack
import numpy as np
job = parse(Job, sys.stdin.buffer.read(), where="job")
found = {{s: np.array([[len(t), float(t.rsplit(" ", 1)[-1])] for t in some], np.float32).reshape(-1, 2)
         for s, some in job.texts.items()}}
{answer}
sys.stdout.buffer.write(pack(found))
"""
TEXTS = {"test": [f"{'x' * place} {place}" for place in range(11)], "oos_test": ["y 50", "yy 51"]}

Make = Callable[..., Emulator]


@pytest.fixture
def fake(tmp_path: Path) -> Make:
    """An emulator whose worker does what the test says before it reads and before it answers."""

    def make(setup: str = "", answer: str = "", isa: IsaClass = IsaClass.X86_64_V3) -> Emulator:
        script = tmp_path / "fake.py"
        script.write_text(FAKE.format(setup=setup, answer=answer))
        return Emulator(isa, "Test, emulated by fake 1", (sys.executable, str(script)))

    return make


def gone(folder: Path) -> bool:
    """Whether every process that started has ended and was waited for."""
    pids = [int(path.stem) for path in folder.glob("*.pid")]
    return not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("workers", [1, 2, 3, 40])
def test_every_text_has_its_own_answer_however_they_are_shared_out(
    fake: Make, bundle: Path, tmp_path: Path, workers: int
) -> None:
    found = emulation.outputs(fake(), bundle, TEXTS, workers=workers)
    assert {split: rows[:, 1].tolist() for split, rows in found.items()} == {
        "test": list(range(11)),
        "oos_test": [50, 51],
    }
    assert found["test"][:, 0].tolist() == [len(text) for text in TEXTS["test"]]
    assert all(rows.dtype == np.float32 for rows in found.values())
    started = len(list(tmp_path.glob("*.pid")))
    assert started == min(workers, 13)
    assert gone(tmp_path)


def test_the_worker_gets_one_thread_the_bundle_and_nothing_of_ours(
    fake: Make, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LD_LIBRARY_PATH", "QEMU_CPU", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.chdir(bundle.parent)
    setup = (
        "e = os.environ; assert not {'LD_LIBRARY_PATH', 'QEMU_CPU', 'PYTHONSTARTUP'} & set(e), sorted(e)\n"
        "assert e['OMP_NUM_THREADS'] == e['OPENBLAS_NUM_THREADS'] == '1'"
    )
    answer = f"assert (job.threads, job.bundle) == (1, {str(bundle)!r}), job"
    assert emulation.outputs(fake(setup, answer), Path(bundle.name), {"test": ["a 1"]})["test"].tolist() == [[3, 1]]


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ("sys.exit('qemu: unknown option')", "Test, emulated by fake 1: a process ended with code 1: qemu: unknown option"),
        ("os._exit(3)", "ended with code 3: no message"),
        ("raise ValueError('bad model')", "ended with code 1: ValueError: bad model"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV$"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL, which usually means .* out of memory"),
    ],
)  # fmt: skip
def test_a_worker_that_fails(fake: Make, bundle: Path, tmp_path: Path, setup: str, message: str) -> None:
    with pytest.raises(LadingError, match=message):
        emulation.outputs(fake(setup), bundle, TEXTS, workers=2)
    assert gone(tmp_path)


def test_a_worker_that_hangs_is_killed(fake: Make, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(LadingError, match=r"did not finish in 2 s and was killed"):
        emulation.outputs(fake("time.sleep(600)"), bundle, TEXTS, workers=2, timeout=2)
    assert gone(tmp_path)


def test_one_failure_ends_the_others(fake: Make, bundle: Path, tmp_path: Path) -> None:
    setup = "first = not (here / 'first').exists(); (here / 'first').touch()"
    answer = "if '50' in str(job.texts): sys.exit('broken')\ntime.sleep(600)"
    with pytest.raises(LadingError, match="broken"):
        emulation.outputs(fake(setup, answer), bundle, TEXTS, workers=3)
    assert len(list(tmp_path.glob("*.pid"))) == 3
    assert gone(tmp_path)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("print('noise'); sys.exit(0)", "expected arrays of outputs"),
        ("found['test'] = found['test'][:-1]", r"\d: test: expected float32 of shape"),
        ("found['test'] = found['test'].astype(np.float64)", "float64"),
        ("found['test'][0, 0] = np.nan", "not a finite number"),
        ("del found['oos_test']", "expected the splits"),
        ("sys.exit(0)", "expected arrays of outputs"),
    ],
)
def test_answers_that_are_none(fake: Make, bundle: Path, answer: str, message: str) -> None:
    with pytest.raises(IntegrityError, match=f"^Test, emulated by fake 1, process .*{message}"):
        emulation.outputs(fake(answer=answer), bundle, TEXTS, workers=2)


def test_workers_that_disagree_about_the_width(fake: Make, bundle: Path) -> None:
    answer = "if '50' in str(job.texts): found = {s: np.zeros((len(v), 3), np.float32) for s, v in found.items()}"
    with pytest.raises(IntegrityError, match=r"one width, found \[2, 3\]"):
        emulation.outputs(fake(answer=answer), bundle, TEXTS, workers=2)


def test_a_command_that_cannot_be_run(bundle: Path) -> None:
    emulator = Emulator(IsaClass.X86_64_V3, "Test", ("/nowhere/qemu", "python"))
    with pytest.raises(LadingError, match="/nowhere/qemu cannot be run: No such file"):
        emulation.outputs(emulator, bundle, TEXTS)


def said(features: tuple[str, ...], version: str = "", architecture: str = "x86_64") -> str:
    host = HostFacts(architecture=architecture, features=features, cores=2, memory_mb=4096, cpu_model="said inside")
    found = Machine(host=host, isa="x", onnxruntime=version or metadata.version("onnxruntime"))
    return f"sys.stdout.buffer.write({dump(found)!r}); sys.exit(0)"


def test_the_fingerprint_is_what_the_process_inside_sees(fake: Make) -> None:
    found = emulation.machine(fake("assert module == 'runtimes.measure.machine'\n" + said(("avx", "avx2"))))
    assert found.host.isa() is IsaClass.X86_64_V3
    assert found.host.cpu_model == "Test, emulated by fake 1"


@pytest.mark.parametrize(
    ("features", "found"),
    [(("avx2", "avx512_vnni"), "avx2, avx512_vnni"), (("avx",), "avx"), (("sse2",), "no vector flags")],
)
def test_an_emulator_of_another_class_is_refused(fake: Make, features: tuple[str, ...], found: str) -> None:
    with pytest.raises(RefusedError, match=f"isa: expected x86-64-v3, found .* with {found}; use another version"):
        emulation.machine(fake(said(features)))


def test_another_onnxruntime_is_refused(fake: Make) -> None:
    with pytest.raises(RefusedError, match=r"onnxruntime: expected .* found 0\.1; run `make arm64-root`"):
        emulation.machine(fake(said(("asimddp",), "0.1", "aarch64"), isa=IsaClass.ARM64_DOTPROD))


def test_a_machine_that_does_not_answer(fake: Make) -> None:
    with pytest.raises(IntegrityError, match="answer of the emulated process"):
        emulation.machine(fake("print('hello'); sys.exit(0)"))


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with a `qemu-x86_64` and a `qemu-aarch64` that know their version."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("qemu-x86_64", "qemu-aarch64"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} version 7.2.22 (Debian 1:7.2)'\necho Copyright\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What `make arm64-root` fills, by its names."""
    folder = tmp_path / "arm"
    (folder / "usr/bin").mkdir(parents=True)
    (folder / "usr/bin/python3.11").touch()
    (folder / emulation.PACKAGES).mkdir()
    return folder


def test_the_emulator_of_each_class(programs: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ARM64_ROOT, str(root))
    intel = emulation.find(IsaClass.X86_64_V3, architecture="x86_64", search=str(programs))
    assert isinstance(intel, Emulator)
    assert intel.model == "Haswell, emulated by qemu-x86_64 7.2.22"
    assert intel.python == (str(programs / "qemu-x86_64"), "-cpu", emulation.HASWELL, sys.executable)
    arm = emulation.find(IsaClass.ARM64_DOTPROD, search=str(programs))
    assert isinstance(arm, Emulator)
    assert arm.model == "Neoverse N1, emulated by qemu-aarch64 7.2.22"
    assert arm.python[-3:] == ("-L", str(root), str(root / "usr/bin/python3.11"))
    assert arm.environment == {"PYTHONPATH": str(root / "packages")}


@pytest.mark.parametrize("isa", [IsaClass.AVX512_VNNI, IsaClass.X86_64])
def test_classes_without_an_emulator(programs: Path, isa: IsaClass) -> None:
    found = emulation.find(isa, search=str(programs))
    assert isinstance(found, Missing) and found.reason.startswith(f"{isa.value}: no emulator")


def test_what_is_missing_is_said(tmp_path: Path, programs: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reason(isa: IsaClass, search: Path, architecture: str = "x86_64") -> str:
        found = emulation.find(isa, architecture=architecture, search=str(search))
        assert isinstance(found, Missing)
        assert "\n" not in found.reason
        return found.reason

    monkeypatch.delenv(ARM64_ROOT, raising=False)
    assert "qemu-x86_64 is not installed; on Debian `apt-get install qemu-user`" in reason(IsaClass.X86_64_V3, tmp_path)
    assert "this one is aarch64" in reason(IsaClass.X86_64_V3, programs, "aarch64")
    assert "qemu-aarch64 is not installed" in reason(IsaClass.ARM64_DOTPROD, tmp_path)
    assert f"{ARM64_ROOT} is not set" in reason(IsaClass.ARM64_DOTPROD, programs)
    monkeypatch.setenv(ARM64_ROOT, str(root))
    (root / "usr/bin/python3.11").unlink()
    assert "expected an Arm Python with its packages; run `make arm64-root`" in reason(IsaClass.ARM64_DOTPROD, programs)
