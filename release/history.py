"""Composing from what a channel had before: a rollback, and the manifest after a revocation. Pure but for `load`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from fleet_manifests import (
    BuildEntry,
    FleetManifest,
    IntegrityError,
    PackRef,
    RefusedError,
    Revocation,
    UsageError,
    WorkflowEntry,
    digest_of,
    parse,
)
from release.manifests import reissued
from release.policy import Policy

SHORTEST = 8
"""Digits of a digest that may stand for all of it."""
_WHOLE = re.compile(r"sha256:[0-9a-f]{64}")


def load(public: Path, channel: str, digest: str) -> FleetManifest:
    """A manifest that the channel once had.

    Args:
        public: the published tree.
        channel: the channel.
        digest: of the manifest, as the release log says.

    Raises:
        RefusedError: it is in the tree no more.
        IntegrityError: it is not what the log says.
    """
    path = public / "targets" / channel / f"{digest.removeprefix('sha256:')}.manifest.json"
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise RefusedError(f"{path}: {exc.strerror}; that version is in the tree no more, choose another") from exc
    if digest_of(raw) != digest:
        raise IntegrityError(f"{path}: is {digest_of(raw)}, the release log says {digest}; restore the tree")
    manifest = parse(FleetManifest, raw, where=str(path))
    manifest.require_channel(channel)
    return manifest


def rolled_back(older: FleetManifest, current: FleetManifest, *, policy: Policy, issued: datetime) -> FleetManifest:
    """The older content as the version after the current one; what was revoked since stays revoked."""
    revocations = {one.bundle: one for one in (*older.revocations, *current.revocations)}
    content = older.model_copy(
        update={
            "version": current.version,
            "revocations": tuple(revocations[digest] for digest in sorted(revocations)),
            "updates": None,
        }
    )
    return reissued(content, policy=policy, issued=issued)


def without(
    current: FleetManifest,
    digest: str,
    reason: str,
    earlier: Sequence[FleetManifest],
    revoked: Collection[str],
    *,
    policy: Policy,
    issued: datetime,
) -> FleetManifest:
    """A channel's manifest after a bundle or pack was revoked.

    In the place of the revoked one comes the newest earlier build of its workflow and profile that is not revoked,
    with the packs that it had. Where there is none it stays named, so that sites can say why it does not run.

    Args:
        current: what the channel has.
        digest: of the revoked bundle or pack.
        reason: why.
        earlier: what the channel had before, newest first.
        revoked: every revoked digest, this one too.
        policy: lifetimes and limits.
        issued: the moment.
    """
    known = {one.bundle: one for one in current.revocations}
    known.setdefault(digest, Revocation(bundle=digest, reason=reason))
    workflows: dict[str, WorkflowEntry] = {}
    packs = list(current.knowledge_packs)
    for name, entry in current.workflows.items():
        builds = dict(entry.builds)
        for profile, build in entry.builds.items():
            if build.bundle.digest == digest and (found := _build(current, name, profile, earlier, revoked)):
                builds[profile], its_packs = found
                packs = [one for one in packs if (one.workflow, one.profile) != (name, profile)] + its_packs
        workflows[name] = entry.model_copy(update={"builds": builds})
    packs = [_pack(one, earlier, revoked) if one.blob.digest == digest else one for one in packs]
    content = current.model_copy(
        update={
            "workflows": workflows,
            "knowledge_packs": tuple(sorted(packs, key=lambda one: one.name)),
            "revocations": tuple(known[one] for one in sorted(known)),
        }
    )
    return reissued(content, policy=policy, issued=issued)


def revoked_in(manifest: FleetManifest | None) -> dict[str, str]:
    """The reason for each digest that a manifest names as revoked."""
    return {one.bundle: one.reason for one in manifest.revocations} if manifest else {}


def digests(manifest: FleetManifest) -> tuple[str, ...]:
    """The digest of every bundle and knowledge pack that a manifest names."""
    return (*manifest.bundles(), *(pack.blob.digest for pack in manifest.knowledge_packs))


def resolved(text: str, known: Collection[str]) -> str:
    """A digest that is given whole or by its beginning, as tables show it.

    Raises:
        UsageError: it is none, or not exactly one known digest begins so.
    """
    if _WHOLE.fullmatch(text):
        return text
    beginning = f"sha256:{text.removeprefix('sha256:')}"
    found = sorted(one for one in set(known) if one.startswith(beginning))
    if len(text.removeprefix("sha256:")) < SHORTEST or len(found) != 1:
        raise UsageError(
            f"{text!r}: expected the digest of a bundle or pack, or its first {SHORTEST} digits or more where only one "
            f"that is published begins so; found {len(found)}"
        )
    return found[0]


def _build(
    current: FleetManifest, workflow: str, profile: str, earlier: Sequence[FleetManifest], revoked: Collection[str]
) -> tuple[BuildEntry, list[PackRef]] | None:
    """The newest earlier build that may take a revoked one's place, and its packs."""
    for manifest in earlier:
        entry = manifest.workflows.get(workflow)
        build = entry.builds.get(profile) if entry else None
        if build is None or build.bundle.digest in revoked:
            continue
        if manifest.profiles[profile].isa is not current.profiles[profile].isa:
            continue
        return build, list(_bound(manifest, workflow, profile, build.bundle.digest, revoked))
    return None


def _bound(
    manifest: FleetManifest, workflow: str, profile: str, retriever: str, revoked: Collection[str]
) -> Iterator[PackRef]:
    """The packs of a build in a manifest."""
    for pack in manifest.knowledge_packs:
        found = pack.workflow, pack.profile, pack.retriever
        if found == (workflow, profile, retriever) and pack.blob.digest not in revoked:
            yield pack


def _pack(pack: PackRef, earlier: Sequence[FleetManifest], revoked: Collection[str]) -> PackRef:
    """The newest earlier pack of the same retriever and site classes; the revoked one where there is none."""
    for manifest in earlier:
        for one in manifest.knowledge_packs:
            same = (one.name, one.retriever, one.site_classes) == (pack.name, pack.retriever, pack.site_classes)
            if same and one.blob.digest not in revoked:
                return one
    return pack
