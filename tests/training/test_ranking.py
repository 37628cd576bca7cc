"""Rankings and their figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.library import Question
from training.ranking import WEIGHTS, best_weight, figures, fuse, rank, z_scores

pytestmark = pytest.mark.unit


def asked(*relevant: set[int]) -> tuple[Question, ...]:
    return tuple(Question(f"q{n}", "x", frozenset(some)) for n, some in enumerate(relevant))


def test_z_scores_have_mean_zero_and_deviation_one_for_each_question() -> None:
    found = z_scores(np.random.default_rng(0).normal(5, 3, (4, 50)).astype(np.float32))
    np.testing.assert_allclose(found.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(1), 1, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_scores_that_are_all_alike_say_nothing(value: float) -> None:
    assert not z_scores(np.full((1, 9), value, np.float32)).any()


def test_best_first_and_equal_ones_by_place() -> None:
    scores = np.array([[0.1, 0.9, 0.5, 0.9, 0.5, 0.5]], np.float32)
    assert rank(scores) == [[1, 3, 2, 4, 5, 0]]
    assert rank(scores, 4) == [[1, 3, 2, 4]]
    assert rank(scores, above=0.1) == [[1, 3, 2, 4, 5]]
    assert rank(np.zeros((1, 3), np.float32), above=0.0) == [[]]


def test_many_equal_scores_keep_the_first_places() -> None:
    assert rank(np.ones((1, 500), np.float32), 10) == [list(range(10))]


def test_figures_are_those_of_the_definitions() -> None:
    questions = asked({3}, {0, 1}, {7})
    found = figures(questions, [[3, 1, 2], [5, 0, 6, 2, 4, 1], []])
    ideal = 1 + 1 / math.log2(3)
    assert found["ndcg_at_10"] == pytest.approx((1 + (1 / math.log2(3) + 1 / math.log2(7)) / ideal + 0) / 3)
    assert found["recall_at_5"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert found["mrr"] == pytest.approx((1 + 0.5 + 0) / 3)


def test_figures_of_no_ranking_at_all_are_zero() -> None:
    assert figures(asked({1}), [[]]) == {"ndcg_at_10": 0.0, "recall_at_5": 0.0, "mrr": 0.0}


def test_what_is_beyond_the_tenth_place_counts_for_reciprocal_rank_only() -> None:
    found = figures(asked({19}), [list(range(20))])
    assert found == {"ndcg_at_10": 0.0, "recall_at_5": 0.0, "mrr": pytest.approx(1 / 20)}


def test_the_weight_is_where_both_together_find_most() -> None:
    right, wrong = np.array([[0, 1, 2, 9]], np.float32), np.array([[9, 1, 2, 0]], np.float32)
    question = asked({3})
    dense_only, lexical_only = best_weight(question, right, wrong), best_weight(question, wrong, right)
    assert dense_only == 0.55
    assert lexical_only == 0.45
    assert best_weight(question, right, right) == 0.5


def test_the_two_may_need_each_other() -> None:
    dense = np.array([[2, 3, 0, -5], [0, -5, 2, 3]], np.float32)
    lexical = np.array([[2, -5, 3, 0], [0, 3, 2, -5]], np.float32)
    weight = best_weight(asked({0}, {2}), dense, lexical)
    assert weight == 0.5
    assert [places[0] for places in rank(fuse(dense, lexical, weight))] == [0, 2]
    assert figures(asked({0}, {2}), rank(dense))["mrr"] == 0.5


def test_every_weight_from_words_alone_to_meaning_alone_is_tried() -> None:
    assert (WEIGHTS[0], WEIGHTS[-1], len(WEIGHTS)) == (0.0, 1.0, 21)


def test_the_weight_is_the_one_that_evidence_chooses() -> None:
    """Training and evidence must not tune the same thing differently."""
    from evals.fusion import fit_fusion
    from evals.questions import Question as Asked
    from runtimes.knowledge import Scores

    draw = np.random.default_rng(3)
    dense, lexical = (z_scores(draw.random((30, 40), dtype=np.float32)) for _ in range(2))
    questions = asked(*({n} for n in range(30)))
    dense[np.arange(30), np.arange(30)] += 1.0
    lexical[np.arange(30), np.arange(30)] += 0.7
    theirs = fit_fusion(
        [Asked(id=one.id, text="x", relevant=tuple(f"{place:02d}" for place in one.relevant)) for one in questions],
        [Scores(one, other) for one, other in zip(dense, lexical, strict=True)],
        [f"{place:02d}" for place in range(40)],
    )
    assert best_weight(questions, dense, lexical) == theirs.dense_weight
