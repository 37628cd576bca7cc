"""Approval of a channel by several people, one at a time, on the same bytes.

`propose` composes the channel's next manifest and its TUF metadata with fixed version and dates, puts the blobs into
the tree, where nothing refers to them yet, and keeps both as a pending version (`release.pending`). `approve` adds one
signature; the last one that is needed verifies everything again from the bytes and publishes.
"""

from __future__ import annotations

from collections.abc import Sequence

from fleet_manifests import FleetManifest, IntegrityError, RefusedError, UsageError, dump
from release import orders, pending, roles
from release.acts import Act
from release.desk import Desk
from release.edit import Edit
from release.keys import BUILDER, SigningKey
from release.log import published
from release.pending import Action, Note, Pending, Signatures
from release.proposals import Staging, next_document, problem, require_trusted
from release.recheck import recheck
from release.state import State
from release.tree import Tree, locked


class Approvals:
    """Publishing acts, at once or by several people, and the pending versions between."""

    def __init__(self, desk: Desk) -> None:
        """Refer to a release."""
        self._desk = desk

    def enact(
        self, channel: str, act: Act, action: Action, *, by: Sequence[str] = (), reason: str = ""
    ) -> FleetManifest | Pending | None:
        """Publish what an act makes of a channel; with too few managers for `stable` it becomes pending.

        Args:
            channel: the channel.
            act: what is to be done.
            action: its word in the log.
            by: the release managers who act. Those of `stable` sign; the others are signed by the builder.
            reason: for the log and for who approves.

        Returns:
            The manifest that was published, the version that is pending, or None where nothing is new.

        Raises:
            RefusedError: it does not hold, with every reason.
            IntegrityError: the published tree or the release log is not what was signed and written.
            StorageError: it cannot be written; nothing stays.
        """
        desk = self._desk
        desk.log.require_sound()
        if channel == "stable" and len(set(by)) < desk.policy.stable_threshold:
            return self.propose(channel, act, action, reason, by)
        with desk.repository.edit(managers=by if channel == "stable" else ()) as edit:
            manifest = act(desk.scene(channel, edit.state), edit)
            if manifest is None:
                return None
            edit.target(f"{channel}/manifest.json", dump(manifest))
            _lift(edit, channel, action)
        desk.record(manifest, ", ".join(by) or BUILDER, action, reason)
        return manifest

    def pending(self, channel: str = "stable") -> Pending | None:
        """The pending version of a channel, or None. One that was published before its publisher died is put away.

        Raises:
            IntegrityError: a part of it is missing or altered.
        """
        one = pending.read(self._desk.project, channel)
        if one is not None and self._desk.current().get(channel, (0, ""))[1] == one.digest:
            self._published(one)
            return None
        return one

    def signatures(self, one: Pending) -> Signatures:
        """Who signed a pending version, and who may."""
        delegator = self._desk.repository.state().targets("targets").signed
        return pending.signatures(one, delegator, self._desk.keys, self._desk.policy.managers)

    def signers(self, channel: str) -> tuple[str, ...]:
        """Who signed what a channel has now."""
        state = self._desk.repository.state()
        if channel != "stable":
            return (BUILDER,)
        document = state.targets(channel)
        found = state.delegator(channel).signed.get_verification_result(
            channel, document.signed_bytes, document.signatures
        )
        return pending.named(found.signed, self._desk.keys, self._desk.policy.managers)

    def problem(self, one: Pending) -> str | None:
        """Why a pending version can be approved no more, or None."""
        return self._problem(one, self._desk.repository.state())

    def propose(self, channel: str, act: Act, action: Action, reason: str, managers: Sequence[str]) -> Pending | None:
        """Compose a channel's next version and sign it as some of those who must; None where it says nothing new.

        Raises:
            RefusedError: something does not hold, a version is pending already, or someone signs twice.
            UsageError: someone is not a release manager, or the key is not here.
            StorageError: it cannot be written; nothing stays.
        """
        keys = [roles.require_manager(name, self._desk.policy, self._desk.keys) for name in managers]
        if len({key.name for key in keys}) != len(keys) or not keys:
            raise RefusedError(f"{channel}: name different release managers, at least one; found {', '.join(managers)}")
        public = self._desk.repository.public
        with locked(public):
            if (held := self.pending(channel)) is not None:
                raise RefusedError(
                    f"{channel}: version {held.manifest.version} is pending already, proposed by "
                    f"{', '.join(held.note.by)}; approve or reject it first"
                )
            tree, kept = Tree(public), False
            try:
                note = Note(
                    channel=channel, action=action, reason=reason, by=tuple(managers), proposed=self._desk.now()
                )
                made = self._compose(channel, act, Staging(tree), note, keys)
                tree.settle()
                if made is not None:
                    pending.write(self._desk.project, made)
                kept = True
            finally:
                if not kept:
                    tree.undo()
        if made is not None:
            self._log(", ".join(managers), "propose", made, reason)
        return made

    def _compose(
        self, channel: str, act: Act, staging: Staging, note: Note, keys: Sequence[SigningKey]
    ) -> Pending | None:
        """What an act makes of a channel, signed by those who propose it; None where nothing is new."""
        state, expires = self._desk.repository.state(), note.proposed + self._desk.policy.lifetime(channel)
        manifest = act(self._desk.scene(channel, state), staging)
        if manifest is None:
            return None
        raw, note = dump(manifest), note.model_copy(update={"entries": tuple(staging.entries)})
        return Pending(note, raw, manifest, next_document(channel, raw, state, keys, expires))

    def approve(self, channel: str, manager: str, *, digest: str | None = None) -> Pending | None:
        """Add a signature; the last that is needed publishes.

        Args:
            channel: the channel.
            manager: the release manager who approves.
            digest: of the manifest that they have read; another one is refused.

        Returns:
            The pending version with the signature, or None: it is published.

        Raises:
            RefusedError: signed already, changed meanwhile, expired, or something does not hold, with every reason.
            UsageError: not a release manager, or the key is not here.
            IntegrityError: the pending version or the published tree is not what was signed.
            StorageError: it cannot be written.
        """
        key = roles.require_manager(manager, self._desk.policy, self._desk.keys)
        self._desk.log.require_sound()
        with self._desk.repository.edit() as edit:
            one = self._held(channel)
            if digest is not None and digest != one.digest:
                raise RefusedError(
                    f"{channel}: {digest} was read and {one.digest} is pending; read again what changes, then approve"
                )
            if (why := self._problem(one, edit.state)) is not None:
                raise RefusedError(f"{channel}: the pending version cannot be approved: {why}")
            self._recheck(one, edit.state)
            signed = self._sign(one, key, manager, edit.state)
            if missing := self._missing(one, edit.state):
                pending.resign(self._desk.project, one)
            else:
                self._adopt(edit, one)
        if signed:
            self._log(manager, "approve", one, f"{missing} more needed" if missing else "")
        if missing:
            return one
        self._published(one)
        return None

    def reject(self, channel: str, manager: str, reason: str) -> Pending | None:
        """Drop a pending version. Its blobs stay in the tree, unreferenced, until they are collected.

        Returns:
            What was dropped; None where it was damaged, so that nobody can say what it was.

        Raises:
            RefusedError: there is none.
            UsageError: not a release manager, the key is not here, or no reason is given.
        """
        roles.require_manager(manager, self._desk.policy, self._desk.keys)
        if not reason.strip():
            raise UsageError("reject: say why with --reason, for whoever proposed it")
        with locked(self._desk.repository.public):
            try:
                one: Pending | None = self._held(channel)
            except IntegrityError:
                one = None
            pending.drop(self._desk.project, channel)
        version, digest = (one.manifest.version, one.digest) if one else (None, None)
        self._desk.log.append(manager, "reject", channel, version, digest, reason, self._desk.now())
        return one

    def _held(self, channel: str) -> Pending:
        """The pending version that there must be."""
        if (one := self.pending(channel)) is None:
            raise RefusedError(f"{channel}: nothing is pending; propose it with `lading release promote`")
        return one

    def _problem(self, one: Pending, state: State) -> str | None:
        """Why a pending version cannot be approved, whoever wants to."""
        due = self._desk.repository.due(one.note.channel, one.document.signed.expires, self._desk.now())
        return problem(one, state, due=due, now=self._desk.now())

    def _recheck(self, one: Pending, state: State) -> None:
        """Verify everything that the pending manifest leads to, from the bytes in the tree."""
        scene = self._desk.scene(one.note.channel, state)
        recheck(
            one.manifest,
            self._desk.repository.public,
            scene.key,
            known=self._desk.known(one.note.channel),
            rules=scene.rules,
            scratch=self._desk.scratch,
        )

    def _sign(self, one: Pending, key: SigningKey, manager: str, state: State) -> bool:
        """Add a signature, unless it is there and the threshold is met: then only the publication is left to do."""
        if key.public.keyid in one.document.signatures:
            if self._missing(one, state):
                raise RefusedError(
                    f"{manager} has signed this version already; {self._desk.policy.stable_threshold} different "
                    "release managers are needed"
                )
            return False
        require_trusted(key, one.note.channel, state)
        one.document.sign(key.signer, append=True)
        return True

    def _missing(self, one: Pending, state: State) -> int:
        """How many signatures are needed still."""
        delegator = state.targets("targets").signed
        return pending.signatures(one, delegator, self._desk.keys, self._desk.policy.managers).missing

    def _adopt(self, edit: Edit, one: Pending) -> None:
        """Publish the pending version in an edit."""
        edit.adopt(one.note.channel, one.document.to_bytes(), {one.target: one.raw})
        for entry in one.note.entries:
            edit.offer(entry)
        _lift(edit, one.note.channel, one.note.action)

    def _published(self, one: Pending) -> None:
        """After the fact: write it down, and take the pending version away."""
        logged = published(self._desk.log.entries(), one.note.channel)
        if logged.get(one.manifest.version) != one.digest:
            self._desk.record(one.manifest, ", ".join(self.signatures(one).signed), one.note.action, one.note.reason)
        pending.drop(self._desk.project, one.note.channel)

    def _log(self, actor: str, action: str, one: Pending, reason: str) -> None:
        self._desk.log.append(
            actor, action, one.note.channel, one.manifest.version, one.digest, reason, self._desk.now()
        )


def _lift(edit: Edit, channel: str, action: Action) -> None:
    """End the halt of a channel together with the manifest that ends it."""
    if action == "resume":
        orders.give(edit, orders.resumed(orders.published_orders(edit.state), channel))
