"""What a build's page is made of, besides its evidence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet_manifests import Metric
from pipelines.steps.reports import _named, _trials

pytestmark = pytest.mark.unit


def test_recipes_that_gave_a_figure_are_candidates(tmp_path: Path) -> None:
    search = tmp_path / "search.json"
    search.write_text(
        json.dumps(
            [
                {
                    "recipe": "int8",
                    "passed": False,
                    "reason": "loses",
                    "size": 20_000_000,
                    "metrics": {"macro_f1": 0.8},
                },
                {"recipe": "too-large", "passed": False, "reason": "90 MB", "size": 90_000_000, "metrics": {}},
                {"recipe": "fp16", "passed": True, "reason": "fine", "size": 45_000_000, "metrics": {"macro_f1": 0.9}},
                {"recipe": "fp32", "passed": False, "reason": "not tried", "size": None, "metrics": {}},
            ]
        )
    )
    found = list(_trials(search, "macro_f1"))
    assert [(one.name, one.metric, one.size_mb, one.split, one.chosen) for one in found] == [
        ("int8", 0.8, 20.0, "validation", False),
        ("fp16", 0.9, 45.0, "validation", True),
    ]
    assert all(one.latency_ms is None for one in found)
    assert list(_trials(search, "accuracy")) == []


def test_the_first_name_that_there_is_counts() -> None:
    metrics = [Metric(name="p50", value=6.0, n=9), Metric(name="p50/workload", value=1.0, n=9)]
    found = _named(metrics, "p50/workload", "p50")
    assert found is not None and found.value == 1.0
    other = _named(metrics[:1], "p50/workload", "p50")
    assert other is not None and other.value == 6.0
    assert _named([], "p50") is None
