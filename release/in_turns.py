"""Key ceremonies whose holders sign one after the other: what the command does for each of them (`release.turns`).

>>> first = CeremoniesInTurns(repository, media=[Path("/media/one")], log=log, actor="alice")
>>> first.replace(["online"], reason="the server was broken into").run()
>>> second = CeremoniesInTurns(repository, media=[Path("/media/two")], log=log, actor="bob")
>>> print(second.sign().will)
>>> second.sign().run()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuf.api.metadata import Metadata

from fleet_manifests import RefusedError, UsageError, dump
from release import pending, turns
from release.ceremony import Ceremonies, Ceremony
from release.keyring import OFFLINE, Keyring
from release.keys import NEXT, SigningKey
from release.repository import Repository
from release.state import State
from release.terms import Plan


class CeremoniesInTurns(Ceremonies):
    """The ceremonies of one repository, each in parts. `replace`, `renew` and `adopt` are the first part."""

    def successor(self, name: str, *, reason: str = "") -> Ceremony:
        """Make the key that is to follow another, on the medium of its holder, before a ceremony in turns.

        Raises:
            UsageError: no such key, or no medium is here.
        """
        if name not in OFFLINE or not self._media:
            raise UsageError(f"{name}: the name of a root or targets key was expected, and the medium for the new one")

        def run() -> tuple[str, ...]:
            made = self.keys.successor(name)
            self._note(f"ceremony successor {name}", reason)
            return (
                f"{name}{NEXT}: in {self.keys.where(name + NEXT)}; its public half is in the key store",
                f"its id is {made.public.keyid[:12]}: every holder is shown it, and compares it before they sign",
            )

        return Ceremony(f"successor {name}", (f"make {name}{NEXT}, a new key, unless it is there",), run)

    def sign(self) -> Ceremony:
        """The part of a further holder in a ceremony in turns: shown what changes, they sign; the last one publishes.

        Raises:
            RefusedError: nothing is pending, something changed meanwhile, no key at hand counts, or all have signed.
            IntegrityError: the pending ceremony or the published tree is not what was written.
        """
        one, state = self._held(), self._state()
        if not turns.opened(one, state):
            ended = "end what was published and broken off after that: the names of keys, and the log"
            return Ceremony(one.note.plan.title, (ended,), lambda: self._published(one))
        turns.require_current(one, state, self._composed(one.note), self._repository.now())
        complete = not list(turns.missing(one, state))
        fresh = {} if complete else turns.to_sign(one, state, self.keys)
        with_keys = sorted({key.name for found in fresh.values() for key in found})

        def run() -> tuple[str, ...]:
            again = self._held()
            if again.digest != one.digest:
                raise RefusedError(
                    f"{one.note.plan.title}: another one is pending now than was shown; look at it again"
                )
            if fresh:
                self._sign(again, fresh)
            return self._go_on(again)

        will = (
            *turns.described(one, state, self.keys, self._repository.policy),
            *([f"sign that with {', '.join(with_keys)}"] if fresh else []),
            "where nobody else has to sign:",
            *one.note.plan.act(self._repository, self.keys).sentences(),
        )
        return Ceremony(one.note.plan.title, will, run)

    def reject(self, *, reason: str) -> Ceremony:
        """Drop a pending ceremony; keys that were made for it stay, and are used by the next.

        Raises:
            RefusedError: there is none.
            UsageError: no reason is given.
        """
        if not (self._log.path.parent / pending.FOLDER / turns.NAME).is_dir():
            raise RefusedError("no ceremony is pending")
        if not reason.strip():
            raise UsageError("reject: say why with --reason, for whoever began it")

        def run() -> tuple[str, ...]:
            pending.drop(self._log.path.parent, turns.NAME)
            self._note("ceremony reject", reason)
            return ()

        return Ceremony("reject", ("drop the pending ceremony",), run)

    def _ceremony(self, plan: Plan, state: State, reason: str) -> Ceremony:
        """The first part: compose what is to be signed, sign it with the keys at hand, and leave it pending."""
        act = plan.act(self._repository, self.keys)
        act.require_possible(state, in_turns=True)
        self._require_adopted(plan)
        turns.require_successors(plan, self.keys)
        if (held := turns.read(self._log.path.parent)) is not None:
            raise RefusedError(
                f"{held.note.plan.title}: is pending already, begun by {held.note.by}; `{turns.SIGN}`, or "
                f"`{turns.REJECT}`"
            )

        def run() -> tuple[str, ...]:
            act.prepare()
            note = turns.Note(plan=plan, reason=reason, by=self._actor, begun=self._repository.now())
            one = turns.Pending(note, self._composed(note))
            self._sign(one, turns.to_sign(one, self._state(), self.keys), first=True)
            return self._go_on(one)

        will = (*act.sentences(), f"leave it pending, signed with the keys at hand; every other holder: `{turns.SIGN}`")
        return Ceremony(plan.title, will, run)

    def _composed(self, note: turns.Note) -> dict[str, Metadata[Any]]:
        """What a ceremony in turns has its holders sign, by what is published and known here."""
        keys = Keyring(self._base.keys, self._media)
        repository = Repository(self._base.public, keys, self._base.policy, now=self._base.now)
        return turns.compose(note.plan, note.begun, repository, keys)

    def _held(self) -> turns.Pending:
        """The pending ceremony that there must be."""
        if (one := turns.read(self._log.path.parent)) is None:
            raise RefusedError("no ceremony is pending; begin one with --in-turns")
        return one

    def _sign(self, one: turns.Pending, fresh: Mapping[str, Sequence[SigningKey]], *, first: bool = False) -> None:
        """Add signatures, keep them, and write down whose they are."""
        turns.sign(one, fresh)
        raw = {f"{role}.json": document.to_bytes() for role, document in one.documents.items()}
        if first:
            pending.keep(self._log.path.parent, turns.NAME, {pending.NOTE_FILE: dump(one.note), **raw})
        else:
            for part in raw:
                pending.exchange(self._log.path.parent, turns.NAME, part, raw[part])
        with_keys = ", ".join(sorted({key.name for found in fresh.values() for key in found}))
        action = f"ceremony {'propose' if first else 'sign'} {one.note.plan.title}"
        self._note(action, f"with {with_keys}" + (f": {one.note.reason}" if first else ""))

    def _go_on(self, one: turns.Pending) -> tuple[str, ...]:
        """Publish a ceremony in turns where all have signed; else say who has to sign yet."""
        if wanted := tuple(turns.missing(one, self._state())):
            return (*wanted, f"still pending: every other holder signs with `{turns.SIGN}`")
        keys = Keyring(self._base.keys, self._media)
        repository = Repository(self._base.public, keys, self._base.policy, now=self._base.now)
        signed = {role: document.to_bytes() for role, document in one.documents.items()}
        one.note.plan.act(repository, keys).publish(signed)
        return self._published(one)

    def _published(self, one: turns.Pending) -> tuple[str, ...]:
        """After the publication of a ceremony in turns."""
        left = self._settle(one.note.plan, one.note.reason)
        pending.drop(self._log.path.parent, turns.NAME)
        return ("published: all have signed", *left)
