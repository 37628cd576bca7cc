"""What a site is to run: decided from signed documents and facts, without touching anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from fleet_manifests.assignment import Assignment
from fleet_manifests.attested import KIND
from fleet_manifests.authors import Attestation
from fleet_manifests.bundle import Descriptor, OciManifest, bundle_name
from fleet_manifests.errors import IntegrityError, RefusedError
from fleet_manifests.evidence import Verdict
from fleet_manifests.manifest import BuildEntry, FleetManifest, PackRef, Revocation, WorkflowEntry, placed_at
from fleet_manifests.profile import HardwareProfile, HostFacts
from fleet_manifests.wire import Task
from runtimes.sync.active import Active, ActiveWorkflow, Before
from runtimes.sync.packs import PackParts, choose_pack, pack_revoked, record_of

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


Proofs = Mapping[Attestation, tuple[Descriptor, ...]]
"""What is attested of a bundle, by kind."""


@dataclass(frozen=True)
class Chosen:
    """One workflow that runs here, the build that answers, and the pack that a retriever searches."""

    entry: WorkflowEntry
    build: BuildEntry
    pack: PackRef | None = None

    @property
    def digests(self) -> tuple[str, str | None]:
        """What runs: the bundle, and the pack where there is one."""
        return self.build.bundle.digest, None if self.pack is None else self.pack.blob.digest

    def proofs(self, required: Iterable[Attestation]) -> Proofs:
        """The attestations of the bundle that the signing policy requires.

        Raises:
            RefusedError: the manifest names none of a kind.
        """
        found: dict[Attestation, tuple[Descriptor, ...]] = {}
        for act in required:
            named = tuple(one for one in self.build.attestations if one.annotations.get(KIND) == act)
            found[act] = self.build.evidence if act == "evidence" else named
            if not found[act]:
                raise RefusedError(
                    f"bundle {self.build.bundle.name} ({self.build.bundle.digest}): the signing policy requires {act}, "
                    "and the manifest names none; tell the publisher"
                )
        return found


@dataclass(frozen=True)
class Plan:
    """What a site is to run, and why the rest does not."""

    manifest: FleetManifest
    manifest_digest: str
    assignment: Assignment
    profile: HardwareProfile
    chosen: Mapping[str, Chosen]
    skipped: Mapping[str, str]
    stopped: Mapping[str, Chosen] = field(default_factory=dict)
    """Those skipped for nothing else than that their bundle or pack was revoked."""

    def is_running(self, active: Active) -> bool:
        """Whether that version is this plan carried out."""
        return (
            active.manifest_digest == self.manifest_digest
            and active.assignment_version == self.assignment.version
            and (active.channel, active.site_class) == (self.assignment.channel, self.assignment.site_class)
            and active.central == self.assignment.central
            and active.profile == self.profile.name
            and active.skipped | {name: why.reason for name, why in active.returned.items()} == self.skipped
            and {name: entry.digests for name, entry in active.workflows.items() if entry.returned is None}
            == {name: chosen.digests for name, chosen in self.chosen.items()}
        )

    def without(self, reasons: Mapping[str, str]) -> Plan:
        """This plan without some workflows, each with the reason."""
        chosen = {name: one for name, one in self.chosen.items() if name not in reasons}
        return replace(self, chosen=chosen, skipped={**self.skipped, **reasons})

    def record(
        self,
        layouts: Mapping[str, OciManifest],
        packs: Mapping[str, PackParts] = MappingProxyType({}),
        proofs: Mapping[str, Proofs] = MappingProxyType({}),
        *,
        version: str,
        now: datetime,
    ) -> Active:
        """The record of this plan carried out as a version.

        Args:
            layouts: the OCI manifest of each workflow's bundle.
            packs: what is known of each retriever's pack.
            proofs: what is attested of each workflow's bundle, as far as that is required.
            version: name of the version.
            now: the present moment.
        """
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
            workflows={
                name: served(chosen, layouts[name], None if chosen.pack is None else packs[name], proofs.get(name, {}))
                for name, chosen in sorted(self.chosen.items())
            },
            skipped=dict(self.skipped),
            stopped={name: served(chosen, None, None) for name, chosen in sorted(self.stopped.items())},
            data_classes=self.assignment.data_classes,
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
        IntegrityError: the manifest names a bundle that is not of its workflow and profile, or
            contradicts itself about a knowledge pack.
    """
    profile = manifest.profile_for(host, kind=assignment.kind, wanted=assignment.profile)
    skipped = dict.fromkeys(
        sorted(set(assignment.workflows) - set(manifest.workflows)), "the manifest does not have it"
    )
    chosen: dict[str, Chosen] = {}
    stopped: dict[str, Chosen] = {}
    reasons = revoked(manifest.revocations)
    for name, entry in sorted(manifest.workflows.items()):
        if not _NAME.fullmatch(name):
            raise IntegrityError(f"{manifest.channel}/manifest.json: workflows: {name!r} is not a name")
        reason = _reason_against(name, entry, manifest, assignment, profile, host)
        if reason is not None:
            skipped[name] = reason
            if (build := entry.builds.get(profile.name)) is not None and reason == _revoked(
                build.bundle.digest, reasons
            ):
                stopped[name] = Chosen(entry, build)
            continue
        build = entry.builds[profile.name]
        if build.bundle.name != bundle_name(name, profile.name):
            raise IntegrityError(
                f"{manifest.channel}/manifest.json: workflow {name}, profile {profile.name}: names the bundle "
                f"{build.bundle.name!r}; tell the publisher"
            )
        pack = None
        if entry.task is Task.RETRIEVE:
            pack = choose_pack(name, build, manifest, assignment, profile.name, reasons)
        if isinstance(pack, str):
            skipped[name] = pack
            held = manifest.knowledge_pack(name, profile.name, assignment.site_class)
            if held is not None and pack == pack_revoked(reasons.get(held.blob.digest, "")):
                stopped[name] = Chosen(entry, build)
        else:
            chosen[name] = Chosen(entry, build, pack)
    return Plan(manifest, digest, assignment, profile, chosen, skipped, stopped)


