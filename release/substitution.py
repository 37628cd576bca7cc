"""New keys in the place of others: what that changes in a repository, and how it is published.

Where the root names other keys for targets, snapshot or timestamp, these are first signed with the keys before and
after, in a publication of its own: then the tree holds under the old root as under the new one, and a reader between
two file writes, or a publisher killed there, finds one whole state. Only with keys that are lost is that not possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from securesystemslib.exceptions import UnverifiedSignatureError
from tuf.api.metadata import Delegations, Key, Root

from fleet_manifests import IntegrityError, RefusedError, UsageError
from release import roles
from release.edit import Edit
from release.keyring import Keyring
from release.keys import BUILDER, NEXT, ONLINE, ROOT_KEYS, TARGETS_KEYS, manager_key
from release.policy import Policy
from release.repository import Repository
from release.state import State

ON_THE_BUILDER_ALONE = ("candidates", "canary")


@dataclass(frozen=True)
class Seat:
    """Where a key stands: the document that names it, the role it signs, its place among the keys of that role."""

    above: str
    role: str
    place: int = 0


def seats(name: str, policy: Policy) -> tuple[Seat, ...]:
    """Where a key of that name stands; `sites` delegates to its bins with the same key besides.

    Raises:
        UsageError: no such key.
    """
    if name in ROOT_KEYS:
        return (Seat("root", "root", ROOT_KEYS.index(name)),)
    if name in TARGETS_KEYS:
        return (Seat("root", "targets", TARGETS_KEYS.index(name)),)
    if name == ONLINE:
        return (Seat("root", "snapshot"), Seat("root", "timestamp"), Seat("targets", "sites"))
    if name == BUILDER:
        return tuple(Seat("targets", role) for role in ON_THE_BUILDER_ALONE)
    places = [manager_key(one) for one in policy.managers]
    if name not in places:
        raise UsageError(f"key {name}: no such key; this fleet has {', '.join(roles.key_names(policy))}")
    return (Seat("targets", "stable", places.index(name)),)


def keyids(state: State, seat: Seat) -> list[str]:
    """The keys that may sign a role, as it is published."""
    found = _named(state, seat).roles
    assert found is not None
    return found[seat.role].keyids


def holder(state: State, seat: Seat) -> str | None:
    """The key in a seat, as it is published; None: a policy that is not the published one has more seats."""
    found = keyids(state, seat)
    return found[seat.place] if seat.place < len(found) else None


class Substitution:
    """Successors in the place of some keys."""

    def __init__(
        self, repository: Repository, keys: Keyring, names: Sequence[str], *, managers: Sequence[str], withdraw: bool
    ) -> None:
        """Prepare it.

        Args:
            repository: the repository, over these keys.
            keys: every key that is at hand.
            names: the keys to be replaced.
            managers: release managers who sign `stable` anew where that is needed.
            withdraw: with the builder's key, take what rests on it alone out of `candidates` and `canary`.

        Raises:
            UsageError: no such key.
        """
        self._repository, self._keys, self._managers = repository, keys, managers
        self.names = tuple(names)
        self._seats = {name: seats(name, repository.policy) for name in names}
        self._withdraw = withdraw and BUILDER in names
        self._targets = [name for name in names if name in TARGETS_KEYS]
        everywhere = [seat for found in self._seats.values() for seat in found]
        self._signs_root = any(seat.above == "root" for seat in everywhere)
        self._signs_targets = bool(self._targets) or any(seat.above == "targets" for seat in everywhere)

    def sentences(self) -> Iterator[str]:
        """What it will do."""
        keys = self._keys
        for name in self.names:
            yield (
                f"make {name}{NEXT}, a new key" if not keys.knows(name + NEXT) else f"use {name}{NEXT}, which is there"
            )
        if self._signs_root:
            yield "publish a new root, signed by 2 of the root keys before and 2 of those after"
        if self._signs_targets:
            yield "publish role targets anew, signed by 2 targets keys"
        if ONLINE in self.names:
            yield "sign timestamp, snapshot, sites and every hash bin with the new online key; nothing else changes"
        if BUILDER in self.names:
            yield "publish the new builder's key: from then on no site installs a bundle that only the old one signed"
        if self._withdraw:
            yield "take the manifests out of candidates and canary: they rest on the builder's key alone"
        if any(name.startswith(manager_key("")) for name in self.names):
            yield "let the manager's new key count for stable; what is in stable is signed anew only where it must"
        yield f"let the new take the name of the old: {', '.join(self.names)}"

    def require_possible(self, state: State, *, in_turns: bool = False) -> None:
        """Refuse before anything is made or written.

        Args:
            state: what is published.
            in_turns: the holders sign one after the other, so that not all their keys have to be here.

        Raises:
            RefusedError: the keys at hand are fewer than a threshold.
            IntegrityError: the tree holds what this key store did not publish, and its online key is to be replaced.
        """
        if self._signs_root and not in_turns:
            require_at_hand(state, self._keys, "root")
        if self._signs_targets and not in_turns:
            require_at_hand(state, self._keys, "targets", replaced=self._targets)
        if ONLINE in self.names and self._repository.foreign(state) and not self._countersigned(state):
            raise IntegrityError(
                f"{self._repository.public}: holds a release that this key store did not note: the thief of the online "
                "key may have made it. Restore your own copy of the tree; or remove it and run `lading release "
                "ceremony init`, sites go on; or, where only a publication was broken off, end that first: "
                "`lading release publish`"
            )

    def prepare(self) -> None:
        """Make the successors that are not there yet.

        Raises:
            UsageError, RefusedError, StorageError: as `Keyring.successor`.
        """
        for name in self.names:
            self._keys.successor(name)

    def publish(self, signed: Mapping[str, bytes] | None = None) -> None:
        """Publish the successors.

        Args:
            signed: `root` and `targets`, as their holders signed them one after the other; None: they are signed here.

        Raises:
            RefusedError: too few signatures, or root or targets have expired.
            IntegrityError, StorageError: as `Repository.edit`.
        """
        keys, signed = self._keys, dict(signed or {})
        before = [keys[name] for name in self.names if name in ROOT_KEYS and name in keys]
        self._bridge(signed)
        with self._repository.edit(managers=self._managers) as edit:
            self.change(edit, bridged=bool(self._targets) and bool(signed))
            if signed:
                edit.present(signed)
            elif self._signs_root:
                edit.cosign("root", before)

    def change(self, edit: Edit, *, bridged: bool = False) -> None:
        """Put the successors into the seats; from then on they sign.

        Args:
            edit: what is changed.
            bridged: role targets is signed by the keys before and after already.
        """
        self._keys.follow(self.names)
        for role in edit.state.all_roles():
            edit.state.get(role)  # verified under the keys before
        for name, found in self._seats.items():
            for seat in found:
                _take(edit.state, seat, self._keys[name].public)
        if self._signs_root:
            edit.touch("root")
        if self._signs_targets and not bridged:
            edit.touch("targets")
        self._online(edit)
        self._builder(edit)
        if not edit.state.holds("stable"):
            edit.touch("stable")

    def _countersigned(self, state: State) -> bool:
        """Whether the successor of the online key signed what is published: this ceremony was broken off there."""
        if not self._keys.knows(ONLINE + NEXT):
            return False
        key, found = self._keys[ONLINE + NEXT].public, state.timestamp
        signature = found.signatures.get(key.keyid)
        try:
            if signature is not None:
                key.verify_signature(signature, found.signed_bytes)
        except UnverifiedSignatureError:
            return False
        return signature is not None

    def _bridge(self, signed: Mapping[str, bytes]) -> None:
        """Sign what the new root will hold to other keys with both."""
        keys, state = self._keys, self._repository.state()
        targets = self._targets if signed or _count(state, keys, "targets") >= roles.OFFLINE_THRESHOLD else []
        if ONLINE not in keys or not (targets or ONLINE in self.names):
            return
        if targets and signed and state.targets("targets").to_bytes() == signed["targets"]:
            return  # by a run that was broken off
        with self._repository.edit() as edit:
            edit.touch("timestamp")
            if ONLINE in self.names:
                for role in ("timestamp", "snapshot"):
                    edit.cosign(role, [keys[ONLINE + NEXT]])
            if targets and signed:
                edit.present({"targets": signed["targets"]})
            elif targets:
                edit.touch("targets")
                edit.cosign("targets", [keys[name + NEXT] for name in targets])

    def _online(self, edit: Edit) -> None:
        """Let the new online key speak for the sites."""
        if ONLINE in self.names:
            sites = edit.state.targets("sites").signed
            bins = list(edit.state.bins.get_roles())
            for role in bins:
                edit.touch(role)
            sites.delegations = roles.site_delegations(self._keys, edit.state.bins.bit_length)
            edit.touch("sites")

    def _builder(self, edit: Edit) -> None:
        """Let the new builder's key sign, and nothing go on that rests on the old one alone."""
        if BUILDER in self.names:
            edit.trust()
            for channel in ON_THE_BUILDER_ALONE:
                if self._withdraw:
                    edit.remove(f"{channel}/manifest.json")
                edit.touch(channel)


