"""When something is wrong: halt a channel, revoke a bundle or pack, roll back, and resume.

Who takes something away needs nobody else, and it holds at every site's next sync. Whatever lets content run again is a
manifest, and needs the signatures that its channel's manifests need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fleet_manifests import FleetManifest, Orders, RefusedError, UsageError
from release import history, orders, roles
from release.acts import Resumption, Revocation, Rollback
from release.approvals import Approvals
from release.desk import Desk
from release.log import published
from release.pending import Pending
from release.state import manifest_of


@dataclass(frozen=True)
class Revoked:
    """What a revocation led to."""

    digest: str
    """The whole digest."""
    orders: Orders
    published: tuple[FleetManifest, ...]
    """The next manifests of channels that the builder signs."""
    pending: Pending | None
    """The next manifest of `stable`, which waits for approval."""
    problems: tuple[str, ...]
    """Channels whose next manifest could not be made, with the reason. The order holds all the same."""


class Interventions:
    """What release managers do when something is wrong."""

    def __init__(self, desk: Desk, approvals: Approvals) -> None:
        """Refer to a release."""
        self._desk = desk
        self._approvals = approvals

    def orders(self) -> Orders:
        """The standing orders."""
        return orders.published_orders(self._desk.repository.state())

    def halt(self, channel: str, reason: str, by: str) -> Orders:
        """Keep sites from installing anything new of a channel. What runs goes on; revocations are obeyed.

        Raises:
            UsageError: no such channel, no reason, or not a release manager whose key is here.
            RefusedError: it is halted already.
        """
        roles.require_manager(by, self._desk.policy, self._desk.keys)
        _require_reason(reason)
        moment = self._desk.now()
        with self._desk.repository.edit() as edit:
            given = orders.halted(orders.published_orders(edit.state), channel, reason, by, moment)
            orders.give(edit, given)
        self._desk.log.append(by, orders.HALT, channel, None, None, reason, moment)
        return given

    def resume(self, channel: str, reason: str, by: Sequence[str]) -> FleetManifest | Pending:
        """End a halt, with a manifest of the same content that the channel's signers sign.

        Raises:
            UsageError: no reason, or not a release manager whose key is here.
            RefusedError: the channel is not halted, or a version is pending already.
        """
        for name in by:
            roles.require_manager(name, self._desk.policy, self._desk.keys)
        if channel not in self.orders().halted:
            raise RefusedError(f"{channel} is not halted; there is nothing to resume")
        done = self._approvals.enact(channel, Resumption(), "resume", by=by, reason=reason)
        assert done is not None  # a resumption always is a new version
        return done

    def rollback(self, channel: str, version: int, reason: str, by: Sequence[str]) -> FleetManifest | Pending:
        """Bring an older version's content back, under a new version.

        Args:
            channel: `canary` or `stable`.
            version: the number that the older version had.
            reason: why, for the log.
            by: the release managers who sign; of `stable` the first ones.

        Raises:
            UsageError: no reason, or not a release manager whose key is here.
            RefusedError: no such version, one of its bundles was revoked, or it no longer holds in every point.
        """
        for name in by:
            roles.require_manager(name, self._desk.policy, self._desk.keys)
        _require_reason(reason)
        older = self.version(channel, version)
        said = f"to version {version}: {reason}"
        done = self._approvals.enact(channel, Rollback(older), "rollback", by=by, reason=said)
        assert done is not None  # a rollback to what there is was refused
        return done

    def version(self, channel: str, version: int) -> FleetManifest:
        """A manifest that a channel has had, by the release log.

        Raises:
            RefusedError: there was no such version, or it is in the tree no more.
        """
        had = published(self._desk.log.entries(), channel)
        if version not in had:
            listed = ", ".join(map(str, sorted(had))) or "none"
            raise RefusedError(f"{channel}: the release log knows no version {version}; there are: {listed}")
        return history.load(self._desk.repository.public, channel, had[version])

    def revoke(self, digest: str, reason: str, by: str) -> Revoked:
        """Stop a bundle or pack at every site, at once and for ever; then put an earlier build in its place.

        The order comes first and depends on nothing else. Then every channel that names the digest gets a manifest
        without it: `canary` and `candidates` at once, `stable` when enough release managers approve.

        Raises:
            UsageError: no reason, not a digest, or not a release manager whose key is here.
        """
        roles.require_manager(by, self._desk.policy, self._desk.keys)
        _require_reason(reason)
        moment, digest = self._desk.now(), history.resolved(digest, self._known())
        with self._desk.repository.edit() as edit:
            before = orders.published_orders(edit.state)
            given = orders.stopped(before, digest, reason, by, moment)
            orders.give(edit, given)
        if given != before:
            self._desk.log.append(by, orders.REVOKE, None, None, digest, reason, moment)
        return self._replaced(digest, reason, by, given)

    def _replaced(self, digest: str, reason: str, by: str, given: Orders) -> Revoked:
        """The next manifest of every channel that names a revoked digest."""
        made: list[FleetManifest] = []
        waiting: Pending | None = None
        problems: list[str] = []
        for channel in roles.CHANNELS:
            manifest = manifest_of(self._desk.repository.state(), channel)
            if manifest is None or digest not in history.digests(manifest):
                continue
            try:
                earlier = self._desk.earlier(channel) if channel != "candidates" else []
                act = Revocation(digest, reason, earlier)
                done = self._approvals.enact(channel, act, "revoke", by=[by], reason=f"{digest[7:19]}: {reason}")
            except RefusedError as exc:
                problems.append(str(exc))
                continue
            if isinstance(done, Pending):
                waiting = done
            elif done is not None:
                made.append(done)
        return Revoked(digest, given, tuple(made), waiting, tuple(problems))

    def _known(self) -> set[str]:
        """The digest of every bundle and pack that any channel has."""
        found = (manifest_of(self._desk.repository.state(), channel) for channel in roles.CHANNELS)
        return {digest for manifest in found if manifest for digest in history.digests(manifest)}


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageError("say why with --reason; it is what sites show and the log keeps")
