"""What Dagster shows of evidence: the facts of the page, and none of its texts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleet_manifests import (
    AccuracyReport,
    Flip,
    Gate,
    HostFacts,
    LatencyReport,
    Machine,
    Measurement,
    Metric,
    SplitRef,
    Verdict,
    digest_of,
)

pytestmark = pytest.mark.integration


def reports(flips: int) -> tuple[AccuracyReport, LatencyReport]:
    common = {
        "workflow": "triage",
        "profile": "edge",
        "bundle": digest_of(b"bundle"),
        "taken": datetime(2026, 5, 4, 12, tzinfo=UTC),
        "measurement": Measurement.MEASURED,
        "machine": Machine(host=HostFacts(architecture="x86_64", features=(), cores=2, memory_mb=512), isa="x86-64"),
    }
    flip = Flip(against="unquantized", item="line 7", truth="a", ours="b", theirs="a", confidence=0.5)
    fine, slow = (
        Gate(name="floor", verdict=Verdict.PASS, reason="fine"),
        Gate(name="p99", verdict=Verdict.FAIL, reason="slow"),
    )
    accuracy = AccuracyReport(
        **common,
        metrics=(Metric(name="macro_f1", value=0.9, n=9),),
        gates=(fine,),
        verdict=Verdict.PASS,
        split=SplitRef(name="test", digest=digest_of(b"rows"), n=9),
        flips=(flip,) * flips,
    )
    return accuracy, LatencyReport(**common, metrics=(), gates=(slow,), verdict=Verdict.FAIL, queries=9, cores=1)


def test_a_page_as_metadata(tmp_path: Path) -> None:
    from pipelines.defs import show

    (tmp_path / "confusion_matrix.png").write_bytes(b"png")
    found = show.page(reports(50), tmp_path)
    assert found["verdict"].value == "fail"
    assert found["why"].value == "p99: slow"
    assert str(found["page"].value).endswith("report.html")
    assert str(found["confusion_matrix"].value).startswith("![confusion_matrix](data:image/png;base64,")
    gates = str(found["gates"].value)
    assert "Accuracy: pass" in gates and "Latency and memory: fail" in gates
    flips = str(found["flips"].value)
    assert flips.count("line 7") == 40 and "and 10 more rows, on the page" in flips
    assert "text" not in flips.splitlines()[2]


def test_what_there_is_not_is_not_shown(tmp_path: Path) -> None:
    from pipelines.defs import show

    assert set(show.page(reports(0), tmp_path)) == {"verdict", "why", "page", "gates", "metrics"}
