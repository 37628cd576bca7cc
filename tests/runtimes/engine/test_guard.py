"""The decision to answer or to defer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from runtimes.engine import Decision, decide

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Said:
    confidence: float


def test_reaching_the_threshold_exactly_answers() -> None:
    decision = decide(Said(0.71), 0.71)
    assert decision == Decision(True, "confident", "confidence 0.710 reaches the threshold 0.710")
    assert decision.outcome == "answered"


def test_below_the_threshold_defers() -> None:
    decision = decide(Said(0.7099), 0.71)
    assert (decision.answered, decision.code, decision.outcome) == (False, "below_threshold", "deferred")
    assert decision.reason == "confidence 0.710 is below the threshold 0.710"


def test_the_workflows_minimum_holds_whatever_the_build_says() -> None:
    decision = decide(Said(0.5), 0.2, minimum_confidence=0.6)
    assert (decision.answered, decision.code) == (False, "below_minimum")
    assert "workflow's minimum 0.600" in decision.reason
    assert decide(Said(0.6), 0.2, minimum_confidence=0.6).reason.endswith("threshold 0.600")


def test_a_minimum_never_lowers_the_threshold() -> None:
    assert not decide(Said(0.5), 0.7, minimum_confidence=0.1).answered


def test_edges() -> None:
    assert decide(Said(0.0), 0.0).answered
    assert not decide(Said(1.0), 1.0).answered


@pytest.mark.parametrize("value", [math.nan, -0.1, 1.1, math.inf])
@pytest.mark.parametrize("field", ["confidence", "threshold", "minimum_confidence"])
def test_nonsense_is_refused(field: str, value: float) -> None:
    given = {"confidence": 0.5, "threshold": 0.5, "minimum_confidence": 0.5} | {field: value}
    with pytest.raises(ValueError, match=f"{field}: a number from 0 to 1"):
        decide(Said(given["confidence"]), given["threshold"], minimum_confidence=given["minimum_confidence"])
