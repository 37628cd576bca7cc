"""Which candidate of a workflow ships: the best on validation. Pure: no disk, no clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.predictions import encode
from evals.scores import proportion
from evals.statistics import MetricName, macro_f1, macro_f1_interval
from fleet_manifests import DataError, Metric, Wire

TITLES = {"macro_f1": "macro-F1", "accuracy": "accuracy"}


class Scored(Wire):
    """A candidate, and what it is worth on validation."""

    name: str
    """As the workflow's `training.candidates` names it."""
    what: str
    """What it is, in words."""
    metric: Metric
    """The metric of the workflow's gate, with its interval."""
    size: int
    """Bytes of model and tokenizer."""


class Choice(Wire):
    """The candidates of a workflow and the one that ships."""

    chosen: str
    candidates: tuple[Scored, ...]
    """Best first."""
    floor: float
    reason: str
    """One sentence with the figures that decided."""

    @property
    def best(self) -> Scored:
        """The one that ships."""
        return self.candidates[0]

    @property
    def others(self) -> tuple[Scored, ...]:
        """The ones that do not."""
        return self.candidates[1:]

    @property
    def above_floor(self) -> bool:
        """Whether it reaches the workflow's floor on validation; the test split decides whether it may ship."""
        return self.best.metric.value >= self.floor


def score(
    truth: Sequence[str], answers: Sequence[str], metric: MetricName, *, confidence: float = 0.95, seed: int = 0
) -> Metric:
    """What some answers are worth.

    Args:
        truth: the labels.
        answers: those of a candidate, one per row.
        metric: which figure.
        confidence: of the interval.
        seed: of the bootstrap that gives it.

    Raises:
        DataError: no rows, or another number of answers.
    """
    if not truth or len(truth) != len(answers):
        raise DataError(f"validation: one answer for each of {len(truth)} rows expected, found {len(answers)}")
    labels = sorted({*truth, *answers})
    right, given = encode(truth, labels), encode(answers, labels)
    if metric == "accuracy":
        return proportion(metric, np.asarray(right == given), confidence)
    low, high = macro_f1_interval(right, given, len(labels), confidence=confidence, seed=seed)
    return Metric(name=metric, value=macro_f1(right, given, len(labels)), n=len(truth), low=low, high=high)


def choose(candidates: Sequence[Scored], floor: float) -> Choice:
    """The best candidate; of equal ones the smaller, then the first by name.

    Args:
        candidates: at least one.
        floor: the workflow's absolute floor of the metric.

    Raises:
        DataError: no candidate.
    """
    if not candidates:
        raise DataError("candidates: at least one expected, found none; name one in the workflow's training.candidates")
    ranked = tuple(sorted(candidates, key=lambda one: (-one.metric.value, one.size, one.name)))
    best, others = ranked[0], ranked[1:]
    said = f"{best.what}: {_figure(best)}"
    if others:
        tied = others[0].metric.value == best.metric.value
        said += ", the smaller of equal ones, before " if tied else ", before "
        said += ", ".join(f"{other.what} ({_figure(other)})" for other in others)
    else:
        said += ", the only candidate"
    if best.metric.value < floor:
        said += f"; below the floor of {floor:.3f} on validation, so expect the gate on the test split to refuse it"
    return Choice(chosen=best.name, candidates=ranked, floor=floor, reason=said)


def _figure(one: Scored) -> str:
    """The metric with its interval."""
    found = one.metric
    return f"{TITLES[found.name]} {found.value:.4f} [{found.low:.4f}, {found.high:.4f}], n = {found.n}"
