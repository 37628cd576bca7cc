"""What came of a project's builds, for people and scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from evals.pages.words import deciding
from fleet_manifests import (
    DataClass,
    Digest,
    Gate,
    KnowledgeReport,
    Metric,
    Name,
    PackConfig,
    RefusedError,
    UsageError,
    Verdict,
    Wire,
    parse,
    sha256_of,
    worst,
)
from fleet_manifests.bundle import BUNDLE_FILE, bundle_name
from fleet_manifests.knowledge import PACK_FILE, pack_name
from pipelines.project.load import Project
from pipelines.steps import emulation, knowledge
from pipelines.steps.cases import why_not
from pipelines.steps.choice import CHOICE
from pipelines.steps.evidence import PAGE, REPORT, read_accuracy, read_knowledge, read_latency
from pipelines.steps.packs import site_classes
from pipelines.steps.received import evidence_of
from pipelines.steps.release import ChannelState, channels
from pipelines.store import Entry


class PackOutcome(Wire):
    """One knowledge pack and what its evidence says."""

    workflow: Name
    profile: Name
    site_class: Name
    verdict: Verdict
    reasons: tuple[str, ...]
    passages: int
    data_class: DataClass
    metrics: tuple[Metric, ...]
    pack: Digest
    paths: dict[str, str]
    """Where pack and report are."""


class Outcome(Wire):
    """One build and what its evidence says."""

    workflow: Name
    profile: Name
    recipe: str
    verdict: Verdict
    choice: str = ""
    """Why this candidate of the workflow and no other, on validation."""
    reasons: tuple[str, ...]
    """Why the verdict is not `pass`; all gates are in the reports."""
    metrics: tuple[Metric, ...]
    bundle: Digest
    paths: dict[str, str]
    """Where bundle and reports are."""
    emulated: str | None = None
    """What accuracy on the emulated processor of the profile was, in a sentence."""
    packs: tuple[PackOutcome, ...] = ()
    """Knowledge packs bound to this bundle, of a retriever."""


class State(Wire):
    """A project's builds and channels."""

    builds: tuple[Outcome, ...]
    channels: tuple[ChannelState, ...]


def outcomes(project: Project, workflows: Sequence[str] = (), profiles: Sequence[str] = ()) -> list[Outcome]:
    """The builds that have evidence, of the given workflows and profiles (all, where none is given)."""
    found = []
    for workflow, profile in project.builds():
        if (workflows and workflow not in workflows) or (profiles and profile not in profiles):
            continue
        try:
            found.append(_outcome(project, workflow, profile))
        except RefusedError:
            continue  # not built, or not measured since
    return found


def state(project: Project) -> State:
    """Everything that `lading status` shows."""
    return State(builds=tuple(outcomes(project)), channels=tuple(channels(project)))


def _packs(project: Project, workflow: str, profile: str) -> tuple[PackOutcome, ...]:
    """The knowledge packs of a build that have evidence."""
    found = []
    for site_class in site_classes(project, profile) if workflow in project.retrievers else ():
        try:
            found.append(_pack_outcome(project, workflow, profile, site_class))
        except RefusedError:
            continue  # not made, or not measured since
    return tuple(found)


def measured_pack(
    project: Project, workflow: str, profile: str, site_class: str
) -> tuple[Path, PackConfig, KnowledgeReport, Entry]:
    """Where a knowledge pack is, what it says of itself, what was found in it, and the entry that tells.

    Raises:
        RefusedError: it was not made, or not measured since.
    """
    name = pack_name(workflow, profile, site_class)
    made = project.store.latest("knowledge_pack", name)
    entry = knowledge.evidence_of(project, workflow, profile, site_class)
    report, digest = read_knowledge(entry), sha256_of(made.path / "pack" / "manifest.json")
    if report.bundle != digest:
        raise RefusedError(f"{name}: its evidence is about an older pack; materialize knowledge_pack again")
    path = made.path / "pack" / name / PACK_FILE
    return path.parent, parse(PackConfig, path.read_bytes(), where=str(path)), report, entry


