"""Fill a folder with what accuracy on an emulated Arm processor needs: Python of Debian, and Arm wheels.

The wheels are those of the packages that answering measurement cases needs, at the versions of this environment.
Debian packages are fetched and checked by apt with lists of its own; nothing of this machine's apt is changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from evals.emulation import ARM64_ROOT, PACKAGES

DEBIAN = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
PYTHON = (
    "annotated-types", "archspec", "numpy", "onnxruntime", "pydantic", "pydantic_core", "rfc8785", "tokenizers",
    "typing-inspection", "typing_extensions",
)  # fmt: skip
"""What `runtimes.measure` imports."""
PLATFORMS = (*(f"manylinux_2_{glibc}_aarch64" for glibc in range(36, 16, -1)), "manylinux2014_aarch64")
CPUINFO = """\
processor	: 0
BogoMIPS	: 50.00
Features	: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x3
CPU part	: 0xd0c
CPU revision	: 1

"""
"""A Neoverse N1. Without it onnxruntime reads the x86 `/proc/cpuinfo` outside of the emulator and crashes."""


def main(target: Path) -> None:
    """Fill `target`, which is there whole or not at all.

    Raises:
        SystemExit: a program is missing, the folder is there and is another one, or a download failed.
    """
    if not sys.platform.startswith("linux") or shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise SystemExit("expected Debian: apt-get and dpkg-deb are needed")
    if target.exists() and any(target.iterdir()) and not (target / PACKAGES).is_dir():
        raise SystemExit(f"{target}: expected a new or empty folder, or one that this script filled")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        partial = Path(folder) / "root"
        partial.mkdir(mode=0o755)
        debian(Path(folder) / "apt", partial)
        (interpreter,) = (partial / "usr/bin").glob("python3.[0-9]*[0-9]")
        wheels(interpreter.name.removeprefix("python"), partial / PACKAGES)
        (partial / "proc").mkdir()
        (partial / "proc/cpuinfo").write_text(CPUINFO)
        if target.exists():
            shutil.rmtree(target)
        os.replace(partial, target)
    print(f"{target}: {interpreter.name} and {len(PYTHON)} packages; set {ARM64_ROOT} to it")


def debian(work: Path, root: Path) -> None:
    """Fetch the Arm packages of Debian with all that they need, and unpack them."""
    for name in ("lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "",
        "Dir::Cache": f"{work}/cache",
        "Dir::State::lists": f"{work}/lists",
        "Dir::State::status": f"{work}/status",
        "Debug::NoLocking": "true",
    }
    apt = ["apt-get", "-qq", "-y", *(f"-o{name}={value}" for name, value in settings.items())]
    call([*apt, "update"])
    call([*apt, "--no-install-recommends", "--download-only", "install", *DEBIAN])
    for package in sorted((work / "cache/archives").glob("*.deb")):
        call(["dpkg-deb", "-x", str(package), str(root)])


def wheels(python: str, target: Path) -> None:
    """Install the Arm wheels of this environment's versions."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-version", python, "--target", str(target)]
    pins = [f"{name}=={metadata.version(name)}" for name in PYTHON]
    call([sys.executable, "-m", "pip", "install", *options, *platforms, *pins])


def call(command: list[str]) -> None:
    """Run a program.

    Raises:
        SystemExit: it failed; it said why.
    """
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with code {done.returncode}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1]:
        raise SystemExit(f"usage: {sys.argv[0]} FOLDER; `make arm64-root` takes it from {ARM64_ROOT}")
    main(Path(sys.argv[1]).resolve())
