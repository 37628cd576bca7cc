"""The page of a build or pack: all of its evidence, in the order in which a release manager asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evals.pages import pareto, plots, tables
from evals.pages.page import render
from evals.pages.pareto import Candidate
from evals.pages.tables import Table
from evals.pages.words import between, compared, model, named, reading, sentence
from fleet_manifests import (
    AccuracyReport,
    Evidence,
    HardwareProfile,
    KnowledgeReport,
    LatencyReport,
    Machine,
    Measurement,
    Metric,
    UsageError,
    worst,
)

Pictures = dict[str, bytes]
"""PNG files by name, such as `confusion_matrix`, in the order in which they are shown."""
Answers = AccuracyReport | KnowledgeReport

TITLES = {"accuracy": "Accuracy", "latency": "Latency and memory", "knowledge": "Knowledge pack"}
MEASURED = {
    Measurement.MEASURED: "measured on hardware of the profile",
    Measurement.EMULATED: "emulated",
    Measurement.ABSENT: "not measured on hardware of the profile",
}
CAPTIONS = {
    "candidates": "Every build of the workflow and every recipe tried for this profile. Bold names are on the Pareto "
    "front: nothing else of their kind is as good, as fast and as small. A ring marks this build, the area of a dot is "
    "the size, a hollow dot was not measured on its hardware, a dotted line is another model.",
    "confusion_matrix": "Rows are what is true, columns what was answered.",
    "reliability_diagram": "A calibrated model is right as often as it is sure: its bars end on the dotted line.",
    "coverage_and_precision": "What is right when only the surest are answered and the others deferred.",
    "latency_distribution": "The share of queries that is answered within a time.",
    "differences": "Paired, with intervals. A grey band is a loss that does not matter.",
}
"""How to read a plot."""
HEADLINES = ("macro_f1", "ndcg_at_10", "accuracy", "coverage", "precision_answered", "size_mb", "peak_rss_mb")
"""Metrics at the top of the page, besides the percentile of the objective."""


@dataclass(frozen=True)
class Setting:
    """What a page shows besides reports. Only a page and never the evidence has texts."""

    profile: HardwareProfile
    """What it was built for; its objective is drawn into the latency plot."""
    defer_threshold: float | None = None
    """Drawn into the reliability diagram."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Such as recipe and base, by name."""
    candidates: tuple[Candidate, ...] = ()
    """Every build and recipe of the workflow."""
    texts: Mapping[str, str] | None = None
    """Texts of the flips by item."""
    emulated: AccuracyReport | None = None
    """Accuracy on a processor that is not here. It decides nothing."""


@dataclass(frozen=True)
class Picture:
    """A plot of a section."""

    name: str
    png: bytes = field(repr=False)

    @property
    def alt(self) -> str:
        """What it shows."""
        return self.name.replace("_", " ").capitalize()

    @property
    def caption(self) -> str:
        """How to read it."""
        return CAPTIONS.get(self.name, "")


