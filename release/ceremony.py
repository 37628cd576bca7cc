"""Key ceremonies: the first root, keys that take the place of others, renewal after neglect.

    >>> ceremonies = Ceremonies(repository, media=[Path("/media/one"), Path("/media/two")], log=log)
    >>> ceremony = ceremonies.replace(["online"], reason="the server was broken into")
    >>> print(ceremony.will)
    >>> print(ceremony.run())

A ceremony says what it will do before it does it, and afterwards what a person has to do yet. Begun again after it was
broken off, it ends what was begun: successors that were made are used, and what is published is not published twice.
Here all keys that have to sign are at hand; `release.in_turns` is for holders who sign one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet_manifests import IntegrityError, RefusedError, UsageError, digest_of
from release import orders, roles
from release.keyring import OFFLINE, Keyring
from release.keys import NEXT
from release.log import ReleaseLog
from release.repository import Repository
from release.state import State
from release.substitution import holder, seats
from release.terms import Plan


@dataclass(frozen=True)
class Ceremony:
    """What is about to be done, and the doing of it."""

    name: str
    will: tuple[str, ...]
    """What it will do, sentence by sentence."""
    run: Callable[[], tuple[str, ...]]
    """Does it; returns what a person has to do yet."""


class Ceremonies:
    """The ceremonies of one repository."""

    def __init__(
        self,
        repository: Repository,
        *,
        media: Sequence[Path] = (),
        log: ReleaseLog,
        actor: str = "",
    ) -> None:
        """Lay the keys side by side.

        Args:
            repository: what is published, with the key store of every day.
            media: folders (mounted media) of root and targets keys.
            log: writes down what was done.
            actor: who holds the ceremony, or their part of it.

        Raises:
            UsageError: others may read a medium.
        """
        self._base, self._media = repository, tuple(media)
        self.keys = Keyring(repository.keys, media)
        self.keys.catch_up()
        self._repository = Repository(repository.public, self.keys, repository.policy, now=repository.now)
        self._log = log
        self._actor = actor

    def init(self, *, reason: str = "") -> Ceremony:
        """The first root of trust: every key, and a repository that releases nothing yet.

        Where the key store knows an older repository whose tree was lost, its root is kept and sites follow, and the
        orders that stand by the release log are given again.

        Raises:
            UsageError: there is a repository already.
            IntegrityError: the release log is not as it was written.
        """
        repository, keys = self._repository, self.keys
        if repository.exists:
            raise UsageError(f"{repository.public}: holds a repository already")
        missing = [name for name in roles.key_names(repository.policy) if not keys.knows(name)]

        def run() -> tuple[str, ...]:
            standing = orders.replayed(self._log.entries())
            repository.create()
            with repository.edit() as edit:
                orders.give(edit, standing)
            self._note("ceremony init", reason)
            return (
                *(f"{name}: in {keys.where(name)}; store it offline, apart from the others" for name in OFFLINE),
                f"{keys.folder}: the keys of every day; keep a copy, it also remembers what was published",
                f"{repository.public / 'metadata' / '1.root.json'}: bring it to each site in another way than the tree",
            )

        will = (
            f"make {', '.join(missing)}" if missing else "make no key: all are there",
            "let 2 of 3 root keys say who signs what, and 2 of 3 targets keys delegate to builder, managers and sites",
            f"publish a repository that releases nothing yet into {repository.public}",
        )
        return Ceremony("init", will, run)

    def replace(
        self, names: Sequence[str], *, managers: Sequence[str] = (), withdraw: bool = True, reason: str
    ) -> Ceremony:
        """Let new keys take the place of others, which count no longer from then on.

        Two of three root keys suffice, whichever they are: so a lost one is replaced. A leaked online key: what its
        thief signs is refused, and a site that had accepted it, with version numbers however high, follows again
        (TUF specification, 5.3.11). A leaked builder's key: no site installs what only that key signed.

        Args:
            names: the keys to be replaced.
            managers: release managers who sign `stable` anew, where too few others of them did.
            withdraw: with the builder's key, take what rests on it alone out of `candidates` and `canary`.
            reason: why; the log keeps it.

        Raises:
            UsageError: no such key, or its successor has to be made where it is.
            RefusedError: the keys at hand are fewer than a threshold, or the policy is not the published one.
            IntegrityError: the published tree is not what this key store published last.
        """
        plan = Plan(kind="replace", names=tuple(names), managers=tuple(managers), withdraw=withdraw)
        state = self._state()
        if begun := self._begun(state):
            return self._completed(begun, reason)
        return self._ceremony(plan, state, reason)

    def renew(self, *, managers: Sequence[str] = (), reason: str = "") -> Ceremony:
        """Sign root and targets for another term, and every other role whose keys are at hand.

        Args:
            managers: release managers who sign `stable` for another term as it is.
            reason: why; the log keeps it.

        Raises:
            RefusedError: the keys at hand are fewer than a threshold.
        """
        return self._ceremony(Plan(kind="renew", managers=tuple(managers)), self._state(), reason)

    def adopt(self, *, reason: str = "") -> Ceremony:
        """Make the fleet policy's release managers, threshold and signers the published ones.

        Raises:
            RefusedError: the targets keys at hand are fewer than the threshold.
        """
        return self._ceremony(Plan(kind="adopt"), self._state(), reason)

    def _ceremony(self, plan: Plan, state: State, reason: str) -> Ceremony:
        """A ceremony with what has to be signed at once."""
        act = plan.act(self._repository, self.keys)
        act.require_possible(state)
        self._require_adopted(plan)

        def run() -> tuple[str, ...]:
            act.prepare()
            act.publish()
            return self._settle(plan, reason)

        return Ceremony(plan.title, tuple(act.sentences()), run)

    def _require_adopted(self, plan: Plan) -> None:
        """Refuse to replace keys of a policy that is not the published one."""
        if plan.kind == "replace" and not self._repository.adopted:
            raise RefusedError(
                "the fleet policy is not the published one, or the public half of a key is not in the key store "
                f"({self.keys.folder}); put that right first: `lading release ceremony adopt`"
            )

    def _state(self) -> State:
        """What is published, down to `targets`. A root that a killed ceremony wrote, and no more, is taken back."""
        try:
            return self._checked()
        except IntegrityError:
            newest = max(self.keys.roots(), default=0)
            unnoted = self._repository.public / "metadata" / f"{newest + 1}.root.json"
            if not unnoted.exists():
                raise
            raw = unnoted.read_bytes()
            unnoted.unlink()
            try:
                return self._checked()
            except IntegrityError:
                unnoted.write_bytes(raw)
                raise

    def _checked(self) -> State:
        """What is published, where root, timestamp, snapshot and targets belong together."""
        state = self._repository.state()
        state.targets("targets")
        return state

    def _begun(self, state: State) -> list[str]:
        """Keys whose successors are the published ones already: a ceremony was broken off after that."""
        policy = self._repository.policy
        return [
            name
            for name in roles.key_names(policy)
            if self.keys.knows(name + NEXT)
            and all(self.keys[name + NEXT].public.keyid == holder(state, seat) for seat in seats(name, policy))
        ]

    def _completed(self, names: Sequence[str], reason: str) -> Ceremony:
        """The rest of a ceremony that was broken off.

        Raises:
            UsageError: the medium of a new key is not here.
        """
        for name in names:
            if name in OFFLINE and name + NEXT not in self.keys:
                raise UsageError(f"key {name}{NEXT}: bring the folder or medium that it was made in (--keys)")
        plan = Plan(kind="replace", names=tuple(names))
        will = (
            f"end a ceremony that was broken off: {', '.join(names)} replaced and published, but the old name not yet "
            "taken"
        )
        return Ceremony(plan.title, (will,), lambda: self._settle(plan, reason, ended=True))

    def _settle(self, plan: Plan, reason: str, *, ended: bool = False) -> tuple[str, ...]:
        """After the publication: write it down, then let the new keys take the names of the old."""
        self._note(f"ceremony {plan.title}" + (", ended" if ended else ""), reason)
        told = tuple(said for name in plan.names if self.keys.knows(name + NEXT) for said in self.keys.settle(name))
        return (*told, *plan.left())

    def _note(self, action: str, reason: str) -> None:
        """Write one line into the release log; the digest is that of the root that now holds."""
        state = self._repository.state()
        digest = digest_of(state.root.to_bytes())
        self._log.append(self._actor, action, None, state.root.signed.version, digest, reason, self._repository.now())
