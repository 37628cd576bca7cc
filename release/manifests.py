"""Composing a channel's next fleet manifest. Pure: what is published and what was checked in, a manifest out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

from fleet_manifests import (
    BaseRef,
    FleetManifest,
    HardwareProfile,
    RefusedError,
    Task,
    UsageError,
    Verdict,
    WorkflowEntry,
)
from fleet_manifests.bundle import BundleRef
from fleet_manifests.manifest import BuildEntry, Channel, PackRef
from release.candidates import Checked, CheckedPack, PackCandidate
from release.policy import Policy


def compose(
    channel: str,
    checked: Sequence[Checked],
    workflows: Mapping[str, WorkflowEntry],
    *,
    packs: Sequence[CheckedPack] = (),
    current: FleetManifest | None,
    first_version: int,
    policy: Policy,
    issued: datetime,
    renew_reference: bool = False,
) -> FleetManifest:
    """The manifest of a channel after a promotion.

    What is not given stays: other workflows, builds of a given workflow for other profiles,
    knowledge packs of other site classes, context packs, revocations. A workflow without any
    build is left out, and so is a knowledge pack whose retriever is no longer the bundle of its build.

    Args:
        channel: the channel.
        checked: candidates that were admitted.
        workflows: what holds for each workflow, without builds; every candidate's is among them.
        packs: knowledge packs that were admitted.
        current: the channel's published manifest, or None.
        first_version: the version where nothing is published; at or above any that ever was.
        policy: lifetimes and limits.
        issued: the moment.
        renew_reference: the candidates themselves become what their successors are held to.

    Raises:
        UsageError: a candidate's workflow is not described.
        RefusedError: a retriever would enter `canary` or `stable` without knowledge to search.
    """
    if missing := sorted({one.candidate.workflow for one in checked} - set(workflows)):
        raise UsageError(f"workflow {missing[0]} has a candidate but is not described; pass its entry")
    before = current.workflows if current else {}
    lasting = channel != "candidates" and not renew_reference
    merged = {
        name: _workflow(entry, before.get(name), checked, name, lasting=lasting) for name, entry in workflows.items()
    }
    entries = {name: entry for name, entry in sorted({**before, **merged}.items()) if entry.builds}
    used = {profile for entry in entries.values() for profile in entry.builds}
    profiles = dict(current.profiles) if current else {}
    profiles |= {one.candidate.profile.name: one.candidate.profile for one in checked}
    base = current or FleetManifest(
        channel=cast(Channel, channel), version=first_version, issued=issued, expires=issued + policy.lifetime(channel)
    )
    manifest = base.model_copy(
        update={
            "version": current.version + 1 if current else first_version,
            "issued": issued,
            "expires": issued + policy.lifetime(channel),
            "max_offline_hours": policy.max_offline_hours,
            "minimum_agent": policy.minimum_agent,
            "profiles": {name: profile for name, profile in sorted(profiles.items()) if name in used},
            "workflows": entries,
            "knowledge_packs": _packs(current.knowledge_packs if current else (), packs, entries),
        }
    )
    if channel != "candidates":
        _require_knowledge(manifest, checked)
    return manifest


def partner(
    pack: PackCandidate, checked: Sequence[Checked], current: FleetManifest | None
) -> tuple[str, HardwareProfile] | None:
    """What a pack must be bound to: the bundle of its workflow and profile, and that profile as the channel has it.

    Args:
        pack: the pack.
        checked: candidates that enter with it.
        current: the channel's published manifest, or None.

    Returns:
        The bundle's digest and the profile, or None where there is no such build.
    """
    wanted = pack.workflow, pack.profile.name
    for one in checked:
        if (one.candidate.workflow, one.candidate.profile.name) == wanted and one.entry is not None:
            return one.entry.bundle.digest, one.candidate.profile
    entry = current.workflows.get(pack.workflow) if current else None
    build = entry.builds.get(pack.profile.name) if entry else None
    return (build.bundle.digest, current.profiles[pack.profile.name]) if current and build else None


def reissued(manifest: FleetManifest, *, policy: Policy, issued: datetime) -> FleetManifest:
    """The same content under the next version, with new dates and the limits of the policy."""
    return manifest.model_copy(
        update={
            "version": manifest.version + 1,
            "issued": issued,
            "expires": issued + policy.lifetime(manifest.channel),
            "max_offline_hours": policy.max_offline_hours,
            "minimum_agent": policy.minimum_agent,
        }
    )


def same_content(one: FleetManifest, other: FleetManifest) -> bool:
    """Whether two manifests say the same, whatever their version and dates."""
    dated = {"version": 1, "issued": one.issued, "expires": one.expires}
    return one.model_copy(update=dated) == other.model_copy(update=dated)


def _packs(
    before: Sequence[PackRef], checked: Sequence[CheckedPack], workflows: Mapping[str, WorkflowEntry]
) -> tuple[PackRef, ...]:
    """The knowledge packs: those that stay and those that are new, as far as they fit the builds."""
    fresh = [one.ref for one in checked if one.ref is not None]
    replaced = {(pack.workflow, pack.profile, site_class) for pack in fresh for site_class in pack.site_classes}
    kept = []
    for pack in before:
        left = tuple(one for one in pack.site_classes if (pack.workflow, pack.profile, one) not in replaced)
        if left:
            kept.append(pack.model_copy(update={"site_classes": left}))
    return tuple(sorted((pack for pack in (*kept, *fresh) if _fits(pack, workflows)), key=lambda pack: pack.name))


def _fits(pack: PackRef, workflows: Mapping[str, WorkflowEntry]) -> bool:
    """Whether a pack is bound to the bundle of its build."""
    entry = workflows.get(pack.workflow or "")
    build = entry.builds.get(pack.profile or "") if entry else None
    return build is not None and build.bundle.digest == pack.retriever


def _require_knowledge(manifest: FleetManifest, checked: Sequence[Checked]) -> None:
    """Refuse a retriever that would have nothing to search.

    Raises:
        RefusedError: with every candidate that has no pack.
    """
    bound = {pack.retriever for pack in manifest.knowledge_packs}
    bare = sorted(
        one.candidate.name
        for one in checked
        if one.entry is not None
        and manifest.workflows[one.candidate.workflow].task is Task.RETRIEVE
        and one.entry.verdict is Verdict.PASS
        and one.entry.bundle.digest not in bound
    )
    if bare:
        raise RefusedError(
            f"refused for {manifest.channel}: {', '.join(bare)}: a retriever enters with knowledge to search, and no "
            "pack is bound to this bundle; make its packs, measure them and promote them with it"
        )


def _workflow(
    entry: WorkflowEntry, before: WorkflowEntry | None, checked: Sequence[Checked], name: str, *, lasting: bool
) -> WorkflowEntry:
    """A workflow with its builds: those that stay, and those that are new."""
    builds: dict[str, BuildEntry] = dict(before.builds) if before else {}
    bases: dict[str, BaseRef] = dict(before.bases) if before else {}
    for one in checked:
        if one.candidate.workflow == name and one.entry is not None:
            profile: HardwareProfile = one.candidate.profile
            earlier = builds.get(profile.name) if lasting else None
            builds[profile.name] = one.entry.model_copy(update={"reference": _reference(earlier, one.entry)})
            bases.pop(profile.kind, None)  # that of the build before; a classical model has none
            if one.base is not None:
                bases[profile.kind] = one.base
    return entry.model_copy(update={"builds": dict(sorted(builds.items())), "bases": {**bases, **entry.bases}})


def _reference(earlier: BuildEntry | None, entry: BuildEntry) -> BundleRef | None:
    """What the successors of a build are held to besides it; None: the build itself."""
    found = None if earlier is None else earlier.reference or earlier.bundle
    return None if found is None or found.digest == entry.bundle.digest else found
