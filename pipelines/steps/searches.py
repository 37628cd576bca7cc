"""A recipe search in MLflow: a run with the figures of every recipe that was tried."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.project.load import Project
from pipelines.steps.tracked import tracker
from pipelines.store import Entry

FIGURES = ("size", "least", "rows", "latency_ratio", "memory_mb")


def track(project: Project, workflow: str, profile: str, entry: Entry) -> None:
    """Log a search, when it was made."""
    if entry.reused:
        return
    trials = json.loads((entry.path / "search.json").read_text())
    metrics: dict[str, float] = {}
    for trial in trials:
        known = {**trial["metrics"], **{name: trial[name] for name in FIGURES if trial[name] is not None}}
        metrics |= {f"{trial['recipe']}/{name}": float(value) for name, value in known.items()}
    with tracker(project) as mlflow:
        mlflow.log_run(
            workflow,
            params={"profile": profile, **{f"recipe/{trial['recipe']}": trial["outcome"] for trial in trials}},
            metrics=metrics,
            tags={"step": "quantized_model", "quantized_model": entry.digest},
            artifacts=[entry.path / "search.json"],
        )


def told(trial: Mapping[str, Any]) -> tuple[object, ...]:
    """A trial of `search.json` as a row for people: recipe, outcome, metrics, MB, time, memory, rows, reason."""
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in sorted(trial["metrics"].items()))
    size, ratio, memory = trial["size"], trial["latency_ratio"], trial["memory_mb"]
    return (
        trial["recipe"],
        trial["outcome"],
        metrics,
        None if size is None else round(size / 1e6, 1),
        None if ratio is None else f"{ratio:.2f} ({trial['latency_low']:.2f} to {trial['latency_high']:.2f})",
        None if memory is None else round(memory),
        trial["rows"],
        trial["reason"],
    )
