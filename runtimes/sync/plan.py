"""What a site is to run: decided from signed documents and facts, without touching anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from fleet_manifests.assignment import Assignment
from fleet_manifests.bundle import BUNDLE_FILE, BundleConfig, OciManifest, bundle_name
from fleet_manifests.errors import IntegrityError, RefusedError
from fleet_manifests.evidence import Verdict
from fleet_manifests.manifest import BuildEntry, FleetManifest, Revocation, WorkflowEntry, placed_at
from fleet_manifests.profile import HardwareProfile, HostFacts
from runtimes.sync.active import Active, ActiveWorkflow

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Chosen:
    """One workflow that runs here, and the build that answers."""

    entry: WorkflowEntry
    build: BuildEntry


@dataclass(frozen=True)
class Plan:
    """What a site is to run, and why the rest does not."""

    manifest: FleetManifest
    manifest_digest: str
    assignment: Assignment
    profile: HardwareProfile
    chosen: Mapping[str, Chosen]
    skipped: Mapping[str, str]

    def is_running(self, active: Active) -> bool:
        """Whether that version is this plan carried out."""
        return (
            active.manifest_digest == self.manifest_digest
            and active.assignment_version == self.assignment.version
            and (active.channel, active.site_class) == (self.assignment.channel, self.assignment.site_class)
            and active.central == self.assignment.central
            and active.profile == self.profile.name
            and active.skipped == self.skipped
            and {name: entry.bundle for name, entry in active.workflows.items()}
            == {name: chosen.build.bundle.digest for name, chosen in self.chosen.items()}
        )

    def record(self, layouts: Mapping[str, OciManifest], *, version: str, now: datetime) -> Active:
        """The record of this plan carried out as a version."""
        return Active(
            version=version,
            site=self.assignment.site,
            site_class=self.assignment.site_class,
            kind=self.assignment.kind,
            channel=self.assignment.channel,
            manifest_version=self.manifest.version,
            manifest_digest=self.manifest_digest,
            assignment_version=self.assignment.version,
            profile=self.profile.name,
            activated=now,
            seen=now,
            max_offline_hours=self.manifest.max_offline_hours,
            central=self.assignment.central,
            workflows={name: _served(chosen, layouts[name]) for name, chosen in sorted(self.chosen.items())},
            skipped=dict(self.skipped),
        )


def check_assignment(assignment: Assignment, *, site: str, kind: str) -> None:
    """Refuse what was assigned to somebody else.

    Raises:
        IntegrityError: the assignment names another site or another kind of runtime.
    """
    if (assignment.site, assignment.kind) != (site, kind):
        raise IntegrityError(
            f"sites/{site}.json: is the assignment of {assignment.kind} {assignment.site}, this is {kind} {site}; "
            "tell the publisher"
        )


def check_manifest(manifest: FleetManifest, channel: str, now: datetime) -> None:
    """Refuse the manifest of another channel, and one that has expired.

    Raises:
        IntegrityError: it is either.
    """
    manifest.require_channel(channel)
    if manifest.expires <= now:
        raise IntegrityError(
            f"{channel}/manifest.json: version {manifest.version} expired on {manifest.expires:%Y-%m-%d %H:%M} UTC; "
            "nothing new is installed until the publisher issues another"
        )


def check_agent(manifest: FleetManifest, agent: str) -> None:
    """Refuse a manifest that needs a newer program.

    Raises:
        IntegrityError: the manifest's version is none.
        RefusedError: this program is too old.
    """
    where = f"{manifest.channel}/manifest.json"
    needed = version_numbers(manifest.minimum_agent)
    if needed is None:
        raise IntegrityError(f"{where}: minimum_agent: {manifest.minimum_agent!r} is not a version")
    if (version_numbers(agent) or ()) < needed:
        raise RefusedError(f"{where}: needs lading {manifest.minimum_agent} or newer, this is {agent}; update lading")


def version_numbers(version: str) -> tuple[int, ...] | None:
    """The release numbers of a version (PEP 440), without trailing zeros; None where there are none."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    if match is None:
        return None
    numbers = [int(part) for part in match[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def make_plan(manifest: FleetManifest, digest: str, assignment: Assignment, host: HostFacts) -> Plan:
    """Decide what runs on this machine.

    Raises:
        RefusedError: no profile fits the machine.
        IntegrityError: the manifest names a bundle that is not of its workflow and profile.
    """
    profile = manifest.profile_for(host, kind=assignment.kind, wanted=assignment.profile)
    skipped = dict.fromkeys(
        sorted(set(assignment.workflows) - set(manifest.workflows)), "the manifest does not have it"
    )
    chosen: dict[str, Chosen] = {}
    for name, entry in sorted(manifest.workflows.items()):
        if not _NAME.fullmatch(name):
            raise IntegrityError(f"{manifest.channel}/manifest.json: workflows: {name!r} is not a name")
        reason = _reason_against(name, entry, manifest, assignment, profile)
        if reason is not None:
            skipped[name] = reason
            continue
        build = entry.builds[profile.name]
        if build.bundle.name != bundle_name(name, profile.name):
            raise IntegrityError(
                f"{manifest.channel}/manifest.json: workflow {name}, profile {profile.name}: names the bundle "
                f"{build.bundle.name!r}; tell the publisher"
            )
        chosen[name] = Chosen(entry, build)
    return Plan(manifest, digest, assignment, profile, chosen, skipped)


def _reason_against(
    name: str, entry: WorkflowEntry, manifest: FleetManifest, assignment: Assignment, profile: HardwareProfile
) -> str | None:
    """Why a workflow does not run here, or None where it does."""
    if assignment.workflows and name not in assignment.workflows:
        return "the assignment does not name it"
    if not placed_at(entry, assignment.kind):
        return "it is placed centrally: " + "; ".join(entry.placement.reasons)
    if excess := sorted(set(entry.data_classes) - set(assignment.data_classes)):
        return f"data class {', '.join(excess)} is not allowed at this site"
    build = entry.builds.get(profile.name)
    if build is None:
        return f"it has no build for profile {profile.name}"
    if build.verdict is not Verdict.PASS:
        return f"its evidence for profile {profile.name} says {build.verdict.value}, not pass"
    if (reason := revoked(manifest.revocations).get(build.bundle.digest)) is not None:
        return f"its bundle was revoked: {reason}"
    return None


def revoked(revocations: Iterable[Revocation]) -> dict[str, str]:
    """The reason for each revoked bundle digest."""
    return {revocation.bundle: revocation.reason for revocation in revocations}


def without_revoked(active: Active, manifest: FleetManifest, now: datetime) -> Active:
    """The running version as of this refresh: seen now, and without what was revoked."""
    reasons = revoked(manifest.revocations)
    dropped = {
        name: f"its bundle was revoked: {reasons[entry.bundle]}"
        for name, entry in active.workflows.items()
        if entry.bundle in reasons
    }
    kept = {name: entry for name, entry in active.workflows.items() if name not in dropped}
    seen = max(now, active.seen)
    return active.model_copy(update={"seen": seen, "workflows": kept, "skipped": {**active.skipped, **dropped}})


def check_layout(layout: OciManifest, name: str) -> None:
    """Refuse a bundle that cannot be laid out as a folder, or that has no `bundle.json`.

    Raises:
        IntegrityError: it is one.
    """
    paths = {layer.path for layer in layout.layers}
    if BUNDLE_FILE not in paths:
        raise IntegrityError(f"bundle {name}: no layer is its {BUNDLE_FILE}; tell the publisher")
    folders = {parent.casefold() for path in paths for parent in _parents(path)}
    if both := sorted(path for path in paths if path.casefold() in folders):
        raise IntegrityError(f"bundle {name}: {both[0]} is a file and a folder; tell the publisher")


def check_config(
    config: BundleConfig, name: str, workflow: str, entry: ActiveWorkflow, profile: HardwareProfile
) -> None:
    """Refuse a bundle that says of itself something else than the manifest says of it.

    Raises:
        IntegrityError: workflow, profile, task or ISA differ.
    """
    found = (config.workflow, config.profile, config.task, config.isa)
    expected = (workflow, profile.name, entry.task, profile.isa)
    for field, said, due in zip(("workflow", "profile", "task", "isa"), found, expected, strict=True):
        if said != due:
            raise IntegrityError(f"bundle {name}: bundle.json: {field} is {said}, the manifest says {due}")


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _served(chosen: Chosen, layout: OciManifest) -> ActiveWorkflow:
    """The record of one workflow."""
    entry, build = chosen.entry, chosen.build
    blobs = [build.bundle.manifest, build.bundle.signature, *layout.layers]
    return ActiveWorkflow(
        task=entry.task,
        title=entry.title,
        owner=entry.owner,
        where=entry.placement.where,
        roles=entry.roles,
        actions=entry.actions,
        guardrails=entry.guardrails,
        text_export=entry.text_export,
        data_classes=entry.data_classes,
        prompt_version=entry.prompt_version,
        policy_version=entry.policy_version,
        defer_threshold=build.defer_threshold,
        bundle=build.bundle.digest,
        name=build.bundle.name,
        blobs=tuple(sorted({blob.digest for blob in blobs})),
    )
