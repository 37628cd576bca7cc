"""The smoke cases of a bundle and of its pack, run in a process of their own.

A build that the machine cannot run may end its process (an illegal instruction, no memory)
or never answer. In a child process that is a failed case like any other, and what the model
took of the memory is given back.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests.errors import LadingError, RefusedError

if TYPE_CHECKING:
    from runtimes.engine import Embedder
    from runtimes.knowledge import Pack

LIMIT = 120.0
"""Seconds that all cases of a bundle and its pack may take together."""


@dataclass(frozen=True)
class PackTrial:
    """A pack that is to be tried with its retriever."""

    folder: Path
    """The pack's folder, verified already."""
    retriever: str
    """Digest of the bundle that it is tried with."""
    key: Path | None = None
    """The file with the key of the site class, where there is one. Only its name is passed on."""


def run_smoke(folder: Path, pack: PackTrial | None = None, *, limit: float = LIMIT) -> list[str]:
    """What is wrong with a bundle, or with its pack, on this machine; empty where all cases pass.

    Args:
        folder: a bundle's folder, verified already.
        pack: what a retriever is to search.
        limit: seconds until it is given up.
    """
    command = [sys.executable, "-P", "-m", "runtimes.sync.smoke", str(folder)]
    if pack is not None:
        command += [str(pack.folder), pack.retriever, *([] if pack.key is None else [str(pack.key)])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return [f"no result within {limit:.0f} s"]
    if done.returncode == 0:
        return [str(failure) for failure in json.loads(done.stdout.splitlines()[-1])]
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return [f"the engine ended with {_ending(done.returncode)}: {last}"]


def main(folder: Path, trial: PackTrial | None = None) -> list[str]:
    """Load the bundle, and open the pack where there is one, and run their cases in this process."""
    from runtimes.engine import load_any, load_embedder

    try:
        if trial is None:
            return load_any(folder).smoke()
        embedder = load_embedder(folder)
        with _opened(trial) as pack:
            return [*embedder.smoke(), *search(pack, embedder)]
    except LadingError as exc:
        return [str(exc)]


def search(pack: Pack, embedder: Embedder) -> list[str]:
    """Run a pack's own cases; what differs, one sentence each, without their questions.

    Raises:
        DataError: a question cannot be embedded.
        IntegrityError: a passage cannot be read.
    """
    failures = []
    for number, case in enumerate(pack.config.smoke, 1):
        found = pack.search(embedder.embed(case.question).vector, case.question, top=1).hits
        if not found or found[0].passage.id != case.passage:
            first = found[0].passage.id if found else "nothing"
            failures.append(f"smoke case {number} of the pack: {case.passage} first expected, found {first}")
    return failures


def _opened(trial: PackTrial) -> Pack:
    """The pack, open."""
    from runtimes.knowledge import open_pack

    identity = None if trial.key is None else trial.key.read_bytes()
    try:
        return open_pack(trial.folder, retriever=trial.retriever, identity=identity)
    except RefusedError as exc:
        raise RefusedError(f"{exc}; enroll again with --pack-key-file") from exc


def _trial(arguments: list[str]) -> PackTrial | None:
    """What the command line says of a pack."""
    if not arguments:
        return None
    folder, retriever, *key = arguments
    return PackTrial(Path(folder), retriever, Path(key[0]) if key else None)


def _ending(code: int) -> str:
    """A return code in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), _trial(sys.argv[2:]))))
