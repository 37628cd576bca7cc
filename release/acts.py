"""What a channel's next manifest is: of a promotion, a rollback, a revocation, or the end of a halt.

Each act is a function of what is published (`Scene`) that writes the blobs it needs into a `Sink`, and gives the
manifest, or None where it would say nothing new. Whether it is published at once or waits for approval is decided
elsewhere (`release.publish`, `release.approvals`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from fleet_manifests import FleetManifest, Gate, Orders, RefusedError, Verdict, WorkflowEntry
from fleet_manifests.authors import Trust
from release import layout, roles
from release.candidates import Candidate, Checked, CheckedPack, PackCandidate
from release.history import digests, revoked_in, rolled_back, without
from release.manifests import compose, partner, reissued, same_content
from release.orders import published_orders
from release.policy import Policy
from release.promotion import admit, check_candidate, check_pack
from release.recheck import recheck
from release.rules import Rules
from release.state import State, manifest_of
from release.updates import Sink, offer_updates


@dataclass(frozen=True)
class Scene:
    """What an act starts from."""

    channel: str
    public: Path
    state: State
    policy: Policy
    key: Trust
    """Whose signature counts."""
    now: datetime
    scratch: Path
    """A folder on the disk of the tree."""
    due: bool = False
    """The channel's metadata is to be renewed, whether or not there is something new."""

    @property
    def current(self) -> FleetManifest | None:
        """What the channel has now."""
        return manifest_of(self.state, self.channel)

    @property
    def orders(self) -> Orders:
        """The standing orders."""
        return published_orders(self.state)

    @property
    def revoked(self) -> dict[str, str]:
        """The reason for each digest that is revoked, by order or by the channel's manifest."""
        return revoked_in(self.current) | self.orders.stops

    @property
    def rules(self) -> Rules:
        """What is asked of what enters."""
        return Rules(self.now, self.policy.evidence_days, self.policy.licences, self.revoked)

    def finish(self, sink: Sink, manifest: FleetManifest, checked: Sequence[Checked] = ()) -> FleetManifest:
        """The manifest with its list of updates, whose deltas are put into the sink."""
        published = [manifest_of(self.state, other) for other in roles.CHANNELS]
        listed = offer_updates(sink, self.public, manifest, self.current, published, checked)
        return manifest.model_copy(update={"updates": listed})


@dataclass(frozen=True)
class Promotion:
    """Candidates and packs enter; what the channel holds besides stays."""

    candidates: Sequence[Candidate]
    workflows: Mapping[str, WorkflowEntry]
    packs: Sequence[PackCandidate] = ()
    renew_reference: bool = False

    def __call__(self, scene: Scene, sink: Sink) -> FleetManifest | None:
        """The manifest with them.

        Raises:
            RefusedError: one does not hold, with every reason; a retriever would have nothing to search.
            UsageError: a workflow is not described.
        """
        current, channel = scene.current, scene.channel
        checked = [check_candidate(candidate, scene.key, scene.rules) for candidate in self.candidates]
        knowledge = [_check_pack(pack, scene, checked) for pack in self.packs]
        entering: list[Checked | CheckedPack] = [*checked, *knowledge]
        admit(entering, channel)
        manifest = compose(
            channel,
            checked,
            self.workflows,
            packs=knowledge,
            current=current,
            first_version=scene.state.targets(channel).signed.version,
            policy=scene.policy,
            issued=scene.now,
            renew_reference=self.renew_reference,
        )
        for one in entering:
            _store(sink, one)
        if current and same_content(manifest, current) and not scene.due:
            return None
        return scene.finish(sink, manifest, checked)


@dataclass(frozen=True)
class Rollback:
    """An older version's content comes back, under a new version."""

    older: FleetManifest

    def __call__(self, scene: Scene, sink: Sink) -> FleetManifest | None:
        """The manifest with the older content.

        Raises:
            RefusedError: a bundle or pack of it was revoked since, no longer holds in some point, or it is what the
                channel has.
        """
        current, had = _published(scene), digests(self.older)
        if bad := sorted(set(had) & set(scene.revoked)):
            raise RefusedError(
                f"{scene.channel} version {self.older.version} cannot come back: "
                + "; ".join(f"{digest} was revoked: {scene.revoked[digest]}" for digest in bad)
            )
        manifest = rolled_back(self.older, current, policy=scene.policy, issued=scene.now)
        if same_content(manifest.model_copy(update={"updates": current.updates}), current):
            raise RefusedError(f"{scene.channel} has what version {self.older.version} says already")
        recheck(manifest, scene.public, scene.key, known=had, rules=scene.rules, scratch=scene.scratch)
        return scene.finish(sink, manifest)


@dataclass(frozen=True)
class Revocation:
    """A bundle or pack is named as revoked, and the last approved one before it takes its place."""

    digest: str
    reason: str
    earlier: Sequence[FleetManifest]
    """What the channel had before, newest first."""

    def __call__(self, scene: Scene, sink: Sink) -> FleetManifest | None:
        """The manifest without it; None where it is named as revoked already."""
        current = _published(scene)
        revoked = scene.revoked | {self.digest: self.reason}
        manifest = without(
            current, self.digest, self.reason, self.earlier, revoked, policy=scene.policy, issued=scene.now
        )
        return None if same_content(manifest, current) else scene.finish(sink, manifest)


@dataclass(frozen=True)
class Resumption:
    """The channel's content as it is, signed anew: with it a halt ends."""

    def __call__(self, scene: Scene, sink: Sink) -> FleetManifest | None:
        """The same manifest under a new version."""
        return reissued(_published(scene), policy=scene.policy, issued=scene.now)


Act = Promotion | Rollback | Revocation | Resumption


def _published(scene: Scene) -> FleetManifest:
    if (current := scene.current) is None:
        raise RefusedError(f"{scene.channel} has nothing published; promote something first")
    return current


def _check_pack(pack: PackCandidate, scene: Scene, checked: Sequence[Checked]) -> CheckedPack:
    """Check a pack against the build that it will be searched with."""
    if (found := partner(pack, checked, scene.current)) is None:
        reason = (
            f"no build of {pack.workflow} for profile {pack.profile.name} is in {scene.channel} or enters with the "
            "pack; promote the retriever too"
        )
        return CheckedPack(pack, (Gate(name="retriever", verdict=Verdict.FAIL, reason=reason),))
    retriever, profile = found
    return check_pack(replace(pack, profile=profile), scene.key, retriever=retriever, rules=scene.rules)


def _store(sink: Sink, checked: Checked | CheckedPack) -> None:
    """Publish the blobs of a bundle or pack, and list them for OCI tools."""
    if checked.published is None:
        return
    ref, evidence = checked.published
    for path, blob in checked.blobs:
        sink.blob(path, blob)
    sink.blob(layout.EMPTY, layout.EMPTY_BLOB)
    sink.offer(layout.artifact_entry(ref))
    referrers = [layout.referrer(ref, attached) for attached in (ref.signature, *evidence)]
    for raw, listed in (*referrers, layout.referrers(ref, [listed for _, listed in referrers])):
        sink.blob(raw, listed)
        sink.offer(listed)
