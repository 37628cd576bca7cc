"""A bundle's own smoke cases, run in a process of their own.

A build that the machine cannot run may end its process (an illegal instruction, no memory)
or never answer. In a child process that is a failed case like any other, and what the model
took of the memory is given back.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from fleet_manifests.errors import LadingError

LIMIT = 120.0
"""Seconds that all cases of a bundle may take together."""


def run_smoke(folder: Path, *, limit: float = LIMIT) -> list[str]:
    """What is wrong with a bundle on this machine; empty where all its cases pass.

    Args:
        folder: a bundle's folder, verified already.
        limit: seconds until it is given up.
    """
    command = [sys.executable, "-P", "-m", "runtimes.sync.smoke", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return [f"no result within {limit:.0f} s"]
    if done.returncode == 0:
        return [str(failure) for failure in json.loads(done.stdout.splitlines()[-1])]
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return [f"the engine ended with {_ending(done.returncode)}: {last}"]


def main(folder: Path) -> list[str]:
    """Load the bundle and run its cases in this process."""
    from runtimes.engine import load

    try:
        return load(folder).smoke()
    except LadingError as exc:
        return [str(exc)]


def _ending(code: int) -> str:
    """A return code in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