@dataclass(frozen=True)
class Section:
    """A part of a page."""

    title: str
    tables: tuple[Table, ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    """What it is about, and what there is to say."""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Tile:
    """A figure that one looks for first."""

    name: str
    value: str
    span: str


def html(reports: Sequence[Evidence], setting: Setting, drawn: Pictures | None = None) -> str:
    """One HTML page with everything inside it: no script, no network.

    Args:
        reports: reports about one bundle or pack.
        setting: what else the page shows.
        drawn: what `pictures` gave; None draws them.

    Raises:
        UsageError: no report, or several that are about different bundles.
    """
    if len({report.bundle for report in reports}) != 1:
        raise UsageError("report: one or more reports about the same bundle are needed")
    first, found = reports[0], worst(report.verdict for report in reports)
    return render(
        "report.html.j2",
        title=_title(first),
        bundle=first.bundle,
        verdict=found,
        sentence=sentence([gate for report in reports for gate in report.gates]),
        tiles=list(_tiles(reports, setting.profile)),
        facts=_facts(reports, setting),
        sections=sections(reports, setting, pictures(reports, setting) if drawn is None else drawn),
    )


def sections(
    reports: Sequence[Evidence], setting: Setting | None = None, drawn: Pictures | None = None
) -> list[Section]:
    """The parts of a page, in order; those with nothing in them are left out.

    Args:
        reports: reports about one bundle or pack.
        setting: what else there is to show.
        drawn: what `pictures` gave; None: no pictures.
    """
    answers = [report for report in reports if not isinstance(report, LatencyReport)]
    shown = {name: Picture(name, png) for name, png in (drawn or {}).items()}
    apart = [shown.pop(name) for name in ("differences",) if name in shown]
    parts = [
        Section("Gates", tuple(tables.gates(report.gates, _judged(report)) for report in reports)),
        Section("Plots", pictures=tuple(shown.values())),
        *(part for report in answers for part in _answered(report, setting, tuple(apart))),
        Section("Metrics", tuple(tables.metrics(report.metrics, TITLES[report.kind]) for report in reports)),
        *([_emulated(setting.emulated)] if setting and setting.emulated else []),
    ]
    return [part for part in parts if part.tables or part.words or part.pictures]


def pictures(reports: Sequence[Evidence], setting: Setting) -> Pictures:
    """What a person would rather look at."""
    found: Pictures = {}
    answers = next((report for report in reports if not isinstance(report, LatencyReport)), None)
    timed = next((report for report in reports if isinstance(report, LatencyReport)), None)
    if setting.candidates and answers is not None:
        found["candidates"] = pareto.plot(setting.candidates, named(_main(answers)), _references(answers))
    if isinstance(answers, AccuracyReport) and answers.confusion is not None:
        found["confusion_matrix"] = plots.confusion_matrix(answers.confusion)
    if answers is not None:
        found |= _sureness(answers, setting.defer_threshold)
    if timed is not None and timed.samples_ms:
        found["latency_distribution"] = plots.latency_distribution(timed.samples_ms, setting.profile.latency)
    return found


def _sureness(report: Answers, threshold: float | None) -> Pictures:
    """How far its confidence can be believed, and its differences to other models."""
    found: Pictures = {}
    if report.reliability:
        found["reliability_diagram"] = plots.reliability_diagram(report.reliability, threshold)
    if report.risk:
        target, reached = report.target_precision, _reached(report)
        found["coverage_and_precision"] = plots.coverage_precision(report.risk, target=target, reached=reached)
    if report.comparisons:
        found["differences"] = plots.differences(sorted(report.comparisons, key=lambda one: one.margin is None))
    return found


def _reached(report: Answers) -> tuple[float, Metric] | None:
    """The share of all items that the threshold answers, and the precision of it."""
    known = {metric.name: metric for metric in report.metrics}
    precision, everything = known.get("precision_answered"), known.get("aurc")
    if precision is None or everything is None:
        return None
    return precision.n / everything.n, precision


def _main(report: Answers) -> str:
    """The metric that the floor is about; else the first."""
    return report.floor_metric or next((metric.name for metric in report.metrics), "metric")


def _references(report: Answers) -> dict[str, float]:
    """The other models' figures in the main metric."""
    return {one.against: one.theirs for one in report.comparisons if one.metric == _main(report)}


def _answered(report: Answers, setting: Setting | None, drawn: tuple[Picture, ...]) -> Iterator[Section]:
    """Everything about answers: comparisons, slices, flips, disturbed texts, out of scope."""
    what = tables.things(report)
    if report.comparisons:
        found = sorted(report.comparisons, key=lambda one: one.margin is None)
        said = tuple((f"Against {model(one.against)}", compared(one, what)) for one in found)
        yield Section("Against other models", (tables.comparisons(found),), said, drawn)
    if report.slices:
        yield Section("Classes and slices", tuple(tables.slices(report.slices, report.metrics)))
    if isinstance(report, AccuracyReport):
        if report.flips:
            yield Section("Flips", (tables.flips(report.flips, setting.texts if setting else None),))
        if report.robustness:
            yield Section("Robustness", (tables.robustness(report.robustness),))
    if report.out_of_scope is not None:
        yield Section("Out of scope", (tables.out_of_scope(report.out_of_scope, what),))


def _emulated(report: AccuracyReport) -> Section:
    """What a processor that is not here would answer."""
    asked = f"{report.split.n:,} {tables.things(report)} of split {report.split.name}"
    said = f"{asked} on {_machine(report.machine)}. No verdict rests on it."
    found = (
        tables.gates(report.gates, "Gates, emulated"),
        tables.comparisons(report.comparisons),
        tables.metrics(report.metrics, "Metrics, emulated"),
    )
    return Section("Emulated processor", found, (("Accuracy, never latency", said),))


def _title(report: Evidence) -> str:
    at = f" at {report.site_class} sites" if isinstance(report, KnowledgeReport) else ""
    return f"{report.workflow} for {report.profile}{at}"


def _judged(report: Evidence) -> str:
    at = f" at site {report.site}" if report.site else ""
    return f"{TITLES[report.kind]}: {report.verdict.value}, {MEASURED[report.measurement]}{at}"


def _tiles(reports: Sequence[Evidence], profile: HardwareProfile) -> Iterator[Tile]:
    """The figures that one looks for first."""
    known = {metric.name: metric for report in reports for metric in report.metrics}
    wanted = (*HEADLINES[:5], f"p{profile.latency.percentile}", *HEADLINES[5:])
    for metric in (known[name] for name in wanted if name in known):
        yield Tile(named(metric.name), reading(metric), between(metric))


def _facts(reports: Sequence[Evidence], setting: Setting) -> dict[str, str]:
    """What was measured, where and when."""
    profile, goal = setting.profile, setting.profile.latency
    facts = dict(setting.facts)
    facts["profile"] = (
        f"{profile.isa.value}, {_cores(profile.cores)}, {profile.memory_mb:,} MB, "
        f"p{goal.percentile} at most {goal.milliseconds:g} ms at {goal.tokens} tokens"
    )
    for report in reports:
        if not isinstance(report, LatencyReport):
            facts["measured with"] = f"split {report.split.name}, {report.split.n:,} {tables.things(report)}"
        if isinstance(report, KnowledgeReport) and report.lost:
            facts["not asked"] = f"{len(report.lost):,} questions whose passages are gone: {', '.join(report.lost)}"
        if isinstance(report, LatencyReport) and report.queries:
            facts["timed by"] = _timed(report)
        if report.receipt:
            facts[f"{TITLES[report.kind].lower()} receipt"] = f"{report.receipt}, signed by the device of {report.site}"
    machines = {_machine(report.machine): report for report in reports}
    for described, report in machines.items():
        facts["measured on" if len(machines) == 1 else f"{TITLES[report.kind].lower()} measured on"] = described
    facts["taken"] = ", ".join(sorted({report.taken.strftime("%Y-%m-%d %H:%M %Z") for report in reports}))
    return facts


def _timed(report: LatencyReport) -> str:
    """How latency was taken."""
    tool = f"MLPerf LoadGen {report.loadgen}" if report.loadgen else "our own loop"
    held = f", memory held by {report.memory_held}" if report.memory_held else ""
    return f"{tool}, {report.queries:,} queries, one at a time on {_cores(report.cores)}{held}"


def _cores(number: int) -> str:
    return "1 core" if number == 1 else f"{number} cores"


def _machine(found: Machine) -> str:
    built = f" ({found.build})" if found.build != "unknown" else ""
    return (
        f"{found.host.cpu_model}, {found.isa}, {found.host.cores} cores, {found.host.memory_mb:,} MB, governor "
        f"{found.governor}, kernel {found.kernel}, onnxruntime {found.onnxruntime}{built}, Python {found.python}"
    )
