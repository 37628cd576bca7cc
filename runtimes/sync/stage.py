"""From verified blobs to a version: complete, checked and durable before it has a name."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from fleet_manifests.bundle import BUNDLE_FILE, BundleConfig, OciManifest
from fleet_manifests.errors import IntegrityError, RefusedError
from fleet_manifests.profile import HardwareProfile
from fleet_manifests.signature import verify_bundle
from fleet_manifests.wire import dump, parse
from runtimes.sync.active import (
    ACTIVE_FILE,
    CURRENT,
    PREVIOUS,
    VERSIONS,
    Active,
    current_version,
    load_version,
)
from runtimes.sync.blobs import Blobs
from runtimes.sync.files import TEMPORARY, swap_link, sync_folder, write_file
from runtimes.sync.plan import check_config

_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)


def next_version(state: Path, channel: str, manifest_version: int) -> str:
    """A name that no version of this site has: a running number, channel and manifest version."""
    found = [re.match(r"(\d+)-", path.name) for path in (state / VERSIONS).iterdir()]
    number = 1 + max((int(match[1]) for match in found if match), default=0)
    return f"{number:06d}-{channel}-{manifest_version}"


def stage(
    state: Path,
    record: Active,
    layouts: Mapping[str, OciManifest],
    signatures: Mapping[str, Path],
    blobs: Blobs,
    *,
    key: bytes,
    profile: HardwareProfile,
    smoke: Callable[[Path], list[str]],
) -> None:
    """Make a version's folder, check everything in it and give it its name.

    Args:
        state: the site's state folder.
        record: what the version is to be.
        layouts: the OCI manifest of each workflow's bundle.
        signatures: the signature file of each workflow's bundle.
        blobs: where the layers are.
        key: the builder's public key, PEM.
        profile: the profile of this machine.
        smoke: runs a bundle's own cases and says what is wrong.

    Raises:
        IntegrityError: a bundle is not what was signed, or not what the manifest says.
        RefusedError: a bundle fails its own smoke cases on this machine.
        OSError: the disk is full.
    """
    staging = state / VERSIONS / f"{TEMPORARY}{record.version}"
    staging.mkdir()
    for workflow, entry in record.workflows.items():
        folder = staging / entry.folder
        lay_out(folder, layouts[workflow], blobs)
        verify_bundle(folder, signatures[workflow], key, name=entry.name)
        config = parse(BundleConfig, (folder / BUNDLE_FILE).read_bytes(), where=f"{entry.name}/{BUNDLE_FILE}")
        check_config(config, entry.name, workflow, entry, profile)
        if failures := smoke(folder):
            raise RefusedError(
                f"bundle {entry.name} ({entry.bundle}) fails on this machine: {'; '.join(failures)}; "
                "the running version stays; tell the publisher"
            )
    write_file(staging / ACTIVE_FILE, dump(record))
    for parent, _, _ in os.walk(staging):
        sync_folder(Path(parent))
    staging.rename(state / VERSIONS / record.version)
    sync_folder(state / VERSIONS)


def lay_out(folder: Path, layout: OciManifest, blobs: Blobs) -> None:
    """Put a bundle's layers where they belong. Blobs are shared, not copied, where the disk can do that."""
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
    for path in (state / VERSIONS).iterdir():
        if path.name.startswith(TEMPORARY):
            shutil.rmtree(path)
    for path in state.glob(f"{TEMPORARY}*"):
        path.unlink()


def prune(state: Path, blobs: Blobs) -> None:
    """Keep the running version, the one before it and their blobs; remove the rest."""
    kept = [record for link in (CURRENT, PREVIOUS) if (record := _linked(state, link)) is not None]
    names = {record.version for record in kept}
    for path in (state / VERSIONS).iterdir():
        if path.name not in names:
            shutil.rmtree(path)
    blobs.prune(digest for record in kept for workflow in record.workflows.values() for digest in workflow.blobs)


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
