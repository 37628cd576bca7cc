"""Classification: order intents, CLINC150 with its out-of-scope rows, clauses of contracts."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from benchmarks.real_data.projects import TUNED, build, print_table, stored, write, write_csv, write_frame

WORKFLOW = """\
title: {title}
owner: benchmark
task: classify
data_classes: [public]
corpus:
  files: {{{files}}}
  licences: [{licence}]
{split}training: {{candidates: [tuned], {training}}}
gates: {{metric: macro_f1, floor: 0.5, margin: 0.02, target_precision: {precision}}}
placement: {{offline: full}}
"""
CLINC_TUNING = "epochs: 6, dropout: 0.1, encoder_dropout: 0.1"
"""Chosen on validation: macro-F1 0.9716, against 0.9702 of three epochs without dropout."""
BASELINES = {"frozen_lr": "frozen base + logistic regression", "tfidf_svm": "TF-IDF + linear SVM"}


def bitext(data: Path, project: Path) -> None:
    """Customer-service intents of orders and deliveries (CDLA-Sharing-1.0)."""
    splits = {}
    for ours, theirs in (("train", "train"), ("validation", "dev"), ("test", "test")):
        with (data / f"{theirs}.csv").open(encoding="utf-8", newline="") as stream:
            splits[ours] = [(row["utterance"], row["intent"]) for row in csv.DictReader(stream)]
    write_project(project, "Order intents", "CDLA-Sharing-1.0", splits, training="epochs: 2", precision=0.98)
    report("bitext_orders", project)


def clinc(data: Path, project: Path) -> None:
    """CLINC150 (Larson et al. 2019, CC BY 3.0): 150 intents, and rows that belong to none."""
    found = json.loads((data / "data_full.json").read_text(encoding="utf-8"))
    names = {"train": "train", "validation": "val", "test": "test"}
    names |= {"out_of_scope_validation": "oos_val", "out_of_scope_test": "oos_test"}
    splits = {ours: [(text, label) for text, label in found[theirs]] for ours, theirs in names.items()}
    write_project(project, "CLINC150 intents", "CC-BY-3.0", splits, training=CLINC_TUNING, precision=0.98)
    report("clinc150", project)


def cuad(data: Path, project: Path) -> None:
    """CUAD v1 (The Atticus Project, CC BY 4.0): which of 41 matters a clause of a contract is about, by contract."""
    lines = (data / "clauses.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [(one["text"], one["category"], one["contract"]) for one in map(json.loads, lines)]
    write_frame(project)
    write_csv(project / "data/train.csv", ("text", "label", "group"), rows)
    text = WORKFLOW.format(
        title="Contract clauses", licence="CC-BY-4.0", precision=0.95, files="train: data/train.csv",
        training="epochs: 8, batch_size: 16, dropout: 0.1, encoder_dropout: 0.1",
        split="  split: {by: group, validation: 0.15, test: 0.2}\n",
    )  # fmt: skip
    write(project / "workflows/intents.yaml", text)
    report("cuad_clauses", project)


def write_project(
    project: Path,
    title: str,
    licence: str,
    splits: dict[str, list[tuple[str, str]]],
    *,
    training: str,
    precision: float,
) -> None:
    """An ordinary project of labelled files that are split already."""
    write_frame(project)
    files = {name: f"data/{name}.csv" for name in splits}
    text = WORKFLOW.format(
        title=title, licence=licence, training=training, precision=precision, split="",
        files=", ".join(f"{name}: {path}" for name, path in files.items()),
    )  # fmt: skip
    write(project / "workflows" / "intents.yaml", text)
    for name, rows in splits.items():
        write_csv(project / files[name], ("text", "label"), rows)


def report(name: str, project: Path) -> None:
    """Build a project and print what came of it."""
    builds, seconds = build(name, project)
    scores = stored(project, "baselines", "scores.json")
    print(f"\n## {name} (built in {seconds:.0f} s)\n")
    rows = [baseline(title, scores[model]["test"]) for model, title in BASELINES.items()]
    rows += [built(f"tuned, {title}", evidence(builds[profile])) for profile, title in TUNED.items()]
    print_table(["model", "n", "accuracy", "macro-F1", "disturbed", "ECE", "AURC", "MB", "p50 ms", "verdict"], rows)
    print("\nDeferral at the threshold that validation chose:\n")
    head = ["model", "answered", "right of the answered", "right and answered", "score", "outside", "AUROC", "FPR95",
            "deferred"]  # fmt: skip
    print_table(head, [deferral(f"tuned, {title}", evidence(builds[profile])) for profile, title in TUNED.items()])
    print("\nPaired against, macro-F1:\n")
    head = ["model", "against", "difference", "lost", "gained", "detectable", "power"]
    rows = [
        [f"tuned, {title}", *compared(one)]
        for profile, title in TUNED.items()
        for one in evidence(builds[profile])["comparisons"]
    ]
    print_table(head, rows)


def evidence(found: dict[str, Any]) -> dict[str, Any]:
    """The accuracy report of a build, with its metrics by name, and what `lading build` said of it."""
    report = json.loads(Path(found["paths"]["accuracy_report"]).with_name("report.json").read_text())
    bundle = json.loads(Path(found["paths"]["bundle"], "bundle.json").read_text())
    by_name = {metric["name"]: metric for metric in found["metrics"]}
    return {**report, "by_name": by_name, "calibration": bundle["calibration"], "verdict": found["verdict"]}


def baseline(title: str, found: dict[str, float]) -> list[str]:
    """The row of a baseline."""
    return [title, f"{found['n']}", f"{found['accuracy']:.4f}", f"{found['macro_f1']:.4f}", *["-"] * 6]


def built(title: str, found: dict[str, Any]) -> list[str]:
    """The row of a build, from its evidence."""
    metrics = found["by_name"]
    return [
        title, f"{metrics['accuracy']['n']}", spanned(metrics["accuracy"]), spanned(metrics["macro_f1"]),
        spanned(metrics["accuracy/disturbed"]), f"{metrics['ece']['value']:.3f}", f"{metrics['aurc']['value']:.4f}",
        f"{metrics['size_mb']['value']:.1f}", f"{metrics['p50/workload']['value']:.2f}", found["verdict"],
    ]  # fmt: skip


def deferral(title: str, found: dict[str, Any]) -> list[str]:
    """What a site would answer itself, and what it would hand on."""
    coverage, precision = found["by_name"]["coverage"], found["by_name"].get("precision_answered")
    outside, calibration = found.get("out_of_scope"), found["calibration"]
    both = coverage["value"] * (precision["value"] if precision else 0.0)
    score = f"{calibration['score']}, {'isotonic' if calibration['curve'] else 'temperature'}"
    row = [title, spanned(coverage), spanned(precision) if precision else "-", f"{both:.4f}", score]
    if outside is None:
        return [*row, *["-"] * 4]
    deferred = {"value": outside["deferred"], "low": outside["low"], "high": outside["high"]}
    return [*row, f"{outside['n']}", f"{outside['auroc']:.3f}", f"{outside['fpr95']:.3f}", spanned(deferred)]


def compared(found: dict[str, Any]) -> list[str]:
    """A paired difference, and what the rows can tell of the margin."""
    known = [f"{found[name]:.4f}" if found.get(name) is not None else "-" for name in ("detectable", "power")]
    span = f"{found['difference']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"
    return [found["against"], span, f"{found['lost']}", f"{found['gained']}", *known]


def spanned(found: dict[str, Any]) -> str:
    """A figure with its interval."""
    return f"{found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})"
