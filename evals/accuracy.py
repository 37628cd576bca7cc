"""Accuracy of a bundle on its workflow's test split, against references on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from evals import gates
from evals.calibration import expected_calibration_error, reliability
from evals.disturbances import disturbed
from evals.engines import Engine, load_engine, this_machine
from evals.observed import Observed
from evals.policy import Policy
from evals.predictions import Predictions, aligned, encode, predictions_of
from evals.risk import aurc, curve
from evals.robustness import DISTURBED, robustness
from evals.rows import Split, read_split
from evals.scores import confusion, out_of_scope, scores
from evals.slices import by_field, by_length, flipped, of_hits
from evals.statistics import MetricName, compare
from fleet_manifests import (
    AccuracyReport,
    BundleConfig,
    Comparison,
    ConfigError,
    Flip,
    Gate,
    HardwareProfile,
    Machine,
    Metric,
    Slice,
    UsageError,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from runtimes.engine.confidence import Confidence


@dataclass(frozen=True)
class AccuracyPolicy(Policy):
    """What a workflow asks of the accuracy of its builds."""

    metric: MetricName = "macro_f1"
    """The metric that floor and margin are about."""

    what: ClassVar[str] = "accuracy policy"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        if self.metric not in ("accuracy", "macro_f1"):
            raise ConfigError(f"accuracy policy: metric: expected accuracy or macro_f1, found {self.metric}")


def cases(corpus: Path) -> dict[str, list[str]]:
    """The texts that a measurement runs, by split: `test`, the same disturbed, and `oos_test` where there is one.

    Raises:
        DataError: a split cannot be read.
    """
    texts = read_split(corpus, "test").texts
    outside = _outside(corpus)
    return {
        "test": texts,
        DISTURBED: list(disturbed(texts).texts),
        **({} if outside is None else {"oos_test": outside.texts}),
    }


def measure(
    bundle: Path,
    corpus: Path,
    *,
    profile: HardwareProfile,
    bundle_digest: str,
    references: Mapping[str, Sequence[str]],
    policy: AccuracyPolicy,
    taken: datetime,
    on_disturbed: Sequence[str] | None = None,
    more: Sequence[Gate] = (),
    engine: Engine | None = None,
    machine: Machine | None = None,
) -> AccuracyReport:
    """Run a bundle over its cases in this process, and judge what it gave.

    Args:
        bundle: folder of the bundle.
        corpus: folder of the corpus.
        profile: what the bundle was built for.
        bundle_digest: what the report is about.
        references: see `judge`.
        policy: metric, floor, margin and statistics.
        taken: when.
        on_disturbed: see `judge`.
        more: see `judge`.
        engine: a loaded bundle; None loads it.
        machine: who measures; None asks the machine.

    Raises:
        UsageError: the bundle is for another profile.
        DataError: the split or a reference cannot be used.
        IntegrityError: the bundle does not load.
    """
    engine = engine or load_engine(bundle)
    require_profile(engine.config.profile, profile)
    outputs = {split: engine.logits(texts) for split, texts in cases(corpus).items()}
    return judge(
        engine.config,
        engine.confidence,
        corpus,
        Observed(outputs, machine or this_machine(), taken),
        profile=profile,
        bundle_digest=bundle_digest,
        references=references,
        policy=policy,
        on_disturbed=on_disturbed,
        more=more,
    )


def judge(
    config: BundleConfig,
    confidence: Confidence,
    corpus: Path,
    observed: Observed,
    *,
    profile: HardwareProfile,
    bundle_digest: str,
    references: Mapping[str, Sequence[str]],
    policy: AccuracyPolicy,
    on_disturbed: Sequence[str] | None = None,
    more: Sequence[Gate] = (),
) -> AccuracyReport:
    """The report of what a classifier gave for the texts of `cases`, wherever it ran.

    Args:
        config: what the bundle says of itself.
        confidence: how sure it is of logits: `runtimes.engine.load_confidence` of its folder.
        corpus: folder of the corpus.
        observed: logits of `test`, and of `oos_test` where the corpus has one.
        profile: what the bundle was built for.
        bundle_digest: what the report is about.
        references: predicted labels per reference model, row-aligned with the test split.
            Those of `gates.NOT_INFERIOR_TO` are gated by the margin, all others are baselines.
        policy: metric, floor, margin and statistics.
        on_disturbed: what the unquantized model answers to the disturbed texts; None: it was not asked.
        more: gates that were decided elsewhere.

    Raises:
        UsageError: the bundle is for another profile.
        DataError: the split or a reference cannot be used.
        IntegrityError: the observations are not of this corpus or not of this bundle.
    """
    require_profile(config.profile, profile)
    split = read_split(corpus, "test")
    truth = _truth(corpus, split, config.labels)
    predictions = predictions_of(observed.of("test", split.ref.n), config, confidence)
    others = _outside(corpus)
    correct = predictions.codes == truth
    codes = {name: aligned(name, given, truth, config.labels) for name, given in sorted(references.items())}

    comparisons = tuple(_comparisons(truth, predictions, codes, policy))
    robust = robustness(observed, split, truth, config, confidence, on_disturbed, policy)
    bins = reliability(predictions.confidence, correct)
    metrics = (
        *scores(truth, predictions, confidence=policy.confidence, resamples=policy.resamples, seed=policy.seed),
        Metric(name="ece", value=expected_calibration_error(bins), n=len(truth)),
        aurc(predictions.confidence, correct),
        *robust.metrics,
    )
    found = _gates(truth, predictions, metrics, comparisons, policy, config.calibration.target_precision)
    return AccuracyReport(
        **observed.heading(config, profile, bundle_digest, [*found, *robust.gates, *more]),
        metrics=metrics,
        split=split.ref,
        comparisons=comparisons,
        confusion=confusion(truth, predictions),
        out_of_scope=None
        if others is None
        else out_of_scope(predictions, predictions_of(observed.of("oos_test", others.ref.n), config, confidence)),
        reliability=bins,
        risk=curve(predictions.confidence, correct),
        slices=tuple(_slices(split, correct, codes.get(gates.UNQUANTIZED), truth, policy)),
        flips=tuple(_flips(split, truth, predictions, codes.get(gates.UNQUANTIZED))),
        robustness=robust.slices,
    )


def require_profile(built_for: str, profile: HardwareProfile) -> None:
    """Refuse to measure a bundle for a profile that it was not built for.

    Raises:
        UsageError: the two differ.
    """
    if built_for != profile.name:
        raise UsageError(f"profile {profile.name}: the bundle was built for {built_for}; measure it for that profile")


def _truth(corpus: Path, split: Split, labels: Sequence[str]) -> NDArray[np.intp]:
    names = [row.label or "" for row in split.rows]
    return encode(names, labels, strict=str(corpus / f"{split.ref.name}.jsonl"))


def _comparisons(
    truth: NDArray[np.intp],
    predictions: Predictions,
    references: Mapping[str, NDArray[np.intp]],
    policy: AccuracyPolicy,
) -> Iterator[Comparison]:
    """One comparison per reference, in the order of their names."""
    for name, theirs in references.items():
        found = compare(
            truth,
            predictions.codes,
            theirs,
            classes=len(predictions.labels),
            metric=policy.metric,
            against=name,
            confidence=policy.confidence,
            resamples=policy.resamples,
            seed=policy.seed,
        )
        yield gates.with_power(found, policy.margin)


def _slices(
    split: Split,
    correct: NDArray[np.bool_],
    unquantized: NDArray[np.intp] | None,
    truth: NDArray[np.intp],
    policy: AccuracyPolicy,
) -> Iterator[Slice]:
    """Accuracy per class, per kind of row and per length, beside the unquantized model's."""
    fields = [{"label": row.label or "", **row.slices} for row in split.rows]
    places = by_field(fields) | by_length(split.texts)
    yield from of_hits(places, correct, None if unquantized is None else unquantized == truth, policy.confidence)