def _reason_against(
    name: str,
    entry: WorkflowEntry,
    manifest: FleetManifest,
    assignment: Assignment,
    profile: HardwareProfile,
    host: HostFacts,
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
    return _revoked(build.bundle.digest, revoked(manifest.revocations)) or host.lacks(build.engine)


def _revoked(digest: str, reasons: Mapping[str, str]) -> str | None:
    """Why a workflow stops whose bundle was revoked; None where it was not."""
    return f"its bundle was revoked: {reasons[digest]}" if digest in reasons else None


def revoked(revocations: Iterable[Revocation]) -> dict[str, str]:
    """The reason for each revoked digest of a bundle or pack."""
    return {revocation.bundle: revocation.reason for revocation in revocations}


def without_revoked(active: Active, reasons: Mapping[str, str], now: datetime) -> Active:
    """The running version as of this refresh: seen now, and neither running nor keeping what was revoked.

    Args:
        active: what runs.
        reasons: the reason for each revoked digest.
        now: when the repository was seen.
    """
    dropped = {name: why for name, entry in active.workflows.items() if (why := _why_stopped(entry, reasons))}
    back = active.returned
    stopped = {name: active.workflows[name].model_copy(update={"returned": None}) for name in dropped}
    gone = {name: why for name, one in active.before.items() if (why := _why_stopped(one, reasons))}
    again = {name: f"the build before it stops too: {dropped[name]}" for name in dropped if name in back}
    again |= {name: f"the build before it does not come back: {gone[name]}" for name in dropped if name in gone}
    return active.model_copy(
        update={
            "seen": max(now, active.seen),
            "workflows": {name: entry for name, entry in active.workflows.items() if name not in dropped},
            "skipped": {
                **active.skipped,
                **{name: back[name].reason if name in back else dropped[name] for name in dropped},
            },
            "stopped": {**active.stopped, **stopped},
            "before": {name: one for name, one in active.before.items() if name not in gone},
            "refused": {**active.refused, **again},
        }
    )


def _why_stopped(build: ActiveWorkflow | Before, reasons: Mapping[str, str]) -> str | None:
    """Why a build may not run any more, or None."""
    bundle, pack = build.digests
    return _revoked(bundle, reasons) or (None if pack is None or pack not in reasons else pack_revoked(reasons[pack]))


def served(
    chosen: Chosen, layout: OciManifest | None, parts: PackParts | None, proofs: Proofs = MappingProxyType({})
) -> ActiveWorkflow:
    """The record of a workflow as a manifest has it; without a layout, of one that does not run and has no blobs."""
    entry, build = chosen.entry, chosen.build
    blobs = [] if layout is None else [build.bundle.manifest, build.bundle.signature, *layout.layers]
    blobs += [blob for found in proofs.values() for blob in found]
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
        pack=record_of(chosen.pack, parts) if chosen.pack is not None and parts is not None else None,
    )
