"""What a retriever finds in a library, through the very search that sites run, against references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evals import gates
from evals.accuracy import require_profile
from evals.calibration import expected_calibration_error, reliability
from evals.observed import Observed
from evals.predictions import answered
from evals.questions import Question, read_questions, read_unanswered
from evals.ranking import Rankings, compare_rankings, means, per_question
from evals.scores import proportion
from evals.searches import RetrievalPolicy, Searched, fit_searched, search_vectors, sure
from fleet_manifests import (
    AccuracyReport,
    BundleConfig,
    Comparison,
    Gate,
    HardwareProfile,
    Machine,
    Metric,
    OutOfScope,
    ReliabilityBin,
    worst,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evals.ranking import Values
    from runtimes.knowledge import Pack

MAX_SLICES = 80
"""Slice values reported; more of them are ids, not slices."""


def cases(corpus: Path) -> dict[str, list[str]]:
    """The texts that a measurement embeds, by split: validation and test questions, answered ones and others.

    Raises:
        DataError: a split cannot be read.
    """
    found = {split: read_questions(corpus, split).questions for split in ("validation", "test")}
    found |= {split: read_unanswered(corpus, split) for split in ("oos_validation", "oos_test")}
    return {split: [one.text for one in questions] for split, questions in found.items() if questions}


def measure(
    bundle: Path,
    corpus: Path,
    *,
    pack: Pack,
    documents: Mapping[str, str],
    profile: HardwareProfile,
    bundle_digest: str,
    references: Mapping[str, Rankings],
    policy: RetrievalPolicy,
    taken: datetime,
    machine: Machine,
) -> AccuracyReport:
    """Embed the questions of `cases` in this process, and judge what is found with them; see `judge`.

    Raises:
        UsageError: the bundle is for another profile.
        DataError: a split cannot be used.
        IntegrityError: the bundle does not load.
    """
    from runtimes.engine import load_embedder

    embedder = load_embedder(bundle)
    require_profile(embedder.config.profile, profile)
    outputs = {split: embedder.embeddings(texts) for split, texts in cases(corpus).items()}
    return judge(
        embedder.config,
        corpus,
        Observed(outputs, machine, taken),
        pack=pack,
        documents=documents,
        profile=profile,
        bundle_digest=bundle_digest,
        references=references,
        policy=policy,
    )


def judge(
    config: BundleConfig,
    corpus: Path,
    observed: Observed,
    *,
    pack: Pack,
    documents: Mapping[str, str],
    profile: HardwareProfile,
    bundle_digest: str,
    references: Mapping[str, Rankings],
    policy: RetrievalPolicy,
) -> AccuracyReport:
    """The report of the embeddings that a retriever gave for the questions of `cases`, wherever it ran.

    Confidence and threshold are those that validation questions choose for this bundle in this library;
    in the packs that sites get they are chosen anew.

    Args:
        config: what the bundle says of itself.
        corpus: folder of the corpus.
        observed: embeddings of the questions.
        pack: the frozen library, indexed.
        documents: the document of each passage, for the slices.
        profile: what the bundle was built for.
        bundle_digest: what the report is about.
        references: rankings of the test questions per reference model.
        policy: metric, floor, margin and statistics.

    Raises:
        UsageError: the bundle is for another profile.
        DataError: a split cannot be used.
        IntegrityError: the observations are not of this corpus.
    """
    require_profile(config.profile, profile)

    def asked(questions: Sequence[Question], split: str) -> Searched:
        vectors = observed.of(split, len(questions)) if questions else np.empty((0, config.dimension or 0), np.float32)
        return search_vectors(pack, vectors, questions)

    chosen_on = read_questions(corpus, "validation").questions
    outside = read_unanswered(corpus, "oos_validation")
    fitted = fit_searched(asked(chosen_on, "validation"), asked(outside, "oos_validation"), policy)
    split, unanswered = read_questions(corpus, "test"), read_unanswered(corpus, "oos_test")
    found = figures(
        sure(asked(split.questions, "test"), fitted.relevance),
        sure(asked(unanswered, "oos_test"), fitted.relevance) if unanswered else None,
        references=references,
        documents=documents,
        threshold=fitted.threshold,
        policy=policy,
    )
    judged = observed.judged(found.gates, profile)
    return AccuracyReport(
        workflow=config.workflow,
        profile=profile.name,
        bundle=bundle_digest,
        taken=observed.taken,
        measurement=observed.measurement(profile),
        machine=observed.machine,
        metrics=found.metrics,
        gates=judged,
        verdict=worst(gate.verdict for gate in judged),
        split=split.ref,
        comparisons=found.comparisons,
        out_of_scope=found.out_of_scope,
        reliability=found.reliability,
    )


@dataclass(frozen=True)
class Figures:
    """Everything that a report of a retriever or of a pack says about rankings."""

    metrics: tuple[Metric, ...]
    comparisons: tuple[Comparison, ...]
    gates: tuple[Gate, ...]
    out_of_scope: OutOfScope | None
    reliability: tuple[ReliabilityBin, ...]


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
    by_name = means(ours, confidence=policy.confidence, resamples=policy.resamples, seed=policy.seed)
    comparisons = tuple(
        compare_rankings(
            ours, per_question(references[name], relevant), metric=policy.metric, against=name,
            confidence=policy.confidence, resamples=policy.resamples, seed=policy.seed,
        )
        for name in sorted(references)
    )  # fmt: skip
    promise = dict(_promise(found, unanswered, threshold, policy.confidence))
    bins = reliability(*_sure(found, unanswered))
    calibration_error = Metric(name="ece", value=expected_calibration_error(bins), n=sum(item.n for item in bins))
    slices = tuple(_slices(found.questions, ours[policy.metric], policy.metric, documents))
    return Figures(
        metrics=(*by_name.values(), *promise.values(), calibration_error, *slices),
        comparisons=comparisons,
        gates=tuple(_gates(found, by_name[policy.metric], promise, comparisons, policy)),
        out_of_scope=_out_of_scope(found, unanswered, threshold),
        reliability=bins,
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
    from sklearn.metrics import roc_auc_score

    inside = np.concatenate([np.ones(len(found.questions)), np.zeros(len(unanswered.questions))])
    confidence = np.concatenate([found.confidence, unanswered.confidence])
    deferred = ~answered(unanswered.confidence, threshold)
    return OutOfScope(
        n=len(unanswered.questions), auroc=float(roc_auc_score(inside, confidence)), deferred=float(deferred.mean())
    )


def _slices(
    questions: Sequence[Question], values: Values, metric: str, documents: Mapping[str, str]
) -> Iterator[Metric]:
    """The metric per document and per kind of question."""
    places: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        for name, value in question.slices.items():
            places.setdefault(f"{metric}/{name}={value}", []).append(place)
        for document in sorted({documents[passage] for passage in question.relevant}):
            places.setdefault(f"{metric}/document={document}", []).append(place)
    if len(places) <= MAX_SLICES:
        for name, some in sorted(places.items()):
            yield Metric(name=name, value=float(values[some].mean()), n=len(some))


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
