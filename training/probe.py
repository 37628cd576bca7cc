"""Logistic regression on frozen embeddings: the baseline to beat, and where the tuned head starts.

LP-FT, Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution": fit the head on frozen features first, then tune everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from training.arguments import ClassWeighting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LENGTH = 10.0
"""Mean length that embeddings are scaled to before a regression is fitted."""


@dataclass(frozen=True)
class Probe:
    """A fitted linear layer on raw embeddings: logits = x @ weight.T + bias."""

    weight: NDArray[np.float32]
    """[classes, hidden]."""
    bias: NDArray[np.float32]
    """[classes]."""
    strength: float
    """The inverse regularisation strength that validation chose."""
    macro_f1: float
    """On validation."""

    def predict(self, x: NDArray[np.float32]) -> list[int]:
        """The class of each row of x [n, hidden]."""
        return [int(i) for i in (x @ self.weight.T + self.bias).argmax(1)]


def class_weights(counts: Sequence[int], weighting: ClassWeighting) -> list[float]:
    """A weight per class such that the mean over the training rows is 1."""
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[weighting]
    raw = [float(n) ** -power for n in counts]
    scale = sum(counts) / sum(n * w for n, w in zip(counts, raw, strict=True))
    return [w * scale for w in raw]


def macro_f1(truth: Sequence[int], predicted: Sequence[int]) -> float:
    """Unweighted mean of F1 over the classes that occur in the truth.

    A class without a row in the split has no F1; counting it as 0 would punish a small validation split.
    """
    from sklearn.metrics import f1_score

    return float(f1_score(truth, predicted, labels=sorted(set(truth)), average="macro", zero_division=0.0))


def fit_probe(
    train: tuple[NDArray[np.float32], Sequence[int]],
    validation: tuple[NDArray[np.float32], Sequence[int]],
    weights: Sequence[float],
    grid: Sequence[float],
) -> Probe:
    """Fit once per strength and keep the best by validation macro-F1.

    Embeddings are scaled to a mean length of `LENGTH`, so that a strength means the same for every base.

    Args:
        train: embeddings [n, hidden] and classes 0..k-1, each class at least once.
        validation: the same of the validation split.
        weights: a weight per class.
        grid: strengths to try; of equal ones the smallest (most regularised) wins.
    """
    import numpy as np

    x, y = train
    scale = LENGTH / float(np.linalg.norm(x, axis=1).mean())
    found = []
    for strength in sorted(grid):
        weight, bias = layer(_fit(scale * x, y, weights, strength))
        probe = Probe((scale * weight).astype(np.float32), bias.astype(np.float32), strength, 0.0)
        found.append(replace(probe, macro_f1=macro_f1(validation[1], probe.predict(validation[0]))))
    return max(found, key=lambda probe: probe.macro_f1)


def _fit(x: Any, y: Sequence[int], weights: Sequence[float], strength: float) -> Any:
    """One logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=1000, class_weight=dict(enumerate(weights))).fit(x, y)


def layer(model: Any) -> tuple[Any, Any]:
    """Weight and bias as one row per class; scikit-learn keeps one row only where there are two classes."""
    import numpy as np

    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:
        return np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias
