from __future__ import annotations

import io
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals import plots, report
from evals.accuracy import AccuracyPolicy, measure
from evals.calibration import reliability
from evals.evaluate import evaluate
from evals.rows import Row
from fleet_manifests import (
    AccuracyReport,
    Confusion,
    Gate,
    HardwareProfile,
    LatencyObjective,
    LatencyReport,
    Machine,
    Measurement,
    Metric,
    UsageError,
    Verdict,
)

pytestmark = pytest.mark.unit

DIGEST = "sha256:" + "ab" * 32
TAKEN = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def accuracy(case: Any, profile: HardwareProfile, machine: Machine) -> AccuracyReport:
    made = case(n=300, outside=20)
    return measure(
        Path("unused"),
        made.corpus,
        profile=profile,
        bundle_digest=DIGEST,
        references={"unquantized": made.ours, "tfidf_svm": made.ours},
        policy=AccuracyPolicy(floor=0.8, margin=0.05, resamples=100),
        taken=TAKEN,
        engine=made.engine,
        machine=machine,
    )


@pytest.fixture
def latency(machine: Machine) -> LatencyReport:
    samples = np.random.default_rng(0).gamma(20, 0.3, 700)
    return LatencyReport(
        workflow="triage",
        profile="edge-test",
        bundle=DIGEST,
        taken=TAKEN,
        measurement=Measurement.MEASURED,
        machine=machine,
        metrics=(Metric(name="p99", value=8.1234, n=700, low=7.5, high=9.5, unit="ms"),),
        gates=(Gate(name="latency", verdict=Verdict.FAIL, reason="p99 <script>alert(1)</script> | too slow"),),
        verdict=Verdict.FAIL,
        queries=700,
        cores=1,
        samples_ms=tuple(samples.tolist()),
    )


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def drawn(
    found: AccuracyReport | LatencyReport, profile: HardwareProfile, threshold: float | None = None
) -> tuple[AccuracyReport | LatencyReport, dict[str, bytes]]:
    return found, report.pictures(found, profile, defer_threshold=threshold)


def size(png: bytes) -> tuple[int, int]:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        colours = image.convert("RGB").getcolors(maxcolors=1 << 24)
        assert colours is not None and len(colours) > 20, "the plot is blank"
        return image.size


def test_the_page_is_one_file_that_fetches_nothing(
    accuracy: AccuracyReport, latency: LatencyReport, profile: HardwareProfile
) -> None:
    page = Page(report.html([drawn(accuracy, profile, 0.6), drawn(latency, profile)], profile))
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 3
    assert all((image["src"] or "").startswith("data:image/png;base64,") and image["alt"] for image in images)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}


def test_the_page_says_the_verdict_first_and_escapes_what_it_shows(
    accuracy: AccuracyReport, latency: LatencyReport, profile: HardwareProfile
) -> None:
    text = report.html([drawn(accuracy, profile), drawn(latency, profile)], profile)
    words = [word.strip() for word in Page(text).words if word.strip()]
    assert "triage for edge-test: fail" in words
    assert any("<script>alert(1)</script>" in word for word in words), "shown as text"
    assert "<script>" not in text


def test_a_page_of_one_report(accuracy: AccuracyReport, profile: HardwareProfile) -> None:
    text = report.html([drawn(accuracy, profile)], profile)
    assert f"all {len(accuracy.gates)} gates pass" in text and "Latency and memory" not in text


def test_a_page_needs_reports_about_one_bundle(
    accuracy: AccuracyReport, latency: LatencyReport, profile: HardwareProfile
) -> None:
    other = latency.model_copy(update={"bundle": "sha256:" + "cd" * 32})
    for reports in ([], [(accuracy, {}), (other, {})]):
        with pytest.raises(UsageError, match="the same bundle"):
            report.html(reports, profile)


def test_markdown_says_the_verdict_and_has_whole_tables(accuracy: AccuracyReport, latency: LatencyReport) -> None:
    for found in (accuracy, latency):
        text = report.markdown(found)
        assert text.startswith(f"**{found.verdict.value}**")
        for line in text.splitlines():
            assert not line.startswith("|") or line.endswith("|")
    assert "macro\\_f1" in report.markdown(accuracy) and "8.12 ms" in report.markdown(latency)


def test_a_cell_cannot_break_its_table(latency: LatencyReport) -> None:
    line = next(line for line in report.markdown(latency).splitlines() if "too slow" in line and line.startswith("|"))
    assert line.replace("\\|", "").count("|") == 4 and "\\<script\\>" in line


def test_the_sentence_names_the_worst() -> None:
    gates = [
        Gate(name="a", verdict=Verdict.PASS, reason="fine"),
        Gate(name="b", verdict=Verdict.INCONCLUSIVE, reason="unsure"),
        Gate(name="c", verdict=Verdict.FAIL, reason="bad"),
        Gate(name="d", verdict=Verdict.FAIL, reason="worse"),
    ]
    assert report.sentence(gates) == "c: bad (and 1 more)"
    assert report.sentence(gates[:2]) == "b: unsure"
    assert report.sentence(gates[:1]) == "all 1 gates pass"


def test_an_evaluation_as_markdown(case: Any) -> None:
    made = case(n=50, wrong=0.2)
    rows = [Row(f"note {place}", label, place + 1) for place, label in enumerate(made.truth)]
    rows += [Row("weather", None, 90), Row("gone", "stolen", 91), Row("x" * 30_000, "late", 92)]
    text = report.evaluation_markdown(evaluate(Path("unused"), rows, engine=made.engine))
    for part in ("50 rows scored", "stolen (1)", "lines 92", "1 rows, 100.0% deferred", "Worst mistakes", "accuracy"):
        assert part in text


@pytest.mark.parametrize("classes", [2, 16, 30, 80])
def test_a_confusion_matrix_stays_of_a_legible_size(classes: int) -> None:
    counts = np.eye(classes, dtype=int) * 20
    counts[0, 1] = 5
    labels = tuple(f"a rather long name of class {place}" for place in range(classes))
    png = plots.confusion_matrix(Confusion(labels=labels, counts=tuple(map(tuple, counts.tolist()))))
    width, height = size(png)
    assert 300 < width < 2000 and 250 < height < 2000
    assert png == plots.confusion_matrix(Confusion(labels=labels, counts=tuple(map(tuple, counts.tolist()))))


@pytest.mark.parametrize("n", [1, 64, 3000])
def test_a_latency_plot_for_any_number_of_queries(n: int) -> None:
    samples = np.random.default_rng(1).gamma(20, 0.3, n)
    assert size(plots.latency_distribution(samples.tolist(), LatencyObjective(milliseconds=40)))[0] > 500


def test_equal_latencies_can_be_drawn() -> None:
    assert size(plots.latency_distribution([5.0] * 100, LatencyObjective(milliseconds=5)))[0] > 500


def test_a_reliability_diagram() -> None:
    rng = np.random.default_rng(2)
    confidence = rng.random(500)
    assert size(plots.reliability_diagram(reliability(confidence, rng.random(500) < confidence), 0.4))[1] > 400
    assert size(plots.reliability_diagram(()))[0] > 400
