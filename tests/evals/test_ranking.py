from __future__ import annotations

import math

import numpy as np
import pytest

from evals.ranking import compare_rankings, mean_interval, means, per_question
from fleet_manifests import DataError

pytestmark = pytest.mark.unit


def test_each_metric_of_each_question_by_hand() -> None:
    rankings = {"a": ["p1", "p2"], "b": ["p9", "p3", "p4"], "c": [f"x{n}" for n in range(10)] + ["p5"]}
    found = per_question(rankings, {"a": ["p1"], "b": ["p3", "p4"], "c": ["p5"]})
    ideal = 1 + 1 / math.log2(3)
    assert found["ndcg_at_10"] == pytest.approx([1.0, (1 / math.log2(3) + 0.5) / ideal, 0.0])
    assert found["recall_at_5"] == pytest.approx([1.0, 1.0, 0.0])
    assert found["mrr"] == pytest.approx([1.0, 0.5, 1 / 11])


def test_a_question_without_a_ranking_counts_as_found_nothing() -> None:
    found = per_question({"a": ["p1"], "b": []}, {"a": ["p1"], "b": ["p1"], "c": ["p1"]})
    assert found["ndcg_at_10"].tolist() == [1.0, 0.0, 0.0]


def test_the_order_is_that_of_the_questions() -> None:
    relevant = {"z": ["p"], "a": ["p"]}
    assert per_question({"z": [], "a": ["p"]}, relevant)["mrr"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("relevant", [{}, {"a": []}])
def test_questions_that_nothing_answers_are_refused(relevant: dict[str, list[str]]) -> None:
    with pytest.raises(DataError, match="each with a passage that answers it"):
        per_question({"a": ["p1"]}, relevant)


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(300):
        values = rng.beta(4, 1, size=80)
        low, high = mean_interval(values, resamples=300, seed=trial)
        hits += low <= 0.8 <= high
    assert 0.91 <= hits / 300 <= 0.985


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_values_still_have_a_width(value: float) -> None:
    low, high = mean_interval(np.full(100, value))
    assert high - low == pytest.approx(2 * (1 - 0.025 ** (1 / 100)))


def test_means_stay_between_0_and_1() -> None:
    found = means({"mrr": np.ones(20)})["mrr"]
    assert (found.value, found.n, found.high) == (1.0, 20, 1.0)
    assert found.low is not None and found.low < 1.0


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.random(400)
    ours = np.clip(theirs - 0.01, 0, 1)
    found = compare_rankings({"mrr": ours}, {"mrr": theirs}, metric="mrr", against="unquantized")
    assert found.difference == pytest.approx(-0.01, abs=1e-3)
    assert found.high - found.low < 0.02
    assert found.lost > 390 and found.gained == 0
    assert found.against == "unquantized"


def test_equal_rankings_differ_by_nothing_and_say_how_sure_that_is() -> None:
    values = {"mrr": np.random.default_rng(1).random(200)}
    found = compare_rankings(values, values, metric="mrr", against="unquantized")
    assert (found.difference, found.lost, found.gained) == (0.0, 0, 0)
    assert found.low == pytest.approx(-(1 - 0.025 ** (1 / 200)))


def test_figures_of_other_questions_are_refused() -> None:
    with pytest.raises(DataError, match="expected figures of 3 questions, found 2"):
        compare_rankings({"mrr": np.ones(3)}, {"mrr": np.ones(2)}, metric="mrr", against="x")
