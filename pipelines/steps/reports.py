"""The page of a build: its evidence, the texts that the evidence must not hold, and what else was tried."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evals.engines import config_of
from fleet_manifests import (
    AccuracyReport,
    BundleConfig,
    Evidence,
    LatencyReport,
    Measurement,
    Metric,
    RefusedError,
    digest_of,
    dump,
    sha256_of,
)
from fleet_manifests.bundle import bundle_name
from pipelines.project.load import Project
from pipelines.steps import emulation
from pipelines.steps.choice import read_choice
from pipelines.steps.configs import resolved_profile
from pipelines.steps.evidence import PAGE, read_accuracy, read_latency
from pipelines.steps.received import evidence_of
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from evals.pages.pareto import Candidate
    from evals.pages.report import Setting

CODE = ("evals.pages", "pipelines.steps.reports")
"""What decides how a page looks."""
LIBRARIES = ("jinja2", "matplotlib")

Entries = Mapping[str, Entry]
"""Store entries by step."""


def build_report(project: Project, workflow: str, profile_name: str) -> Entry:
    """The page of a build, and its plots as PNG files.

    Raises:
        RefusedError: the build has no evidence, or its reports are about different bundles.
    """
    from evals.pages.page import templates_digest

    name = bundle_name(workflow, profile_name)
    tried, corpus = project.store.latest("quantized_model", name), project.store.latest("corpus", workflow)
    choice = None if workflow in project.retrievers else project.store.latest("chosen_model", workflow)
    found = dict(measured(project, workflow))
    if profile_name not in found:
        raise RefusedError(f"{name}: there is no evidence about its bundle yet; materialize both reports first")
    profile, emulated = resolved_profile(project, profile_name), emulation.latest(project, workflow, profile_name)
    metric = project.workflow(workflow).gates.metric
    step = Step(
        name="build_report",
        inputs={
            **{f"{other}/{kind}": one.digest for other, entries in found.items() for kind, one in entries.items()},
            "quantized_model": tried.digest,
            **({"chosen_model": choice.digest} if choice else {}),
            **({"emulated": digest_of(dump(emulated))} if emulated else {}),
            "corpus": corpus.digest,
            "templates": templates_digest(),
        },
        parameters={"profile": profile.model_dump(mode="json"), "metric": metric},
        code=CODE,
        libraries=LIBRARIES,
    )

    def work(out: Path) -> None:
        from evals.pages.report import Setting

        accuracy, latency = reports_of(found[profile_name])
        config = config_of(found[profile_name]["bundle"].path / name)
        setting = Setting(
            profile=profile,
            defer_threshold=config.calibration.defer_threshold if config.labels else None,
            facts=_facts(config),
            candidates=(
                *_builds(found, profile_name, metric),
                *_trials(tried.path / "search.json", metric),
                *(_others(choice) if choice else ()),
            ),
            texts=_texts(accuracy, corpus.path),
            emulated=emulated,
        )
        write_page(out, (accuracy, latency), setting)

    return project.store.keep(name, step, work)


def write_page(out: Path, reports: Sequence[Evidence], setting: Setting) -> None:
    """A page and its plots, as files."""
    from evals.pages.report import html, pictures

    drawn = pictures(reports, setting)
    (out / PAGE).write_text(html(reports, setting, drawn), encoding="utf-8")
    for name, png in drawn.items():
        (out / f"{name}.png").write_bytes(png)


def measured(project: Project, workflow: str) -> Iterator[tuple[str, Entries]]:
    """The builds of a workflow, by profile, whose reports are about the bundle that there is."""
    for name, profile in project.builds():
        if name != workflow:
            continue
        build = bundle_name(workflow, profile)
        try:
            found = {"bundle": project.store.latest("bundle", build), **evidence_of(project, workflow, profile)}
        except RefusedError:
            continue  # not built or not measured
        if {report.bundle for report in reports_of(found)} == {sha256_of(found["bundle"].path / "manifest.json")}:
            yield profile, found


def reports_of(entries: Entries) -> tuple[AccuracyReport, LatencyReport]:
    """The two reports of a build."""
    return read_accuracy(entries["accuracy_report"]), read_latency(entries["latency_report"])


def _facts(config: BundleConfig) -> dict[str, str]:
    """What the bundle says of itself."""
    base, calibration = config.built_on, config.calibration
    facts = {
        "recipe": config.recipe,
        "base": f"{base.name} {base.revision}, {base.licence}" if base else f"none: a {config.kind} model",
        "corpus": f"data card {config.data_card.removeprefix('sha256:')[:12]}",
    }
    if config.labels:
        threshold, target = calibration.defer_threshold, calibration.target_precision
        facts["answers"] = f"from a confidence of {threshold:.3f} on, for {target:.0%} precision"
    return facts


def _builds(built: Mapping[str, Entries], chosen: str, metric: str) -> Iterator[Candidate]:
    """Every build of the workflow that has evidence."""
    from evals.pages.pareto import Candidate

    for profile, entries in built.items():
        accuracy, latency = reports_of(entries)
        score, size = _named(accuracy.metrics, metric), _named(latency.metrics, "size_mb")
        median = _named(latency.metrics, "p50/workload", "p50")
        if score is None or size is None:
            continue
        yield Candidate(
            name=f"{profile}, {config_of(entries['bundle'].path / bundle_name(accuracy.workflow, profile)).recipe}",
            metric=score.value,
            size_mb=size.value,
            latency_ms=median.value if median else None,
            low=score.low,
            high=score.high,
            measured=latency.measurement is Measurement.MEASURED,
            chosen=profile == chosen,
        )


def _trials(search: Path, metric: str) -> Iterator[Candidate]:
    """Every recipe that was tried for this profile and gave a figure."""
    from evals.pages.pareto import Candidate

    for trial in json.loads(search.read_text()):
        if metric in trial["metrics"] and trial["size"]:
            yield Candidate(
                trial["recipe"],
                trial["metrics"][metric],
                trial["size"] / 1e6,
                latency_ms=trial["latency_ms"] if trial["times_count"] else None,
                split="validation",
                chosen=trial["outcome"] == "chosen",
            )


def _others(entry: Entry) -> Iterator[Candidate]:
    """Every kind of model that was not chosen, unquantized; the recipes are of the one that was."""
    from evals.pages.pareto import Candidate

    for one in read_choice(entry).others:
        found = one.metric
        yield Candidate(one.what, found.value, one.size / 1e6, split="validation", low=found.low, high=found.high)


def _named(metrics: Sequence[Metric], *names: str) -> Metric | None:
    """The first metric of these names that there is."""
    known = {metric.name: metric for metric in metrics}
    return next((known[name] for name in names if name in known), None)


def _texts(report: AccuracyReport, corpus: Path) -> dict[str, str]:
    """The texts of the flips. They stay where the split is: on this machine, in the page."""
    from evals.questions import read_questions
    from evals.rows import read_split

    if report.confusion is None:
        every = {question.id: question.text for question in read_questions(corpus, report.split.name).questions}
    else:
        every = {f"line {row.line}": row.text for row in read_split(corpus, report.split.name).rows}
    return {flip.item: every[flip.item] for flip in report.flips}
