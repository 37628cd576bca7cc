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
from evals.engines import Engine, load_engine, this_machine
from evals.observed import Observed
from evals.policy import Policy
from evals.predictions import Predictions, encode, predictions_of
from evals.rows import Split, read_split
from evals.scores import confusion, out_of_scope, proportion, scores
from evals.statistics import MetricName, compare
from fleet_manifests import (
    AccuracyReport,
    BundleConfig,
    Comparison,
    ConfigError,
    DataError,
    Gate,
    HardwareProfile,
    Machine,
    Metric,
    UsageError,
    worst,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_SLICES = 50
"""Slice values reported; more of them are ids, not slices."""


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
    """The texts that a measurement runs, by split: `test`, and `oos_test` where the corpus has one.

    Raises:
        DataError: a split cannot be read.
    """
    found = {"test": read_split(corpus, "test").texts}
    path = corpus / "oos_test.jsonl"
    if path.is_file() and path.stat().st_size:
        found["oos_test"] = read_split(corpus, "oos_test").texts
    return found


def measure(
    bundle: Path,
    corpus: Path,
    *,
    profile: HardwareProfile,
    bundle_digest: str,
    references: Mapping[str, Sequence[str]],
    policy: AccuracyPolicy,
    taken: datetime,
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
        corpus,
        Observed(outputs, machine or this_machine(), taken),
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
    profile: HardwareProfile,
    bundle_digest: str,
    references: Mapping[str, Sequence[str]],
    policy: AccuracyPolicy,
) -> AccuracyReport:
    """The report of what a classifier gave for the texts of `cases`, wherever it ran.

    Args:
        config: what the bundle says of itself.
        corpus: folder of the corpus.
        observed: logits of `test`, and of `oos_test` where the corpus has one.
        profile: what the bundle was built for.
        bundle_digest: what the report is about.
        references: predicted labels per reference model, row-aligned with the test split.
            Those of `gates.NOT_INFERIOR_TO` are gated by the margin, all others are baselines.
        policy: metric, floor, margin and statistics.

    Raises:
        UsageError: the bundle is for another profile.
        DataError: the split or a reference cannot be used.
        IntegrityError: the observations are not of this corpus or not of this bundle.
    """
    require_profile(config.profile, profile)
    split = read_split(corpus, "test")
    truth = _truth(corpus, split, config.labels)
    predictions = predictions_of(observed.of("test", split.ref.n), config)
    outside = _outside(observed, corpus, config)
    correct = predictions.codes == truth

    comparisons = tuple(_comparisons(truth, predictions, references, policy))
    bins = reliability(predictions.confidence, correct)
    metrics = tuple(_metrics(truth, predictions, split, policy))
    calibration_error = Metric(name="ece", value=expected_calibration_error(bins), n=len(truth))
    found = _gates(truth, predictions, metrics, comparisons, policy, config.calibration.target_precision)
    judged = observed.judged(found, profile)
    return AccuracyReport(
        workflow=config.workflow,
        profile=profile.name,
        bundle=bundle_digest,
        taken=observed.taken,
        measurement=observed.measurement(profile),
        machine=observed.machine,
        metrics=(*metrics, calibration_error),
        gates=judged,
        verdict=worst(gate.verdict for gate in judged),
        split=split.ref,
        comparisons=comparisons,
        confusion=confusion(truth, predictions),
        out_of_scope=None if outside is None else out_of_scope(predictions, outside),
        reliability=bins,
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


def _metrics(
    truth: NDArray[np.intp], predictions: Predictions, split: Split, policy: AccuracyPolicy
) -> Iterator[Metric]:
    yield from scores(truth, predictions, confidence=policy.confidence, resamples=policy.resamples, seed=policy.seed)
    correct = predictions.codes == truth
    places: dict[str, list[int]] = {}
    for place, row in enumerate(split.rows):
        for name, value in row.slices.items():
            places.setdefault(f"accuracy/{name}={value}", []).append(place)
    if len(places) <= MAX_SLICES:
        for name, rows in sorted(places.items()):
            yield proportion(name, correct[rows], policy.confidence)


def _comparisons(
    truth: NDArray[np.intp], predictions: Predictions, references: Mapping[str, Sequence[str]], policy: AccuracyPolicy
) -> Iterator[Comparison]:
    """One comparison per reference, in the order of their names."""
    for name in sorted(references):
        if len(references[name]) != len(truth):
            raise DataError(
                f"reference {name}: expected {len(truth)} predictions, one per test row, found "
                f"{len(references[name])}; predict the same split again"
            )
        yield compare(
            truth,
            predictions.codes,
            encode(references[name], predictions.labels),
            classes=len(predictions.labels),
            metric=policy.metric,
            against=name,
            confidence=policy.confidence,
            resamples=policy.resamples,
            seed=policy.seed,
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


def _outside(observed: Observed, corpus: Path, config: BundleConfig) -> Predictions | None:
    """What the model answers to rows that belong to no class; None where the corpus has none."""
    path = corpus / "oos_test.jsonl"
    if not path.is_file() or path.stat().st_size == 0:
        return None
    return predictions_of(observed.of("oos_test", read_split(corpus, "oos_test").ref.n), config)
