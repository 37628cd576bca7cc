"""A command as its user runs it: how long it takes, and how much memory its largest process needs."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

import psutil

EVERY = 0.25
"""Seconds between two looks at the processes."""


def measured(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, int]:
    """Seconds of a command, and the peak resident memory of the largest of its processes in bytes.

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
    return seconds, peak.bytes


class _Peak(threading.Thread):
    """Looks at a process and its children again and again."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root = psutil.Process(pid)
        self.bytes = 0

    def run(self) -> None:
        """Until the process has ended."""
        while self.root.is_running() and self.root.status() != psutil.STATUS_ZOMBIE:
            for process in [self.root, *self.root.children(recursive=True)]:
                try:
                    self.bytes = max(self.bytes, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            time.sleep(EVERY)
