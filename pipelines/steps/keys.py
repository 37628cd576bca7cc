"""The keys of a project: which there are, their public halves, and the ceremonies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fleet_manifests import UsageError, Wire
from pipelines.project.load import Project
from pipelines.steps.release import release_of

if TYPE_CHECKING:
    from release.ceremony import Ceremonies
    from release.in_turns import CeremoniesInTurns

C = TypeVar("C", bound="Ceremonies")


class KnownKey(Wire):
    """One key of the fleet."""

    name: str
    keyid: str | None = None
    """None: nothing is known of it here."""
    here: bool
    """The key store can sign with it."""
    medium: str
    """Where the private half is, as far as the key store knows."""


def ceremonies_of(project: Project, media: Sequence[Path], actor: str) -> Ceremonies:
    """The ceremonies of a project, written into its release log, with all keys at hand.

    Raises:
        UsageError: others may read a medium, or it is inside the project.
    """
    from release.ceremony import Ceremonies

    return _laid(Ceremonies, project, media, actor)


def ceremonies_in_turns(project: Project, media: Sequence[Path], actor: str) -> CeremoniesInTurns:
    """The same, of holders who sign one after the other.

    Raises:
        UsageError: others may read a medium, or it is inside the project.
    """
    from release.in_turns import CeremoniesInTurns

    return _laid(CeremoniesInTurns, project, media, actor)


def _laid(kind: type[C], project: Project, media: Sequence[Path], actor: str) -> C:
    """Ceremonies over the keys of a project and of media.

    Raises:
        UsageError: others may read a medium, or it is inside the project.
    """
    for folder in media:
        if folder.resolve().is_relative_to(project.root.resolve()):
            raise UsageError(f"{folder}: is inside the project {project.root}; keep keys apart from it")
    release = release_of(project)
    return kind(release.repository, media=media, log=release.desk.log, actor=actor)


def listed(project: Project) -> list[KnownKey]:
    """Every key that the fleet's policy needs."""
    from release.roles import key_names
    from release.signers import FileKey

    release = release_of(project)
    told = []
    for name in key_names(release.policy):
        here = name in release.keys
        known = release.keys.knows(name)
        key = release.keys[name] if known else None
        medium = "a file of the key store" if isinstance(key, FileKey) else "the signer that lading.yaml names"
        if not here:
            medium = "elsewhere; its public half is known" if known else "not known here"
        told.append(KnownKey(name=name, keyid=key.public.keyid if key else None, here=here, medium=medium))
    return told


def export(project: Project, folder: Path) -> list[Path]:
    """Write the public half of every key that is known into a folder, and beside the private ones.

    Raises:
        StorageError: a folder cannot be written.
    """
    from release.roles import key_names
    from release.tree import storage

    release = release_of(project)
    written = []
    for name in [name for name in key_names(release.policy) if release.keys.knows(name)]:
        raw = release.keys[name].public_pem
        release.keys.store(f"{name}.pub", raw, replace=True)
        with storage(path := folder / f"{name}.pub"):
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
        written.append(path)
    return written
