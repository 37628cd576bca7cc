"""What release managers do, on a project: promote, approve, reject, halt, resume, roll back, revoke."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from fleet_manifests import FleetManifest, Orders, RefusedError, UsageError, Verdict, Wire
from pipelines.project.load import Project
from pipelines.steps.candidates import sort
from pipelines.steps.diffs import Told, pending_diff
from pipelines.steps.release import entries, release_of

if TYPE_CHECKING:
    from release import Pending, Release


class Waiting(Wire):
    """A pending version, as an approver sees it."""

    channel: str
    version: int
    digest: str
    """Of the manifest; `--digest` pins it."""
    action: str
    reason: str
    by: tuple[str, ...]
    """Who proposed it."""
    proposed: AwareDatetime
    expires: AwareDatetime
    signed: tuple[str, ...]
    waiting: tuple[str, ...]
    """Who may sign and has not."""
    missing: int
    """Signatures that are needed still."""
    problem: str | None = None
    """Why it can be approved no more."""


class Done(Wire):
    """What an act led to: a manifest that is published, or a version that waits for approval."""

    published: FleetManifest | None = None
    pending: Waiting | None = None
    changes: tuple[Told, ...] = ()
    """What the pending version changes."""


class Stopped(Wire):
    """What a revocation led to."""

    digest: str
    orders: Orders
    published: tuple[FleetManifest, ...]
    pending: Waiting | None = None
    problems: tuple[str, ...] = ()
    """Channels that could not be given a manifest without it, with the reason; the order holds all the same."""


def promote(
    project: Project,
    channel: str,
    *,
    workflows: Sequence[str] = (),
    managers: Sequence[str] = (),
    renew_reference: bool = False,
) -> Done:
    """Put the builds and packs with verdict `pass` into `canary` or `stable`.

    With fewer release managers than `stable` needs it is signed by these, and waits for the others.

    Raises:
        RefusedError: no build has `pass` (with every reason), nobody signs, or a version is pending already.
        UsageError: no such channel or workflow, or not a release manager.
    """
    if channel not in ("canary", "stable"):
        raise UsageError(
            f"channel {channel}: builds are promoted to canary or stable; candidates are offered by a build"
        )
    for name in workflows:
        project.workflow(name)
    release = release_of(project)
    release.init()
    found = sort(project, release, workflows, {Verdict.PASS})
    builds = [one for one in found.builds if one.workflow not in project.retrievers or found.has_pack(one)]
    if not builds:
        raise RefusedError(f"nothing may enter {channel}: " + ("; ".join(found.refused) or "no build has evidence"))
    kept = {(one.workflow, one.profile.name) for one in builds}
    packs = [pack for pack in found.packs if (pack.workflow, pack.profile.name) in kept]
    described = entries(project, builds)
    if channel == "stable" and 0 < len(set(managers)) < release.policy.stable_threshold:
        one = release.propose(builds, described, managers, packs, renew_reference=renew_reference)
        return _done(project, release, one or release.manifest(channel))
    manifest = release.promote(channel, builds, described, managers, packs, renew_reference=renew_reference)
    return Done(published=manifest)


def approve(project: Project, channel: str, manager: str, *, digest: str | None = None) -> Done:
    """Add a signature to a pending version; the last that is needed publishes.

    Raises:
        RefusedError, UsageError, IntegrityError: as `release.approvals.Approvals.approve`.
    """
    release = release_of(project)
    left = release.approvals.approve(channel, manager, digest=digest)
    return _done(project, release, left or release.manifest(channel))


def reject(project: Project, channel: str, manager: str, reason: str) -> Waiting | None:
    """Drop a pending version; what it was, or None where it was damaged."""
    release = release_of(project)
    dropped = release.approvals.reject(channel, manager, reason)
    return _told(release, dropped) if dropped is not None else None


def rollback(project: Project, channel: str, version: int, reason: str, managers: Sequence[str]) -> Done:
    """Bring an older version's content back, under a new version."""
    release = release_of(project)
    return _done(project, release, release.interventions.rollback(channel, version, reason, managers))


def halt(project: Project, channel: str, reason: str, manager: str) -> Orders:
    """Keep sites from installing anything new of a channel."""
    return release_of(project).interventions.halt(channel, reason, manager)


def resume(project: Project, channel: str, reason: str, managers: Sequence[str]) -> Done:
    """End a halt."""
    release = release_of(project)
    return _done(project, release, release.interventions.resume(channel, reason, managers))


def revoke(project: Project, digest: str, reason: str, manager: str) -> Stopped:
    """Stop a bundle or pack at every site, and put an earlier one in its place."""
    release = release_of(project)
    found = release.interventions.revoke(digest, reason, manager)
    return Stopped(
        digest=found.digest,
        orders=found.orders,
        published=found.published,
        pending=_told(release, found.pending) if found.pending else None,
        problems=found.problems,
    )


def waiting(project: Project, channel: str = "stable") -> Waiting | None:
    """The pending version of a channel, or None.

    Raises:
        IntegrityError: a part of it is missing or altered.
    """
    release = release_of(project)
    if not release.repository.exists:
        return None
    one = release.approvals.pending(channel)
    return _told(release, one) if one is not None else None


def _done(project: Project, release: Release, found: FleetManifest | Pending | None) -> Done:
    """What came of an act, for people."""
    if found is None or isinstance(found, FleetManifest):
        return Done(published=found)
    return Done(pending=_told(release, found), changes=pending_diff(project, found))


def _told(release: Release, one: Pending) -> Waiting:
    signatures = release.approvals.signatures(one)
    return Waiting(
        channel=one.note.channel,
        version=one.manifest.version,
        digest=one.digest,
        action=one.note.action,
        reason=one.note.reason,
        by=one.note.by,
        proposed=one.note.proposed,
        expires=one.document.signed.expires,
        signed=signatures.signed,
        waiting=signatures.waiting,
        missing=signatures.missing,
        problem=release.approvals.problem(one),
    )
