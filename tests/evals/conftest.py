"""A small engine and a small corpus that know each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from fleet_manifests import (
    BaseRef,
    BundleConfig,
    Calibration,
    HardwareProfile,
    HostFacts,
    IsaClass,
    LatencyObjective,
    Machine,
    Task,
    dump,
)
from runtimes.engine import Confidence

LABELS = ("damaged", "late", "missing")
DIGEST = "sha256:" + "ab" * 32


@dataclass
class FakeEngine:
    """Knows the answer of each text by heart; what it does not know gets flat scores."""

    config: BundleConfig
    scores: dict[str, list[float]] = field(default_factory=dict)

    @property
    def confidence(self) -> Confidence:
        return Confidence(self.config.calibration)

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        flat = [0.0] * len(self.config.labels)
        return np.array([self.scores.get(text, flat) for text in texts], dtype=np.float32)


@pytest.fixture
def profile() -> HardwareProfile:
    return HardwareProfile(
        name="edge-test",
        isa=IsaClass.X86_64,
        cores=1,
        memory_mb=512,
        latency=LatencyObjective(percentile=99, milliseconds=50, tokens=16),
        recipes=("fp32",),
        size_budget_mb=10,
    )


@pytest.fixture
def machine() -> Machine:
    host = HostFacts(architecture="x86_64", features=("avx2",), cores=2, memory_mb=4096)
    return Machine(host=host, isa="x86-64-v3")


@pytest.fixture
def config() -> BundleConfig:
    return BundleConfig(
        workflow="triage",
        task=Task.CLASSIFY,
        profile="edge-test",
        isa=IsaClass.X86_64,
        recipe="fp32",
        labels=LABELS,
        calibration=Calibration(temperature=1.0, defer_threshold=0.6, target_precision=0.9),
        base=BaseRef(name="base", revision="1", digest=DIGEST, licence="Apache-2.0"),
        data_card=DIGEST,
    )


@pytest.fixture
def bundle(tmp_path: Path, config: BundleConfig) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "bundle.json").write_bytes(dump(config))
    (folder / "model.onnx").write_bytes(b"\0" * 1_000_000)
    return folder


@dataclass
class Case:
    """A test split, an engine that reads it, and what a reference would have answered."""

    corpus: Path
    engine: FakeEngine
    truth: list[str]
    ours: list[str]


@pytest.fixture
def case(tmp_path: Path, config: BundleConfig) -> Callable[..., Case]:
    """Build a corpus of n rows of which the engine gets a share wrong."""

    def build(n: int = 600, wrong: float = 0.1, seed: int = 0, outside: int = 0) -> Case:
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 3, n)
        missed = rng.random(n) < wrong
        ours = np.where(missed, (truth + 1) % 3, truth)
        scores, rows = {}, []
        for place in range(n):
            text = f"note {place}"
            strength = 0.8 if missed[place] else 4.0
            scores[text] = [strength if code == ours[place] else 0.0 for code in range(3)]
            style = "typed" if place % 2 else "spoken"
            rows.append({"id": str(place), "text": text, "label": LABELS[truth[place]], "slices": {"style": style}})
        corpus = tmp_path / f"corpus-{n}-{seed}"
        corpus.mkdir()
        write(corpus / "test.jsonl", rows)
        if outside:
            write(corpus / "oos_test.jsonl", [{"id": f"o{i}", "text": f"weather {i}"} for i in range(outside)])
        return Case(corpus, FakeEngine(config, scores), [LABELS[i] for i in truth], [LABELS[i] for i in ours])

    return build


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
