"""What searches of a test split come to: metrics, comparisons, gates, slices and flips of a retriever or a pack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evals import gates, risk
from evals.calibration import expected_calibration_error, reliability
from evals.gates import UNQUANTIZED
from evals.predictions import answered
from evals.questions import Question
from evals.ranking import Rankings, compare_rankings, mean_interval, means, per_question
from evals.risk import aurc, curve
from evals.robustness import Robustness
from evals.scores import proportion
from evals.searches import RetrievalPolicy, Searched
from evals.slices import MAX_SLICES, by_field, by_length, flipped, of_values
from fleet_manifests import (
    Comparison,
    Flip,
    Gate,
    Metric,
    OutOfScope,
    ReliabilityBin,
    RiskPoint,
    Slice,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evals.ranking import Values


@dataclass(frozen=True)
class Figures:
    """Everything that a report of a retriever or of a pack says about rankings."""

    metrics: tuple[Metric, ...]
    comparisons: tuple[Comparison, ...]
    gates: tuple[Gate, ...]
    out_of_scope: OutOfScope | None
    reliability: tuple[ReliabilityBin, ...]
    risk: tuple[RiskPoint, ...]
    slices: tuple[Slice, ...]
    flips: tuple[Flip, ...]


def figures(
    found: Searched,
    unanswered: Searched | None,
    *,
    references: Mapping[str, Rankings],
    documents: Mapping[str, str],
    threshold: float,
    policy: RetrievalPolicy,
) -> Figures:
    """Metrics, comparisons and gates of the searches of a test split.

    Args:
        found: searches of questions that the library answers.
        unanswered: searches of questions that it does not answer; None where there are none.
        references: rankings of other models for the same questions. Those of `gates.NOT_INFERIOR_TO` are
            gated by the margin, all others are baselines.
        documents: the document of each passage, for the slices.
        threshold: the defer threshold.
        policy: metric, floor, margin and statistics.
    """
    relevant = {question.id: question.relevant for question in found.questions}
    ours = per_question(found.rankings, relevant)
    theirs = {name: per_question(references[name], relevant) for name in sorted(references)}
    by_name = means(ours, confidence=policy.confidence, resamples=policy.resamples, seed=policy.seed)
    comparisons = tuple(_compared(name, ours, values, policy) for name, values in theirs.items())
    promise = dict(_promise(found, unanswered, threshold, policy.confidence))
    sure, right = _sure(found, unanswered)
    bins = reliability(sure, right)
    calibration_error = Metric(name="ece", value=expected_calibration_error(bins), n=sum(item.n for item in bins))
    places = _places(found.questions, documents)
    unquantized = theirs[UNQUANTIZED][policy.metric] if UNQUANTIZED in theirs else None
    return Figures(
        metrics=(*by_name.values(), *promise.values(), calibration_error, aurc(sure, right)),
        comparisons=comparisons,
        gates=tuple(_gates(found, by_name[policy.metric], promise, comparisons, policy)),
        out_of_scope=_out_of_scope(found, unanswered, threshold),
        reliability=bins,
        risk=curve(sure, right),
        slices=tuple(of_values(places, ours[policy.metric], unquantized)),
        flips=tuple(_flips(found, references.get(UNQUANTIZED))),
    )


def _compared(
    name: str, ours: Mapping[str, Values], theirs: Mapping[str, Values], policy: RetrievalPolicy
) -> Comparison:
    """The paired difference to a reference, with what the questions can tell of the margin."""
    found = compare_rankings(
        ours, theirs, metric=policy.metric, against=name,
        confidence=policy.confidence, resamples=policy.resamples, seed=policy.seed,
    )  # fmt: skip
    return gates.with_power(found, policy.margin)


def robustness(found: Searched, unquantized: Rankings | None, policy: RetrievalPolicy) -> Robustness:
    """What is found for disturbed questions, and whether quantization cost more there."""
    relevant = {question.id: question.relevant for question in found.questions}
    ours = per_question(found.rankings, relevant)[policy.metric]
    theirs = None if unquantized is None else per_question(unquantized, relevant)
    places = by_field([question.slices for question in found.questions])
    some = {name.removeprefix("disturbance="): rows for name, rows in places.items()}
    slices = tuple(of_values(some, ours, None if theirs is None else theirs[policy.metric]))
    name = f"{policy.metric}/disturbed"
    low, high = mean_interval(ours, confidence=policy.confidence, resamples=policy.resamples, seed=policy.seed)
    metric = Metric(name=name, value=float(ours.mean()), n=len(ours), low=max(low, 0.0), high=min(high, 1.0))
    if theirs is None:
        return Robustness((metric,), slices)
    compared = _compared(UNQUANTIZED, {policy.metric: ours}, theirs, policy)
    return Robustness((metric,), slices, (gates.robust(compared, margin=policy.margin),))


def _flips(found: Searched, unquantized: Rankings | None) -> Iterator[Flip]:
    """Questions that only one of the two models answers with its first passage."""
    if unquantized is None:
        return
    theirs = np.array([bool(set(unquantized.get(one.id, ())[:1]) & set(one.relevant)) for one in found.questions])
    for place in flipped(found.right, theirs):
        question = found.questions[place]
        yield Flip(
            against=UNQUANTIZED,
            item=question.id,
            truth=question.relevant[0],
            ours=next(iter(found.rankings[question.id]), ""),
            theirs=next(iter(unquantized.get(question.id, ())), ""),
            confidence=float(found.confidence[place]),
        )


def _promise(
    found: Searched, unanswered: Searched | None, threshold: float, confidence: float
) -> Iterator[tuple[str, Metric]]:
    """How many answerable questions are answered, and how often an answered question of any kind is right."""
    yield "coverage", proportion("coverage", answered(found.confidence, threshold), confidence)
    sure, right = _sure(found, unanswered)
    kept = answered(sure, threshold)
    if kept.any():
        yield "precision_answered", proportion("precision_answered", right[kept], confidence)


def _sure(found: Searched, unanswered: Searched | None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidence and outcome of all questions together."""
    if unanswered is None:
        return found.confidence, found.right
    return (
        np.concatenate([found.confidence, unanswered.confidence]),
        np.concatenate([found.right, np.zeros(len(unanswered.questions), dtype=bool)]),
    )


def _out_of_scope(found: Searched, unanswered: Searched | None, threshold: float) -> OutOfScope | None:
    """How well confidence tells questions that the library answers from those that it does not."""
    if unanswered is None:
        return None
    deferred = ~answered(unanswered.confidence, threshold)
    return risk.out_of_scope(found.confidence, unanswered.confidence, deferred)


def _places(questions: Sequence[Question], documents: Mapping[str, str]) -> dict[str, list[int]]:
    """The questions of each kind, length and document."""
    places = by_field([question.slices for question in questions])
    places |= by_length([question.text for question in questions])
    of_document: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        for document in sorted({documents[passage] for passage in question.relevant}):
            of_document.setdefault(f"document={document}", []).append(place)
    return places | (dict(sorted(of_document.items())) if len(of_document) <= MAX_SLICES else {})


def _gates(
    found: Searched,
    metric: Metric,
    promise: Mapping[str, Metric],
    comparisons: Sequence[Comparison],
    policy: RetrievalPolicy,
) -> Iterator[Gate]:
    yield gates.varied([found.rankings[question.id][:1] for question in found.questions])
    yield gates.floor(metric, policy.floor)
    yield gates.deferral(promise["coverage"], promise.get("precision_answered"), target=policy.target_precision)
    yield from gates.references(comparisons, margin=policy.margin)
