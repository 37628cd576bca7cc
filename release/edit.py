"""One publication being prepared: what changes, and how it is signed, verified and stored.

On commit each changed document is bumped, dated and signed, what was written is verified with
tuf, and all of it is stored: blobs and targets first, then role metadata, snapshot, `index.json`,
and `timestamp.json` last, which is the moment of publication.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, TargetFile, Targets

from fleet_manifests import Descriptor, RefusedError, dump, parse
from fleet_manifests.orders import ORDERS_TARGET
from release import layout, roles
from release.signers import SigningKey
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
        self._cosigners: dict[str, list[SigningKey]] = {}
        self._adopted: dict[str, bytes] = {}
        self._renew = False

    def begin(self) -> None:
        """Publish every role for the first time."""
        for version, raw in self._repository.keys.roots().items():
            self._tree.write(f"metadata/{version}.root.json", raw)
        self._tree.write(layout.LAYOUT_FILE, layout.LAYOUT, shared=True)
        self._changed = [role for role in self.state.roles if role not in ("root", "timestamp", "snapshot")]
        orders = self.state.targets("sites").signed.targets[ORDERS_TARGET]
        self._tree.write(f"targets/{orders.get_prefixed_paths()[0]}", roles.NO_ORDERS)
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

    def adopt(self, role: str, raw: bytes, files: Mapping[str, bytes]) -> None:
        """Publish a role's document that is signed already, in place of signing it here.

        Args:
            role: the role.
            raw: its document: the version after the published one, signed by those it is delegated to.
            files: the content of each target that is new in it, by name.

        Raises:
            RefusedError: too few signatures, another version, expired, or a file is not what the document names.
        """
        document, version = Metadata[Any].from_bytes(raw), self.state.get(role).signed.version
        try:
            self.state.delegator(role).signed.verify_delegate(role, document.signed_bytes, document.signatures)
            for name, content in files.items():
                document.signed.targets[name].verify_length_and_hashes(content)
        except (RepositoryError, ValueError, KeyError) as exc:
            raise RefusedError(f"role {role} cannot be published: {exc}; propose it anew") from exc
        if document.signed.version != version + 1:
            raise RefusedError(f"role {role}: version {document.signed.version} is signed, {version + 1} is the next")
        if document.signed.is_expired(self._repository.now()):
            raise RefusedError(f"role {role}: expired on {document.signed.expires:%Y-%m-%d}; propose it anew")
        for name, content in files.items():
            self._tree.write(f"targets/{document.signed.targets[name].get_prefixed_paths()[0]}", content)
        self.state.roles[role] = document
        self._adopted[role] = raw
        self.touch(role)

    @property
    def offline(self) -> tuple[str, ...]:
        """Which of `root` and `targets` are to be signed anew."""
        return tuple(role for role in TOP_LEVEL if role in self._changed)

    def draft(self, role: str, expires: datetime) -> Metadata[Any]:
        """What this edit makes of a role so far, as its next version, not signed."""
        signed = copy.deepcopy(self.state.get(role).signed)
        signed.version += 1
        signed.expires = expires
        return Metadata(signed)

    def present(self, signed: Mapping[str, bytes]) -> None:
        """Publish `root` and `targets` as their holders signed them one after the other, in place of signing them here.

        Call it when everything else is changed. One that is published already stays as it is: its publisher was broken
        off after it.

        Args:
            signed: the documents by role.

        Raises:
            RefusedError: too few signatures, expired, or this edit would make something else of a role.
        """
        for role in [role for role in TOP_LEVEL if role in signed]:
            document, published = Metadata[Any].from_bytes(signed[role]), self._repository.state().get(role)
            if document.signed_bytes == published.signed_bytes:
                self.state.roles[role] = published
                self._changed = [one for one in self._changed if one != role]
                continue
            if self.draft(role, document.signed.expires).signed_bytes != document.signed_bytes:
                raise RefusedError(f"role {role} changed meanwhile: what was signed is not what would be published now")
            if document.signed.is_expired(self._repository.now()):
                raise RefusedError(f"role {role}: expired on {document.signed.expires:%Y-%m-%d}; begin anew")
            self.state.roles[role] = document
            try:
                for judge in self._judges(role):
                    judge.verify_delegate(role, document.signed_bytes, document.signatures)
            except RepositoryError as exc:
                raise RefusedError(f"role {role} cannot be published: {exc}; another holder has to sign") from exc
            self._adopted[role] = signed[role]
            self.touch(role)

    def remove(self, name: str) -> None:
        """Take a TUF target out of the release."""
        role = self.state.owner(name)
        if self.state.targets(role).signed.targets.pop(name, None) is not None:
            self.touch(role)

    def make_room(self, sites: int) -> None:
        """Spread the sites over more hash bins, where there are too many for the bins that there are.

        `sites` and its bins are signed by the online key, so that a fleet grows without a ceremony. How many sites
        there are is estimated from one bin; only a change to a quarter of what a bin holds is worth it.

        Args:
            sites: how many there will be at least.
        """
        bins = self.state.bins
        there = len(self.state.targets(next(bins.get_roles())).signed.targets) * bins.number_of_bins
        bits = roles.bin_bits(max(sites, there))
        if bits > bins.bit_length + 1:
            self._spread(bits)

    def touch(self, role: str) -> None:
        """Sign a role anew, changed or not."""
        self.state.get(role)
        self._renew = True
        if role not in self._changed and role not in ("snapshot", "timestamp"):
            self._changed.append(role)

    def cosign(self, role: str, keys: Iterable[SigningKey]) -> None:
        """Let further keys sign a role, so that it holds under the keys before and after a change of keys."""
        self._cosigners.setdefault(role, []).extend(keys)

    def commit(self) -> int | None:
        """Sign, verify and store what changed; returns the number of the release, or None where nothing did."""
        if not self._changed and not self._renew:
            return None
        state = self.state
        self._require_current()
        self._require_held()
        if any(roles.is_bin(role) for role in self._changed):
            self._renew_sites()
        snapshot, timestamp, root = state.snapshot.signed, state.timestamp.signed, None
        for role in sorted(self._changed, key=lambda name: name not in TOP_LEVEL):
            raw = self._adopted.get(role) or self._seal(role)
            version = state.get(role).signed.version
            if role == "root":
                root = f"metadata/{version}.root.json", raw
                continue
            self._tree.write(f"metadata/{version}.{role}.json", raw)
            snapshot.meta[f"{role}.json"] = MetaFile.from_data(version, raw, ["sha256"])
        raw = self._seal("snapshot")
        self._tree.write(f"metadata/{snapshot.version}.snapshot.json", raw)
        timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, raw, ["sha256"])
        raw = self._seal("timestamp")
        self._write_index()
        self._tree.settle()
        if root is not None:  # clients look for it by its number, whatever the timestamp says
            self._tree.write(*root)
            self._tree.settle()
        self._tree.write("metadata/timestamp.json", raw, shared=True)
        return timestamp.version

    def _spread(self, bits: int) -> None:
        """Delegate to 2^bits hash bins. A bin begins above every version that was ever published under its name."""
        state, first = self.state, self.state.timestamp.signed.version
        before = list(state.bins.get_roles())
        found = {name: info for role in before for name, info in state.targets(role).signed.targets.items()}
        self._changed = [role for role in self._changed if role not in before]
        for role in before:
            del state.roles[role]
        state.targets("sites").signed.delegations = roles.site_delegations(self._repository.keys, bits)
        for role in state.bins.get_roles():
            state.roles[role] = Metadata(Targets(version=first))
        for name, info in found.items():
            state.targets(state.owner(name)).signed.targets[name] = info
        for role in ("sites", *state.bins.get_roles()):
            self.touch(role)

    def _seal(self, role: str) -> bytes:
        """Bump, date and sign one document, and verify the bytes that will be stored."""
        repository, document = self._repository, self.state.get(role)
        judges = self._judges(role)
        document.signed.version += 1
        document.signed.expires = repository.now() + repository.policy.lifetime(role)
        document.signatures.clear()
        try:
            signers = roles.signers_of(role, repository.keys, self._managers)
            for key in (*signers, *self._cosigners.get(role, ())):
                document.sign(key.signer, append=True)
            raw = document.to_bytes()
            written = Metadata[Any].from_bytes(raw)
            for judge in judges:
                judge.verify_delegate(role, written.signed_bytes, written.signatures)
        except (RepositoryError, ValueError) as exc:
            raise RefusedError(
                f"role {role} cannot be published: {exc}; check the keys and who approved, and end a "
                "key ceremony that was broken off"
            ) from exc
        return raw

    def _judges(self, role: str) -> list[Any]:
        """The documents that say who signs a role: of a root, the one before and itself."""
        found = [self.state.delegator(role).signed]
        return [*found, self._repository.state().root.signed] if role == "root" else found

    def _require_current(self) -> None:
        """Refuse to publish below a role that has expired: no site would accept it."""
        moment = self._repository.now()
        for role in sorted({"root", "targets"} - set(self._changed)):
            if (document := self.state.get(role)).signed.is_expired(moment):
                raise RefusedError(f"role {role} expired on {document.signed.expires:%Y-%m-%d}; renew it first")

    def _require_held(self) -> None:
        """Refuse other keys for a role that stays as it is, where too few of them signed it."""
        below = {"root": ["targets"], "targets": [*roles.CHANNELS, "sites"]}
        for above in [role for role in below if role in self._changed]:
            for role in sorted(set(below[above]) - set(self._changed)):
                if not self.state.holds(role):
                    raise RefusedError(
                        f"role {role} would hold no longer: too few of those who may sign it from now on did; it has "
                        "to be signed anew in the same ceremony"
                    )

    def _renew_sites(self) -> None:
        """Renew what delegates to the bins, where it is due: the same key signs both."""
        expires = self.state.targets("sites").signed.expires
        if self._repository.due("sites", expires, self._repository.now()):
            self.touch("sites")

    def _write_index(self) -> None:
        """Bring `index.json` up to date."""
        path = self._repository.public / layout.INDEX_FILE
        if not self._entries and path.exists():
            return
        current = parse(layout.Index, path.read_bytes(), where=str(path)) if path.exists() else layout.Index()
        self._tree.write(layout.INDEX_FILE, dump(current.merged(self._entries)), shared=True)
