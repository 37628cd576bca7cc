"""From verified blobs to a version: complete, checked and durable before it has a name."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fleet_manifests.attested import verify_attested
from fleet_manifests.authors import Attestation, Authors, Trust
from fleet_manifests.bundle import BUNDLE_FILE, BundleConfig, OciManifest
from fleet_manifests.errors import IntegrityError, RefusedError
from fleet_manifests.knowledge import PACK_FILE, PackConfig
from fleet_manifests.profile import HardwareProfile
from fleet_manifests.signature import verify_bundle
from fleet_manifests.wire import dump, parse
from runtimes.sync.active import (
    ACTIVE_FILE,
    CURRENT,
    PREVIOUS,
    VERSIONS,
    Active,
    ActiveWorkflow,
    current_version,
    load_version,
)
from runtimes.sync.blobs import Blobs
from runtimes.sync.contents import check_config, check_pack_config
from runtimes.sync.files import TEMPORARY, swap_link, sync_folder, write_file
from runtimes.sync.plan import Proofs
from runtimes.sync.smoke import PackTrial

_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)

Smoke = Callable[[Path, PackTrial | None], list[str]]
"""Runs the cases of a bundle, and those of the pack that it searches, and says what is wrong."""


@dataclass(frozen=True)
class Signed:
    """A bundle or pack that is to be laid out."""

    layout: OciManifest
    signature: Path
    """The signature file."""
    proofs: Mapping[Attestation, tuple[Path, ...]] = field(default_factory=dict)
    """What is attested of a bundle, as files: every kind that the signing policy requires."""


@dataclass(frozen=True)
class Checks:
    """What a bundle or pack is held against before it serves."""

    trust: Trust
    """Whose signature counts, and for which workflow."""
    pack_key: Path | None
    """The file with the key of the site class, where there is one."""
    profile: HardwareProfile
    """The profile of this machine."""
    smoke: Smoke
    """Runs the cases of a bundle and its pack."""


def next_version(state: Path, channel: str, manifest_version: int) -> str:
    """A name that no version of this site has: a running number, channel and manifest version."""
    found = [re.match(r"(\d+)-", path.name) for path in (state / VERSIONS).iterdir()]
    number = 1 + max((int(match[1]) for match in found if match), default=0)
    return f"{number:06d}-{channel}-{manifest_version}"


def stage(
    state: Path,
    record: Active,
    bundles: Mapping[str, Signed],
    packs: Mapping[str, Signed],
    blobs: Blobs,
    checks: Checks,
) -> None:
    """Make a version's folder, check everything in it and give it its name.

    Args:
        state: the site's state folder.
        record: what the version is to be.
        bundles: each workflow's bundle.
        packs: the knowledge pack of each workflow that searches one.
        blobs: where the layers are.
        checks: what they are held against.

    Raises:
        IntegrityError: a bundle or pack is not what was signed, or not what the manifest says.
        RefusedError: a bundle or pack fails its own smoke cases on this machine, or the key is another's.
        OSError: the disk is full.
    """
    staging = state / VERSIONS / f"{TEMPORARY}{record.version}"
    staging.mkdir()
    for workflow, entry in record.workflows.items():
        try_out(staging, record, workflow, entry, bundles[workflow], packs.get(workflow), blobs, checks)
    write_file(staging / ACTIVE_FILE, dump(record))
    give_name(staging, state / VERSIONS / record.version)


def try_out(
    root: Path,
    record: Active,
    workflow: str,
    entry: ActiveWorkflow,
    bundle: Signed,
    pack: Signed | None,
    blobs: Blobs,
    checks: Checks,
) -> None:
    """Lay out what answers one workflow, verify it and run its cases.

    Args:
        root: the folder that `entry.folder` and `entry.pack_folder` are relative to.
        record: the version that it is for.
        workflow: the workflow.
        entry: what is to be recorded of it.
        bundle: its bundle.
        pack: its knowledge pack, where it searches one.
        blobs: where the layers are.
        checks: what it is held against.

    Raises:
        IntegrityError, RefusedError, OSError: as `stage`.
    """
    allowed = checks.trust.authors(workflow, "bundle")
    folder = verified(root / entry.folder, bundle, blobs, allowed, entry.name)
    config = parse(BundleConfig, (folder / BUNDLE_FILE).read_bytes(), where=f"{entry.name}/{BUNDLE_FILE}")
    check_config(config, entry.name, workflow, entry.task, checks.profile)
    for act in checks.trust.policy.require:
        for path in bundle.proofs[act]:
            by = checks.trust.authors(workflow, act)
            verify_attested(path.read_bytes(), by, act, name=entry.name, digest=entry.bundle)
    trial = None
    if entry.pack is not None:
        if pack is None:
            raise IntegrityError(f"{entry.pack.name}: is to serve, and nothing of it was fetched; sync again")
        place = verified(root / entry.pack_folder, pack, blobs, allowed, entry.pack.name)
        said = parse(PackConfig, (place / PACK_FILE).read_bytes(), where=f"{entry.pack.name}/{PACK_FILE}")
        check_pack_config(said, entry.pack, config, retriever=entry.bundle, site_class=record.site_class)
        trial = PackTrial(place, entry.bundle, checks.pack_key if entry.pack.encrypted else None)
    if failures := checks.smoke(folder, trial):
        raise RefusedError(
            f"{_named(entry)} fails on this machine: {'; '.join(failures)}; "
            "the running version stays; tell the publisher"
        )


def give_name(staging: Path, folder: Path) -> None:
    """Make a staged folder durable, then give it its name in one step."""
    for parent, _, _ in os.walk(staging):
        sync_folder(Path(parent))
    staging.rename(folder)
    sync_folder(folder.parent)


def lay_out(folder: Path, layout: OciManifest, blobs: Blobs) -> None:
    """Put the layers of a bundle or pack where they belong: as links to the blobs, where the disk can do that."""
    folder.mkdir(parents=True)
    for layer in layout.layers:
        path = folder / layer.path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(blobs.path(layer.digest), path)
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            _copy(blobs.path(layer.digest), path)


def activate(state: Path, version: str, running: Active | None) -> None:
    """Make a complete version the running one and keep the one before it.

    The links are changed one after the other. Between the two, both point to the version
    that was running before: at every moment `current` is one verified version.

    Args:
        state: the site's state folder.
        version: the version that `stage` has made.
        running: the sound version that runs now; a damaged one is not kept.
    """
    if running is not None:
        swap_link(state / PREVIOUS, Path(VERSIONS, running.version))
    swap_link(state / CURRENT, Path(VERSIONS, version))


def rewrite(state: Path, record: Active) -> None:
    """Replace the record of a version that is in place."""
    write_file(state / VERSIONS / record.version / ACTIVE_FILE, dump(record))


def clear_staging(state: Path) -> None:
    """Remove what a sync that was killed left behind."""
    for pattern in (f"{TEMPORARY}*", f"*/{TEMPORARY}*"):
        for path in (state / VERSIONS).glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    for path in state.glob(f"{TEMPORARY}*"):
        path.unlink()


def prune(state: Path, blobs: Blobs) -> None:
    """Keep the running version, the one before it, their blobs and those of one earlier build of each workflow."""
    kept = [record for link in (CURRENT, PREVIOUS) if (record := _linked(state, link)) is not None]
    names = {record.version for record in kept}
    for path in (state / VERSIONS).iterdir():
        if path.name not in names:
            shutil.rmtree(path)
    served = {digest for record in kept for workflow in record.workflows.values() for digest in workflow.needed}
    blobs.prune(served.union(*(record.inputs for record in kept), _ways_back(kept[:1])))


def verified(folder: Path, signed: Signed, blobs: Blobs, by: Authors, name: str) -> Path:
    """Lay out a bundle or pack and verify that it is what somebody who may do so signed under that name."""
    lay_out(folder, signed.layout, blobs)
    verify_bundle(folder, signed.signature, by, name=name)
    return folder


def _ways_back(running: Sequence[Active]) -> set[str]:
    """The blobs of the builds before those that run, and the manifests that tell of them."""
    found = {record.manifest_digest for record in running}
    for record in running:
        back = [*record.before.values(), *(one.before for one in record.returned.values())]
        found |= {digest for one in back for digest in one.blobs}
    return found


def files_of(proofs: Proofs, blobs: Blobs) -> dict[Attestation, tuple[Path, ...]]:
    """Where the attestations lie that were fetched."""
    return {act: tuple(blobs.path(one.digest) for one in found) for act, found in proofs.items()}


def _named(entry: ActiveWorkflow) -> str:
    """A bundle, and its pack, for a message."""
    pack = "" if entry.pack is None else f" with pack {entry.pack.name} ({entry.pack.digest})"
    return f"bundle {entry.name} ({entry.bundle}){pack}"


def _linked(state: Path, link: str) -> Active | None:
    """The version behind a link. A previous version that is damaged is no way back: its link goes."""
    version = current_version(state, link)
    if version is None:
        return None
    try:
        return load_version(state, version)
    except IntegrityError:
        if link == CURRENT:
            raise
        (state / link).unlink()
        return None


def _copy(blob: Path, path: Path) -> None:
    """Copy a blob durably, for a disk without hard links."""
    with blob.open("rb") as source, path.open("xb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
