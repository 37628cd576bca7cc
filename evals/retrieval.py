"""What a retriever finds in a library, through the very search that sites run, against references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evals import gates
from evals.accuracy import require_profile
from evals.calibration import expected_calibration_error, reliability
from evals.predictions import answered
from evals.questions import Question, read_questions, read_unanswered
from evals.ranking import RankingMetric, Rankings, compare_rankings, means, per_question
from evals.relevance import Fitted, fit_relevance
from evals.scores import proportion
from fleet_manifests import (
    AccuracyReport,
    Comparison,
    ConfigError,
    Gate,
    HardwareProfile,
    Machine,
    Measurement,
    Metric,
    OutOfScope,
    Relevance,
    ReliabilityBin,
    worst,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evals.ranking import Values
    from runtimes.engine import Embedder
    from runtimes.knowledge import Pack

NOT_INFERIOR_TO = ("unquantized", "champion", "reference")
"""References that a build may not lose more than the margin against; all others are baselines."""

MAX_SLICES = 80
"""Slice values reported; more of them are ids, not slices."""


@dataclass(frozen=True)
class RetrievalPolicy:
    """What a workflow asks of the rankings of its builds."""

    metric: RankingMetric = "ndcg_at_10"
    """The metric that floor and margin are about."""
    floor: float = 0.0
    margin: float = 0.02
    """Largest loss that does not matter, in the metric's own unit."""
    confidence: float = 0.95
    target_precision: float = 0.9
    """Share of the answered questions whose first passage must answer."""
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.metric not in ("ndcg_at_10", "recall_at_5", "mrr"):
            raise ConfigError(f"retrieval policy: metric: expected ndcg_at_10, recall_at_5 or mrr, found {self.metric}")
        if not 0 < self.margin < 1:
            raise ConfigError(f"retrieval policy: margin: expected more than 0 and less than 1, found {self.margin}")


