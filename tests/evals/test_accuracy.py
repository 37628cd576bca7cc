from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.accuracy import AccuracyPolicy, measure
from evals.disturbances import KINDS, disturbed
from fleet_manifests import (
    AccuracyReport,
    Calibration,
    ConfigError,
    DataError,
    Gate,
    HardwareProfile,
    HostFacts,
    IntegrityError,
    IsaClass,
    Machine,
    Measurement,
    UsageError,
    Verdict,
    dump,
    parse,
)

pytestmark = pytest.mark.unit

POLICY = AccuracyPolicy(metric="macro_f1", floor=0.8, margin=0.03, resamples=300)
TAKEN = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def measured(profile: HardwareProfile, machine: Machine) -> Callable[..., AccuracyReport]:
    def run(case: Any, references: dict[str, list[str]] | None = None, **changes: Any) -> AccuracyReport:
        arguments = {"profile": profile, "machine": machine, "policy": POLICY, "engine": case.engine, **changes}
        given = {"unquantized": case.ours} if references is None else references
        return measure(
            Path("unused"), case.corpus, bundle_digest="sha256:" + "ab" * 32, references=given, taken=TAKEN, **arguments
        )

    return run


def gate(report: AccuracyReport, name: str) -> Any:
    return next(found for found in report.gates if found.name == name)


def test_a_good_model_passes_and_the_report_survives_the_wire(case: Any, measured: Any) -> None:
    made = case(n=600, outside=40)
    report = measured(made)
    assert report.verdict is Verdict.PASS, [found.reason for found in report.gates]
    assert report.measurement is Measurement.MEASURED
    assert parse(AccuracyReport, dump(report)) == report
    right = np.mean([a == b for a, b in zip(made.ours, made.truth, strict=True)])
    found = report.metric("accuracy")
    assert found.value == pytest.approx(right) and found.n == 600
    assert found.low is not None and found.high is not None and found.low < right < found.high
    assert report.split.n == 600 and report.taken == TAKEN


def test_the_report_holds_what_a_person_judges_by(case: Any, measured: Any) -> None:
    report = measured(case(n=600, outside=40))
    names = {metric.name for metric in report.metrics}
    assert {"macro_f1", "ece", "coverage", "precision_answered", "f1/late", "aurc", "accuracy/disturbed"} <= names
    assert sum(map(sum, report.confusion.counts)) == 600
    assert report.confusion.labels == ("damaged", "late", "missing")
    assert sum(item.n for item in report.reliability) == 600
    assert report.out_of_scope.n == 40 and report.out_of_scope.deferred == 1.0 and report.out_of_scope.auroc > 0.99
    assert report.metric("coverage").value == pytest.approx(report.metric("accuracy").value)


def test_each_text_of_the_test_split_is_run_once(case: Any, measured: Any) -> None:
    made, seen = case(n=200, outside=10), Counter[str]()
    plain = made.engine.logits
    made.engine.logits = lambda texts: (seen.update(texts), plain(texts))[1]
    measured(made)
    texts = [json.loads(line)["text"] for line in (made.corpus / "test.jsonl").read_text().splitlines()]
    texts += [json.loads(line)["text"] for line in (made.corpus / "oos_test.jsonl").read_text().splitlines()]
    disturbed = sum(seen.values()) - len(texts)
    assert all(seen[text] >= 1 for text in texts)
    assert disturbed == 200, "the test split once, and once disturbed"


def test_a_reference_is_compared_with_power_and_a_baseline_without(case: Any, measured: Any) -> None:
    made = case(n=600)
    report = measured(made, {"unquantized": made.ours, "champion": made.truth, "tfidf_svm": made.ours})
    found = {one.against: one for one in report.comparisons}
    assert found["unquantized"].margin == found["champion"].margin == 0.03 and found["tfidf_svm"].margin is None
    assert found["unquantized"].power > 0.9 and found["unquantized"].detectable < 0.03
    assert gate(report, "non_inferior/champion").verdict is Verdict.FAIL


