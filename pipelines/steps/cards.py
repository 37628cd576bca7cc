"""The release card: every build and pack with its verdict, and what a release would change. For a release manager."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evals.words import sentence
from fleet_manifests import FleetManifest, Gate, IntegrityError, RefusedError, digest_of, worst
from fleet_manifests.bundle import bundle_name
from fleet_manifests.knowledge import pack_name
from pipelines.project.load import Project
from pipelines.steps.card_page import Row, page
from pipelines.steps.configs import builder_key, resolved_profile
from pipelines.steps.outcomes import measured_pack
from pipelines.steps.packs import site_classes
from pipelines.steps.release import release_of, workflow_entry
from pipelines.steps.reports import LIBRARIES, config_of, measured, reports_of
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from release import Standing

CARD = "card.html"


def release_card(project: Project) -> Entry:
    """The card of what is built now, kept in the store.

    Raises:
        IntegrityError: the published manifests are not what was signed.
    """
    text = card(project)
    step = Step(
        name="release_card",
        inputs={"page": digest_of(text.encode())},
        parameters={},
        code=("pipelines.steps.cards",),
        libraries=LIBRARIES[:1],
    )
    return project.store.keep("candidates", step, lambda out: _write(out / CARD, text))


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
        changes(before, [row.standing for row in (*builds, *packs)], _known(project, before)),
        {name: workflow_entry(project, name) for name in project.workflows},
        profiles=project.builds(),
        offered=offered,
        before=before,
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


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
                standing=standing(name, reports[0].bundle, verdict, config_of(entries, name), reports),
                why=sentence(gates),
                metrics=tuple(metric for report in reports for metric in report.metrics),
                target=_target(gates),
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
                _, config, report = measured_pack(project, name)
            except RefusedError:
                continue  # not made, or not measured since
            yield Row(
                workflow=build.workflow,
                profile=build.profile,
                standing=standing(name, report.bundle, report.verdict, config, [report]),
                why=sentence(report.gates),
                metrics=report.metrics,
                target=_target(report.gates),
                site_class=site_class,
            )


def _target(gates: Sequence[Gate]) -> float | None:
    return next((gate.required for gate in gates if gate.name == "deferral"), None)


def _manifests(project: Project) -> tuple[FleetManifest | None, FleetManifest | None]:
    """The candidates on offer, and what they are held against: `stable`, else `canary`."""
    release = release_of(project)
    if not release.repository.exists:
        return None, None
    held = release.status().channels
    return held.get("candidates"), held.get("stable") or held.get("canary")


def _known(project: Project, before: FleetManifest | None) -> dict[str, Standing]:
    """What the published files and evidence say of what a channel holds, by digest."""
    from release import Published, Standing, standing

    if before is None:
        return {}
    published, found = Published(project.public, builder_key(project).public_pem), {}
    for build in (build for workflow in before.workflows.values() for build in workflow.builds.values()):
        name, digest = build.bundle.name, build.bundle.digest
        try:
            found[digest] = standing(name, digest, build.verdict, published.config(build), published.evidence(build))
        except IntegrityError as exc:
            found[digest] = Standing(name, digest, build.verdict, build.defer_threshold, trouble=str(exc))
    for pack in before.knowledge_packs:
        digest = pack.blob.digest
        try:
            found[digest] = standing(pack.name, digest, pack.verdict, published.pack(pack), published.evidence(pack))
        except IntegrityError as exc:
            found[digest] = Standing(pack.name, digest, pack.verdict, trouble=str(exc))
    return found
