"""Which knowledge pack a retriever searches at a site: decided from signed documents, without touching anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fleet_manifests.assignment import Assignment
from fleet_manifests.bundle import OciManifest
from fleet_manifests.errors import IntegrityError
from fleet_manifests.evidence import Verdict
from fleet_manifests.knowledge import OPEN_CLASSES, PackConfig, pack_name
from fleet_manifests.manifest import BuildEntry, FleetManifest, PackRef
from runtimes.sync.active import Active, ActivePack


@dataclass(frozen=True)
class PackParts:
    """What is known of a pack before all of it is here: which files it has, and its `pack.json`."""

    layout: OciManifest
    config: PackConfig


def choose_pack(
    workflow: str,
    build: BuildEntry,
    manifest: FleetManifest,
    assignment: Assignment,
    profile: str,
    revoked: Mapping[str, str],
) -> PackRef | str:
    """The pack that a retriever searches at a site.

    Args:
        workflow: name of the workflow.
        build: the retriever's build for the profile.
        manifest: the channel's manifest.
        assignment: the site's assignment.
        profile: name of the site's profile.
        revoked: the reason for each revoked digest.

    Returns:
        The pack, or the reason why the workflow does not run at this site.

    Raises:
        IntegrityError: the manifest contradicts itself about the pack.
    """
    name = pack_name(workflow, profile, assignment.site_class)
    pack = _only(manifest, name, workflow, profile, assignment.site_class)
    if pack is None:
        return f"the manifest has no knowledge pack for site class {assignment.site_class} on profile {profile}"
    _require_whole(pack, name, build, manifest.channel)
    if pack.verdict is not Verdict.PASS:
        return f"the evidence of its knowledge pack says {pack.verdict.value}, not pass"
    if pack.data_class not in assignment.data_classes:
        return f"data class {pack.data_class.value} of its knowledge pack is not allowed at this site"
    if (reason := revoked.get(pack.blob.digest)) is not None:
        return pack_revoked(reason)
    return pack


def pack_revoked(reason: str) -> str:
    """Why a workflow stops whose pack was revoked."""
    return f"its knowledge pack was revoked: {reason}"


def key_missing(site_class: str) -> str:
    """Why a workflow does not run whose pack cannot be decrypted here, and what to do."""
    return (
        f"its knowledge pack is encrypted and the key of site class {site_class} is not here; "
        "ask the publisher for it and enroll again with --pack-key-file"
    )


def is_encrypted(
    workflow: str, pack: PackRef, running: Active | None, manifest_digest: str, reason: str
) -> bool | None:
    """Whether a pack is encrypted, as far as that is known without asking for its `pack.json`; None: it is not known.

    Args:
        workflow: name of the workflow.
        pack: how the manifest names the pack.
        running: the running version.
        manifest_digest: digest of the manifest.
        reason: what a version says that left a workflow out for want of the key.
    """
    if pack.data_class not in OPEN_CLASSES:
        return True
    if running is None:
        return None
    entry = running.workflows.get(workflow)
    if entry is not None and entry.pack is not None and entry.pack.digest == pack.blob.digest:
        return entry.pack.encrypted
    left_out = running.manifest_digest == manifest_digest and running.skipped.get(workflow) == reason
    return True if left_out else None


def record_of(pack: PackRef, parts: PackParts) -> ActivePack:
    """The record of a pack that is to be activated."""
    blobs = {pack.blob.digest, *(layer.digest for layer in parts.layout.layers)}
    if pack.signature is not None:
        blobs.add(pack.signature.digest)
    return ActivePack(
        digest=pack.blob.digest,
        name=pack.name,
        data_class=pack.data_class,
        encrypted=parts.config.encrypted,
        blobs=tuple(sorted(blobs)),
    )


def _only(manifest: FleetManifest, name: str, workflow: str, profile: str, site_class: str) -> PackRef | None:
    """The one pack of a workflow, profile and site class; also one that does not say so but has the name."""
    found = [
        pack
        for pack in manifest.knowledge_packs
        if site_class in pack.site_classes
        and (
            (pack.workflow, pack.profile) == (workflow, profile)
            or (pack.name == name and None in (pack.workflow, pack.profile))
        )
    ]
    if len(found) > 1:
        raise IntegrityError(
            f"{manifest.channel}/manifest.json: knowledge_packs: {len(found)} packs are {name}; tell the publisher"
        )
    return found[0] if found else None


def _require_whole(pack: PackRef, name: str, build: BuildEntry, channel: str) -> None:
    """Refuse a reference that lacks something, has another name, or is bound to another retriever."""
    where = f"{channel}/manifest.json: knowledge pack {name}"
    for field in ("workflow", "profile", "signature", "retriever"):
        if getattr(pack, field) is None:
            raise IntegrityError(f"{where}: {field} is missing; tell the publisher")
    if pack.name != name:
        raise IntegrityError(f"{where}: has the name {pack.name!r}; tell the publisher")
    if pack.retriever != build.bundle.digest:
        raise IntegrityError(
            f"{where}: is bound to retriever {pack.retriever}, the build's bundle is {build.bundle.digest}; "
            "tell the publisher"
        )
