"""What a bundle gives on a processor that is not here, by QEMU's user mode emulation. Never how fast.

8-bit kernels differ between instruction sets, and so may answers: without VNNI they saturate, on Arm they round
elsewhere. QEMU translates the very instructions that the engine would run there. What comes of it is `emulated`:
it may show that a build fails, not that it passes.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import evals
from fleet_manifests import HostFacts, IntegrityError, IsaClass, LadingError, Machine, RefusedError, parse
from runtimes.measure.outputs import job, unpack

if TYPE_CHECKING:
    from runtimes.measure.outputs import Outputs, Texts

ARM64_ROOT = "LADING_ARM64_ROOT"
"""Environment variable: the folder that `make arm64-root` filled."""
PACKAGES = "packages"
"""Where an Arm root folder has its Python packages."""
HASWELL = "Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid"
"""AVX2 and no AVX-512; what is taken away is what user mode cannot have and warns about."""
ARM_CORE = "neoverse-n1"
"""Dot product (asimddp), neither i8mm nor SVE."""
START_SECONDS, TEXT_SECONDS = 300.0, 30.0
"""How long a process may take to load a bundle, and for each text: some ten times what was measured at 256 tokens."""


@dataclass(frozen=True)
class Emulator:
    """A command that runs Python on a processor of a class."""

    isa: IsaClass
    model: str
    """What is emulated, for people."""
    python: tuple[str, ...]
    """The command up to Python's own arguments."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Missing:
    """No emulator for a class on this machine."""

    reason: str
    """One sentence: what is missing and what to do."""


def find(isa: IsaClass, *, architecture: str = "", search: str | None = None) -> Emulator | Missing:
    """The emulator that serves a class on this machine.

    Args:
        isa: class of the profile.
        architecture: of this machine; empty: as it says.
        search: where programs are looked for, as in `PATH`; None: there.
    """
    if isa is IsaClass.X86_64_V3:
        return _haswell(architecture or platform.machine(), search)
    if isa is IsaClass.ARM64_DOTPROD:
        return _arm(search, os.environ.get(ARM64_ROOT, ""))
    return Missing(f"{isa.value}: no emulator; QEMU's x86 has AVX2 and no AVX-512")


def _haswell(architecture: str, search: str | None) -> Emulator | Missing:
    """This very interpreter and its packages, on another processor."""
    if architecture != "x86_64":
        return Missing(f"{IsaClass.X86_64_V3.value}: emulated on an x86-64 machine only, this one is {architecture}")
    program = shutil.which("qemu-x86_64", path=search)
    if program is None:
        return _not_installed(IsaClass.X86_64_V3, "qemu-x86_64")
    command = (program, "-cpu", HASWELL, sys.executable)
    return Emulator(IsaClass.X86_64_V3, f"Haswell, emulated by {_version(program)}", command)


def _arm(search: str | None, root: str) -> Emulator | Missing:
    """Debian's Python and the Arm wheels of the same packages."""
    isa = IsaClass.ARM64_DOTPROD
    program = shutil.which("qemu-aarch64", path=search)
    if program is None:
        return _not_installed(isa, "qemu-aarch64")
    if not root:
        return Missing(f"{isa.value}: {ARM64_ROOT} is not set; name a folder with it and run `make arm64-root`")
    folder = Path(root).resolve()
    interpreters = sorted((folder / "usr/bin").glob("python3.[0-9]*[0-9]"))
    if not interpreters or not (folder / PACKAGES).is_dir():
        return Missing(f"{isa.value}: {folder}: expected an Arm Python with its packages; run `make arm64-root`")
    command = (program, "-cpu", ARM_CORE, "-L", str(folder), str(interpreters[-1]))
    environment = {"PYTHONPATH": str(folder / PACKAGES)}
    return Emulator(isa, f"Neoverse N1, emulated by {_version(program)}", command, environment)


def _not_installed(isa: IsaClass, program: str) -> Missing:
    return Missing(f"{isa.value}: {program} is not installed; on Debian `apt-get install qemu-user`")


def _version(program: str) -> str:
    """`qemu-x86_64 7.2.22`, as the program says of itself."""
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False, timeout=60).stdout
    return " ".join(said.split("(")[0].replace(" version", "").split())


def machine(emulator: Emulator, *, timeout: float = START_SECONDS) -> Machine:
    """The fingerprint of what is emulated, as a process inside sees it.

    Raises:
        RefusedError: it is not of the emulator's class, or has another onnxruntime than this process.
        LadingError: the process failed.
    """
    (said,) = run(emulator, "runtimes.measure.machine", [b""], timeout=timeout)
    found = parse(Machine, said, where=f"answer of the emulated process ({emulator.model})")
    if found.host.isa() is not emulator.isa:
        raise RefusedError(
            f"{emulator.model}: isa: expected {emulator.isa.value}, found {found.isa} with {_flags(found.host)}; "
            "use another version of QEMU"
        )
    if found.onnxruntime != (here := metadata.version("onnxruntime")):
        raise RefusedError(
            f"{emulator.model}: onnxruntime: expected {here} as here, found {found.onnxruntime}; run `make arm64-root`"
        )
    host = found.host.model_copy(update={"cpu_model": emulator.model})
    return found.model_copy(update={"host": host, "governor": "none"})


