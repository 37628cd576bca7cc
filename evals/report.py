"""Reports for people: Markdown tables for the asset page, and one self-contained HTML page per bundle or pack."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals import plots
from evals.evaluate import EvaluationSummary
from fleet_manifests import (
    AccuracyReport,
    Comparison,
    Evidence,
    Gate,
    HardwareProfile,
    KnowledgeReport,
    LatencyReport,
    Machine,
    Measurement,
    Metric,
    UsageError,
    Verdict,
    worst,
)

TEMPLATE = Path(__file__).with_name("report.html.j2")

Pictures = dict[str, bytes]
"""PNG files by name, such as `confusion_matrix`."""
Table = list[list[str]]
"""The header first, then the rows; all cells are plain text."""

TITLES = {"accuracy": "Accuracy", "latency": "Latency and memory", "knowledge": "Knowledge pack"}

MEASURED = {
    Measurement.MEASURED: "measured on hardware of the profile",
    Measurement.EMULATED: "emulated",
    Measurement.ABSENT: "not measured on hardware of the profile",
}


@dataclass(frozen=True)
class Section:
    """One report as the page shows it."""

    title: str
    verdict: Verdict
    measured: str
    tables: dict[str, Table]
    images: dict[str, str]
    """Alternative text to data URI."""


def markdown(report: Evidence) -> str:
    """A report as Markdown: the verdict in one sentence, then gates, comparisons and metrics."""
    parts = [f"**{report.verdict.value}**: {sentence(report.gates)}"]
    parts += [f"### {title}\n\n{_markdown_table(table)}" for title, table in _tables(report).items()]
    return "\n\n".join(parts) + "\n"


def evaluation_markdown(summary: EvaluationSummary) -> str:
    """What `evaluate` found, as Markdown."""
    parts = [f"**{summary.workflow}** for {summary.profile}, {summary.n:,} rows scored"]
    parts.append(_markdown_table(metric_table(summary.metrics)))
    if summary.out_of_scope is not None:
        found = summary.out_of_scope
        parts.append(f"Out of scope: {found.n:,} rows, {found.deferred:.1%} deferred, AUROC {found.auroc:.3f}")
    if summary.unknown_labels:
        listed = ", ".join(f"{label} ({count})" for label, count in summary.unknown_labels.items())
        parts.append(f"Labels that the model does not have, not scored: {_cell(listed)}")
    if summary.too_long:
        parts.append(f"Longer than the engine accepts, not scored: lines {', '.join(map(str, summary.too_long))}")
    if summary.worst:
        header = ["line", "text", "label", "predicted", "confidence", "a site would have"]
        rows = [
            [str(m.line), m.text, m.label, m.predicted, f"{m.confidence:.3f}", "answered" if m.answered else "deferred"]
            for m in summary.worst
        ]
        parts.append("### Worst mistakes\n\n" + _markdown_table([header, *rows]))
    return "\n\n".join(parts) + "\n"


def pictures(report: Evidence, profile: HardwareProfile, *, defer_threshold: float | None = None) -> Pictures:
    """What a person would rather look at.

    Args:
        report: the report.
        profile: what the bundle was built for; its objective is drawn into the latency plot.
        defer_threshold: drawn into the reliability diagram.
    """
    if isinstance(report, LatencyReport):
        samples = report.samples_ms
        return {"latency_distribution": plots.latency_distribution(samples, profile.latency)} if samples else {}
    found = {}
    if isinstance(report, AccuracyReport) and report.confusion is not None:
        found["confusion_matrix"] = plots.confusion_matrix(report.confusion)
    if report.reliability:
        found["reliability_diagram"] = plots.reliability_diagram(report.reliability, defer_threshold)
    return found


def html(reports: Sequence[tuple[Evidence, Pictures]], profile: HardwareProfile) -> str:
    """One HTML page with everything inside it: no script, no network.

    Args:
        reports: reports about one bundle or pack, each with its pictures.
        profile: what it was built for.

    Raises:
        UsageError: no report, or several that are about different bundles.
    """
    from jinja2 import Environment, StrictUndefined

    if len({report.bundle for report, _ in reports}) != 1:
        raise UsageError("report: one or more reports about the same bundle are needed")
    gates = [gate for report, _ in reports for gate in report.gates]
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(TEMPLATE.read_text(encoding="utf-8"))
    first, _ = reports[0]
    return page.render(
        title=_title(first),
        bundle=first.bundle,
        verdict=worst(report.verdict for report, _ in reports),
        sentence=sentence(gates),
        sections=[_section(report, drawn) for report, drawn in reports],
        facts=_facts(profile, first.machine, [report for report, _ in reports]),
    )


def _title(report: Evidence) -> str:
    at = f" at {report.site_class} sites" if isinstance(report, KnowledgeReport) else ""
    return f"{report.workflow} for {report.profile}{at}"


def sentence(gates: Sequence[Gate]) -> str:
    """The verdict in one sentence: what fails, else what is not known, else how much passed."""
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        found = [gate for gate in gates if gate.verdict is verdict]
        if found:
            others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            return f"{found[0].name}: {found[0].reason}{others}"
    return f"all {len(gates)} gates pass"


def gate_table(gates: Iterable[Gate]) -> Table:
    """Gates with their verdicts and reasons."""
    return [["gate", "verdict", "reason"], *([gate.name, gate.verdict.value, gate.reason] for gate in gates)]


def metric_table(metrics: Iterable[Metric]) -> Table:
    """Metrics with n and interval."""
    rows = []
    for metric in metrics:
        known = metric.low is not None and metric.high is not None
        span = f"{_number(metric.low or 0, metric.unit)} to {_number(metric.high or 0, metric.unit)}" if known else ""
        rows.append([metric.name, f"{_number(metric.value, metric.unit)} {metric.unit}".strip(), span, f"{metric.n:,}"])
    return [["metric", "value", "interval", "n"], *rows]


def comparison_table(comparisons: Iterable[Comparison]) -> Table:
    """Paired differences against other models."""
    header = ["against", "metric", "ours", "theirs", "difference", "interval", "lost", "gained", "n"]
    rows = [
        [
            found.against,
            found.metric,
            f"{found.ours:.4f}",
            f"{found.theirs:.4f}",
            f"{found.difference:+.4f}",
            f"{found.low:+.4f} to {found.high:+.4f} ({found.confidence:.0%})",
            str(found.lost),
            str(found.gained),
            f"{found.n:,}",
        ]
        for found in comparisons
    ]
    return [header, *rows]


def _tables(report: Evidence) -> dict[str, Table]:
    tables = {"Gates": gate_table(report.gates)}
    if not isinstance(report, LatencyReport):
        if report.comparisons:
            tables["Against other models, paired"] = comparison_table(report.comparisons)
        if report.out_of_scope is not None:
            found = report.out_of_scope
            row = [f"{found.n:,}", f"{found.auroc:.4f}", f"{found.deferred:.1%}"]
            what = "Questions" if isinstance(report, KnowledgeReport) or report.confusion is None else "Rows"
            tables[f"{what} that it should not answer"] = [["n", "AUROC", "deferred"], row]
    tables["Metrics"] = metric_table(report.metrics)
    return tables


def _section(report: Evidence, drawn: Mapping[str, bytes]) -> Section:
    images = {name.replace("_", " ").capitalize(): _uri(png) for name, png in drawn.items()}
    return Section(TITLES[report.kind], report.verdict, MEASURED[report.measurement], _tables(report), images)


def _facts(profile: HardwareProfile, machine: Machine, reports: Sequence[Evidence]) -> dict[str, str]:
    """What was measured, where and when."""
    goal = profile.latency
    return {
        "profile": f"{profile.isa.value}, {profile.cores} cores, {profile.memory_mb:,} MB, "
        f"p{goal.percentile} at most {goal.milliseconds:g} ms at {goal.tokens} tokens",
        "measured on": f"{machine.host.cpu_model}, {machine.isa}, {machine.host.cores} cores, "
        f"{machine.host.memory_mb:,} MB, governor {machine.governor}, kernel {machine.kernel}",
        "software": f"onnxruntime {machine.onnxruntime}, Python {machine.python}",
        "taken": ", ".join(sorted({report.taken.isoformat() for report in reports})),
    }


def _number(value: float, unit: str) -> str:
    return f"{value:.2f}" if unit == "ms" else f"{value:.1f}" if unit == "MB" else f"{value:.4f}"


def _markdown_table(table: Table) -> str:
    header, *rows = table
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that cannot break out of a Markdown cell or become markup."""
    flat = " ".join(text.split())
    for sign in "\\|`*_<>[]":
        flat = flat.replace(sign, "\\" + sign)
    return flat


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + b64encode(png).decode()
