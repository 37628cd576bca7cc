"""Which candidate ships: the rule, its ties, and what it says."""

from __future__ import annotations

import itertools

import pytest

from evals.choice import Choice, Scored, choose, score
from fleet_manifests import DataError, Metric, dump, parse

pytestmark = pytest.mark.unit


def scored(name: str, value: float, size: int = 100) -> Scored:
    metric = Metric(name="macro_f1", value=value, n=50, low=value - 0.1, high=value + 0.1)
    return Scored(name=name, what=f"the {name} model", metric=metric, size=size)


def test_the_best_on_validation_ships_in_whatever_order_they_come() -> None:
    some = (scored("tuned", 0.8), scored("classical", 0.9, 999), scored("other", 0.7, 1))
    for order in itertools.permutations(some):
        found = choose(order, floor=0.5)
        assert found.chosen == found.best.name == "classical"
        assert [one.name for one in found.candidates] == ["classical", "tuned", "other"]
    assert found.above_floor
    assert found.reason == (
        "the classical model: macro-F1 0.9000 [0.8000, 1.0000], n = 50, before the tuned model "
        "(macro-F1 0.8000 [0.7000, 0.9000], n = 50), the other model (macro-F1 0.7000 [0.6000, 0.8000], n = 50)"
    )


def test_of_equal_ones_the_smaller_ships() -> None:
    for order in itertools.permutations((scored("tuned", 0.8, 90), scored("classical", 0.8, 2))):
        found = choose(order, floor=0.5)
        assert found.chosen == "classical"
        assert "the smaller of equal ones" in found.reason
    assert choose([scored("b", 0.8), scored("a", 0.8)], floor=0).chosen == "a"


def test_a_restriction_leaves_one() -> None:
    found = choose([scored("tuned", 0.6)], floor=0.5)
    assert (found.chosen, len(found.candidates)) == ("tuned", 1)
    assert found.reason.endswith("the only candidate")


def test_below_the_floor_is_said_plainly_and_the_best_is_still_the_best() -> None:
    found = choose([scored("tuned", 0.3), scored("classical", 0.4)], floor=0.5)
    assert found.chosen == "classical" and not found.above_floor
    assert "below the floor of 0.500 on validation" in found.reason
    assert choose([scored("tuned", 0.5)], floor=0.5).above_floor


def test_nothing_to_choose_from_is_refused() -> None:
    with pytest.raises(DataError, match=r"training\.candidates"):
        choose([], floor=0.5)


def test_a_choice_survives_its_file() -> None:
    found = choose([scored("tuned", 0.3), scored("classical", 0.4)], floor=0.5)
    assert parse(Choice, dump(found)) == found


def test_scores_are_those_of_the_gate_with_interval_and_rows() -> None:
    truth = ["late"] * 30 + ["wet"] * 10
    answers = ["late"] * 28 + ["wet"] * 11 + ["late"]
    accuracy = score(truth, answers, "accuracy")
    assert (accuracy.value, accuracy.n) == (pytest.approx(37 / 40), 40)
    macro = score(truth, answers, "macro_f1", seed=1)
    from sklearn.metrics import f1_score

    assert macro.value == pytest.approx(f1_score(truth, answers, average="macro"))
    for metric in (accuracy, macro):
        assert metric.low is not None and metric.high is not None
        assert metric.low < metric.value < metric.high


@pytest.mark.parametrize(("truth", "answers"), [([], []), (["late"], []), (["late"], ["late", "wet"])])
def test_answers_of_other_rows_are_refused(truth: list[str], answers: list[str]) -> None:
    with pytest.raises(DataError, match="one answer for each"):
        score(truth, answers, "accuracy")
