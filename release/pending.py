"""A pending version: a channel's next manifest, composed and signed by some, not yet by enough.

In PROJECT/.lading/release/pending/CHANNEL, whole or absent: `pending.json` (what it is about), `manifest.json` (the
target) and `CHANNEL.json` (the TUF metadata that names it, with fixed version and dates, so that everyone signs the
same bytes). The blobs lie in the published tree already, where nothing refers to them yet.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Targets
from tuf.api.serialization import DeserializationError

from fleet_manifests import FleetManifest, IntegrityError, Name, Wire, digest_of, dump, parse
from release import layout
from release.keys import Keys, manager_key
from release.tree import storage

FOLDER = Path(".lading", "release", "pending")
"""In the project's folder; one folder per channel below it."""
NOTE_FILE = "pending.json"
MANIFEST_FILE = "manifest.json"
Action = Literal["promote", "rollback", "revoke", "resume"]


class Note(Wire):
    """What a pending version is about."""

    schema_version: Literal[1] = 1
    channel: str
    action: Action
    reason: str = ""
    by: tuple[Name, ...]
    """The release managers who proposed it."""
    proposed: AwareDatetime
    entries: tuple[layout.IndexEntry, ...] = ()
    """What `index.json` will list."""


@dataclass(frozen=True)
class Pending:
    """A pending version, read back."""

    note: Note
    raw: bytes
    """The manifest's bytes."""
    manifest: FleetManifest
    document: Metadata[Targets]
    """The TUF metadata with the signatures so far."""

    @property
    def digest(self) -> str:
        """The digest of the manifest: what an approver pins."""
        return digest_of(self.raw)

    @property
    def target(self) -> str:
        """The manifest's name as a TUF target."""
        return f"{self.note.channel}/manifest.json"


@dataclass(frozen=True)
class Signatures:
    """Who signed a pending version, and how many more are needed."""

    signed: tuple[str, ...]
    waiting: tuple[str, ...]
    """Release managers who may sign and have not."""
    missing: int
    """Signatures that are needed still."""


def read(project: Path, channel: str) -> Pending | None:
    """The pending version of a channel, or None. Its parts must belong together; signatures are not judged here.

    Raises:
        IntegrityError: a part of it is missing or altered.
    """
    folder = project / FOLDER / channel
    if not folder.is_dir():
        return None
    advice = "reject it and propose it anew"
    try:
        raw = (folder / MANIFEST_FILE).read_bytes()
        note = parse(Note, (folder / NOTE_FILE).read_bytes(), where=str(folder / NOTE_FILE))
        document = Metadata[Any].from_bytes((folder / f"{channel}.json").read_bytes())
        manifest = parse(FleetManifest, raw, where=str(folder / MANIFEST_FILE))
        document.signed.targets[f"{channel}/manifest.json"].verify_length_and_hashes(raw)
    except (OSError, RepositoryError, DeserializationError, ValueError, KeyError, AttributeError) as exc:
        raise IntegrityError(f"{folder}: a part of the pending version is missing or altered: {exc}; {advice}") from exc
    if {note.channel, manifest.channel} != {channel}:
        raise IntegrityError(f"{folder}: holds a version of {manifest.channel}, not of {channel}; {advice}")
    return Pending(note, raw, manifest, document)


def write(project: Path, pending: Pending) -> None:
    """Keep a new pending version, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    channel = pending.note.channel
    parts = {NOTE_FILE: dump(pending.note), MANIFEST_FILE: pending.raw, f"{channel}.json": pending.document.to_bytes()}
    keep(project, channel, parts)


def resign(project: Path, pending: Pending) -> None:
    """Keep a pending version with one signature more.

    Raises:
        StorageError: it cannot be written.
    """
    exchange(project, pending.note.channel, f"{pending.note.channel}.json", pending.document.to_bytes())


def keep(project: Path, name: str, parts: Mapping[str, bytes]) -> None:
    """Keep the files of something pending, all or none.

    Raises:
        StorageError: they cannot be written.
    """
    folder = project / FOLDER / name
    scratch = folder.with_name(f".{name}.{secrets.token_hex(4)}")
    try:
        with storage(folder):
            scratch.mkdir(parents=True)
            for part, raw in parts.items():
                _write(scratch / part, raw)
            scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def exchange(project: Path, name: str, part: str, raw: bytes) -> None:
    """Put other bytes in the place of one file of something pending.

    Raises:
        StorageError: they cannot be written.
    """
    path = project / FOLDER / name / part
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with storage(path):
            _write(scratch, raw)
            scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def drop(project: Path, channel: str) -> None:
    """Take a pending version away, all of it at once.

    Raises:
        StorageError: it cannot be removed.
    """
    folder = project / FOLDER / channel
    scratch = folder.with_name(f".{channel}.{secrets.token_hex(4)}")
    with storage(folder):
        folder.rename(scratch)
        shutil.rmtree(scratch)


def signatures(pending: Pending, delegator: Targets, keys: Keys, managers: Iterable[str]) -> Signatures:
    """Who signed, by the keys that the repository trusts.

    Args:
        pending: the pending version.
        delegator: the published `targets`, which says whose signatures count.
        keys: the key store; a key that is not here is named by its id.
        managers: the release managers of the policy.
    """
    document = pending.document
    found = delegator.get_verification_result(pending.note.channel, document.signed_bytes, document.signatures)
    return Signatures(
        signed=named(found.signed, keys, managers),
        waiting=named(found.unsigned, keys, managers),
        missing=found.missing,
    )


def named(found: Iterable[str], keys: Keys, managers: Iterable[str]) -> tuple[str, ...]:
    """The release managers of key ids; one whose key is not here is named by its id."""
    names = {keys[manager_key(name)].public.keyid: name for name in managers if manager_key(name) in keys}
    return tuple(sorted(names.get(keyid, f"key {keyid[:12]}") for keyid in found))


def _write(path: Path, raw: bytes) -> None:
    """Write a new file durably."""
    with path.open("xb") as stream:
        stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())
