from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from evals import accuracy
from evals.observed import Observed
from fleet_manifests import HardwareProfile, IntegrityError, Machine, Measurement, Verdict

pytestmark = pytest.mark.unit
TAKEN = datetime(2026, 1, 2, tzinfo=UTC)
BUNDLE = "sha256:" + "cd" * 32


def judged(made: Any, machine: Machine, profile: HardwareProfile, *, emulated: bool, floor: float = 0.5) -> Any:
    outputs = {split: made.engine.logits(texts) for split, texts in accuracy.cases(made.corpus).items()}
    return accuracy.judge(
        made.engine.config,
        made.engine.confidence,
        made.corpus,
        Observed(outputs, machine, TAKEN, emulated=emulated),
        profile=profile,
        bundle_digest=BUNDLE,
        references={"unquantized": made.ours},
        policy=accuracy.AccuracyPolicy(floor=floor, margin=0.05),
    )


def test_the_same_observations_give_the_same_figures_wherever_they_come_from(
    case: Any, machine: Machine, profile: HardwareProfile
) -> None:
    made = case(outside=20)
    here, there = (judged(made, machine, profile, emulated=emulated) for emulated in (False, True))
    assert here.metrics == there.metrics
    assert here.comparisons == there.comparisons
    assert here.out_of_scope == there.out_of_scope
    assert (here.measurement, here.verdict) == (Measurement.MEASURED, Verdict.PASS)
    assert (there.measurement, there.verdict) == (Measurement.EMULATED, Verdict.INCONCLUSIVE)


def test_emulation_can_fail_a_build_and_never_pass_it(case: Any, machine: Machine, profile: HardwareProfile) -> None:
    report = judged(case(), machine, profile, emulated=True, floor=0.99)
    verdicts = {gate.name: gate.verdict for gate in report.gates}
    assert verdicts["floor/macro_f1"] is Verdict.FAIL
    assert verdicts["hardware"] is Verdict.INCONCLUSIVE
    assert [name for name, verdict in verdicts.items() if verdict is Verdict.PASS] == ["canary"]
    assert report.verdict is Verdict.FAIL


def test_an_emulated_machine_of_another_profile_says_nothing(
    case: Any, machine: Machine, profile: HardwareProfile
) -> None:
    other = machine.model_copy(update={"host": machine.host.model_copy(update={"architecture": "aarch64"})})
    report = judged(case(), other, profile, emulated=True, floor=0.99)
    assert (report.measurement, report.verdict) == (Measurement.ABSENT, Verdict.INCONCLUSIVE)


def test_observations_of_another_corpus_are_refused(machine: Machine) -> None:
    observed = Observed({"test": np.zeros((3, 2), np.float32)}, machine, TAKEN)
    with pytest.raises(IntegrityError, match="test: expected outputs for 4 texts, found 3"):
        observed.of("test", 4)
    with pytest.raises(IntegrityError, match="oos_test: expected outputs for 3 texts, found none"):
        observed.of("oos_test", 3)