def _pack_outcome(project: Project, workflow: str, profile: str, site_class: str) -> PackOutcome:
    folder, config, report, entry = measured_pack(project, workflow, profile, site_class)
    return PackOutcome(
        workflow=report.workflow,
        profile=report.profile,
        site_class=report.site_class,
        verdict=report.verdict,
        reasons=reasons_of(report.gates),
        passages=config.passages,
        data_class=config.data_class,
        metrics=report.metrics,
        pack=report.bundle,
        paths={"pack": str(folder), "knowledge_report": str(entry.path / PAGE)},
    )


def bundle_folder(path: Path) -> Path:
    """The bundle at a path, or the only one just below it.

    Raises:
        UsageError: there is none, or several.
    """
    if (path / BUNDLE_FILE).is_file():
        return path
    below = sorted(found.parent for found in path.glob(f"*/{BUNDLE_FILE}"))
    if len(below) != 1:
        raise UsageError(f"{path}: expected a bundle (a folder with {BUNDLE_FILE}), found {len(below) or 'none'}")
    return below[0]


def _outcome(project: Project, workflow: str, profile: str) -> Outcome:
    name = bundle_name(workflow, profile)
    bundle = project.store.latest("bundle", name)
    entries = evidence_of(project, workflow, profile)
    accuracy, latency = read_accuracy(entries["accuracy_report"]), read_latency(entries["latency_report"])
    digest = sha256_of(bundle.path / "manifest.json")
    if {accuracy.bundle, latency.bundle} != {digest}:
        raise RefusedError(f"{name}: its evidence is about an older bundle; materialize the reports again")
    emulated = emulation.latest(project, workflow, profile)
    failed = [Verdict.FAIL] if emulated and emulated.verdict is Verdict.FAIL else []
    gates = (*accuracy.gates, *latency.gates)
    return Outcome(
        workflow=workflow,
        profile=profile,
        recipe=json.loads((bundle.path / name / BUNDLE_FILE).read_text())["recipe"],
        choice=_choice(project, workflow),
        verdict=worst((accuracy.verdict, latency.verdict, *failed)),
        reasons=(*reasons_of(gates), *_unmeasurable(project, workflow, profile, gates)),
        emulated=emulation.says(emulated) if emulated else None,
        metrics=(*accuracy.metrics, *latency.metrics),
        bundle=digest,
        packs=_packs(project, workflow, profile),
        paths={
            "bundle": str(bundle.path / name),
            **{kind: str(entry.path / REPORT) for kind, entry in entries.items()},
            **_page(project, name, digest),
        },
    )


def _choice(project: Project, workflow: str) -> str:
    """Why this candidate ships; nothing where the choice was made by an earlier version, which kept no record."""
    try:
        return str(json.loads((project.store.latest("chosen_model", workflow).path / CHOICE).read_bytes())["reason"])
    except RefusedError:
        return ""


def _unmeasurable(project: Project, workflow: str, profile: str, gates: Sequence[Gate]) -> tuple[str, ...]:
    """Why no device can put right that a build was not measured; nothing where one can, or need not."""
    if all(gate.name != "hardware" for gate in gates):
        return ()
    reason = why_not(project, workflow, profile)
    return () if reason is None else (f"measurement: cannot be measured at a site: {reason}",)


def _page(project: Project, name: str, bundle: str) -> dict[str, str]:
    """Where the page of a build is; empty where the page is not made, or shows an older bundle."""
    try:
        entry = project.store.latest("build_report", name)
    except RefusedError:
        return {}
    return {"page": str(entry.path / PAGE)} if bundle in (entry.path / PAGE).read_text(encoding="utf-8") else {}


def reasons_of(gates: Sequence[Gate]) -> tuple[str, ...]:
    """Why a verdict is not `pass`."""
    return tuple(dict.fromkeys(f"{gate.name}: {gate.reason}" for gate in deciding(gates)))
