"""The TUF repository on disk: create it, edit it, renew it.

    with repository.edit(managers=["alice", "bob"]) as edit:
        edit.target("stable/manifest.json", raw)

An edit loads what is published, verifies it, changes it (`release.edit`), and publishes on
leaving the block. An exception before the moment of publication leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from tuf.api.metadata import Metadata, MetaFile

from fleet_manifests import IntegrityError, StorageError, UsageError, digest_of
from fleet_manifests.evidence import now as utc_now
from release import roles
from release.edit import Edit
from release.keys import Keys
from release.policy import Policy
from release.signers_trust import says_so
from release.state import State
from release.tree import Tree, locked

FLOOR_FILE = "last-release"
BINS_FILE = "site-bins"
"""How many hash bins the sites had, each as a power of two, the present one last."""


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
        return self._last()[0]

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
            state, sizes = State(self.public, self._anchor()), self._bin_sizes()
            for role, document in roles.first_documents(self.keys, self.policy, bits=sizes[-1]).items():
                document.version = self.floor
                state.roles[role] = Metadata(document)
            # no client takes a snapshot that leaves out a role which an earlier one named
            gone = set(roles.bin_names(sizes[:-1])) - set(state.roles)
            state.snapshot.signed.meta |= {f"{role}.json": MetaFile(self.floor) for role in sorted(gone)}
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
        if self.foreign(state) and found == self.floor:
            raise IntegrityError(
                f"{self.public}: holds another release {found} than the one that was published: somebody else signs "
                "with the online key. Restore the newest copy of the tree, and replace that key"
            )
        return state

    def foreign(self, state: State) -> bool:
        """Whether the tree holds a release that this key store did not note; one more may be a publisher that died."""
        floor, digest = self._last()
        found = state.timestamp
        return found.signed.version != floor or (digest is not None and digest_of(found.to_bytes()) != digest)

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
    def sketch(self) -> Iterator[Edit]:
        """An edit that is never published: what it would make of a role can be looked at.

        Raises:
            IntegrityError, StorageError: as `edit`.
        """
        with locked(self.public):
            tree = Tree(self.public)
            try:
                yield Edit(self, self.state(), tree, ())
            finally:
                tree.undo()

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
            if self.keys.read(newest := f"{root.signed.version}.root.json") is None:
                self.keys.store(newest, root.to_bytes(), replace=False)
            if (sizes := self._bin_sizes())[-1] != (bits := state.bins.bit_length):
                self.keys.store(BINS_FILE, " ".join(map(str, (*sizes, bits))).encode(), replace=True)
            noted = f"{released} {digest_of(state.timestamp.to_bytes())}"
            self.keys.store(FLOOR_FILE, noted.encode(), replace=True)
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
        """Whether the published delegations and signers are those of the policy."""
        if not all(self.keys.knows(name) for name in roles.everyday_names(self.policy)):
            return False
        published = self.state().targets("targets").signed
        delegated = published.delegations == roles.delegations(self.keys, self.policy)
        return delegated and says_so(published, self.keys, self.policy)

    def _anchor(self) -> bytes:
        """The newest root of trust that the key store remembers."""
        known = self.keys.roots()
        if not known:
            raise UsageError(
                f"{self.keys.folder}: remembers no root of trust, so {self.public} was made with other keys; "
                "point to those, or remove the tree and create it anew"
            )
        return known[max(known)]

    def _last(self) -> tuple[int, str | None]:
        """Number and digest of the last release, as the key store remembers it; older ones noted no digest."""
        number, *digest = (self.keys.read(FLOOR_FILE) or b"0").decode().split()
        return int(number), digest[0] if digest else None

    def _bin_sizes(self) -> list[int]:
        """How many hash bins the sites had, each as a power of two, the present one last."""
        return [int(bits) for bits in (self.keys.read(BINS_FILE) or b"").split()] or [roles.BIN_BITS]

    def _first_root(self) -> bytes:
        """The first root of trust, signed by its own keys."""
        root = Metadata(roles.first_root(self.keys))
        root.signed.expires = self.now() + self.policy.lifetime("root")
        for key in roles.signers_of("root", self.keys, ()):
            root.sign(key.signer, append=True)
        root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
        return root.to_bytes()
