"""What a build's page is made of, besides its evidence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.choice import Scored, choose
from fleet_manifests import Metric, dump
from pipelines.steps.reports import _named, _others, _trials
from pipelines.store import Entry

pytestmark = pytest.mark.unit


def trial(recipe: str, outcome: str, size: int | None, metric: float | None, latency_ms: float | None) -> object:
    metrics = {} if metric is None else {"macro_f1": metric}
    found = {"recipe": recipe, "outcome": outcome, "size": size, "metrics": metrics, "latency_ms": latency_ms}
    return {**found, "times_count": outcome == "chosen"}


def test_recipes_that_gave_a_figure_are_candidates(tmp_path: Path) -> None:
    search = tmp_path / "search.json"
    search.write_text(
        json.dumps(
            [
                trial("int8", "pareto", 20_000_000, 0.8, 1.5),
                trial("too-large", "pruned", 90_000_000, None, None),
                trial("fp16", "chosen", 45_000_000, 0.9, 2.5),
                trial("fp32", "failed", None, None, None),
            ]
        )
    )
    found = list(_trials(search, "macro_f1"))
    assert [(one.name, one.metric, one.size_mb, one.split, one.chosen) for one in found] == [
        ("int8", 0.8, 20.0, "validation", False),
        ("fp16", 0.9, 45.0, "validation", True),
    ]
    assert [one.latency_ms for one in found] == [None, 2.5]
    assert list(_trials(search, "accuracy")) == []


def test_the_first_name_that_there_is_counts() -> None:
    metrics = [Metric(name="p50", value=6.0, n=9), Metric(name="p50/workload", value=1.0, n=9)]
    found = _named(metrics, "p50/workload", "p50")
    assert found is not None and found.value == 1.0
    other = _named(metrics[:1], "p50/workload", "p50")
    assert other is not None and other.value == 6.0
    assert _named([], "p50") is None


def test_kinds_of_model_that_were_not_chosen_are_candidates(tmp_path: Path) -> None:
    def scored(name: str, value: float) -> Scored:
        metric = Metric(name="macro_f1", value=value, n=50, low=value - 0.1, high=value + 0.1)
        return Scored(name=name, what=f"a {name} model", metric=metric, size=3_000_000)

    (tmp_path / "choice.json").write_bytes(dump(choose([scored("tuned", 0.7), scored("classical", 0.8)], floor=0.5)))
    found = list(_others(Entry(tmp_path, "sha256:0", "0", 0.0, reused=False)))
    assert [(one.name, one.metric, one.size_mb, one.split, one.chosen) for one in found] == [
        ("a tuned model", 0.7, 3.0, "validation", False)
    ]
    assert (found[0].low, found[0].high) == pytest.approx((0.6, 0.8))
