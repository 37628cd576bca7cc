from __future__ import annotations

import pytest

from evals.pages.words import between, compared, deciding, figure, model, named, reading, sentence, span
from fleet_manifests import Comparison, Gate, Metric, Verdict

pytestmark = pytest.mark.unit

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def gate(name: str, verdict: Verdict, reason: str = "said") -> Gate:
    return Gate(name=name, verdict=verdict, reason=reason)


def comparison(**changes: object) -> Comparison:
    fields: dict[str, object] = {
        "against": "unquantized", "metric": "macro_f1", "ours": 0.9, "theirs": 0.905, "difference": -0.005, "low": -0.015,
        "high": 0.004, "n": 952, "lost": 9, "gained": 5, "margin": 0.02, "power": 0.91, "detectable": 0.017,
    }  # fmt: skip
    return Comparison.model_validate(fields | changes)


def test_the_sentence_names_the_worst() -> None:
    gates = [gate("a", PASS), gate("b", OPEN, "unsure"), gate("c", FAIL, "bad"), gate("d", FAIL, "worse")]
    assert sentence(gates) == "c: bad (and 1 more)"
    assert sentence(gates[:2]) == "b: unsure"
    assert sentence(gates[:1]) == "all 1 gates pass"
    assert sentence([]) == "nothing was judged"


def test_foreign_hardware_explains_what_it_leaves_open_but_not_what_fails() -> None:
    foreign = gate("hardware", OPEN, "another machine is needed")
    assert sentence([gate("floor", OPEN), foreign]) == "hardware: another machine is needed"
    assert [one.name for one in deciding([foreign, gate("floor", FAIL)])] == ["floor"]


def test_a_reason_that_two_reports_give_counts_once() -> None:
    assert sentence([gate("hardware", OPEN, "x"), gate("hardware", OPEN, "x")]) == "hardware: x"


@pytest.mark.parametrize(("changes", "said"), [
    ({}, "within the margin of 0.020, a loss that does not matter"),
    ({"low": -0.03}, "reaches beyond the margin of 0.020, so a loss that matters is not ruled out"),
    ({"low": -0.05, "high": -0.03}, "All of that lies beyond the margin"),
    ({"margin": None, "low": 0.01, "high": 0.02, "against": "tfidf_svm"}, "The baseline is beaten beyond doubt"),
    ({"margin": None, "low": -0.02, "high": -0.01, "against": "tfidf_svm"}, "The baseline is better beyond doubt"),
    ({"margin": None, "against": "tfidf_svm"}, "Which of the two is better is not shown"),
])  # fmt: skip
def test_a_comparison_says_what_follows(changes: dict[str, object], said: str) -> None:
    assert said in compared(comparison(**changes))


def test_a_comparison_says_everything_in_words() -> None:
    text = compared(comparison(), "questions")
    for part in (
        "Macro-F1 0.900 here, 0.905 there: 0.005 worse.",
        "between 0.015 worse and 0.004 better",
        "Of 952 questions, 9 were lost and 5 gained.",
        "would pass 91% of the time with as many questions and differences",
        "A true loss of 0.017 or more would show in four of five measurements.",
    ):
        assert part in text
    bare = compared(comparison(power=None, detectable=None, difference=0.0001))
    assert "no difference" in bare
    assert "would" not in bare
    assert compared(comparison(metric="ndcg_at_10")).startswith("nDCG@10 0.900 here")


def test_names_and_figures() -> None:
    assert (named("ndcg_at_10"), named("made_up")) == ("nDCG@10", "made_up")
    assert (model("champion"), model("bm25")) == ("the champion", "the baseline bm25")
    assert (figure(7.126, "ms"), figure(1234.56, "MB"), figure(0.51236), figure(2, "J")) == (
        "7.13 ms", "1,234.6 MB", "0.5124", "2.00 J",
    )  # fmt: skip


def test_a_metric_at_a_glance() -> None:
    share = Metric(name="coverage", value=0.857, n=10, low=0.8, high=0.9)
    assert (reading(share), between(share)) == ("85.7%", "80.0% to 90.0%")
    timed = Metric(name="p99", value=7.33, n=662, low=7.07, high=13.02, unit="ms")
    assert (reading(timed), between(timed), span(timed)) == ("7.33 ms", "7.07 to 13.02 ms", "7.07 to 13.02 ms")
    assert span(Metric(name="p99/loadgen", value=7.0, n=662, high=7.5, unit="ms")) == "at most 7.50 ms"
    bare = Metric(name="macro_f1", value=0.9, n=10)
    assert (reading(bare), between(bare), span(bare)) == ("0.900", "", "")
