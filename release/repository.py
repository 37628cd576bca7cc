"""The TUF repository on disk: create it, edit it, renew it.

    with repository.edit(managers=["alice", "bob"]) as edit:
        edit.target("stable/manifest.json", raw)

An edit loads what is published, verifies it, changes it, and on leaving the block bumps,
dates and signs each changed document, verifies what it wrote with tuf, and stores it: blobs
and targets first, then role metadata, snapshot, `index.json`, and `timestamp.json` last,
which is the moment of publication. An exception before that moment leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, TargetFile

from fleet_manifests import Descriptor, IntegrityError, RefusedError, StorageError, UsageError, parse
from fleet_manifests.evidence import now as utc_now
from fleet_manifests.wire import dump
from release import layout, roles
from release.keys import BUILDER, Keys, distinct
from release.policy import Policy
from release.state import State
from release.tree import Tree, locked

FLOOR_FILE = "last-release"
TOP_LEVEL = ("root", "targets")


class Repository:
    """A fleet's TUF repository in a published tree."""

    def __init__(self, public: Path, keys: Keys, policy: Policy, *, now: Callable[[], datetime] = utc_now) -> None:
        """Refer to a repository, which may not exist yet."""
        self.public = public
        self.keys = keys
        self.policy = policy
        self.now = now

    @property
    def exists(self) -> bool:
        """Whether something was ever published into the tree."""
        return (self.public / "metadata" / "timestamp.json").exists()

    @property
    def floor(self) -> int:
        """The number of the last release, as the key store remembers it.

        Each release raises the timestamp by one and no other version by more, so this
        one number is at or above the version of every document ever published.
        """
        return int(self.keys.read(FLOOR_FILE) or b"0")

    def create(self) -> None:
        """Make the keys that are missing and publish a repository that releases nothing yet.

        Where the tree was lost and the key store knows an older repository, its root of trust
        is kept and versions go on from the last release, so that enrolled sites follow.

        Raises:
            RefusedError: two roles share a key.
            StorageError: keys or tree cannot be written, or another publisher is at work.
        """
        with locked(self.public):
            if self.exists:
                raise UsageError(f"{self.public}: holds a repository already")
            self.keys.ensure(roles.key_names(self.policy))
            if not self.keys.roots():
                self.keys.store("1.root.json", self._first_root(), replace=False)
            state = State(self.public, self._anchor())
            for role, document in roles.first_documents(self.keys, self.policy).items():
                document.version = self.floor
                state.roles[role] = Metadata(document)
            with self._publication(state, self.policy.managers) as edit:
                edit.begin()

    def state(self) -> State:
        """What is published, verified as it is read.

        Raises:
            UsageError: there is no repository.
            IntegrityError: the tree is not what this key store signed, or an older copy of it.
        """
        if not self.exists:
            raise UsageError(f"{self.public}: there is no repository yet; create one first")
        state = State(self.public, self._anchor())
        if (found := state.timestamp.signed.version) < self.floor:
            raise IntegrityError(
                f"{self.public}: holds release {found}, but {self.floor} was published; sites refuse to go back. "
                "Restore the newest copy of the tree, or remove it and create it anew"
            )
        return state

    @contextmanager
    def edit(self, *, managers: Sequence[str] = ()) -> Iterator[Edit]:
        """Change the release.

        Args:
            managers: the release managers who approve a change of `stable`.

        Raises:
            RefusedError: too few signatures, or a role above has expired.
            IntegrityError: the published tree is not what was signed.
            StorageError: the tree cannot be written, or another publisher is at work.
        """
        with locked(self.public), self._publication(self.state(), managers) as edit:
            yield edit

    @contextmanager
    def _publication(self, state: State, managers: Sequence[str]) -> Iterator[Edit]:
        """Run an edit; commit it at the end, or undo it."""
        tree = Tree(self.public)
        edit = Edit(self, state, tree, managers)
        committed = False
        try:
            yield edit
            released = edit.commit()
            committed = True
        finally:
            if not committed:
                tree.undo()
        if released:
            self._remember(released, state, tree)

    def _remember(self, released: int, state: State, tree: Tree) -> None:
        """After the fact: make the publication durable and note it in the key store."""
        root = state.root
        try:
            tree.settle()
            self.keys.store(f"{root.signed.version}.root.json", root.to_bytes(), replace=False)
            self.keys.store(FLOOR_FILE, str(released).encode(), replace=True)
        except StorageError as exc:
            raise StorageError(f"release {released} is published, but could not be noted: {exc}") from exc

    def refresh(self, *named: str) -> None:
        """Renew what the online key signs: snapshot, timestamp, and `sites` with the bins that are due.

        Args:
            named: roles of other keys to renew as they are, where those keys are at hand.
        """
        with self.edit() as edit:
            moment = self.now()
            sites = ["sites", *edit.state.bins.get_roles()]
            due = [role for role in sites if self.due(role, edit.state.targets(role).signed.expires, moment)]
            for role in ("timestamp", *due, *named):
                edit.touch(role)

    def due(self, role: str, expires: datetime, moment: datetime) -> bool:
        """Whether less than half of a role's lifetime is left."""
        return expires - moment < self.policy.lifetime(role) / 2

    @property
    def adopted(self) -> bool:
        """Whether the published delegations are those of the policy."""
        if any(name not in self.keys for name in roles.key_names(self.policy)):
            return False
        return self.state().targets("targets").signed.delegations == roles.delegations(self.keys, self.policy)

    def adopt(self) -> None:
        """Make the policy's release managers and threshold the published ones: a ceremony of the targets keys.

        Raises:
            RefusedError: two managers share a key, or the targets keys are not at hand.
        """
        self.keys.ensure(roles.key_names(self.policy))
        distinct(self.keys[name] for name in roles.key_names(self.policy))
        with self.edit(managers=self.policy.managers) as edit:
            edit.touch("stable")
            edit.touch("targets")
            edit.state.targets("targets").signed.delegations = roles.delegations(self.keys, self.policy)

    def _anchor(self) -> bytes:
        """The newest root of trust that the key store remembers."""
        known = self.keys.roots()
        if not known:
            raise UsageError(
                f"{self.keys.folder}: remembers no root of trust, so {self.public} was made with other keys; "
                "point to those, or remove the tree and create it anew"
            )
        return known[max(known)]

    def _first_root(self) -> bytes:
        """The first root of trust, signed by its own keys."""
        root = Metadata(roles.first_root(self.keys))
        root.signed.expires = self.now() + self.policy.lifetime("root")
        for key in roles.signers_of("root", self.keys, ()):
            root.sign(key.signer, append=True)
        root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
        return root.to_bytes()


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
        builder = self.state.targets("targets").signed.targets[roles.BUILDER_KEY_TARGET]
        raw = self._repository.keys[BUILDER].public_pem
        self._tree.write(f"targets/{builder.get_prefixed_paths()[0]}", raw)

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
