"""Whether an answer is given here or deferred. Pure: no clock, no disk, no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


class Confident(Protocol):
    """Anything that has a confidence between 0 and 1, such as an `Answer`."""

    @property
    def confidence(self) -> float:
        """Calibrated probability of the label."""
        ...


@dataclass(frozen=True)
class Decision:
    """The outcome, a code for programs and a sentence for people."""

    answered: bool
    code: Literal["confident", "below_threshold", "below_minimum"]
    reason: str

    @property
    def outcome(self) -> Literal["answered", "deferred"]:
        """The word that the API and the audit trail use."""
        return "answered" if self.answered else "deferred"


def decide(answer: Confident, threshold: float, *, minimum_confidence: float = 0.0) -> Decision:
    """Answer or defer. A threshold of 1 means that no confidence keeps the promised precision: everything is deferred.

    Args:
        answer: what the engine said.
        threshold: the build's defer threshold, chosen on validation data for a stated precision.
        minimum_confidence: the workflow's guardrail, which holds whichever build answers.

    Raises:
        ValueError: a confidence, threshold or minimum outside of 0 to 1, NaN included.
    """
    for name, value in (
        ("confidence", answer.confidence),
        ("threshold", threshold),
        ("minimum_confidence", minimum_confidence),
    ):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name}: a number from 0 to 1 was expected, found {value}")
    found = f"confidence {answer.confidence:.3f}"
    if answer.confidence < minimum_confidence:
        reason = f"{found} is below the workflow's minimum {minimum_confidence:.3f}"
        return Decision(False, "below_minimum", reason)
    if threshold >= 1.0:
        return Decision(False, "below_threshold", "no confidence is enough: the build defers everything")
    if answer.confidence < threshold:
        return Decision(False, "below_threshold", f"{found} is below the threshold {threshold:.3f}")
    return Decision(True, "confident", f"{found} reaches the threshold {max(threshold, minimum_confidence):.3f}")