@dataclass(frozen=True)
class Searched:
    """What a search gave for each question, in their order."""

    questions: tuple[Question, ...]
    rankings: dict[str, tuple[str, ...]]
    """Passage ids, best first, by question id."""
    features: tuple[dict[str, float], ...]
    confidence: NDArray[np.float64]
    """[n] how sure the search is that its first passage answers."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """[n] whether the first passage answers."""
        firsts = [self.rankings[one.id][:1] for one in self.questions]
        hits = [bool(set(first) & set(one.relevant)) for first, one in zip(firsts, self.questions, strict=True)]
        return np.array(hits, dtype=bool)


def search_all(pack: Pack, embedder: Embedder, questions: Sequence[Question]) -> Searched:
    """Ask a pack every question, as a site would.

    Raises:
        IntegrityError: the retriever gives vectors that are not finite.
    """
    rankings: dict[str, tuple[str, ...]] = {}
    features, confidence = [], []
    for question in questions:
        vector = embedder.embed(question.text).vector
        found = pack.search(vector, question.text)
        rankings[question.id] = pack.rankings(vector, question.text).fused
        features.append(dict(found.features))
        confidence.append(found.confidence)
    return Searched(tuple(questions), rankings, tuple(features), np.array(confidence, dtype=np.float64))


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
    """Measure a retriever bundle on `test.jsonl` and `oos_test.jsonl` of its corpus, in the frozen library.

    Confidence and threshold are those that validation questions choose for this bundle in this library;
    in the packs that sites get they are chosen anew.

    Args:
        bundle: folder of the bundle.
        corpus: folder of the corpus.
        pack: the frozen library, indexed.
        documents: the document of each passage, for the slices.
        profile: what the bundle was built for.
        bundle_digest: what the report is about.
        references: rankings of the test questions per reference model.
        policy: metric, floor, margin and statistics.
        taken: when.
        machine: who measures.

    Raises:
        UsageError: the bundle is for another profile.
        DataError: a split cannot be used.
        IntegrityError: the bundle does not load.
    """
    from runtimes.engine import load_embedder

    embedder = load_embedder(bundle)
    require_profile(embedder.config.profile, profile)
    fitted = fit(pack, embedder, corpus, policy)
    split, outside = read_questions(corpus, "test"), read_unanswered(corpus, "oos_test")
    found = figures(
        sure(search_all(pack, embedder, split.questions), fitted.relevance),
        sure(search_all(pack, embedder, outside), fitted.relevance) if outside else None,
        references=references,
        documents=documents,
        threshold=fitted.threshold,
        policy=policy,
    )
    mismatch = profile.mismatch(machine.host)
    judged = on_hardware(found.gates, mismatch)
    return AccuracyReport(
        workflow=embedder.config.workflow,
        profile=profile.name,
        bundle=bundle_digest,
        taken=taken,
        measurement=Measurement.MEASURED if mismatch is None else Measurement.ABSENT,
        machine=machine,
        metrics=found.metrics,
        gates=judged,
        verdict=worst(gate.verdict for gate in judged),
        split=split.ref,
        comparisons=found.comparisons,
        out_of_scope=found.out_of_scope,
        reliability=found.reliability,
    )


def on_hardware(found: Sequence[Gate], mismatch: str | None) -> tuple[Gate, ...]:
    """The gates as they count: without a say where this machine is not of the profile."""
    if mismatch is None:
        return tuple(found)
    seen = [gate if gate.name == "canary" else gates.preview(gate) for gate in found]
    return (*seen, gates.unmeasured(mismatch))


def fit(pack: Pack, embedder: Embedder, corpus: Path, policy: RetrievalPolicy) -> Fitted:
    """How sure a search may be, as the validation questions of a corpus say."""
    asked = search_all(pack, embedder, read_questions(corpus, "validation").questions)
    return fit_searched(asked, search_all(pack, embedder, read_unanswered(corpus, "oos_validation")), policy)


def fit_searched(asked: Searched, outside: Searched, policy: RetrievalPolicy) -> Fitted:
    """The same of searches that were made."""
    right = np.concatenate([asked.right, np.zeros(len(outside.questions), dtype=bool)])
    return fit_relevance(
        [*asked.features, *outside.features],
        right,
        np.arange(len(right)) < len(asked.questions),
        policy.target_precision,
        confidence=policy.confidence,
        seed=policy.seed,
    )


def sure(found: Searched, relevance: Relevance) -> Searched:
    """The searches with the confidence of another relevance model."""
    return replace(found, confidence=np.array([relevance.confidence(one) for one in found.features]))


@dataclass(frozen=True)
class Figures:
    """Everything that a report of a retriever or of a pack says about rankings."""

    metrics: tuple[Metric, ...]
    comparisons: tuple[Comparison, ...]
    gates: tuple[Gate, ...]
    out_of_scope: OutOfScope | None
    reliability: tuple[ReliabilityBin, ...]
    values: Mapping[str, Values] = field(repr=False)
    """Each metric of each question."""


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
        references: rankings of other models for the same questions. Those of `NOT_INFERIOR_TO` are
            gated by the margin, all others are baselines.
        documents: the document of each passage, for the slices.
        threshold: the defer threshold.
        policy: metric, floor, margin and statistics.
    """
    relevant = {question.id: question.relevant for question in found.questions}
    ours = per_question(found.rankings, relevant)
    statistics = {"confidence": policy.confidence, "resamples": policy.resamples, "seed": policy.seed}
    by_name = means(ours, **statistics)  # type: ignore[arg-type]
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
        values=ours,
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
    for comparison in comparisons:
        if comparison.against in NOT_INFERIOR_TO:
            yield gates.non_inferior(comparison, margin=policy.margin)
        else:
            yield gates.no_worse(comparison)
    if "unquantized" not in {comparison.against for comparison in comparisons}:
        yield gates.missing_reference("unquantized")
