"""The release card: every build and pack with its verdict, and what a release would change. For a release manager."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evals.engines import config_of
from evals.pages.words import sentence
from fleet_manifests import FleetManifest, RefusedError, worst
from fleet_manifests.bundle import bundle_name
from fleet_manifests.knowledge import pack_name
from pipelines.project.load import Project
from pipelines.steps.card_page import Row, page
from pipelines.steps.configs import resolved_profile
from pipelines.steps.diffs import known
from pipelines.steps.outcomes import measured_pack
from pipelines.steps.packs import site_classes
from pipelines.steps.release import release_of, workflow_entry
from pipelines.steps.reports import measured, reports_of
from runtimes.sync.files import write_file

CARD = "card.html"
"""In the state folder of the project."""


def release_card(project: Project) -> Path:
    """Write the card of what is built now, and give its file: a view, which changes with what is published.

    Raises:
        IntegrityError: the published manifests are not what was signed.
        StorageError: it cannot be written.
    """
    from release.tree import storage

    path = project.state / CARD
    with storage(path):
        write_file(path, card(project).encode())
    return path


def card(project: Project) -> str:
    """The card of what is built now, as HTML with everything inside it.

    Raises:
        IntegrityError: the published manifests are not what was signed.
    """
    from release import changes

    builds = list(_builds(project))
    packs = list(_packs(project, builds))
    offered, before = _manifests(project)
    return page(
        project.settings.title or project.settings.name,
        builds,
        packs,
        changes(before, [row.standing for row in (*builds, *packs)], known(project, before)),
        {name: workflow_entry(project, name) for name in project.workflows},
        profiles=project.builds(),
        offered=offered,
        before=before,
    )


def _builds(project: Project) -> Iterator[Row]:
    """Every build that has evidence about the bundle that there is."""
    from release import standing

    for workflow in sorted({name for name, _ in project.builds()}):
        for profile, entries in sorted(measured(project, workflow)):
            name = bundle_name(workflow, profile)
            reports = reports_of(entries)
            gates = [gate for report in reports for gate in report.gates]
            verdict = worst(report.verdict for report in reports)
            yield Row(
                workflow=workflow,
                profile=profile,
                standing=standing(name, reports[0].bundle, verdict, config_of(entries["bundle"].path / name), reports),
                why=sentence(gates),
                metrics=tuple(metric for report in reports for metric in report.metrics),
                target=reports[0].target_precision,
                percentile=resolved_profile(project, profile).latency.percentile,
            )


def _packs(project: Project, builds: Sequence[Row]) -> Iterator[Row]:
    """Every knowledge pack of these builds that has evidence."""
    from release import standing

    for build in builds:
        retrieves = build.workflow in project.retrievers
        for site_class in site_classes(project, build.profile) if retrieves else ():
            name = pack_name(build.workflow, build.profile, site_class)
            try:
                _, config, report, _ = measured_pack(project, build.workflow, build.profile, site_class)
            except RefusedError:
                continue  # not made, or not measured since
            yield Row(
                workflow=build.workflow,
                profile=build.profile,
                standing=standing(name, report.bundle, report.verdict, config, [report]),
                why=sentence(report.gates),
                metrics=report.metrics,
                target=report.target_precision,
                site_class=site_class,
            )


def _manifests(project: Project) -> tuple[FleetManifest | None, FleetManifest | None]:
    """The candidates on offer, and what they are held against: `stable`, else `canary`."""
    release = release_of(project)
    if not release.repository.exists:
        return None, None
    held = release.status().channels
    return held.get("candidates"), held.get("stable") or held.get("canary")
