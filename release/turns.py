"""A ceremony whose holders sign one after the other, each where their medium is, on the same bytes.

The first of them leaves the new `root` and `targets` in PROJECT/.lading/release/pending/ceremony, with fixed versions
and dates and the signatures of the keys at hand. Each other holder is shown what they change beside what is published,
and adds signatures; the last one that is needed publishes. At every step the documents are composed anew from the
published ones, the public halves in the key store and the fleet policy: nobody signs anything else than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError

from fleet_manifests import IntegrityError, RefusedError, UsageError, Wire, digest_of, dump, parse
from release import pending, roles
from release.keyring import OFFLINE, Keyring
from release.keys import NEXT, ROOT_KEYS, TARGETS_KEYS, SigningKey
from release.offline import changes
from release.policy import Policy
from release.repository import Repository
from release.state import State
from release.terms import Plan

NAME = "ceremony"
SIGN = "lading release ceremony sign --as WHO --keys MEDIUM"
REJECT = "lading release ceremony reject"
HOLDERS = {"root": ROOT_KEYS, "targets": TARGETS_KEYS}


class Note(Wire):
    """What a pending ceremony is about."""

    schema_version: Literal[1] = 1
    plan: Plan
    reason: str = ""
    by: str
    """Who began it."""
    begun: AwareDatetime


@dataclass(frozen=True)
class Pending:
    """A pending ceremony, read back."""

    note: Note
    documents: Mapping[str, Metadata[Any]]
    """`root`, `targets` or both, with the signatures so far."""

    @property
    def digest(self) -> str:
        """Of what is signed, whoever signed it, and what it is about."""
        signed = (self.documents[role].signed_bytes for role in sorted(self.documents))
        return digest_of(b"".join((dump(self.note), *signed)))


def read(project: Path) -> Pending | None:
    """The pending ceremony of a project, or None. Signatures are not judged here.

    Raises:
        IntegrityError: a part of it is missing or altered.
    """
    folder = project / pending.FOLDER / NAME
    if not folder.is_dir():
        return None
    try:
        note = parse(Note, (folder / pending.NOTE_FILE).read_bytes(), where=str(folder / pending.NOTE_FILE))
        there = [role for role in HOLDERS if (folder / f"{role}.json").exists()]
        documents = {role: Metadata[Any].from_bytes((folder / f"{role}.json").read_bytes()) for role in there}
    except (OSError, DeserializationError) as exc:
        raise IntegrityError(f"{folder}: a part of the pending ceremony cannot be read: {exc}; `{REJECT}`") from exc
    if not documents or any(documents[role].signed.type != role for role in documents):
        raise IntegrityError(f"{folder}: holds neither a root nor targets to be signed; `{REJECT}`")
    return Pending(note, documents)


def compose(plan: Plan, begun: datetime, repository: Repository, keys: Keyring) -> dict[str, Metadata[Any]]:
    """The documents that a ceremony has the holders sign, not signed. Keys and repository are used up by it.

    Raises:
        RefusedError: it asks for no signature of a root or targets key.
    """
    with repository.sketch() as edit:
        plan.act(repository, keys).change(edit)
        found = {role: edit.draft(role, begun + repository.policy.lifetime(role)) for role in edit.offline}
    if not found:
        raise RefusedError(f"{plan.title}: asks for no signature of a root or targets key")
    return found


def opened(one: Pending, state: State) -> dict[str, Metadata[Any]]:
    """Those documents of a pending ceremony that are not published yet."""
    return {
        role: document
        for role, document in one.documents.items()
        if state.get(role).signed_bytes != document.signed_bytes
    }


def require_current(one: Pending, state: State, composed: Mapping[str, Metadata[Any]], now: datetime) -> None:
    """Refuse a pending ceremony that is not, to the byte, what it would be if it were begun now at its date.

    Args:
        one: the pending ceremony.
        state: what is published.
        composed: its documents, composed anew.
        now: the moment.

    Raises:
        RefusedError: something changed meanwhile, it was altered, or it waited too long.
    """
    if set(composed) != set(one.documents) or any(
        composed[role].signed_bytes != document.signed_bytes for role, document in opened(one, state).items()
    ):
        raise RefusedError(
            f"{one.note.plan.title}: something changed meanwhile (what is published, the fleet policy or a key), or "
            f"the pending documents were altered; `{REJECT}`, and begin anew"
        )
    begun = one.note.begun
    if now < begun:
        raise RefusedError(
            f"{one.note.plan.title}: is dated {begun:%Y-%m-%d %H:%M}, which is to come; set the clock right, or "
            f"`{REJECT}`"
        )
    for role, document in one.documents.items():
        if now >= begun + (document.signed.expires - begun) / 2:
            raise RefusedError(
                f"{one.note.plan.title}: begun on {begun:%Y-%m-%d}, so that role {role} would be valid for less than "
                f"half of its term; `{REJECT}`, and begin anew"
            )


def judges(one: Pending, state: State) -> tuple[Root, ...]:
    """The roots under which the documents have to hold: the published one, and the one after it."""
    after = one.documents.get("root", state.root)
    return state.root.signed, after.signed


def missing(one: Pending, state: State) -> Iterator[str]:
    """Which signatures are needed still, in words."""
    for role, document in opened(one, state).items():
        said = {}
        for when, judge in zip(("before", "after"), judges(one, state), strict=True):
            found = judge.get_verification_result(role, document.signed_bytes, document.signatures)
            if found.missing:
                said[when] = f"{found.missing} more of the {role} keys {when}"
        yield from said.values()


def to_sign(one: Pending, state: State, keys: Keyring) -> dict[str, list[SigningKey]]:
    """The keys at hand whose signatures count and are missing, by role.

    Raises:
        RefusedError: no key at hand counts, or all that do have signed.
    """
    counting, fresh = False, {}
    for role, document in opened(one, state).items():
        results = [
            judge.get_verification_result(role, document.signed_bytes, document.signatures)
            for judge in judges(one, state)
        ]
        signed = {keyid for found in results for keyid in found.signed}
        wanted = signed | {keyid for found in results for keyid in found.unsigned}
        here = [keys[name] for name in _at_hand(role, keys)]
        counting = counting or any(key.public.keyid in wanted for key in here)
        if found := [key for key in here if key.public.keyid in wanted - signed]:
            fresh[role] = found
    if not fresh:
        said = (
            "every key at hand has signed this already; another holder has to"
            if counting
            else ("no key at hand is one of those that sign this")
        )
        raise RefusedError(f"{one.note.plan.title}: {said}: {'; '.join(missing(one, state))} (--keys MEDIUM)")
    return fresh


def sign(one: Pending, fresh: Mapping[str, Sequence[SigningKey]]) -> None:
    """Add signatures.

    Raises:
        UsageError, UnreachableError: a key cannot sign now.
    """
    for role, found in fresh.items():
        for key in found:
            one.documents[role].sign(key.signer, append=True)


def require_successors(plan: Plan, keys: Keyring) -> None:
    """Refuse where a new offline key would be made on another medium than its holder's.

    Raises:
        UsageError: its holder has to make it first.
    """
    for name in plan.names:
        if name in OFFLINE and name not in keys and not keys.knows(name + NEXT):
            raise UsageError(
                f"{name}{NEXT}: is not made yet, and the medium of {name} is not here; its holder makes it, and this "
                f"key store gets the public half: `lading release ceremony successor {name} --keys MEDIUM`"
            )


def described(one: Pending, state: State, keys: Keyring, policy: Policy) -> tuple[str, ...]:
    """What a holder has to know before they sign: who began it, and what changes beside what is published."""
    names = {keys[name].public.keyid: name for name in _known(keys, policy)}
    note = one.note
    return (
        f"{note.plan.title}, begun by {note.by} on {note.begun:%Y-%m-%d %H:%M}: {note.reason}",
        *(
            said
            for role, document in opened(one, state).items()
            for said in changes(role, state.get(role).signed, document.signed, names)
        ),
        *(f"signed so far: {', '.join(found)}" for found in [signers(one, state, names)] if found),
    )


def signers(one: Pending, state: State, names: Mapping[str, str]) -> list[str]:
    """Who signed so far, by the names of their keys."""
    found = {
        keyid
        for role, document in opened(one, state).items()
        for judge in judges(one, state)
        for keyid in judge.get_verification_result(role, document.signed_bytes, document.signatures).signed
    }
    return sorted(names.get(keyid, f"key {keyid[:12]}") for keyid in found)


def _at_hand(role: str, keys: Keyring) -> list[str]:
    """The keys of a role that can sign here, and those that are to follow them."""
    return [name for base in HOLDERS[role] for name in (base, base + NEXT) if name in keys]


def _known(keys: Keyring, policy: Policy) -> list[str]:
    """Every key of a fleet whose public half is at hand."""
    return [name for base in roles.key_names(policy) for name in (base, base + NEXT) if keys.knows(name)]
