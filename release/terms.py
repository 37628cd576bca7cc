"""What each ceremony is about, and those that replace no key: another term for what is signed, and another policy.

Like a substitution of keys (`release.substitution`), each is an act: `change` is what it does to an edit, `publish`
does it, with `root` and `targets` signed by the keys at hand or as their holders signed them one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

from fleet_manifests import Name, Wire
from release import roles
from release.edit import Edit
from release.keyring import OFFLINE, Keyring
from release.keys import BUILDER, distinct, manager_key
from release.repository import Repository
from release.state import State
from release.substitution import Substitution, require_at_hand


class Act(Protocol):
    """What a ceremony does to a repository."""

    def sentences(self) -> Iterator[str]:
        """What it will do."""

    def require_possible(self, state: State, *, in_turns: bool = False) -> None:
        """Refuse before anything is made or written.

        Args:
            state: what is published.
            in_turns: the holders sign one after the other, so that not all their keys have to be here.

        Raises:
            RefusedError: the keys at hand are fewer than a threshold.
        """

    def prepare(self) -> None:
        """Make the keys that are missing."""

    def change(self, edit: Edit) -> None:
        """Change what is to be published; nothing is signed by `root` or `targets` keys here."""

    def publish(self, signed: Mapping[str, bytes] | None = None) -> None:
        """Publish it.

        Args:
            signed: `root` and `targets`, as their holders signed them one after the other; None: they are signed here.

        Raises:
            RefusedError: too few signatures, or something changed meanwhile.
        """


class Plan(Wire):
    """Which ceremony, and about what: enough to do it again."""

    kind: Literal["replace", "renew", "adopt"]
    names: tuple[str, ...] = ()
    """Keys to be replaced."""
    managers: tuple[Name, ...] = ()
    """Release managers who sign `stable` anew, where that is needed."""
    withdraw: bool = False
    """With the builder's key, take what rests on it alone out of `candidates` and `canary`."""

    @property
    def title(self) -> str:
        """What it is called in a terminal and in the log."""
        return " ".join([self.kind, ", ".join(self.names)]).strip()

    def act(self, repository: Repository, keys: Keyring) -> Act:
        """What it does to a repository over these keys.

        Raises:
            UsageError: no such key.
        """
        if self.kind == "replace":
            return Substitution(repository, keys, self.names, managers=self.managers, withdraw=self.withdraw)
        if self.kind == "renew":
            return Renewal(repository, keys, managers=self.managers)
        return Adoption(repository, keys)

    def left(self) -> tuple[str, ...]:
        """What a person has to do when it is published."""
        if self.kind == "renew":
            stable = () if self.managers else ("stable: its managers renew it: `lading release promote stable`",)
            return (*stable, "manifests that have expired: issue them anew, `lading release promote CHANNEL`")
        return tuple(said for name in self.names for said in _after(name))


class Renewal:
    """Root, targets, and every other role whose keys are at hand, as they are for another term."""

    def __init__(self, repository: Repository, keys: Keyring, *, managers: Sequence[str] = ()) -> None:
        """Prepare it.

        Args:
            repository: the repository, over these keys.
            keys: every key that is at hand.
            managers: release managers who sign `stable` for another term as it is.

        Raises:
            UsageError, RefusedError: too few managers, or unknown ones.
        """
        self._repository, self._keys, self._managers = repository, keys, managers
        self._named = ["root", "targets", *(["candidates", "canary"] if BUILDER in keys else [])]
        if managers:
            roles.require_managers(managers, repository.policy, keys)
            self._named.append("stable")

    def sentences(self) -> Iterator[str]:
        """What it will do."""
        for role in self._named:
            yield f"sign role {role} for another {self._repository.policy.lifetime(role).days} days"
        yield "sign snapshot, timestamp, and of the sites what is due"

    def require_possible(self, state: State, *, in_turns: bool = False) -> None:
        """Refuse where too few root or targets keys are at hand."""
        for role in () if in_turns else ("root", "targets"):
            require_at_hand(state, self._keys, role)

    def prepare(self) -> None:
        """There is no key to make."""

    def change(self, edit: Edit) -> None:
        """Let everything that is due be signed anew."""
        moment, due = self._repository.now(), self._repository.due
        sites = ["sites", *edit.state.bins.get_roles()]
        for role in (*self._named, *(one for one in sites if due(one, edit.state.get(one).signed.expires, moment))):
            edit.touch(role)

    def publish(self, signed: Mapping[str, bytes] | None = None) -> None:
        """Publish it."""
        with self._repository.edit(managers=self._managers) as edit:
            self.change(edit)
            edit.present(signed or {})


class Adoption:
    """The fleet policy's release managers, threshold and signers become the published ones."""

    def __init__(self, repository: Repository, keys: Keyring) -> None:
        """Prepare it, over these keys."""
        self._repository, self._keys = repository, keys

    def sentences(self) -> Iterator[str]:
        """What it will do."""
        policy = self._repository.policy
        yield f"let {policy.stable_threshold} of {', '.join(policy.managers)} approve what enters stable"
        yield "publish who may sign bundles, as the fleet policy says"

    def require_possible(self, state: State, *, in_turns: bool = False) -> None:
        """Refuse where too few targets keys are at hand."""
        if not in_turns:
            require_at_hand(state, self._keys, "targets")

    def prepare(self) -> None:
        """Make the keys of new managers that are nowhere else.

        Raises:
            RefusedError: two managers share a key.
        """
        keys, policy = self._keys, self._repository.policy
        keys.ensure(roles.everyday_names(policy))
        distinct(keys[name] for name in roles.key_names(policy) if keys.knows(name))

    def change(self, edit: Edit) -> None:
        """Let `targets` say what the policy says; `stable` is signed anew where too few of the new managers did."""
        for role in (*roles.CHANNELS, "sites"):
            edit.state.get(role)  # verified under the delegations before
        edit.trust()
        delegations = roles.delegations(self._keys, self._repository.policy)
        edit.state.targets("targets").signed.delegations = delegations
        if not edit.state.holds("stable"):
            edit.touch("stable")

    def publish(self, signed: Mapping[str, bytes] | None = None) -> None:
        """Publish it. `stable` is signed by the managers whose keys are at hand."""
        here = [name for name in self._repository.policy.managers if manager_key(name) in self._keys]
        with self._repository.edit(managers=here) as edit:
            self.change(edit)
            edit.present(signed or {})


def _after(name: str) -> tuple[str, ...]:
    """What the replacement of a key leaves to people."""
    if name in OFFLINE:
        return (f"{name}: store the new key offline, apart from the others",)
    if name == BUILDER:
        return (
            "sign the bundles anew: `lading build`, then `lading release promote`; until then sites install nothing",
            "what the old key may have signed for a thief: `lading release revoke DIGEST`",
        )
    return ()