def test_flips_and_slices_name_rows_and_no_texts(case: Any, measured: Any) -> None:
    made = case(n=300, wrong=0.1)
    theirs = list(made.truth)
    right = next(place for place, (a, b) in enumerate(zip(made.ours, made.truth, strict=True)) if a == b)
    theirs[right] = next(label for label in ("damaged", "late") if label != made.truth[right])
    report = measured(made, {"unquantized": theirs})
    *lost, gained = report.flips
    assert len(lost) == 20 and all(flip.theirs == flip.truth != flip.ours for flip in lost)
    assert (gained.item, gained.ours, gained.theirs) == (f"line {right + 1}", made.truth[right], theirs[right])
    slices = {one.name: one for one in report.slices}
    assert {"label=late", "style=typed", "style=spoken"} <= set(slices)
    assert sum(one.n for name, one in slices.items() if name.startswith("length=")) == 300
    assert slices["style=typed"].n == 150 and slices["style=typed"].lost > 0
    assert sum(one.lost for name, one in slices.items() if name.startswith("label=")) == report.comparisons[0].lost
    assert b"note 1" not in dump(report)


def test_a_build_that_collapses_on_disturbed_texts_fails(case: Any, measured: Any) -> None:
    made = case(n=300)
    told = [made.truth[place] for place in disturbed([f"note {n}" for n in range(300)]).places]
    report = measured(made, on_disturbed=told)
    assert gate(report, "robustness").verdict is Verdict.FAIL, "it does not know the disturbed notes"
    assert {one.name for one in report.robustness} == set(KINDS)
    assert all(one.theirs == 1.0 for one in report.robustness)
    assert all(one.ours < 0.7 for one in report.robustness if one.name in ("typos", "scanned"))
    assert report.metric("accuracy/disturbed").n == 300
    with pytest.raises(DataError, match="unquantized, disturbed: expected 300 predictions"):
        measured(made, on_disturbed=told[1:])


def test_gates_that_were_decided_elsewhere_count(case: Any, measured: Any) -> None:
    more = Gate(name="succession", verdict=Verdict.INCONCLUSIVE, reason="the champion stays")
    report = measured(case(n=600), more=[more])
    assert report.verdict is Verdict.INCONCLUSIVE and report.gates[-1] == more


def test_a_corpus_without_rows_outside(case: Any, measured: Any) -> None:
    made = case(n=100)
    (made.corpus / "oos_test.jsonl").write_text("")
    assert measured(made).out_of_scope is None


def test_below_the_floor_fails(case: Any, measured: Any) -> None:
    report = measured(case(n=600, wrong=0.3))
    assert report.verdict is Verdict.FAIL and gate(report, "floor/macro_f1").verdict is Verdict.FAIL


def test_a_build_that_loses_too_much_fails(case: Any, measured: Any) -> None:
    made = case(n=600, wrong=0.15)
    report = measured(made, {"unquantized": made.truth})
    assert gate(report, "non_inferior/unquantized").verdict is Verdict.FAIL
    (found,) = report.comparisons
    assert found.gained == 0 and found.lost == round(600 * -(report.metric("accuracy").value - 1))


def test_too_few_rows_are_inconclusive(case: Any, measured: Any) -> None:
    made = case(n=60, wrong=0.1)
    report = measured(made)
    assert gate(report, "non_inferior/unquantized").verdict is Verdict.INCONCLUSIVE
    assert report.verdict is Verdict.INCONCLUSIVE


def test_the_champion_is_gated_like_the_unquantized_model(case: Any, measured: Any) -> None:
    made = case(n=600, wrong=0.15)
    report = measured(made, {"unquantized": made.ours, "champion": made.truth})
    assert gate(report, "non_inferior/champion").verdict is Verdict.FAIL


def test_a_better_baseline_fails_the_model(case: Any, measured: Any) -> None:
    made = case(n=600, wrong=0.15)
    report = measured(made, {"unquantized": made.ours, "frozen_lr": made.truth, "tfidf_svm": made.ours})
    assert gate(report, "baseline/frozen_lr").verdict is Verdict.FAIL
    assert gate(report, "baseline/tfidf_svm").verdict is Verdict.PASS
    assert report.verdict is Verdict.FAIL


def test_without_the_unquantized_model_nothing_passes(case: Any, measured: Any) -> None:
    report = measured(case(n=600), {})
    assert report.verdict is Verdict.INCONCLUSIVE


