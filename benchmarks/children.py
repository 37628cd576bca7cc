"""A command as its user runs it: how long it takes, and how much memory its processes need."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

EVERY = 0.25
"""Seconds between two looks at the processes."""


@dataclass(frozen=True)
class Measured:
    """What a command took."""

    seconds: float
    largest: int
    """Peak resident memory of the largest of its processes, bytes."""
    together: int
    """Peak of all its processes at one time, bytes; what several share counts once (`Pss`)."""


def measured(command: Sequence[str], environment: Mapping[str, str]) -> Measured:
    """Run a command, and say what it took.

    Raises:
        SystemExit: the command ended with an error.
    """
    began = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        peak = _Peak(process.pid)
        peak.start()
        if process.wait():
            raise SystemExit(f"{' '.join(command[:4])} ended with {process.returncode}")
    seconds = time.monotonic() - began
    peak.join()
    return Measured(seconds, peak.largest, peak.together)


class _Peak(threading.Thread):
    """Looks at a process and its children again and again."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root = psutil.Process(pid)
        self.largest = self.together = 0

    def run(self) -> None:
        """Until the process has ended."""
        while self.root.is_running() and self.root.status() != psutil.STATUS_ZOMBIE:
            found = [_memory(process) for process in [self.root, *self.root.children(recursive=True)]]
            self.largest = max(self.largest, *(resident for resident, _ in found))
            self.together = max(self.together, sum(share for _, share in found))
            time.sleep(EVERY)


def _memory(process: psutil.Process) -> tuple[int, int]:
    """Resident memory of a process and its share of what it holds with others, bytes; zero where it has ended."""
    try:
        found = process.memory_full_info()
    except psutil.NoSuchProcess:
        return 0, 0
    return found.rss, found.pss
