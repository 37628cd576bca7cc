"""Composing a channel's next fleet manifest. Pure: what is published and what was checked in, a manifest out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

from fleet_manifests import BaseRef, FleetManifest, HardwareProfile, UsageError, WorkflowEntry
from fleet_manifests.manifest import BuildEntry, Channel
from release.policy import Policy
from release.promotion import Checked


def compose(
    channel: str,
    checked: Sequence[Checked],
    workflows: Mapping[str, WorkflowEntry],
    *,
    current: FleetManifest | None,
    first_version: int,
    policy: Policy,
    issued: datetime,
) -> FleetManifest:
    """The manifest of a channel after a promotion.

    What is not given stays: other workflows, builds of a given workflow for other profiles,
    knowledge and context packs, revocations. A workflow without any build is left out.

    Args:
        channel: the channel.
        checked: candidates that were admitted.
        workflows: what holds for each workflow, without builds; every candidate's is among them.
        current: the channel's published manifest, or None.
        first_version: the version where nothing is published; at or above any that ever was.
        policy: lifetimes and limits.
        issued: the moment.

    Raises:
        UsageError: a candidate's workflow is not described.
    """
    if missing := sorted({one.candidate.workflow for one in checked} - set(workflows)):
        raise UsageError(f"workflow {missing[0]} has a candidate but is not described; pass its entry")
    before = current.workflows if current else {}
    merged = {name: _workflow(entry, before.get(name), checked, name) for name, entry in workflows.items()}
    entries = {name: entry for name, entry in sorted({**before, **merged}.items()) if entry.builds}
    used = {profile for entry in entries.values() for profile in entry.builds}
    profiles = dict(current.profiles) if current else {}
    profiles |= {one.candidate.profile.name: one.candidate.profile for one in checked}
    base = current or FleetManifest(
        channel=cast(Channel, channel), version=first_version, issued=issued, expires=issued + policy.lifetime(channel)
    )
    return base.model_copy(
        update={
            "version": current.version + 1 if current else first_version,
            "issued": issued,
            "expires": issued + policy.lifetime(channel),
            "max_offline_hours": policy.max_offline_hours,
            "minimum_agent": policy.minimum_agent,
            "profiles": {name: profile for name, profile in sorted(profiles.items()) if name in used},
            "workflows": entries,
        }
    )


def same_content(one: FleetManifest, other: FleetManifest) -> bool:
    """Whether two manifests say the same, whatever their version and dates."""
    dated = {"version": 1, "issued": one.issued, "expires": one.expires}
    return one.model_copy(update=dated) == other.model_copy(update=dated)


def _workflow(
    entry: WorkflowEntry, before: WorkflowEntry | None, checked: Sequence[Checked], name: str
) -> WorkflowEntry:
    """A workflow with its builds: those that stay, and those that are new."""
    builds: dict[str, BuildEntry] = dict(before.builds) if before else {}
    bases: dict[str, BaseRef] = dict(before.bases) if before else {}
    for one in checked:
        if one.candidate.workflow == name and one.entry is not None:
            profile: HardwareProfile = one.candidate.profile
            builds[profile.name] = one.entry
            if one.base is not None:
                bases[profile.kind] = one.base
    return entry.model_copy(update={"builds": dict(sorted(builds.items())), "bases": {**bases, **entry.bases}})