def test_a_label_that_only_the_reference_knows_is_its_mistake(case: Any, measured: Any) -> None:
    made = case(n=600)
    report = measured(made, {"unquantized": ["no such class"] * 600})
    assert report.comparisons[0].theirs == 0.0


def test_a_model_that_answers_one_class_fails(case: Any, measured: Any) -> None:
    made = case(n=300)
    made.engine.scores = {text: [3.0, 0.0, 0.0] for text in made.engine.scores}
    report = measured(made, policy=AccuracyPolicy(floor=0.0, margin=0.9, resamples=100))
    assert gate(report, "canary").verdict is Verdict.FAIL and report.verdict is Verdict.FAIL


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_numbers_fail(case: Any, measured: Any, bad: float) -> None:
    made = case(n=300)
    made.engine.scores["note 7"] = [0.0, bad, 0.0]
    report = measured(made)
    assert gate(report, "canary").verdict is Verdict.FAIL and "1 of 300" in gate(report, "canary").reason
    assert parse(AccuracyReport, dump(report)) == report


def test_nothing_but_nan_still_gives_a_report(case: Any, measured: Any) -> None:
    made = case(n=50)
    made.engine.scores = {text: [float("nan")] * 3 for text in made.engine.scores}
    report = measured(made)
    assert report.verdict is Verdict.FAIL and report.metric("accuracy").value == 0.0


def test_a_build_that_defers_everything_is_said(case: Any, measured: Any) -> None:
    made = case(n=600)
    calibration = Calibration(defer_threshold=1.0, target_precision=0.99, coverage=0.0)
    made.engine.config = made.engine.config.model_copy(update={"calibration": calibration})
    report = measured(made)
    assert gate(report, "deferral").verdict is Verdict.INCONCLUSIVE
    assert report.metric("coverage").value == 0.0


def test_the_promise_of_the_threshold_is_checked_on_the_test_split(case: Any, measured: Any) -> None:
    made = case(n=600)
    calibration = Calibration(defer_threshold=0.0, target_precision=0.97)
    made.engine.config = made.engine.config.model_copy(update={"calibration": calibration})
    assert gate(measured(made), "deferral").verdict is Verdict.FAIL


def test_another_machine_proves_nothing(case: Any, measured: Any, profile: HardwareProfile) -> None:
    arm = profile.model_copy(update={"isa": IsaClass.ARM64_DOTPROD})
    report = measured(case(n=600, wrong=0.3), profile=arm)
    assert report.measurement is Measurement.ABSENT and report.verdict is Verdict.INCONCLUSIVE
    assert "arm64-dotprod is needed" in gate(report, "hardware").reason
    assert gate(report, "floor/macro_f1").reason.startswith("on this machine (fail)")


def test_a_broken_build_fails_on_any_machine(case: Any, measured: Any, machine: Machine) -> None:
    made = case(n=300)
    made.engine.scores["note 7"] = [0.0, float("nan"), 0.0]
    small = Machine(host=HostFacts(architecture="x86_64", cores=1, memory_mb=64), isa="x86-64")
    assert measured(made, machine=small).verdict is Verdict.FAIL


def test_what_cannot_be_measured_is_refused(case: Any, measured: Any, profile: HardwareProfile) -> None:
    made = case(n=100)
    with pytest.raises(UsageError, match="was built for edge-test"):
        measured(made, profile=profile.model_copy(update={"name": "other"}))
    with pytest.raises(DataError, match=r"frozen_lr: expected 100 predictions.*found 99"):
        measured(made, {"frozen_lr": made.ours[:99]})
    row = {"id": "x", "text": "odd", "label": "stolen"}
    with (made.corpus / "test.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="label 'stolen' is none of the 3"):
        measured(made)


def test_labels_that_do_not_fit_the_model_are_refused(case: Any, measured: Any) -> None:
    made = case(n=10)
    made.engine.logits = lambda texts: np.zeros((len(texts), 2), np.float32)
    with pytest.raises(IntegrityError, match=r"expected logits of 3 labels, found shape \(10, 2\)"):
        measured(made)


@pytest.mark.parametrize(
    "change", [{"floor": 1.2}, {"margin": 0.0}, {"margin": -1.0}, {"confidence": 0.4}, {"metric": "bleu"}]
)
def test_a_policy_outside_of_its_range_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        AccuracyPolicy(**change)
