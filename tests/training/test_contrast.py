"""The loss: against the definition, and what is left out of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.contrast import RetrieverEpoch, cosines, info_nce
from training.epochs import best_of

pytestmark = pytest.mark.unit


def unit(*angles: float) -> object:
    import torch

    return torch.tensor([[math.cos(angle), math.sin(angle)] for angle in angles])


def test_the_loss_is_cross_entropy_of_scaled_cosines() -> None:
    import torch

    anchors, passages = unit(0.0, 1.0), unit(0.2, 1.5, 2.0)
    found = info_nce(anchors, passages, torch.zeros(2, 3, dtype=torch.bool), 20.0)
    expected = 0.0
    for row, angle in enumerate((0.0, 1.0)):
        scores = [20 * math.cos(angle - other) for other in (0.2, 1.5, 2.0)]
        expected += math.log(sum(math.exp(score) for score in scores)) - scores[row]
    assert float(found) == pytest.approx(expected / 2, rel=1e-5)


def test_what_is_blocked_counts_neither_way() -> None:
    import torch

    anchors, passages = unit(0.0, 1.0), unit(0.2, 1.5, 0.1)
    passages.requires_grad_()
    blocked = torch.tensor([[False, False, True], [False, False, True]])
    found = info_nce(anchors, passages, blocked, 20.0)
    alone = info_nce(anchors, passages[:2], torch.zeros(2, 2, dtype=torch.bool), 20.0)
    assert found.item() == pytest.approx(alone.item())
    found.backward()
    assert passages.grad is not None
    assert not passages.grad[2].any()
    assert passages.grad[:2].isfinite().all()


def test_a_single_pair_has_nothing_to_be_told_from() -> None:
    import torch

    assert float(info_nce(unit(0.0), unit(3.0), torch.zeros(1, 1, dtype=torch.bool), 20.0)) == 0.0


def test_cosines_do_not_look_at_lengths() -> None:
    found = cosines(np.array([[2, 0], [0, 0]], np.float32), np.array([[1, 1], [0, 5], [3, 0]], np.float32))
    np.testing.assert_allclose(found, [[math.sqrt(0.5), 0, 1], [0, 0, 0]], atol=1e-6)


def test_the_fused_figure_chooses_the_epoch() -> None:
    epochs = [
        RetrieverEpoch(0, ndcg_at_10=0.5, recall_at_5=0, mrr=0, dense_ndcg_at_10=0.9, dense_weight=0.5),
        RetrieverEpoch(1, ndcg_at_10=0.6, recall_at_5=0, mrr=0, dense_ndcg_at_10=0.4, dense_weight=0.5),
        RetrieverEpoch(2, ndcg_at_10=0.6, recall_at_5=0, mrr=0, dense_ndcg_at_10=0.8, dense_weight=0.5),
    ]
    assert best_of(epochs).epoch == 1
