"""Retrieval: real questions to official guidance (FeedbackQA)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.real_data.projects import TUNED, build, print_table, stored, write, write_frame, write_jsonl

WORKFLOW = """\
title: Guidance
owner: benchmark
task: retrieve
data_classes: [public, internal]
corpus:
  passages: data/passages.jsonl
  questions:
    train: data/train.jsonl
    validation: data/validation.jsonl
    test: data/test.jsonl
  licences: [Apache-2.0]
training: {training}
gates: {{metric: ndcg_at_10, floor: 0.5, margin: 0.01, target_precision: 0.7}}
guardrails: {{max_characters: 20000}}
placement: {{offline: full}}
"""
TRAINING = "{epochs: 3}"
HELD_OUT = 10
"""Every tenth training question chooses fusion, epoch and threshold; the validation questions of the set judge."""
MODELS = {"frozen_dense": "frozen base", "bm25": "BM25, stemmed", "frozen_fused": "frozen base + BM25"}
GOAL = 0.04
INT8_GOAL = 0.003


def feedbackqa(data: Path, project: Path) -> None:
    """FeedbackQA (Li et al. 2022, Apache-2.0): 2,138 sections, 4,003 training and 999 validation questions."""
    write_frame(project)
    passages = read(data / "corpus.jsonl")
    write_jsonl(
        project / "data/passages.jsonl",
        ({"id": one["_id"], "document": one["uri"], "title": one["title"], "text": one["text"]} for one in passages),
    )
    train = [question for path in sorted(data.glob("queries_train_*.jsonl")) for question in read(path)]
    test = [question for path in sorted(data.glob("queries_valid_*.jsonl")) for question in read(path)]
    splits = {
        "train": [one for place, one in enumerate(train) if place % HELD_OUT],
        "validation": train[::HELD_OUT],
        "test": test,
    }
    for name, some in splits.items():
        records = [
            {"id": one["_id"], "text": one["text"], "relevant": listed(one["relevant"]), "region": one["region"]}
            for one in some
        ]
        write_jsonl(project / f"data/{name}.jsonl", records)
    write(project / "workflows/guidance.yaml", WORKFLOW.format(training=TRAINING))
    report("feedbackqa", project)


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def listed(value: Any) -> list[str]:
    """One id or several, as a list."""
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def report(name: str, project: Path) -> None:
    """Build the project and print what each model finds, and the paired differences that the goals are about."""
    builds, seconds = build(name, project)
    scores = stored(project, "baselines", "scores.json")
    print(f"\n## {name} (built in {seconds:.0f} s)\n")
    rows = [[title, *(f"{scores[model]['test'][metric]:.4f}" for metric in ("ndcg_at_10", "recall_at_5", "mrr")),
             str(scores[model]["test"]["n"]), "-", "-", "-"] for model, title in MODELS.items()]  # fmt: skip
    for profile, title in TUNED.items():
        values = {metric["name"]: metric for metric in builds[profile]["metrics"]}
        found = [f"{values[metric]['value']:.4f}" for metric in ("ndcg_at_10", "recall_at_5", "mrr")]
        interval = f"{values['ndcg_at_10']['low']:.4f} to {values['ndcg_at_10']['high']:.4f}"
        rows.append([f"tuned + BM25, {title}", *found, str(values["ndcg_at_10"]["n"]), interval,
                     f"{values['size_mb']['value']:.1f}", builds[profile]["verdict"]])  # fmt: skip
    print_table(["model", "nDCG@10", "recall@5", "MRR", "n", "95 % of nDCG@10", "MB", "verdict"], rows)
    for profile, title in TUNED.items():
        accuracy = json.loads(Path(builds[profile]["paths"]["accuracy_report"]).with_name("report.json").read_text())
        for one in accuracy["comparisons"]:
            print(f"{title} less {one['against']}: {one['difference']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f})")
    print(f"goals: {GOAL:+.2f} over the frozen base + BM25; int8 no more than {INT8_GOAL} below unquantized")
