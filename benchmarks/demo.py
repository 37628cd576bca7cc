"""How long `make demo` takes after installation, how much memory, and again with nothing changed.

python -m benchmarks.demo
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

FIRST, AGAIN, MEMORY_GIB = 600, 30, 3.0
"""Goals: seconds on 2 idle cores, seconds again, GiB of the largest process."""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "demo"
        environment = {**os.environ, "LADING_KEYS": str(Path(folder) / "keys")}
        first, memory = measured(project, environment)
        made = entries(project)
        again, _ = measured(project, environment)
        print(f"{'first':>12}  {first:.0f} s (goal {FIRST} s)")
        print(f"{'again':>12}  {again:.0f} s (goal {AGAIN} s), {len(entries(project) - made)} steps done again")
        print(f"{'ratio':>12}  {again / first:.3f}")
        print(f"{'largest':>12}  {memory / 2**30:.2f} GiB (goal {MEMORY_GIB} GiB)")


def measured(project: Path, environment: dict[str, str]) -> tuple[float, int]:
    """Seconds, and the peak resident memory of the largest process in bytes."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines.demo", str(project)], env=environment, stdout=subprocess.DEVNULL
    ) as process:
        peak = _Peak(process.pid)
        peak.start()
        if process.wait():
            raise SystemExit(f"the demo ended with {process.returncode}")
    seconds = time.monotonic() - began
    peak.join()
    return seconds, peak.bytes


class _Peak(threading.Thread):
    """Looks at a process and its children four times a second."""

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
            time.sleep(0.25)


def entries(project: Path) -> set[tuple[Path, int]]:
    """The finished steps of a store and when they were done."""
    return {(path, path.stat().st_mtime_ns) for path in (project / ".lading" / "store").rglob("entry.json")}


if __name__ == "__main__":
    main()
