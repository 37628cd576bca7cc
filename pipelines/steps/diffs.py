"""What changes between two manifests of a channel, with what their files and evidence say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fleet_manifests import FleetManifest, IntegrityError, RefusedError, UsageError, Wire
from pipelines.project.load import Project
from pipelines.steps.configs import author_of
from pipelines.steps.release import release_of

if TYPE_CHECKING:
    from release import Pending, Standing


class Told(Wire):
    """What becomes of one thing."""

    section: Literal["channel", "workflow", "build", "knowledge", "revocation"]
    name: str
    kind: Literal["new", "gone", "changed"]
    said: tuple[str, ...]


class Diff(Wire):
    """Two manifests and what they say differently."""

    channel: str
    before: str
    """Which one, in words."""
    after: str
    digest: str | None = None
    """Of a pending manifest: what an approver pins."""
    changes: tuple[Told, ...]


def diff(project: Project, channel: str, *, older: int | None = None, newer: int | None = None) -> Diff:
    """What changes in a channel.

    Args:
        project: the project.
        channel: the channel.
        older: version by the release log; None: the published one, or with `newer` the one before that.
        newer: version by the release log; None: the pending one, or with `older` the published one.

    Raises:
        RefusedError: nothing is pending, or there is no such version.
    """
    release = release_of(project)
    published, one = release.manifest(channel), None
    if newer is not None:
        after = _version(project, channel, newer)
        before = _version(project, channel, older if older is not None else newer - 1) if newer > 1 else None
    elif older is not None:
        if published is None:
            raise RefusedError(f"{channel} has nothing published")
        before, after = _version(project, channel, older), published
    else:
        one = release.approvals.pending(channel)
        if one is None:
            raise RefusedError(f"{channel}: nothing is pending; `--from N` and `--to N` compare published versions")
        before, after = published, one.manifest
    return Diff(
        channel=channel,
        before=_named(before) if before else "nothing",
        after=f"{_named(after)}, pending" if one else _named(after),
        digest=one.digest if one else None,
        changes=_told(project, before, after),
    )


def pending_diff(project: Project, one: Pending) -> tuple[Told, ...]:
    """What a pending version changes."""
    return _told(project, release_of(project).manifest(one.note.channel), one.manifest)


def diff_page(project: Project, found: Diff) -> str:
    """The diff as HTML with everything inside it."""
    from pipelines.steps.diff_page import page

    return page(project.settings.title or project.settings.name, found)


def known(project: Project, *manifests: FleetManifest | None) -> dict[str, Standing]:
    """What the published files and evidence say of what manifests name, by digest."""
    from release import Published, Standing, standing

    published, found = Published(project.public, author_of(project).trust), {}
    for manifest in (one for one in manifests if one is not None):
        for build in (build for workflow in manifest.workflows.values() for build in workflow.builds.values()):
            name, digest = build.bundle.name, build.bundle.digest
            try:
                said = standing(name, digest, build.verdict, published.config(build), published.evidence(build))
            except IntegrityError as exc:
                said = Standing(name, digest, build.verdict, build.defer_threshold, trouble=str(exc))
            found[digest] = said
        for pack in manifest.knowledge_packs:
            digest = pack.blob.digest
            try:
                said = standing(pack.name, digest, pack.verdict, published.pack(pack), published.evidence(pack))
            except IntegrityError as exc:
                said = Standing(pack.name, digest, pack.verdict, trouble=str(exc))
            found[digest] = said
    return found


def _told(project: Project, before: FleetManifest | None, after: FleetManifest) -> tuple[Told, ...]:
    from release import differences

    return tuple(
        Told(section=one.section, name=one.name, kind=one.kind, said=one.said)
        for one in differences(before, after, known(project, before, after))
    )


def _version(project: Project, channel: str, version: int) -> FleetManifest:
    """A version that a channel has had."""
    if channel not in ("candidates", "canary", "stable"):
        raise UsageError(f"channel {channel!r}: expected candidates, canary or stable")
    return release_of(project).interventions.version(channel, version)


def _named(manifest: FleetManifest) -> str:
    return f"{manifest.channel} {manifest.version} of {manifest.issued:%Y-%m-%d %H:%M} UTC"
