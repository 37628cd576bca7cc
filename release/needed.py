"""What of a published tree somebody needs: files, found from the release, the manifests and what they name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Signed, Snapshot, Targets
from tuf.api.serialization import DeserializationError

from fleet_manifests import Descriptor, FleetManifest, IntegrityError, digest_of, parse
from fleet_manifests.bundle import ARTIFACT_TYPE
from fleet_manifests.updates import Updates
from fleet_manifests.wire import MAX_DOCUMENT_BYTES
from release import layout, roles
from release.published import blob_path, read_blob
from release.repository import Repository
from release.state import State
from release.tree import storage

SNAPSHOTS = 16
"""Newest snapshots whose metadata stays: a site that began to read one may end with it."""
MANIFESTS = 2
"""Newest manifests of each channel that stay, expired or not: a channel can be rolled back to the one before."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Keep:
    """What stays besides the release itself."""

    digests: frozenset[str] = frozenset()
    """Of bundles, packs, manifests and blobs."""
    versions: frozenset[tuple[str, int]] = frozenset()
    """Channel and version of manifests."""
    snapshots: int = SNAPSHOTS
    manifests: int = MANIFESTS


@dataclass(frozen=True)
class _Manifest:
    """A manifest in the tree."""

    path: Path
    raw: bytes
    manifest: FleetManifest

    @property
    def digest(self) -> str:
        """The digest of its bytes."""
        return digest_of(self.raw)


@dataclass
class Needed:
    """The files of a tree that stay."""

    state: State
    keep: Keep
    paths: set[Path] = field(default_factory=set)
    artifacts: set[str] = field(default_factory=set)

    def documents(self) -> None:
        """Metadata of the release and of the snapshots before it, and the targets that it names."""
        folder = self.state.public / "metadata"
        self.paths |= {folder / "timestamp.json", *folder.glob("*.root.json")}
        newest = self.state.snapshot.signed.version
        for version in range(max(1, newest - self.keep.snapshots + 1), newest + 1):
            path = folder / f"{version}.snapshot.json"
            snapshot = self.state.snapshot.signed if version == newest else _read(path)
            if isinstance(snapshot, Snapshot):
                self._snapshot(path, snapshot)
        for role in self.state.all_roles():
            if role not in ("root", "timestamp", "snapshot"):
                self._targets(self.state.targets(role).signed)

    def manifests(self, repository: Repository) -> None:
        """The manifests that stay, and all that they name."""
        for channel in roles.CHANNELS:
            current = self.state.target(f"{channel}/manifest.json")
            found = sorted(self._published(channel), key=lambda one: one.manifest.version, reverse=True)
            for place, one in enumerate(found):
                asked = (channel, one.manifest.version) in self.keep.versions or one.digest in self.keep.digests
                recent = place < self.keep.manifests or one.manifest.expires > repository.now()
                if recent or asked or one.raw == current:
                    self._manifest(one, strict=one.raw == current)
        for digest in self.keep.digests:
            self._artifact(digest)

    def index(self) -> layout.Index:
        """The index of what stays, whose manifests and what they attach stay too."""
        path = self.state.public / layout.INDEX_FILE
        with storage(path):
            index = parse(layout.Index, path.read_bytes(), where=str(path))
        names = {layout.referrers_name(digest) for digest in self.artifacts}
        kept = []
        for entry in index.manifests:
            document = _json(blob_path(self.state.public, entry.digest))
            about = {entry.digest, *DIGEST.findall(json.dumps(document.get("subject")))}
            if about & self.artifacts or entry.name in names:
                kept.append(entry)
                self._blobs([entry.digest, *_digests(document)])
        return index.model_copy(update={"manifests": tuple(kept)})

    def _snapshot(self, path: Path, snapshot: Snapshot) -> None:
        """A snapshot, the documents that it names, and the files that these name."""
        named = {path.with_name(f"{meta.version}.{name}") for name, meta in snapshot.meta.items()} - self.paths
        for document in sorted(named):
            if isinstance(signed := _read(document), Targets):
                self._targets(signed)
        self.paths |= {path, *(document for document in named if document.exists())}

    def _targets(self, signed: Targets) -> None:
        """The files that a role names."""
        folder = self.state.public / "targets"
        self.paths |= {folder / info.get_prefixed_paths()[0] for info in signed.targets.values()}

    def _published(self, channel: str) -> Iterator[_Manifest]:
        """Every manifest of a channel that was ever published and is still there, as its name says."""
        for path in (self.state.public / "targets" / channel).glob("*.manifest.json"):
            with storage(path):
                raw = path.read_bytes()
            if digest_of(raw) == f"sha256:{path.name.partition('.')[0]}":
                with suppress(IntegrityError):
                    yield _Manifest(path, raw, parse(FleetManifest, raw, where=str(path)))

    def _manifest(self, one: _Manifest, *, strict: bool) -> None:
        """A manifest, and whatever it names by digest; `strict`: it is the current one, and has to be whole."""
        self.paths.add(one.path)
        if strict:
            packs = (*one.manifest.knowledge_packs, *one.manifest.context_packs)
            for blob in (*(ref.manifest for ref in one.manifest.bundles().values()), *(pack.blob for pack in packs)):
                read_blob(self.state.public, blob)
        for digest in set(DIGEST.findall(one.raw.decode())):
            self._artifact(digest)
        if one.manifest.updates is not None:
            self._updates(one.manifest.updates, strict=strict)

    def _updates(self, listed: Descriptor, *, strict: bool) -> None:
        """A list of updates: what a site may take, and for the current release what the next deltas refer to."""
        self._blobs([listed.digest])
        try:
            updates = parse(Updates, read_blob(self.state.public, listed), where=f"updates {listed.digest}")
        except IntegrityError:
            if strict:
                raise
            return
        self._blobs(delta.payload.digest for delta in updates.deltas)
        self._blobs(blob.digest for one in updates.derivations for blob in one.inputs)
        if strict:
            self._blobs(content.digest for recent in updates.recent.values() for content in recent)

    def _artifact(self, digest: str) -> None:
        """A bundle or pack, and its files; a digest of anything else is a blob."""
        self._blobs([digest])
        if digest in self.artifacts:
            return
        document = _json(blob_path(self.state.public, digest))
        if document.get("artifactType") == ARTIFACT_TYPE:
            self.artifacts.add(digest)
            self._blobs(_digests(document))

    def _blobs(self, digests: Iterable[str]) -> None:
        """Blobs by digest, where they are there."""
        self.paths |= {path for digest in digests if (path := blob_path(self.state.public, digest)).is_file()}


def _read(path: Path) -> Signed | None:
    """A document of an earlier release, or None where it is gone or is none.

    What it names only stays, so nobody has to trust it.
    """
    try:
        signed: Signed = Metadata[Any].from_bytes(path.read_bytes()).signed
    except (OSError, RepositoryError, DeserializationError, ValueError):
        return None
    return signed


def _json(path: Path) -> dict[str, object]:
    """A blob as a JSON object; empty where it is none."""
    if not path.is_file() or path.stat().st_size > MAX_DOCUMENT_BYTES:
        return {}
    try:
        said = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _digests(document: dict[str, object]) -> list[str]:
    """The digests that an OCI manifest or index names."""
    return DIGEST.findall(json.dumps(document))
