"""The script that fills the folder for the Arm emulator; without a network, so only up to the downloads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.arm64_root import PYTHON

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parent.parent

IMPORTED = """
import json, sys
from importlib.metadata import packages_distributions
import runtimes.measure.machine, runtimes.measure.outputs
from runtimes.engine import load_any
import onnxruntime, tokenizers, numpy, archspec.cpu.detect
owners = packages_distributions()
files = {name.split(".")[0] for name, module in sys.modules.items() if "site-packages" in (getattr(module, "__file__", "") or "")}
print(json.dumps(sorted({owner for name in files for owner in owners.get(name, ())})))
"""


def run(*words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": os.environ["PATH"] if path is None else path}
    command = [sys.executable, "-m", "scripts.arm64_root", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def test_everything_that_a_measuring_process_imports_is_fetched() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {"lading", "setuptools"}  # setuptools: what editable installs and start-up hooks are made of
    assert {normal(name) for name in json.loads(done.stdout)} - ours <= {normal(name) for name in PYTHON}


@pytest.mark.parametrize("words", [(), ("",), ("a", "b")])
def test_a_folder_is_named(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode == 1
    assert "LADING_ARM64_ROOT" in done.stderr


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """An apt that finds nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"apt-get": "echo 'E: no network' >&2; exit 100", "dpkg-deb": "exit 0"}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def test_a_machine_without_apt(tmp_path: Path) -> None:
    done = run(str(tmp_path / "root"), path=str(tmp_path))
    assert done.returncode == 1
    assert "expected Debian: apt-get and dpkg-deb are needed" in done.stderr


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, programs: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/thesis.txt").write_text("mine")
    done = run(str(tmp_path / "root"), path=str(programs))
    assert done.returncode == 1
    assert "expected a new or empty folder" in done.stderr
    assert (tmp_path / "root/thesis.txt").read_text() == "mine"


def test_a_download_that_fails_leaves_nothing(tmp_path: Path, programs: Path) -> None:
    (tmp_path / "out").mkdir()
    done = run(str(tmp_path / "out/root"), path=str(programs))
    assert done.returncode == 1
    assert "E: no network" in done.stderr and "apt-get ended with code 100" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
