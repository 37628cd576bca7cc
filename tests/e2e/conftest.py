"""A small project, built once for all end-to-end tests, by the programs a user runs and with the network cut."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

RECORDER = """\
import os, socket
_connect, _resolve = socket.socket.connect, socket.getaddrinfo
def _note(what):
    with open(os.environ["LADING_TEST_CALLS"], "a") as log:
        log.write(f"{what}\\n")
def _local(host):
    return host in (None, "", "localhost") or str(host).startswith("127.") or host == "::1"
def connect(self, address):
    if isinstance(address, tuple) and not _local(address[0]):
        _note(f"connect {address[0]}:{address[1]}")
    return _connect(self, address)
def getaddrinfo(host, *rest, **named):
    if not _local(host if not isinstance(host, bytes) else host.decode()):
        _note(f"resolve {host}")
    return _resolve(host, *rest, **named)
socket.socket.connect, socket.getaddrinfo = connect, getaddrinfo
"""
"""Writes down every attempt of a Python process to reach anything but this machine."""

LOOPBACK = """\
import fcntl, os, socket, struct, sys
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 0x41))
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Sets the loopback interface up in a fresh network namespace, then becomes the program."""

PROGRAMS = {"lading": "pipelines.cli", "lading-site": "runtimes.edge.cli", "lading-central": "runtimes.central.cli"}


@dataclass(frozen=True)
class Done:
    """How a program ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class Line:
    """A project and how to call the programs on it."""

    project: Path
    calls: Path
    environment: dict[str, str]

    def __call__(self, program: str, *words: str, **variables: str) -> Done:
        done = subprocess.run(
            [*CUT, sys.executable, "-m", PROGRAMS.get(program, program), *words],
            env={**self.environment, **variables}, capture_output=True, text=True, timeout=1200, cwd=self.project.parent,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)


def _cut() -> list[str]:
    """The words that run a program in a network namespace of its own, where this machine allows it."""
    unshare = shutil.which("unshare")
    if unshare and subprocess.run([unshare, "-rn", "true"], capture_output=True).returncode == 0:
        return [unshare, "-rn", sys.executable, "-c", LOOPBACK]
    return []


CUT = _cut()


def line_in(folder: Path) -> Line:
    """A line whose folders are all in one place, with every outside call recorded."""
    recorder = folder / "recorder"
    recorder.mkdir(parents=True)
    (recorder / "sitecustomize.py").write_text(RECORDER)
    calls = folder / "calls"
    calls.touch()
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("LADING", "DAGSTER", "MLFLOW"))}
    shipped = ("DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_OFFLINE", "RUNTIME__DLTHUB_TELEMETRY")
    for name in (*shipped, "OMP_NUM_THREADS"):
        quiet.pop(name, None)  # what is shipped must be silent by itself
    environment = {
        **quiet, "HOME": str(folder / "home"), "PYTHONPATH": f"{recorder}{os.pathsep}{ROOT}",
        "LADING_TEST_CALLS": str(calls), "LADING_KEYS": str(folder / "keys"), "LADING_PROJECT": str(folder / "demo"),
        "LADING_SITE_STATE": str(folder / "site"), "LADING_CENTRAL_STATE": str(folder / "central"),
    }  # fmt: skip
    return Line(folder / "demo", calls, environment)


SMALLER = {
    "workflows/exception_triage.yaml": [
        ("epochs: 3", "epochs: 6"), ("floor: 0.80", "floor: 0.30"), ("margin: 0.02", "margin: 0.10"),
        ("target_precision: 0.95", "target_precision: 0.85"),
    ],
    "workflows/sop_assistant.yaml": [
        ("floor: 0.55", "floor: 0.20"), ("margin: 0.05", "margin: 0.30"),
        ("target_precision: 0.60", "target_precision: 0.50"),
        ("profiles: [edge-this-machine, edge-x86-vnni, central-x86]", "profiles: [edge-this-machine, central-x86]"),
    ],
}  # fmt: skip
LIBRARY = ("br-001", "cc-001", "cu-001", "hs-002", "hs-008", "qa-001", "wh-001", "wh-004")
"""Procedures of the small project: every format, both site classes, one for customers."""


def small_project(folder: Path) -> None:
    """The sample project with fewer rows and procedures, without document intake, and with slack gates."""
    from sample import Size, scaffold

    scaffold(folder, size=Size(orders=2_000, exceptions=2_000, others=150))
    (folder / "workflows" / "document_intake.yaml").unlink()
    small_library(folder)
    for name, changes in SMALLER.items():
        text = (folder / name).read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (folder / name).write_text(text)
    for name in ("edge-x86-avx2", "edge-x86-vnni"):
        (folder / "profiles" / f"{name}.yaml").unlink()


def small_library(folder: Path) -> None:
    """Keep some procedures and the questions that they answer."""
    for path in (folder / "sops").iterdir():
        if not path.name.startswith(LIBRARY):
            path.unlink()
    for path in (folder / "questions").glob("*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        kept = [
            row for row in rows
            if all(answer["document"].lower() in LIBRARY for answer in row.get("answers", ()))
        ]  # fmt: skip
        path.write_text("".join(json.dumps(row) + "\n" for row in kept[:60]))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A project that is built, promoted to stable and published. Tests must leave it as it is."""
    line = line_in(tmp_path_factory.mktemp("line"))
    small_project(line.project)
    done = line("lading", "build", "--json")
    assert done.code == 0, done.err
    (line.project.parent / "build.json").write_text(done.out)
    for words in (
        ["release", "promote", "stable", "--as", "alice", "--as", "bob"],
        ["release", "promote", "canary"],
        ["release", "publish"],
    ):
        done = line("lading", *words)
        assert done.code == 0, done.err
    return line


@pytest.fixture
def copy(built: Line, tmp_path: Path) -> Line:
    """A copy of the built project that a test may change, but for the files of its store, which are links."""
    folder = tmp_path / "copy"
    store = built.project / ".lading" / "store"
    shutil.copytree(
        built.project, folder / "demo", ignore=lambda here, names: ["store"] if Path(here) == store.parent else []
    )
    shutil.copytree(store, folder / "demo" / ".lading" / "store", copy_function=os.link)
    shutil.copytree(built.project.parent / "keys", folder / "keys")
    return line_in(folder)


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Line]:
    """Makes a project that is not built yet."""

    def make() -> Line:
        line = line_in(tmp_path / "fresh")
        small_project(line.project)
        return line

    return make


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Finds a free port of the loopback interface."""
    import socket

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find
