"""What a machine tells of itself while it measures: how steady it is, how much memory and energy it uses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


def reference_kernel() -> float:
    """Median CPU seconds of a fixed piece of work: moves with clock speed and neighbours on the same core."""
    import numpy as np

    data = np.random.default_rng(0).random(100_000)
    times = []
    for _ in range(41):
        start = time.thread_time()
        np.sort(data)
        times.append(time.thread_time() - start)
    return float(np.median(times))


def waited_seconds() -> float | None:
    """Seconds that the main thread was ready to run and other processes had the cpu (Linux `sched-stats`)."""
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except OSError:
        return None


def peak_rss_mb() -> float:
    """Peak resident memory of this process since it began.

    From VmHWM: `getrusage` carries the parent's peak over `exec`.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def energy_uj(root: Path = POWERCAP) -> dict[str, tuple[int, int]] | None:
    """The energy counter of each processor package and where it wraps, microjoules (Linux powercap, Intel RAPL).

    None: the machine has none, or does not let this process read it.
    """
    found = {}
    for zone in sorted(root.glob("intel-rapl:*")):
        if zone.name.count(":") > 1:
            continue  # part of a package
        try:
            counter = int((zone / "energy_uj").read_text(encoding="ascii"))
            found[zone.name] = counter, int((zone / "max_energy_range_uj").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
    return found or None


def joules_between(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> float:
    """Energy used between two readings, of all packages, J; a counter may have wrapped once."""
    used = 0
    for zone, (start, wraps) in before.items():
        end = after[zone][0]
        used += end - start if end >= start else end + wraps - start
    return used / 1e6
