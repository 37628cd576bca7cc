"""From signed candidates to channels, assignments and a published tree that a client can pull."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fleet_manifests import (
    Assignment,
    FleetManifest,
    Guardrails,
    RefusedError,
    Verdict,
    Wire,
    WorkflowEntry,
    place,
)
from fleet_manifests.bundle import bundle_name
from fleet_manifests.evidence import now
from pipelines.project.load import Project
from pipelines.project.spec import SiteSpec
from pipelines.steps.candidates import sort
from pipelines.steps.cases import offered_cases, why_not
from pipelines.steps.configs import keys_of, signing_policy
from pipelines.steps.packs import identity_name
from pipelines.steps.views import show_in_mlflow
from training.compute import usable_cores

if TYPE_CHECKING:
    from release import Candidate, Policy, Release

ROOT = "metadata/1.root.json"


class ChannelState(Wire):
    """What a channel holds."""

    channel: str
    version: int | None = None
    expires: str | None = None
    builds: tuple[str, ...] = ()


class Pull(Wire):
    """What a client got when it pulled a channel on this machine."""

    channel: str
    kind: str
    pulled: bool
    said: str


class Published(Wire):
    """What `lading release publish` did."""

    public: str
    root: str
    assignments: tuple[tuple[str, int, bool], ...]
    """Site, version of its assignment, and whether it is new."""
    pulls: tuple[Pull, ...]


class Offer(Wire):
    """The candidates channel, and the builds that may not enter it."""

    manifest: FleetManifest
    refused: tuple[str, ...]
    unmeasurable: tuple[str, ...]
    """Builds whose texts may not travel, with the reason."""


def release_of(project: Project) -> Release:
    """The release of a project, under its fleet policy. Makes nothing."""
    from release import Release

    return Release(project.public, keys_of(project), policy_of(project), project=project.root)


def policy_of(project: Project) -> Policy:
    """Who may sign what, as `fleet.yaml` says."""
    from release import Expiry, Policy

    fleet = project.fleet
    channels = fleet.channels
    return Policy(
        managers=channels.stable.managers,
        stable_threshold=channels.stable.threshold,
        expiry=Expiry(
            stable=channels.stable.expires_days,
            canary=channels.canary.expires_days,
            candidates=channels.candidates.expires_days,
        ),
        max_offline_hours=fleet.max_offline_hours,
        **signing_policy(project),
        evidence_days=fleet.evidence_days,
        licences=fleet.licences,
    )


def offer(project: Project) -> Offer:
    """Put every build and pack without a `fail` into `candidates`; the others are named with their reasons.

    Raises:
        RefusedError: there is no build, or none may enter.
    """
    release = release_of(project)
    release.init()
    found = sort(project, release, (), {Verdict.PASS, Verdict.INCONCLUSIVE})
    if not found.builds:
        raise RefusedError(
            "nothing to offer: " + ("; ".join(found.refused) or "no build has evidence; run `lading build`")
        )
    builds = [replace(one, cases=offered_cases(project, one.workflow, one.profile.name)) for one in found.builds]
    manifest = release.offer(builds, entries(project, builds), found.packs)
    closed = {one.name: why_not(project, one.workflow, one.profile.name) for one in builds if one.cases is None}
    unmeasurable = tuple(f"{name}: cannot be measured at a site: {reason}" for name, reason in closed.items())
    return Offer(manifest=manifest, refused=found.refused, unmeasurable=unmeasurable)


def publish(project: Project) -> Published:
    """Write the assignments of the fleet, renew what the online key signs, and pull as a client.

    What was published and not written into the release log is written there; MLflow shows the log anew.
    """
    release = release_of(project)
    release.init()
    before = {site: found.version for site in release.status().sites if (found := release.assignment(site))}
    wanted = [_assignment(project, site) for site in project.fleet.sites]
    gone = set(before) - {site.site for site in wanted}
    written = release.assign(wanted, remove=sorted(gone))
    release.refresh()
    release.approvals.pending()
    release.desk.catch_up()
    with ThreadPoolExecutor(1) as beside:
        shown = beside.submit(show_in_mlflow, project)
        pulled = pulls(project)
        shown.result()
    return Published(
        public=str(project.public),
        root=str(project.public / ROOT),
        assignments=tuple((one.site, one.version, before.get(one.site) != one.version) for one in written),
        pulls=tuple(pulled),
    )


def pulls(project: Project, channel: str | None = None) -> list[Pull]:
    """Pull as one site of each channel and kind would, on this machine, with every check on."""
    release = release_of(project)
    chosen: list[SiteSpec] = []
    seen: set[tuple[str, str]] = set()
    for site in project.fleet.sites:
        key = (site.channel, site.kind)
        if key in seen or channel not in (None, site.channel) or release.assignment(site.site) is None:
            continue
        if release.manifest(site.channel) is None:
            continue
        seen.add(key)
        chosen.append(site)
    with ThreadPoolExecutor(usable_cores()) as pool:  # most of a pull is smoke cases in processes of their own
        return list(pool.map(lambda site: _pull(project, site), chosen))


def channels(project: Project) -> list[ChannelState]:
    """What each channel of the published tree holds; empty ones where nothing is published."""
    names: tuple[Literal["candidates", "canary", "stable"], ...] = ("candidates", "canary", "stable")
    release = release_of(project)
    published = release.status().channels if release.repository.exists else {}
    return [_channel(name, published.get(name)) for name in names]


def _channel(name: str, manifest: FleetManifest | None) -> ChannelState:
    if manifest is None:
        return ChannelState(channel=name)
    builds = [bundle_name(workflow, profile) for workflow, one in manifest.workflows.items() for profile in one.builds]
    return ChannelState(
        channel=name,
        version=manifest.version,
        expires=manifest.expires.date().isoformat(),
        builds=tuple(sorted(builds)),
    )


def _pull(project: Project, site: SiteSpec) -> Pull:
    from runtimes.sync import enroll, sync

    with tempfile.TemporaryDirectory() as folder:
        state, key = Path(folder) / "state", Path(folder) / "pack.key"
        known = keys_of(project).read(identity_name(site.site_class))
        if known is not None:
            key.write_bytes(known)
        enroll(
            state,
            root=project.public / ROOT,
            source=str(project.public),
            site=site.site,
            kind=site.kind,
            pack_key=key if known is not None else None,
        )
        try:
            result = sync(state)
        except RefusedError as exc:
            return Pull(channel=site.channel, kind=site.kind, pulled=False, said=str(exc))
    said = f"{site.site}: version {result.active.manifest_version}, {result.fetched_bytes / 1e6:.1f} MB verified"
    return Pull(channel=site.channel, kind=site.kind, pulled=True, said=said)


def entries(project: Project, found: Sequence[Candidate]) -> dict[str, WorkflowEntry]:
    """What a manifest says of the workflows of some builds."""
    return {name: workflow_entry(project, name) for name in sorted({one.workflow for one in found})}


def workflow_entry(project: Project, name: str) -> WorkflowEntry:
    """What a manifest says of a workflow, whatever its builds."""
    spec = project.workflow(name)
    return WorkflowEntry(
        task=spec.task,
        title=spec.title,
        owner=spec.owner,
        placement=place(
            spec.placement,
            spec.data_classes,
            allowed_at_sites=project.settings.allowed_at_sites,
            override=spec.placement.override,
        ),
        prompt_version=spec.prompt_version,
        policy_version=spec.policy_version,
        roles=spec.roles,
        actions=spec.actions,
        data_classes=tuple(sorted(spec.data_classes)),
        guardrails=Guardrails.model_validate(spec.guardrails.model_dump()),
        text_export=spec.text_export,
    )


def _assignment(project: Project, site: SiteSpec) -> Assignment:
    central = project.fleet.central
    return Assignment(
        **site.model_dump(),
        version=1,
        issued=now(),
        central=central.url if central is not None and site.kind == "edge" else None,
    )
