"""Figures, gates and promises of what a retriever finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from evals.figures import figures
from evals.gates import on_hardware
from evals.questions import Question
from evals.searches import RetrievalPolicy, Searched, fit_searched, sure
from fleet_manifests import ConfigError, Relevance, Verdict

pytestmark = pytest.mark.unit
DOCUMENTS = {f"p{n}": f"D{n // 10}" for n in range(40)}
POLICY = RetrievalPolicy(floor=0.5, margin=0.05, target_precision=0.8, resamples=300)


def questions(n: int, *, answered: bool = True) -> tuple[Question, ...]:
    return tuple(
        Question(
            id=f"q{k}", text=f"question {k}", relevant=(f"p{k % 40}",) if answered else (),
            slices={"style": "typo" if k % 2 else "full"},
        )
        for k in range(n)
    )  # fmt: skip


def searched(some: Sequence[Question], right: Sequence[bool], confidence: Sequence[float]) -> Searched:
    """Searches whose first passage answers where `right` says so; else the answer is second."""
    rankings = {}
    for place, (question, hit) in enumerate(zip(some, right, strict=True)):
        answer = question.relevant[0] if question.relevant else "p0"
        other = f"p{(place + 7) % 40}"
        rankings[question.id] = (answer, other) if hit else (other, answer)
    features = tuple({"cosine": float(value)} for value in confidence)
    return Searched(tuple(some), rankings, features, np.array(confidence, dtype=np.float64), {})


def judged(right: Sequence[bool], confidence: Sequence[float], **more: Any) -> dict[str, Any]:
    some = questions(len(right))
    found = searched(some, right, confidence)
    references = more.pop("references", {"unquantized": found.rankings})
    outcome = figures(
        found, more.pop("unanswered", None), references=references, documents=DOCUMENTS,
        threshold=more.pop("threshold", 0.5), policy=more.pop("policy", POLICY),
    )  # fmt: skip
    return {
        "metrics": {metric.name: metric for metric in outcome.metrics},
        "gates": {gate.name: gate for gate in outcome.gates},
        "outcome": outcome,
    }


def test_a_good_retriever_passes_every_gate() -> None:
    right = [True] * 180 + [False] * 20
    found = judged(right, [0.9] * 180 + [0.1] * 20)
    assert {gate.verdict for gate in found["gates"].values()} == {Verdict.PASS}
    assert found["metrics"]["coverage"].value == 0.9
    assert found["metrics"]["precision_answered"].value == 1.0
    assert found["metrics"]["mrr"].value == pytest.approx(0.95)


def test_questions_that_slip_through_break_the_promise() -> None:
    right, confidence = [True] * 60, [0.9] * 60
    outside = questions(60, answered=False)
    slipped = searched(outside, [False] * 60, [0.9] * 60)
    found = judged(right, confidence, unanswered=slipped)
    assert found["gates"]["deferral"].verdict is Verdict.FAIL
    assert found["metrics"]["precision_answered"].value == 0.5
    assert found["outcome"].out_of_scope.deferred == 0.0
    assert found["outcome"].out_of_scope.auroc == 0.5


def test_questions_that_are_deferred_cost_nothing() -> None:
    outside = searched(questions(60, answered=False), [False] * 60, [0.1] * 60)
    found = judged([True] * 60, [0.9] * 60, unanswered=outside)
    assert found["gates"]["deferral"].verdict is Verdict.PASS
    assert found["outcome"].out_of_scope.auroc == 1.0
    assert found["outcome"].out_of_scope.n == 60


def test_a_loss_against_the_unquantized_model_fails() -> None:
    some = questions(200)
    theirs = searched(some, [True] * 200, [0.9] * 200).rankings
    found = judged([True] * 120 + [False] * 80, [0.9] * 200, references={"unquantized": theirs})
    assert found["gates"]["non_inferior/unquantized"].verdict is Verdict.FAIL
    assert found["outcome"].comparisons[0].lost == 80


def test_a_better_baseline_fails_and_a_worse_one_does_not() -> None:
    some = questions(200)
    best = searched(some, [True] * 200, [0.9] * 200).rankings
    worse = searched(some, [False] * 200, [0.9] * 200).rankings
    found = judged([True] * 150 + [False] * 50, [0.9] * 200, references={"bm25": best, "frozen_dense": worse})
    assert found["gates"]["baseline/bm25"].verdict is Verdict.FAIL
    assert found["gates"]["baseline/frozen_dense"].verdict is Verdict.PASS
    assert found["gates"]["non_inferior/unquantized"].verdict is Verdict.INCONCLUSIVE, "it was not compared"


@pytest.mark.parametrize("first", ["p3", None])
def test_a_degenerate_retriever_never_passes(first: str | None) -> None:
    some = questions(50)
    rankings = {question.id: (first,) if first else () for question in some}
    found = Searched(some, rankings, tuple({"cosine": 0.0} for _ in some), np.ones(50), {})
    outcome = figures(found, None, references={}, documents=DOCUMENTS, threshold=0.5, policy=POLICY)
    assert outcome.gates[0].name == "canary"
    assert outcome.gates[0].verdict is Verdict.FAIL


def test_below_the_floor_fails() -> None:
    found = judged([True] * 50, [0.9] * 50, policy=RetrievalPolicy(metric="mrr", floor=1.0, margin=0.1))
    assert found["gates"]["floor/mrr"].verdict is Verdict.PASS
    found = judged([False] * 50, [0.9] * 50, policy=RetrievalPolicy(metric="mrr", floor=0.6, margin=0.1))
    assert found["gates"]["floor/mrr"].verdict is Verdict.FAIL


def test_slices_are_by_kind_of_question_by_length_and_by_document() -> None:
    outcome = judged([True, False] * 40, [0.9] * 80)["outcome"]
    slices = {found.name: found for found in outcome.slices}
    assert slices["style=full"].ours == 1.0
    assert slices["style=typo"].ours < 1.0
    assert slices["document=D0"].n == 20
    assert sum(found.n for name, found in slices.items() if name.startswith("length=")) == 80
    assert all(found.theirs == found.ours and found.lost == found.gained == 0 for found in outcome.slices)


def test_flips_name_questions_that_only_one_of_the_two_answers() -> None:
    some = questions(4)
    theirs = searched(some, [True, True, False, False], [0.9] * 4).rankings
    outcome = judged([True, False, True, False], [0.8] * 4, references={"unquantized": theirs})["outcome"]
    lost, gained = outcome.flips
    assert (lost.item, lost.truth, lost.theirs, lost.confidence) == ("q1", "p1", "p1", 0.8)
    assert (gained.item, gained.truth, gained.ours) == ("q2", "p2", "p2")
    (compared,) = outcome.comparisons
    assert compared.margin == POLICY.margin and 0 < compared.power < 1 and compared.detectable > 0


def test_a_threshold_of_1_defers_everything() -> None:
    found = judged([True] * 20, [1.0] * 20, threshold=1.0)
    assert found["metrics"]["coverage"].value == 0.0
    assert "precision_answered" not in found["metrics"]
    assert found["gates"]["deferral"].verdict is Verdict.INCONCLUSIVE


def test_another_relevance_gives_another_confidence() -> None:
    found = searched(questions(3), [True] * 3, [0.0, 0.5, 1.0])
    again = sure(found, Relevance(intercept=-5.0, weights={"cosine": 10.0}))
    assert again.confidence == pytest.approx([0.0067, 0.5, 0.9933], abs=1e-4)
    assert again.rankings == found.rankings


def test_fitting_uses_both_kinds_of_questions() -> None:
    rng = np.random.default_rng(0)
    asked = searched(questions(200), [True] * 200, rng.normal(0.8, 0.1, 200).tolist())
    outside = searched(questions(200, answered=False), [False] * 200, rng.normal(0.3, 0.1, 200).tolist())
    fitted = fit_searched(asked, outside, POLICY)
    assert sure(outside, fitted.relevance).confidence.mean() < 0.2
    assert fitted.coverage > 0.95


def test_on_other_hardware_nothing_counts_but_what_is_broken() -> None:
    found = judged([True] * 30, [0.9] * 30)["outcome"].gates
    seen = on_hardware(found, "isa avx2 is needed")
    assert {gate.verdict for gate in seen if gate.name != "canary"} == {Verdict.INCONCLUSIVE}
    assert seen[-1].name == "hardware"
    assert on_hardware(found, None) == tuple(found)


@pytest.mark.parametrize("changes", [{"metric": "accuracy"}, {"margin": 0.0}, {"margin": 1.0}])
def test_a_policy_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="retrieval policy"):
        RetrievalPolicy(**changes)
