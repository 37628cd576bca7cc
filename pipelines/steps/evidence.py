"""Evidence about a bundle: measured on the bundle itself, signed over its digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import (
    AccuracyReport,
    HardwareProfile,
    LatencyReport,
    Measurement,
    Verdict,
    digest_of,
    dump,
    parse,
    sha256_of,
)
from fleet_manifests.bundle import bundle_name
from fleet_manifests.evidence import now
from pipelines.project.load import Project
from pipelines.steps.builds import ENGINE_LIBRARIES, builder_key, resolved_profile
from pipelines.steps.models import rows
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from evals.accuracy import AccuracyPolicy

REPORT = "report.json"
ENVELOPE = "evidence.dsse.json"
PAGE = "report.html"


def accuracy_report(project: Project, workflow: str, profile_name: str) -> Entry:
    """Accuracy on the test split, against the unquantized model and the baselines."""
    from evals.accuracy import measure
    from runtimes.engine.host import machine

    name = bundle_name(workflow, profile_name)
    built = project.store.latest("bundle", name)
    corpus = project.store.latest("corpus", workflow)
    baselines = project.store.latest("baselines", workflow)
    unquantized = project.store.latest("unquantized", workflow)
    here, profile, policy = machine(), resolved_profile(project, profile_name), _policy(project, workflow)
    step = Step(
        name="accuracy_report",
        inputs={
            "bundle": built.digest, "corpus": corpus.digest, "baselines": baselines.digest,
            "unquantized": unquantized.digest, "machine": digest_of(dump(here)),
        },
        parameters={"profile": profile.model_dump(mode="json"), "policy": vars(policy)},
        code=("evals", "runtimes.engine", "pipelines.steps.evidence"),
        libraries=(*ENGINE_LIBRARIES, "scipy"),
    )  # fmt: skip

    def work(out: Path) -> None:
        fitted = {"unquantized": _predictions(unquantized.path), **_predictions(baselines.path)}
        report = measure(
            built.path / name,
            corpus.path,
            profile=profile,
            bundle_digest=sha256_of(built.path / "manifest.json"),
            references={model: found["test"] for model, found in fitted.items()},
            policy=policy,
            taken=now(),
            machine=here,
        )
        _write(project, report, profile, out)

    return project.store.keep(name, step, work)


def latency_report(project: Project, workflow: str, profile_name: str) -> Entry:
    """Latency and memory in a process of its own, held to the profile's cores."""
    from evals.latency import measure
    from runtimes.engine.host import machine

    name = bundle_name(workflow, profile_name)
    built = project.store.latest("bundle", name)
    corpus = project.store.latest("corpus", workflow)
    here, profile = machine(), resolved_profile(project, profile_name)
    step = Step(
        name="latency_report",
        inputs={"bundle": built.digest, "corpus": corpus.digest, "machine": digest_of(dump(here))},
        parameters={"profile": profile.model_dump(mode="json")},
        code=("evals", "runtimes.engine", "pipelines.steps.evidence"),
        libraries=ENGINE_LIBRARIES,
    )

    def work(out: Path) -> None:
        report = measure(
            built.path / name,
            profile=profile,
            bundle_digest=sha256_of(built.path / "manifest.json"),
            texts=[row["text"] for row in rows(corpus.path, "validation")],
            taken=now(),
            machine=here,
        )
        _write(project, report, profile, out)

    earlier = project.store.get(step)
    if earlier is not None and disturbed(read_latency(earlier)):
        project.store.drop(step)
    return project.store.keep(name, step, work)


def disturbed(report: LatencyReport) -> bool:
    """Whether noise left a measurement on the right hardware open: then it is worth taking again."""
    return report.measurement is Measurement.MEASURED and report.verdict is Verdict.INCONCLUSIVE


def read_accuracy(entry: Entry) -> AccuracyReport:
    """The accuracy report of a store entry."""
    return parse(AccuracyReport, (entry.path / REPORT).read_bytes(), where=f"{entry.path}/{REPORT}")


def read_latency(entry: Entry) -> LatencyReport:
    """The latency report of a store entry."""
    return parse(LatencyReport, (entry.path / REPORT).read_bytes(), where=f"{entry.path}/{REPORT}")


def _policy(project: Project, workflow: str) -> AccuracyPolicy:
    from evals.accuracy import AccuracyPolicy

    gates = project.workflow(workflow).gates
    return AccuracyPolicy(
        metric=gates.metric,
        floor=gates.floor,
        margin=gates.margin,
        confidence=gates.confidence,
        seed=project.settings.seed,
    )


def _predictions(folder: Path) -> Any:
    """Predicted labels by split, or by model and split."""
    return json.loads((folder / "predictions.json").read_text())


def _write(project: Project, report: AccuracyReport | LatencyReport, profile: HardwareProfile, out: Path) -> None:
    """The report for programs, signed for the release, and as a page for people."""
    from evals.report import html
    from release.attest import attest

    (out / REPORT).write_bytes(dump(report))
    (out / ENVELOPE).write_bytes(attest(report, builder_key(project)))
    accuracy = report if isinstance(report, AccuracyReport) else None
    latency = report if isinstance(report, LatencyReport) else None
    (out / PAGE).write_text(html(accuracy, latency, profile), encoding="utf-8")
    for name, png in _pictures(report, profile).items():
        (out / name).write_bytes(png)


def _pictures(report: AccuracyReport | LatencyReport, profile: HardwareProfile) -> dict[str, bytes]:
    """What a person would rather look at, by file name."""
    from evals import plots

    if isinstance(report, LatencyReport):
        samples = report.samples_ms
        return {"latency.png": plots.latency_distribution(samples, profile.latency)} if samples else {}
    found = {}
    if report.confusion is not None:
        found["confusion_matrix.png"] = plots.confusion_matrix(report.confusion)
    if report.reliability:
        found["reliability.png"] = plots.reliability_diagram(report.reliability)
    return found
