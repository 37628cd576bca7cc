"""What a retriever finds in a library, through the very search that sites run, against references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evals import gates, risk
from evals.accuracy import require_profile
from evals.calibration import expected_calibration_error, reliability
from evals.disturbances import disturbed
from evals.observed import Observed
from evals.predictions import answered
from evals.questions import Question, read_questions, read_unanswered
from evals.ranking import Rankings, compare_rankings, mean_interval, means, per_question
from evals.risk import aurc, curve
from evals.robustness import DISTURBED, Robustness
from evals.scores import proportion
from evals.searches import RetrievalPolicy, Searched, fit_searched, search_vectors, sure
from evals.slices import MAX_SLICES, by_field, by_length, flipped, of_values
from evals.statistics import powered
from fleet_manifests import (
    AccuracyReport,
    BundleConfig,
    Comparison,
    Flip,
    Gate,
    HardwareProfile,
    Machine,
    Metric,
    OutOfScope,
    ReliabilityBin,
    RiskPoint,
    Slice,
    worst,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evals.ranking import Values
    from runtimes.knowledge import Pack

UNQUANTIZED = "unquantized"


def cases(corpus: Path) -> dict[str, list[str]]:
    """The texts that a measurement embeds, by split: validation and test questions, answered ones, disturbed, others.

    Raises:
        DataError: a split cannot be read.
    """
    found = {split: read_questions(corpus, split).questions for split in ("validation", "test")}
    found |= {split: read_unanswered(corpus, split) for split in ("oos_validation", "oos_test")}
    texts = {split: [one.text for one in questions] for split, questions in found.items() if questions}
    return texts | {DISTURBED: list(disturbed(texts["test"]).texts)}


def disturbed_questions(questions: Sequence[Question]) -> tuple[Question, ...]:
    """The same questions with disturbed texts; those of `cases`, in their order."""
    changed = disturbed([question.text for question in questions])
    return tuple(
        questions[place].model_copy(update={"text": text, "slices": {"disturbance": kind}})
        for place, kind, text in zip(changed.places, changed.kinds, changed.texts, strict=True)
    )


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
    on_disturbed: Rankings | None = None,
    more: Sequence[Gate] = (),
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
        on_disturbed=on_disturbed,
        more=more,
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
    on_disturbed: Rankings | None = None,
    more: Sequence[Gate] = (),
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
        on_disturbed: what the unquantized model finds for the disturbed questions; None: it was not asked.
        more: gates that were decided elsewhere.

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
    robust = Robustness()
    if DISTURBED in observed.outputs:
        changed = disturbed_questions(split.questions)
        robust = _robustness(asked(changed, DISTURBED), on_disturbed, policy)
    judged = observed.judged([*found.gates, *robust.gates, *more], profile)
    return AccuracyReport(
        workflow=config.workflow,
        profile=profile.name,
        bundle=bundle_digest,
        taken=observed.taken,
        measurement=observed.measurement(profile),
        machine=observed.machine,
        metrics=(*found.metrics, *robust.metrics),
        gates=judged,
        verdict=worst(gate.verdict for gate in judged),
        split=split.ref,
        comparisons=found.comparisons,
        out_of_scope=found.out_of_scope,
        reliability=found.reliability,
        risk=found.risk,
        slices=found.slices,
        flips=found.flips,
        robustness=robust.slices,
    )


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
    return powered(found, policy.margin) if name in gates.NOT_INFERIOR_TO else found


def _robustness(found: Searched, unquantized: Rankings | None, policy: RetrievalPolicy) -> Robustness:
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
