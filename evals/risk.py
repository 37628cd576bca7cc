"""What a confidence is good for: the coverage-precision curve, and telling rows in scope from others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evals.statistics import proportion_interval
from fleet_manifests import Metric, OutOfScope, RiskPoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

POINTS = 100
"""Points of the curve that a report keeps."""


def curve(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> tuple[RiskPoint, ...]:
    """The precision of the surest items at each coverage, least first; items of equal confidence come together."""
    n, right = _ranked(confidence, correct)
    if len(n) > POINTS:
        kept = np.unique(np.linspace(0, len(n) - 1, POINTS).round().astype(np.intp))
        n, right = n[kept], right[kept]
    total = len(confidence)
    return tuple(
        RiskPoint(coverage=float(some / total), precision=float(hits / some))
        for some, hits in zip(n, right, strict=True)
    )


def aurc(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> Metric:
    """Area under the risk-coverage curve: the mean error rate over all coverages, lower is better.

    Geifman, Uziel and El-Yaniv (2019), "Bias-reduced uncertainty estimation for deep neural classifiers". Items of
    equal confidence share the mean of their orders, so that the order of the rows does not matter.
    """
    n, right = _ranked(confidence, correct)
    before, sizes = np.concatenate([[0], n[:-1]]), np.diff(n, prepend=0)
    wrong_before, wrong = np.concatenate([[0], (n - right)[:-1]]), np.diff(n - right, prepend=0)
    area = 0.0
    for start, size, missed, more in zip(before, sizes, wrong_before, wrong, strict=True):
        step = np.arange(1, size + 1)
        area += float(np.sum((missed + more * step / size) / (start + step)))
    return Metric(name="aurc", value=area / len(confidence), n=len(confidence))


def _ranked(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """How many items each distinct confidence answers, and how many of them are right."""
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    ends = np.flatnonzero(np.append(ranked[:-1] != ranked[1:], True))
    return (ends + 1).astype(np.intp), np.cumsum(correct[order], dtype=np.intp)[ends]


def out_of_scope(
    inside: NDArray[np.float64], outside: NDArray[np.float64], deferred: NDArray[np.bool_], confidence: float = 0.95
) -> OutOfScope:
    """How well a confidence tells rows of the workflow from rows that belong to no class.

    AUROC, and the false positive rate at 95 % true positives (Hendrycks and Gimpel 2017), rows in scope being
    the positives.

    Args:
        inside: confidence of rows in scope.
        outside: confidence of the others.
        deferred: which of the others a site would defer.
        confidence: of the interval.
    """
    from sklearn.metrics import roc_auc_score

    is_inside = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    keeps = np.sort(inside)[max(len(inside) - int(np.ceil(0.95 * len(inside))), 0)]
    low, high = proportion_interval(int(deferred.sum()), len(deferred), confidence)
    return OutOfScope(
        n=len(outside),
        auroc=float(roc_auc_score(is_inside, np.concatenate([inside, outside]))),
        deferred=float(deferred.mean()),
        low=low,
        high=high,
        fpr95=float((outside >= keeps).mean()),
    )