def _flips(
    split: Split, truth: NDArray[np.intp], predictions: Predictions, unquantized: NDArray[np.intp] | None
) -> Iterator[Flip]:
    """Rows that only one of the two models gets right."""
    if unquantized is None:
        return
    names = (*predictions.labels, "")
    for place in flipped(predictions.codes == truth, unquantized == truth):
        yield Flip(
            against=gates.UNQUANTIZED,
            item=f"line {split.rows[place].line}",
            truth=names[truth[place]],
            ours=names[predictions.codes[place]],
            theirs=names[unquantized[place]],
            confidence=float(predictions.confidence[place]),
        )


def _gates(
    truth: NDArray[np.intp],
    predictions: Predictions,
    metrics: Sequence[Metric],
    comparisons: Sequence[Comparison],
    policy: AccuracyPolicy,
    target_precision: float,
) -> list[Gate]:
    by_name = {metric.name: metric for metric in metrics}
    return [
        gates.canary(predictions, len(np.unique(truth))),
        gates.floor(by_name[policy.metric], policy.floor),
        gates.deferral(by_name["coverage"], by_name.get("precision_answered"), target=target_precision),
        *gates.references(comparisons, margin=policy.margin),
    ]


def _outside(corpus: Path) -> Split | None:
    """Rows that belong to no class; None where the corpus has none."""
    path = corpus / "oos_test.jsonl"
    return read_split(corpus, "oos_test") if path.is_file() and path.stat().st_size else None
