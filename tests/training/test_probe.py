"""The linear probe and the weights of classes."""

from __future__ import annotations

import numpy as np
import pytest

from training.probe import class_weights, fit_probe, macro_f1

pytestmark = pytest.mark.unit


def blobs(classes: int, per_class: int, seed: int) -> tuple[np.ndarray, list[int]]:
    """Points around one centre per class, in 8 dimensions of which one is constant."""
    centres = np.random.default_rng(0).normal(size=(classes, 8)) * 3
    y = np.repeat(np.arange(classes), per_class)
    x = centres[y] + np.random.default_rng(seed).normal(size=(len(y), 8))
    x[:, 3] = 0.25
    return x.astype(np.float32), y.tolist()


@pytest.mark.parametrize("classes", [2, 3, 40])
def test_the_layer_predicts_as_the_regression_did(classes: int) -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = blobs(classes, 30, 1)
    other = blobs(classes, 10, 2)
    probe = fit_probe((x, y), other, [1.0] * classes, [1.0])
    assert probe.weight.shape == (classes, 8)
    assert probe.bias.shape == (classes,)
    scale = 10 / np.linalg.norm(x, axis=1).mean()
    reference = LogisticRegression(C=1.0, max_iter=1000).fit(scale * x, y)
    assert probe.predict(other[0]) == reference.predict(scale * other[0]).tolist()
    logits = other[0] @ probe.weight.T + probe.bias
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    np.testing.assert_allclose(shares, reference.predict_proba(scale * other[0]), atol=1e-4)


def test_validation_chooses_the_strength() -> None:
    train = blobs(5, 12, 1)
    validation = blobs(5, 40, 2)
    grid = (1e-6, 1e-3, 1.0)
    alone = {c: fit_probe(train, validation, [1.0] * 5, [c]).macro_f1 for c in grid}
    chosen = fit_probe(train, validation, [1.0] * 5, grid)
    assert chosen.macro_f1 == max(alone.values())
    assert chosen.strength == min(c for c in grid if alone[c] == max(alone.values()))


@pytest.mark.parametrize("weighting", ["none", "sqrt", "balanced"])
def test_class_weights_leave_the_mean_row_at_one(weighting: str) -> None:
    counts = [400, 100, 4]
    weights = class_weights(counts, weighting)  # type: ignore[arg-type]
    assert sum(n * w for n, w in zip(counts, weights, strict=True)) == pytest.approx(sum(counts))


def test_class_weights_follow_frequency() -> None:
    assert class_weights([400, 100], "none") == [1.0, 1.0]
    root, balanced = class_weights([400, 100], "sqrt"), class_weights([400, 100], "balanced")
    assert root[1] / root[0] == pytest.approx(2.0)
    assert balanced[1] / balanced[0] == pytest.approx(4.0)


def test_macro_f1_counts_the_classes_of_the_truth() -> None:
    assert macro_f1([0, 0, 1, 1], [0, 0, 1, 1]) == 1.0
    assert macro_f1([0, 0, 1, 1], [0, 0, 0, 0]) == pytest.approx((2 / 3) / 2)
    assert macro_f1([0, 0], [0, 5]) == pytest.approx(2 / 3)