def require_at_hand(state: State, keys: Keyring, role: str, *, replaced: Sequence[str] = ()) -> None:
    """Refuse where fewer keys of `root` or `targets` are here than have to sign.

    Args:
        state: what is published.
        keys: every key that is at hand.
        role: `root` or `targets`.
        replaced: keys of `targets` whose successors sign in this ceremony.

    Raises:
        RefusedError: with what is missing, and what to do.
    """
    found, needed = _count(state, keys, role, without=replaced) + len(replaced), roles.OFFLINE_THRESHOLD
    if found >= needed:
        return
    if role == "root":
        lost = (
            "where two are lost for good, nobody can renew the trust of the sites: begin with a new key store, and "
            "enrol every site anew"
        )
    else:
        lost = "where two are lost for good, replace them with the root keys: `lading release ceremony rotate-targets`"
    names = ", ".join(_names(role))
    raise RefusedError(
        f"role {role} is signed by {needed} of {names}, and {found} of them {'is' if found == 1 else 'are'} at hand; "
        f"bring the folder or medium of another (--keys); {lost}"
    )


def _count(state: State, keys: Keyring, role: str, *, without: Sequence[str] = ()) -> int:
    """How many of the published keys of `root` or `targets` are here, to sign with."""
    here = [name for name in _names(role) if name in keys and name not in without]
    return len({keys[name].public.keyid for name in here} & set(keyids(state, Seat("root", role))))


def _names(role: str) -> tuple[str, ...]:
    """The keys of `root` or `targets`."""
    return ROOT_KEYS if role == "root" else TARGETS_KEYS


def _named(state: State, seat: Seat) -> Root | Delegations:
    """What of a document lists keys and roles."""
    signed = state.get(seat.above).signed
    named = signed if seat.above == "root" else signed.delegations
    assert isinstance(named, Root | Delegations)
    return named


def _take(state: State, seat: Seat, key: Key) -> None:
    """Put a key into a seat, and drop the one before where nothing else names it."""
    named = _named(state, seat)
    assert named.roles is not None
    found = named.roles[seat.role].keyids
    before, found[seat.place] = found[seat.place], key.keyid
    named.keys[key.keyid] = key
    if not any(before in role.keyids for role in named.roles.values()):
        named.keys.pop(before, None)
