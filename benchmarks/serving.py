"""Memory and speed of a serving site with every workflow in use.

    python -m benchmarks.serving [--state demo-site] [--questions 200]

Starts `lading-site serve` on the state folder of a site that has synced (`make demo` leaves one),
asks each workflow in turn over HTTP, and prints the resident and private memory of the serving process,
beside a Python that only imports what the server imports; and the time of a request seen by its caller.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil

from runtimes.sync import load_active

GOAL_MB = 200
TEXTS = (
    "2 cases short on this pallet, seal was broken, driver signed for all",
    "where does the skid go when the slot is taken already",
    "INVOICE 90412 for goods delivered under your order, net 30 days",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--state", type=Path, default=Path("demo-site"), help="state folder of a site that has synced")
    parser.add_argument("--questions", type=int, default=200, help="requests for each workflow")
    arguments = parser.parse_args(argv)
    active = load_active(arguments.state) if arguments.state.is_dir() else None
    if active is None:
        print(f"serving: skipped, nothing is active in {arguments.state}; run `make demo`, or give --state DIR")
        return
    words = [sys.executable, "-m", "runtimes.edge.cli", "serve", "--port", "0", "--state", str(arguments.state)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found is not None
            times = asked(found[0], sorted(active.workflows), arguments.questions)
            memory = psutil.Process(server.pid).memory_full_info()
        finally:
            server.terminate()
    for name, some in times.items():
        ordered = sorted(some)
        print(
            f"{name}: p50 {statistics.median(some):.2f} ms, p99 {ordered[len(some) * 99 // 100]:.2f} ms, n {len(some)}"
        )
    bare, resident, private = imports_alone(), memory.rss / 2**20, memory.uss / 2**20
    print(f"{len(times)} workflows: resident {resident:.0f} MB (goal {GOAL_MB}), private {private:.0f} MB")
    print(f"the imports alone: resident {bare:.0f} MB; ratio {resident / bare:.2f}")


def asked(url: str, workflows: Sequence[str], count: int) -> dict[str, list[float]]:
    """Milliseconds of each request, by workflow."""
    found: dict[str, list[float]] = {name: [] for name in workflows}
    with httpx.Client(base_url=url, timeout=60) as client:
        for number in range(count):
            for name in workflows:
                began = time.perf_counter()
                said = client.post(f"/v1/workflows/{name}", json={"text": TEXTS[number % len(TEXTS)]})
                said.raise_for_status()
                found[name].append((time.perf_counter() - began) * 1e3)
    return found


def imports_alone() -> float:
    """Resident MB of a Python that imports what the server imports."""
    code = "import onnxruntime, tokenizers, starlette, uvicorn, pydantic, numpy, Stemmer, simsimd, httpx; input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ) as bare:
        time.sleep(3)
        resident = psutil.Process(bare.pid).memory_info().rss / 2**20
        bare.kill()
    return float(resident)


if __name__ == "__main__":
    main()
