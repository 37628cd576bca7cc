"""`make bench`: every benchmark, one after the other, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = (
    "engine_latency", "first_answer", "knowledge", "demo", "search", "serving", "evidence", "training", "updates",
    "fleet_scale", "signing", "real_data",
)  # fmt: skip

if __name__ == "__main__":
    failed = []
    for name in BENCHMARKS:
        print(f"\n# {name}\n", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode:
            failed.append(name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
