"""One publication being prepared: what changes, and how it is signed, verified and stored.

On commit each changed document is bumped, dated and signed, what was written is verified with
tuf, and all of it is stored: blobs and targets first, then role metadata, snapshot, `index.json`,
and `timestamp.json` last, which is the moment of publication.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, TargetFile

from fleet_manifests import Descriptor, RefusedError, dump, parse
from release import layout, roles
from release.signers_trust import trust_documents
from release.state import State
from release.tree import Tree

if TYPE_CHECKING:
    from release.repository import Repository

TOP_LEVEL = ("root", "targets")


class Edit:
    """One publication being prepared. `Repository.edit` makes and commits it."""

    def __init__(self, repository: Repository, state: State, tree: Tree, managers: Sequence[str]) -> None:
        """Begin from what is published."""
        self.state = state
        self._repository = repository
        self._tree = tree
        self._managers = managers
        self._changed: list[str] = []
        self._entries: list[layout.IndexEntry] = []
        self._renew = False

    def begin(self) -> None:
        """Publish every role for the first time."""
        for version, raw in self._repository.keys.roots().items():
            self._tree.write(f"metadata/{version}.root.json", raw)
        self._tree.write(layout.LAYOUT_FILE, layout.LAYOUT, shared=True)
        self._changed = [role for role in self.state.roles if role not in ("root", "timestamp", "snapshot")]
        self.trust()

    def trust(self) -> None:
        """Publish what the policy says of signers, in place of what is published; role `targets` signs it."""
        listed = self.state.targets("targets").signed.targets
        for name in [name for name in listed if name.startswith("trust/")]:
            del listed[name]
        for name, raw in trust_documents(self._repository.keys, self._repository.policy).items():
            listed[name] = TargetFile.from_data(name, raw, ["sha256"])
            self._tree.write(f"targets/{listed[name].get_prefixed_paths()[0]}", raw)
        self.touch("targets")

    def blob(self, source: Path | bytes, blob: Descriptor) -> None:
        """Publish a blob.

        Raises:
            IntegrityError: the source is not what the descriptor says.
        """
        self._tree.blob(source, blob)

    def offer(self, entry: layout.IndexEntry) -> None:
        """List a manifest in `index.json`."""
        self._entries.append(entry)

    def target(self, name: str, raw: bytes) -> None:
        """Publish a TUF target: a manifest or an assignment."""
        role = self.state.owner(name)
        info = TargetFile.from_data(name, raw, ["sha256"])
        self._tree.write(f"targets/{info.get_prefixed_paths()[0]}", raw)
        self.state.targets(role).signed.targets[name] = info
        self.touch(role)

    def remove(self, name: str) -> None:
        """Take a TUF target out of the release."""
        role = self.state.owner(name)
        if self.state.targets(role).signed.targets.pop(name, None) is not None:
            self.touch(role)

    def touch(self, role: str) -> None:
        """Sign a role anew, changed or not."""
        self.state.get(role)
        self._renew = True
        if role not in self._changed and role not in ("snapshot", "timestamp"):
            self._changed.append(role)

    def commit(self) -> int | None:
        """Sign, verify and store what changed; returns the number of the release, or None where nothing did."""
        if not self._changed and not self._renew:
            return None
        state = self.state
        self._require_current()
        if any(roles.is_bin(role) for role in self._changed):
            self._renew_sites()
        snapshot, timestamp = state.snapshot.signed, state.timestamp.signed
        for role in sorted(self._changed, key=lambda name: name not in TOP_LEVEL):
            raw, version = self._seal(role), state.get(role).signed.version
            self._tree.write(f"metadata/{version}.{role}.json", raw)
            if role != "root":
                snapshot.meta[f"{role}.json"] = MetaFile.from_data(version, raw, ["sha256"])
        raw = self._seal("snapshot")
        self._tree.write(f"metadata/{snapshot.version}.snapshot.json", raw)
        timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, raw, ["sha256"])
        raw = self._seal("timestamp")
        self._write_index()
        self._tree.settle()
        self._tree.write("metadata/timestamp.json", raw, shared=True)
        return timestamp.version

    def _seal(self, role: str) -> bytes:
        """Bump, date and sign one document, and verify the bytes that will be stored."""
        repository, document = self._repository, self.state.get(role)
        judges = [self.state.delegator(role).signed]
        if role == "root":
            judges.append(repository.state().root.signed)
        document.signed.version += 1
        document.signed.expires = repository.now() + repository.policy.lifetime(role)
        document.signatures.clear()
        try:
            for key in roles.signers_of(role, repository.keys, self._managers):
                document.sign(key.signer, append=True)
            raw = document.to_bytes()
            written = Metadata[Any].from_bytes(raw)
            for judge in judges:
                judge.verify_delegate(role, written.signed_bytes, written.signatures)
        except (RepositoryError, ValueError) as exc:
            raise RefusedError(f"role {role} cannot be published: {exc}; check the keys and who approved") from exc
        return raw

    def _require_current(self) -> None:
        """Refuse to publish below a role that has expired: no site would accept it."""
        moment = self._repository.now()
        for role in sorted({"root", "targets"} - set(self._changed)):
            if (document := self.state.get(role)).signed.is_expired(moment):
                raise RefusedError(f"role {role} expired on {document.signed.expires:%Y-%m-%d}; renew it first")

    def _renew_sites(self) -> None:
        """Renew what delegates to the bins, where it is due: the same key signs both."""
        expires = self.state.targets("sites").signed.expires
        if self._repository.due("sites", expires, self._repository.now()):
            self.touch("sites")

    def _write_index(self) -> None:
        """Bring `index.json` up to date."""
        path = self._repository.public / layout.INDEX_FILE
        current = parse(layout.Index, path.read_bytes(), where=str(path)) if path.exists() else layout.Index()
        self._tree.write(layout.INDEX_FILE, dump(current.merged(self._entries)), shared=True)
