"""The release that is on disk, read the way a distrustful client reads it.

The published tree may lie on a server that others can write to. So that the publisher
never signs what someone slipped in, every document is verified with tuf, from the root
of trust in the key store downwards, before it is changed and signed anew. Expiry alone
is not an error here: an expired document is what a publisher is about to renew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, cast

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, SuccinctRoles, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from fleet_manifests import FleetManifest, IntegrityError, parse
from fleet_manifests.orders import ORDERS_TARGET
from release import roles

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)


class State:
    """The documents of a release by role, loaded and verified when first asked for."""

    def __init__(self, public: Path, anchor: bytes) -> None:
        """Refer to the release in a tree.

        Args:
            public: the published tree.
            anchor: the root of trust that sites were enrolled with.
        """
        self.public = public
        self.roles: dict[str, Metadata[Any]] = {}
        self._anchor = anchor

    @property
    def root(self) -> Metadata[Root]:
        """The newest root that the anchor leads to."""
        if "root" not in self.roles:
            self.roles["root"] = self._newest_root()
        return self.roles["root"]

    @property
    def timestamp(self) -> Metadata[Timestamp]:
        """What says which release is the current one."""
        return self._get("timestamp", "timestamp.json", self.root.signed, None)

    @property
    def snapshot(self) -> Metadata[Snapshot]:
        """Which version of each role belongs to the release."""
        meta = self.timestamp.signed.snapshot_meta
        return self._get("snapshot", f"{meta.version}.snapshot.json", self.root.signed, meta)

    def targets(self, role: str) -> Metadata[Targets]:
        """The metadata of `targets`, a channel, `sites` or a hash bin.

        Raises:
            IntegrityError: missing, altered, or not signed by those it is delegated to.
        """
        if role in self.roles:
            return self.roles[role]
        meta = self.snapshot.signed.meta.get(f"{role}.json")
        if meta is None:
            raise IntegrityError(f"{self.public}: the snapshot does not name role {role}")
        return self._get(role, f"{meta.version}.{role}.json", self.delegator(role).signed, meta)

    def delegator(self, role: str) -> Metadata[Any]:
        """The document that says who may sign a role's."""
        if role in ("root", "timestamp", "snapshot", "targets"):
            return self.root
        return self.targets("sites" if roles.is_bin(role) else "targets")

    def holds(self, role: str) -> bool:
        """Whether enough of those who may sign a role have signed it as it is."""
        document = self.get(role)
        signed = document.signed_bytes, document.signatures
        return bool(self.delegator(role).signed.get_verification_result(role, *signed).verified)

    @property
    def bins(self) -> SuccinctRoles:
        """The hash bins of the sites."""
        delegations = self.targets("sites").signed.delegations
        if delegations is None or delegations.succinct_roles is None:
            raise IntegrityError(f"{self.public}: role sites delegates to no hash bins")
        return delegations.succinct_roles

    def owner(self, target: str) -> str:
        """The role that a target's name belongs to."""
        if target == ORDERS_TARGET:
            return "sites"
        first = target.split("/")[0]
        if first == "sites":
            return self.bins.get_role_for_target(target)
        return "targets" if first == "trust" else first

    def target(self, name: str) -> bytes | None:
        """The content of a target of the current release, or None.

        Raises:
            IntegrityError: the file is not the one that was signed.
        """
        info = self.targets(self.owner(name)).signed.targets.get(name)
        if info is None:
            return None
        path = self.public / "targets" / info.get_prefixed_paths()[0]
        try:
            raw = path.read_bytes()
            info.verify_length_and_hashes(raw)
        except (OSError, RepositoryError) as exc:
            raise IntegrityError(f"{path}: is not what {self.owner(name)} signed: {exc}") from exc
        return raw

    def all_roles(self) -> list[str]:
        """Every role of the release. Bins of a smaller fleet, which a snapshot names for ever, are none any more."""
        named = (name.removesuffix(".json") for name in self.snapshot.signed.meta)
        there = [role for role in named if not roles.is_bin(role) or self.bins.is_delegated_role(role)]
        return ["root", "timestamp", "snapshot", *sorted(there)]

    def get(self, role: str) -> Metadata[Any]:
        """The metadata of any role."""
        if role in ("root", "timestamp", "snapshot"):
            return cast(Metadata[Any], getattr(self, role))
        return self.targets(role)

    def _get(self, role: str, name: str, delegator: Root | Targets, meta: MetaFile | None) -> Metadata[Any]:
        """Load a document, unless it is loaded."""
        if role not in self.roles:
            path = self.public / "metadata" / name
            try:
                raw = path.read_bytes()
                if meta is not None:
                    meta.verify_length_and_hashes(raw)
                document = Metadata[Any].from_bytes(raw)
                delegator.verify_delegate(role, document.signed_bytes, document.signatures)
            except (OSError, RepositoryError, DeserializationError, ValueError) as exc:
                raise IntegrityError(f"{path}: cannot be trusted: {exc}; restore the published tree") from exc
            version = document.signed.version
            if meta is not None and version != meta.version:
                raise IntegrityError(f"{path}: is version {version}, {meta.version} is the released one")
            self.roles[role] = document
        return self.roles[role]

    def _newest_root(self) -> Metadata[Root]:
        """Follow the chain of roots, each signed by the one before and by itself."""
        try:
            root = Metadata[Root].from_bytes(self._anchor)
            root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
            while (path := self.public / "metadata" / f"{root.signed.version + 1}.root.json").exists():
                newer = Metadata[Root].from_bytes(path.read_bytes())
                for judge in (root.signed, newer.signed):
                    judge.verify_delegate("root", newer.signed_bytes, newer.signatures)
                if newer.signed.version != root.signed.version + 1:
                    raise IntegrityError(f"{path}: is version {newer.signed.version}")
                root = newer
        except (OSError, RepositoryError, DeserializationError, ValueError) as exc:
            raise IntegrityError(f"{self.public}: the chain of roots is broken: {exc}") from exc
        return root


def manifest_of(state: State, channel: str) -> FleetManifest | None:
    """A channel's published manifest."""
    name = f"{channel}/manifest.json"
    raw = state.target(name)
    return parse(FleetManifest, raw, where=name) if raw is not None else None