def _flags(host: HostFacts) -> str:
    """The flags that classes are told by."""
    return ", ".join(flag for flag in host.features if flag.startswith(("avx", "asimddp"))) or "no vector flags"


def outputs(
    emulator: Emulator, bundle: Path, texts: Texts, *, workers: int | None = None, timeout: float | None = None
) -> Outputs:
    """What a bundle's graph gives for each text on the emulated processor: float32 [texts, width] by split.

    Each text is run alone, on one thread, so that the outcome does not depend on how texts are shared out.

    Args:
        emulator: what runs them.
        bundle: folder of the bundle.
        texts: by split.
        workers: processes side by side; None: one per usable core.
        timeout: seconds after which all are killed; None: by the number of texts.

    Raises:
        IntegrityError: an answer has another shape, or numbers that are not finite.
        LadingError: a process failed, was killed or did not finish.
    """
    import numpy as np

    total = sum(map(len, texts.values()))
    count = max(1, min(workers or len(os.sched_getaffinity(0)), total))
    shares = [{split: some[place::count] for split, some in texts.items()} for place in range(count)]
    allowed = timeout or START_SECONDS + TEXT_SECONDS * max(sum(map(len, share.values())) for share in shares)
    jobs = [job(bundle.resolve(), share, threads=1) for share in shares]
    parts = [
        unpack(raw, {split: len(some) for split, some in share.items()}, where=f"{emulator.model}, process {place + 1}")
        for place, (raw, share) in enumerate(
            zip(run(emulator, "runtimes.measure.outputs", jobs, timeout=allowed), shares, strict=True)
        )
    ]
    if len(widths := {rows.shape[1] for part in parts for rows in part.values()}) > 1:
        raise IntegrityError(f"{emulator.model}: expected outputs of one width, found {sorted(widths)}")
    found = {split: np.empty((len(some), *widths), np.float32) for split, some in texts.items()}
    for place, part in enumerate(parts):
        for split, rows in part.items():
            found[split][place::count] = rows
    return found


def run(emulator: Emulator, module: str, inputs: Sequence[bytes], *, timeout: float) -> list[bytes]:
    """Run a module once per input, side by side, and give what each wrote.

    Raises:
        LadingError: one failed, was killed or did not finish; then none goes on.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(inputs)) as pool:
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for place, raw in enumerate(inputs):
                processes.append(_start(emulator, module, raw, Path(folder) / str(place)))
            waiting = [
                pool.submit(_finish, process, Path(folder) / str(place), emulator.model, timeout)
                for place, process in enumerate(processes)
            ]
            done, _ = wait(waiting, return_when=FIRST_EXCEPTION)
            for failed in done:
                failed.result()
            return [one.result() for one in waiting]
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _start(emulator: Emulator, module: str, raw: bytes, folder: Path) -> subprocess.Popen[bytes]:
    """One process, in a folder of its own: QEMU leaves a core file where a process crashes."""
    folder.mkdir()
    (folder / "in").write_bytes(raw)
    code = str(Path(evals.__file__).parent.parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "PYTHON", "QEMU_"))}
    paths = [code, emulator.environment.get("PYTHONPATH") or os.environ.get("PYTHONPATH", "")]
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
    environment = {**kept, **emulator.environment, **single, **path}
    command = [*emulator.python, "-m", module]
    with (folder / "in").open("rb") as reads, (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        try:
            return subprocess.Popen(command, stdin=reads, stdout=out, stderr=err, cwd=folder, env=environment)
        except OSError as exc:
            raise LadingError(f"{emulator.model}: {command[0]} cannot be run: {exc.strerror}") from exc


def _finish(process: subprocess.Popen[bytes], folder: Path, model: str, timeout: float) -> bytes:
    """What a process wrote, once it ended well."""
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired as exc:
        raise LadingError(f"{model}: a process did not finish in {timeout:g} s and was killed") from exc
    if code < 0:
        name = signal.Signals(-code).name
        hint = ", which usually means that the machine ran out of memory" if name == "SIGKILL" else ""
        raise LadingError(f"{model}: a process was ended by {name}{hint}")
    if code:
        last = (folder / "err").read_text(errors="replace").strip().rsplit("\n", 1)[-1]
        raise LadingError(f"{model}: a process ended with code {code}: {last or 'no message'}")
    return (folder / "out").read_bytes()
