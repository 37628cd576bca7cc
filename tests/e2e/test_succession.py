"""A second release: held to the champion and to the first build, on the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


def test_a_build_that_is_neither_better_nor_smaller_leaves_the_champion(copy: Any) -> None:
    settings = copy.project / "workflows/exception_triage.yaml"
    settings.write_text(settings.read_text().replace("target_precision: 0.85", "target_precision: 0.86"))
    done = copy("lading", "build", "--workflow", "exception_triage", "--json")
    assert done.code == 0, done.err
    found = {one["profile"]: one for one in json.loads(done.out)}["edge-this-machine"]
    evidence = json.loads(Path(found["paths"]["accuracy_report"]).with_name("report.json").read_text())
    against = {one["against"]: one for one in evidence["comparisons"]}
    assert {"unquantized", "champion", "reference", "frozen_lr", "tfidf_svm"} == set(against)
    assert against["champion"]["lost"] == against["champion"]["gained"] == 0, "the weights are the same"
    assert against["champion"]["n"] == against["unquantized"]["n"]
    gates = {gate["name"]: gate for gate in evidence["gates"]}
    assert gates["non_inferior/champion"]["verdict"] == "pass"
    assert gates["succession"]["verdict"] == found["verdict"] == "inconclusive"
    assert "the champion stays" in gates["succession"]["reason"]

    before = copy("lading", "status", "--json").json()
    refused = copy(
        "lading", "release", "promote", "stable", "--workflow", "exception_triage", "--as", "alice", "--as", "bob"
    )
    assert refused.code != 0 and "the champion stays" in refused.err
    after = copy("lading", "status", "--json").json()
    assert before["channels"] == after["channels"]
