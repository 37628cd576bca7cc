"""What the evidence of one build costs beyond the inference: 2,000 test items and the profile's latency objective.

The build is one of a project (`make demo` leaves one). Its test split is filled up to 2,000 with validation and
training rows, and the models that it is held to are the truth with seeded errors: this is about time, not about
accuracy. All gates are taken: unquantized model, champion, reference, two baselines, disturbed texts.

    python -m benchmarks.evidence --project demo
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from evals import accuracy
from evals.engines import load_engine, this_machine
from evals.observed import Observed
from evals.robustness import DISTURBED
from fleet_manifests.bundle import bundle_name
from fleet_manifests.evidence import now
from pipelines.project.load import load_project
from pipelines.steps.configs import accuracy_policy, resolved_profile
from runtimes.engine import load_confidence
from runtimes.measure import process

ITEMS, GOAL = 2000, 60
MODELS = {"unquantized": 0.01, "champion": 0.02, "reference": 0.02, "frozen_base": 0.15, "tfidf_svm": 0.1}
"""What a build is held to, and the share of its answers that differ from the truth beyond the build's own."""
SEED = 7
T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path("demo"), help="a project whose build has a bundle")
    parser.add_argument("--workflow", default="exception_triage")
    parser.add_argument("--profile", default="edge-x86-vnni")
    given = parser.parse_args(argv)
    project, build = load_project(given.project), bundle_name(given.workflow, given.profile)
    bundle, profile = project.store.latest("bundle", build).path / build, resolved_profile(project, given.profile)
    policy = accuracy_policy(project, given.workflow)
    with tempfile.TemporaryDirectory() as folder:
        corpus = enlarged(project.store.latest("corpus", given.workflow).path, Path(folder) / "corpus")
        engine = load_engine(bundle)
        texts, preparing = timed(lambda: accuracy.cases(corpus))
        outputs, inferring = timed(lambda: {split: engine.logits(each) for split, each in texts.items()})
        truth = [json.loads(line)["label"] for line in (corpus / "test.jsonl").read_text().splitlines()]
        models = {name: erring(truth, share, place) for place, (name, share) in enumerate(MODELS.items())}
        answers = [engine.config.labels[place] for place in outputs[DISTURBED].argmax(axis=1)]
        report, judging = timed(
            lambda: accuracy.judge(
                engine.config,
                load_confidence(bundle, engine.config),
                corpus,
                Observed(outputs, this_machine(), now()),
                profile=profile,
                bundle_digest="sha256:" + 64 * "0",
                references=models,
                policy=policy,
                on_disturbed=answers,
            )
        )
        job = process.latency_job(bundle, profile, texts["test"])
        outcome, measuring = timed(lambda: process.once(job, process.LATENCY, process.TIMEOUT))
    queries = (sum(outcome.objective_ms) + sum(outcome.workload_ms)) / 1e3
    beyond = preparing + judging + measuring - queries
    asked = len(outcome.objective_ms) + len(outcome.workload_ms)
    print(f"{'test items':>44}  {report.split.n}, {len(report.gates)} gates, {len(report.comparisons)} comparisons")
    print(f"{'inference: test, disturbed, out of scope':>44}  {inferring:.1f} s, {sum(map(len, texts.values()))} texts")
    print(f"{'inference: latency queries':>44}  {queries:.1f} s, {asked} for p{profile.latency.percentile}")
    print(f"{'disturbing the texts':>44}  {preparing:.1f} s")
    print(f"{'judging':>44}  {judging:.1f} s")
    print(f"{'start, load, warm-up, throughput, steadiness':>44}  {measuring - queries:.1f} s")
    print(f"{'beyond the inference':>44}  {beyond:.1f} s (goal {GOAL} s), ratio {beyond / (inferring + queries):.2f}")


def enlarged(corpus: Path, out: Path) -> Path:
    """A copy of a corpus whose test split has `ITEMS` rows."""
    shutil.copytree(corpus, out)
    lines = [line for split in ("test", "validation", "train") for line in _lines(corpus / f"{split}.jsonl")]
    if len(lines) < ITEMS:
        raise SystemExit(f"{corpus}: {len(lines)} rows; {ITEMS} expected: take a workflow that has more")
    (out / "test.jsonl").write_text("\n".join(lines[:ITEMS]) + "\n", encoding="utf-8")
    return out


def erring(truth: Sequence[str], share: float, seed: int) -> list[str]:
    """The truth, with a share of it replaced by other labels."""
    random, labels = np.random.default_rng((SEED, seed)), sorted(set(truth))
    wrong = random.random(len(truth)) < share + 0.08
    return [str(random.choice(labels)) if bad else label for label, bad in zip(truth, wrong, strict=True)]


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What some work gives, and the seconds that it takes."""
    began = time.perf_counter()
    given = work()
    return given, time.perf_counter() - began


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    main()
