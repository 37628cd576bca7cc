"""The figures of a classifier on labelled rows, with their intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from evals import risk
from evals.predictions import NO_ANSWER, Predictions
from evals.statistics import class_f1, macro_f1, macro_f1_interval, proportion_interval
from fleet_manifests import Confusion, Metric, OutOfScope

if TYPE_CHECKING:
    from numpy.typing import NDArray


def scores(
    truth: NDArray[np.intp], predictions: Predictions, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Iterator[Metric]:
    """Accuracy, macro-F1, F1 of each class that occurs, coverage, and precision of the answered rows."""
    classes, n = len(predictions.labels), len(truth)
    correct, kept = predictions.codes == truth, predictions.answered
    low, high = macro_f1_interval(
        truth, predictions.codes, classes, confidence=confidence, resamples=resamples, seed=seed
    )
    yield proportion("accuracy", correct, confidence)
    yield Metric(name="macro_f1", value=macro_f1(truth, predictions.codes, classes), n=n, low=low, high=high)
    yield proportion("coverage", kept, confidence)
    if kept.any():
        yield proportion("precision_answered", correct[kept], confidence)
    support = np.bincount(truth, minlength=classes)
    for label, value, count in zip(
        predictions.labels, class_f1(truth, predictions.codes, classes), support, strict=True
    ):
        if count:
            yield Metric(name=f"f1/{label}", value=float(value), n=int(count))


def proportion(name: str, hits: NDArray[np.bool_], confidence: float = 0.95) -> Metric:
    """A share with its Wilson interval."""
    low, high = proportion_interval(int(hits.sum()), len(hits), confidence)
    return Metric(name=name, value=float(hits.mean()), n=len(hits), low=low, high=high)


def confusion(truth: NDArray[np.intp], predictions: Predictions) -> Confusion:
    """Counts of true against predicted labels; rows without an answer are left out."""
    classes = len(predictions.labels)
    usable = predictions.codes != NO_ANSWER
    flat = truth[usable] * classes + predictions.codes[usable]
    counts = np.bincount(flat, minlength=classes * classes).reshape(classes, classes)
    return Confusion(labels=predictions.labels, counts=tuple(tuple(row) for row in counts.tolist()))


def out_of_scope(inside: Predictions, outside: Predictions) -> OutOfScope:
    """How well confidence tells rows of the workflow from rows that belong to no class."""
    return risk.out_of_scope(inside.confidence, outside.confidence, ~outside.answered)
