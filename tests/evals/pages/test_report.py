from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.accuracy import AccuracyPolicy, measure
from evals.calibration import reliability
from evals.evaluate import evaluate
from evals.pages import plots, report
from evals.pages.markdown import evaluation_markdown, markdown, table
from evals.pages.pareto import Candidate
from evals.pages.report import Setting
from evals.pages.tables import Cell, Table
from evals.risk import curve
from evals.rows import Row
from fleet_manifests import (
    AccuracyReport,
    Comparison,
    Confusion,
    Gate,
    HardwareProfile,
    KnowledgeReport,
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
        references={"unquantized": made.truth[:150] + made.ours[150:], "tfidf_svm": made.ours},
        policy=AccuracyPolicy(floor=0.8, margin=0.05, resamples=100),
        taken=TAKEN,
        engine=made.engine,
        machine=machine,
        on_disturbed=["late"] * len(made.truth),
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


def size(png: bytes) -> tuple[int, int]:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        colours = image.convert("RGB").getcolors(maxcolors=1 << 24)
        assert colours is not None and len(colours) > 20, "the plot is blank"
        return image.size


@pytest.fixture
def setting(profile: HardwareProfile, accuracy: AccuracyReport) -> Setting:
    candidates = (
        Candidate("edge-test, int8", 0.9, 23.6, 5.0, low=0.85, high=0.93, chosen=True),
        Candidate("fp16", 0.91, 45.0, split="validation"),
    )
    texts = {flip.item: f"text of {flip.item}" for flip in accuracy.flips}
    return Setting(profile, 0.6, {"recipe": "int8"}, candidates, texts)


def headings(text: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_the_page_is_one_file_that_fetches_nothing(
    accuracy: AccuracyReport, latency: LatencyReport, setting: Setting
) -> None:
    text = report.html([accuracy, latency], setting)
    page = Page(text)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 6
    assert all((image["src"] or "").startswith("data:image/png;base64,") and image["alt"] for image in images)
    assert not {"script", "iframe", "object", "form", "a"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?:", text)


def test_the_page_has_everything_in_the_order_of_the_questions(
    accuracy: AccuracyReport, latency: LatencyReport, setting: Setting
) -> None:
    text = report.html([accuracy, latency], setting)
    assert headings(text) == [
        "Gates", "Plots", "Against other models", "Classes and slices", "Flips", "Robustness", "Out of scope", "Metrics",
    ]  # fmt: skip
    first = accuracy.flips[0]
    for part in (DIGEST, "int8", "margin of 0.050", f"text of {first.item}", first.truth, "2026-01-02 00:00 UTC"):
        assert part in text


def test_the_page_says_the_verdict_first_and_escapes_what_it_shows(
    accuracy: AccuracyReport, latency: LatencyReport, setting: Setting
) -> None:
    text = report.html([accuracy, latency], setting)
    words = [word.strip() for word in Page(text).words if word.strip()]
    assert "triage for edge-test: fail" in words
    assert words.index("✗ Must not ship") < words.index("Gates")
    assert any("<script>alert(1)</script>" in word for word in words), "shown as text"
    assert "<script>" not in text


@pytest.mark.parametrize(
    ("verdict", "lead"),
    [(Verdict.PASS, "✓ May ship"), (Verdict.FAIL, "✗ Must not ship"), (Verdict.INCONCLUSIVE, "? Not decided yet")],
)
def test_a_page_for_each_verdict(latency: LatencyReport, setting: Setting, verdict: Verdict, lead: str) -> None:
    gate = Gate(name="latency", verdict=verdict, reason="as measured")
    one = latency.model_copy(update={"verdict": verdict, "gates": (gate,)})
    text = report.html([one], setting)
    assert lead in text
    assert f'<div class="verdict {verdict.value}">' in text


@pytest.mark.parametrize(
    "hostile", ["<img src=x onerror=alert(1)>", "</td></table><script>x()</script>", "{{ 7 * 7 }}", "a|b`c"]
)
def test_hostile_texts_stay_texts(accuracy: AccuracyReport, setting: Setting, hostile: str) -> None:
    flips = tuple(flip.model_copy(update={"truth": hostile}) for flip in accuracy.flips)
    some = tuple(one.model_copy(update={"name": f"label={hostile}"}) for one in accuracy.slices)
    nasty = accuracy.model_copy(update={"flips": flips, "slices": some})
    texts = replace(setting, texts={flip.item: hostile for flip in flips}, facts={hostile: hostile})
    text = report.html([nasty], texts)
    page = Page(text)
    assert hostile in "".join(page.words)
    assert "script" not in {tag for tag, _ in page.tags}
    assert all("onerror" not in attributes for _, attributes in page.tags)
    for line in markdown(nasty, texts).splitlines():
        if line.startswith("|"):
            assert "<" not in line.replace("\\<", "") and line.endswith("|")


def test_a_page_of_what_there_is(accuracy: AccuracyReport, latency: LatencyReport, profile: HardwareProfile) -> None:
    bare = AccuracyReport(**{
        name: getattr(accuracy, name)
        for name in ("workflow", "profile", "bundle", "taken", "measurement", "machine", "metrics", "gates", "verdict", "split")
    })  # fmt: skip
    text = report.html([bare], Setting(profile))
    assert headings(text) == ["Gates", "Metrics"]
    assert f"Accuracy: {accuracy.verdict.value}" in text
    assert "Latency and memory" not in text
    untimed = latency.model_copy(update={"samples_ms": (), "metrics": ()})
    assert "<img" not in report.html([untimed], Setting(profile))
    assert headings(report.html([bare, untimed], Setting(profile))) == ["Gates", "Metrics"]


def test_who_measured_and_how_is_said(latency: LatencyReport, profile: HardwareProfile) -> None:
    text = report.html([latency], Setting(profile))
    assert "our own loop, 700 queries, one at a time on 1 core" in text
    afar = latency.model_copy(
        update={"site": "north", "receipt": DIGEST, "loadgen": "5.1", "memory_held": "cgroup", "cores": 2}
    )
    text = report.html([afar], Setting(profile))
    assert "measured on hardware of the profile at site north" in text
    assert "MLPerf LoadGen 5.1, 700 queries, one at a time on 2 cores, memory held by cgroup" in text
    assert f"{DIGEST}, signed by the device of north" in text


def test_the_same_reports_give_the_same_bytes(
    accuracy: AccuracyReport, latency: LatencyReport, setting: Setting
) -> None:
    assert report.html([accuracy, latency], setting) == report.html([accuracy, latency], setting)


def test_a_page_of_a_knowledge_pack(accuracy: AccuracyReport, profile: HardwareProfile) -> None:
    fields = accuracy.model_dump(exclude={"kind", "confusion", "flips", "robustness"})
    pack = KnowledgeReport(**fields, site_class="warehouse", retriever=DIGEST, lost=("q-17",))
    text = report.html([pack], Setting(profile))
    assert "triage for edge-test at warehouse sites" in text
    assert "1 questions whose passages are gone: q-17" in text
    assert "questions that should not be answered" in text


def test_a_page_needs_reports_about_one_bundle(
    accuracy: AccuracyReport, latency: LatencyReport, profile: HardwareProfile
) -> None:
    other = latency.model_copy(update={"bundle": "sha256:" + "cd" * 32})
    for reports in ([], [accuracy, other]):
        with pytest.raises(UsageError, match="the same bundle"):
            report.html(reports, Setting(profile))


def test_the_threshold_lies_on_the_curve(accuracy: AccuracyReport) -> None:
    reached = report._reached(accuracy)
    assert reached is not None
    share, precision = reached
    assert share == pytest.approx(accuracy.metric("coverage").value)
    nearest = min(accuracy.risk, key=lambda point: abs(point.coverage - share))
    assert nearest.precision == pytest.approx(precision.value, abs=0.02)


def test_markdown_says_the_verdict_and_has_whole_tables(accuracy: AccuracyReport, latency: LatencyReport) -> None:
    for found in (accuracy, latency):
        text = markdown(found)
        assert text.startswith(f"**{found.verdict.value}**")
        for line in text.splitlines():
            assert not line.startswith("|") or line.endswith("|")
    text = markdown(accuracy)
    assert "macro\\_f1" in text and "8.12 ms" in markdown(latency)
    for part in ("### Flips", "### Robustness", "### Out of scope", "**Against the unquantized model**"):
        assert part in text


def test_a_long_table_says_what_it_leaves_out() -> None:
    rows = tuple((Cell(f"row {place}"),) for place in range(50))
    text = table(Table("many", ("name",), rows), rows=40)
    assert "row 39" in text and "row 40" not in text
    assert text.endswith("and 10 more rows, on the page")
    assert table(Table("few", ("name",), rows[:40]), rows=40).endswith("| row 39 |")


def test_a_cell_cannot_break_its_table(latency: LatencyReport) -> None:
    line = next(line for line in markdown(latency).splitlines() if "too slow" in line and line.startswith("|"))
    assert line.replace("\\|", "").count("|") == 4 and "\\<script\\>" in line


def test_an_evaluation_as_markdown(case: Any) -> None:
    made = case(n=50, wrong=0.2)
    rows = [Row(f"note {place}", label, place + 1) for place, label in enumerate(made.truth)]
    rows += [Row("weather", None, 90), Row("gone", "stolen", 91), Row("x" * 30_000, "late", 92)]
    text = evaluation_markdown(evaluate(Path("unused"), rows, engine=made.engine))
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


@pytest.mark.parametrize("n", [1, 2, 500])
def test_a_coverage_precision_curve(n: int) -> None:
    rng = np.random.default_rng(3)
    risk = curve(rng.random(n), rng.random(n) < 0.8)
    reached = (0.5, Metric(name="precision_answered", value=0.9, n=n, low=0.85, high=0.95))
    assert size(plots.coverage_precision(risk, target=0.95, reached=reached))[0] > 500
    assert size(plots.coverage_precision(risk))[0] > 500


def test_differences_of_one_and_of_many() -> None:
    one = Comparison(
        against="unquantized", metric="macro_f1", ours=0.9, theirs=0.9, difference=0.0, low=-0.01, high=0.01,
        n=100, lost=1, gained=1, margin=0.02,
    )  # fmt: skip
    many = [one, *(one.model_copy(update={"against": f"baseline {place}", "margin": None}) for place in range(8))]
    assert size(plots.differences(many))[1] > size(plots.differences([one]))[1]


def test_an_emulated_processor_is_a_section_of_its_own_and_decides_nothing(
    accuracy: AccuracyReport, latency: LatencyReport, profile: HardwareProfile
) -> None:
    elsewhere = accuracy.machine.host.model_copy(update={"cpu_model": "Crane 9000"})
    emulated = accuracy.model_copy(
        update={
            "machine": accuracy.machine.model_copy(update={"host": elsewhere}),
            "measurement": Measurement.EMULATED,
            "gates": (Gate(name="floor/macro_f1", verdict=Verdict.FAIL, reason="far too low"),),
            "verdict": Verdict.FAIL,
        }
    )
    plain = report.html([accuracy, latency], Setting(profile))
    page = report.html([accuracy, latency], Setting(profile, emulated=emulated))
    assert "Emulated processor" not in plain
    assert "Crane 9000" in page and "far too low" in page and "No verdict rests on it" in page
    assert page.split("<dl>")[0] == plain.split("<dl>")[0]
