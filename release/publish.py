"""The facade of releasing: create the repository, offer, promote, assign, renew, look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from fleet_manifests import (
    Assignment,
    FleetManifest,
    Gate,
    RefusedError,
    UsageError,
    Verdict,
    WorkflowEntry,
    dump,
    parse,
)
from fleet_manifests.authors import Trust
from fleet_manifests.evidence import now as utc_now
from release import layout, roles
from release.edit import Edit
from release.keys import Keys
from release.manifests import compose, partner, same_content
from release.policy import Policy
from release.promotion import Candidate, Checked, CheckedPack, PackCandidate, admit, check_candidate, check_pack
from release.repository import Repository
from release.signers_trust import trust_of
from release.state import State
from release.status import ReleaseStatus, RoleStatus
from release.updates import offer_updates


class Release:
    """What a fleet's release managers and builder can do with a published tree."""

    def __init__(self, public: Path, keys: Keys, policy: Policy, *, now: Callable[[], datetime] = utc_now) -> None:
        """Refer to a release.

        Args:
            public: the published tree.
            keys: the key store, outside the tree.
            policy: who may sign what, and for how long.
            now: the clock.
        """
        self.repository = Repository(public, keys, policy, now=now)
        self.keys = keys
        self.policy = policy
        self.now = now

    def init(self) -> bool:
        """Create keys and repository where there are none yet; returns whether it did.

        Raises:
            RefusedError: the policy's managers or threshold are not the published ones.
            StorageError: keys or tree cannot be written.
        """
        if self.repository.exists:
            if not self.repository.adopted:
                raise RefusedError(
                    "the fleet policy names other release managers, signers or another threshold than the repository "
                    "trusts; changing them is a key ceremony: put the policy back, or adopt it on purpose"
                )
            return False
        self.repository.create()
        return True

    def offer(
        self,
        candidates: Sequence[Candidate],
        workflows: Mapping[str, WorkflowEntry],
        packs: Sequence[PackCandidate] = (),
    ) -> FleetManifest:
        """Put candidates into the `candidates` channel, where devices measure them. Nothing with a `fail` enters.

        Raises:
            RefusedError: a candidate or pack does not hold, with every reason.
        """
        return self._publish("candidates", candidates, workflows, (), packs)

    def promote(
        self,
        channel: str,
        candidates: Sequence[Candidate],
        workflows: Mapping[str, WorkflowEntry],
        managers: Sequence[str] = (),
        packs: Sequence[PackCandidate] = (),
        *,
        renew_reference: bool = False,
    ) -> FleetManifest:
        """Put candidates into `canary` or `stable`; what the channel holds besides stays.

        Packs may come with their retriever, or alone to a retriever that the channel has: then
        nothing else changes. A pack replaces the one of its workflow, profile and site class.

        Args:
            channel: `canary` or `stable`.
            candidates: what to promote; each must hold in every point, with verdict `pass`.
            workflows: what holds for each workflow, without builds.
            managers: the release managers who approve; `stable` needs a threshold of different ones.
            packs: knowledge packs to promote; each must hold in every point, with verdict `pass`.
            renew_reference: hold later builds to these, and no longer to the first that the channel had.

        Returns:
            The published manifest; the current one where nothing changes.

        Raises:
            RefusedError: a candidate or pack does not hold, a retriever would have nothing to search,
                or too few managers approve.
            UsageError: no such channel, someone is not a release manager, a workflow is not described.
            IntegrityError: the published tree is not what was signed.
            StorageError: the tree cannot be written, or another publisher is at work.
        """
        if channel not in ("canary", "stable"):
            raise UsageError(f"channel {channel!r}: candidates are promoted to 'canary' or 'stable'")
        if channel == "stable":
            roles.require_managers(managers, self.policy, self.keys)
        elif managers:
            raise UsageError(f"{channel} is signed by the builder; it takes no approval by {', '.join(managers)}")
        unmeasured = [replace(candidate, cases=None) for candidate in candidates]
        return self._publish(channel, unmeasured, workflows, managers, packs, renew_reference=renew_reference)

    def assign(self, assignments: Sequence[Assignment], *, remove: Collection[str] = ()) -> tuple[Assignment, ...]:
        """Publish who gets what. Versions are given here; an assignment that says nothing new keeps its own.

        Args:
            assignments: what each site runs; their `version` and `issued` are replaced.
            remove: sites that are no longer part of the fleet.

        Returns:
            The assignments as they are published, in the order given.
        """
        sites = [assignment.site for assignment in assignments]
        if twice := sorted(site for site, count in Counter([*sites, *remove]).items() if count > 1):
            raise UsageError(f"site {twice[0]} is named twice")
        with self.repository.edit() as edit:
            for site in sorted(remove):
                edit.remove(f"sites/{site}.json")
            edit.make_room(len(assignments))
            return tuple(self._assign(edit, assignment) for assignment in assignments)

    def refresh(self, *named: str) -> None:
        """Renew what the online key signs, and the roles named as far as their keys are at hand."""
        self.repository.refresh(*named)

    def adopt(self) -> None:
        """Make the policy's release managers and threshold the published ones."""
        self.repository.adopt()

    def manifest(self, channel: str) -> FleetManifest | None:
        """The published manifest of a channel, verified."""
        return _manifest(self.repository.state(), channel)

    def assignment(self, site: str) -> Assignment | None:
        """The published assignment of a site, verified."""
        return _assignment(self.repository.state(), site)

    def status(self) -> ReleaseStatus:
        """Every role with its expiry, every channel with its manifest, every site.

        Raises:
            UsageError: there is no repository.
            IntegrityError: the published tree is not what was signed.
        """
        state, moment = self.repository.state(), self.now()
        found = {channel: _manifest(state, channel) for channel in roles.CHANNELS}
        names = [name for role in state.bins.get_roles() for name in state.targets(role).signed.targets]
        return ReleaseStatus(
            release=state.timestamp.signed.version,
            roles=tuple(self._role(state, role, moment) for role in state.all_roles()),
            channels={channel: manifest for channel, manifest in found.items() if manifest},
            sites=tuple(sorted(name.removeprefix("sites/").removesuffix(".json") for name in names)),
        )

    def _role(self, state: State, role: str, moment: datetime) -> RoleStatus:
        """How long a role's metadata still holds."""
        signed = state.get(role).signed
        expired = signed.is_expired(moment)
        due = self.repository.due(role, signed.expires, moment)
        return RoleStatus(role=role, version=signed.version, expires=signed.expires, expired=expired, due=due)

    def _publish(
        self,
        channel: str,
        candidates: Sequence[Candidate],
        workflows: Mapping[str, WorkflowEntry],
        managers: Sequence[str],
        packs: Sequence[PackCandidate],
        *,
        renew_reference: bool = False,
    ) -> FleetManifest:
        """Check, admit, and publish the channel's next manifest, unless it would say nothing new."""
        public_key = trust_of(self.keys, self.policy)
        checked = [check_candidate(candidate, public_key) for candidate in candidates]
        name, moment = f"{channel}/manifest.json", self.now()
        with self.repository.edit(managers=managers) as edit:
            signed = edit.state.targets(channel).signed
            current = _manifest(edit.state, channel)
            knowledge = [_check_pack(pack, public_key, channel, checked, current) for pack in packs]
            entering: list[Checked | CheckedPack] = [*checked, *knowledge]
            admit(entering, channel)
            manifest = compose(
                channel,
                checked,
                workflows,
                packs=knowledge,
                current=current,
                first_version=signed.version,
                policy=self.policy,
                issued=moment,
                renew_reference=renew_reference,
            )
            for one in entering:
                _store(edit, one)
            if current and same_content(manifest, current) and not self.repository.due(channel, signed.expires, moment):
                return current
            others = [_manifest(edit.state, other) for other in roles.CHANNELS]
            listed = offer_updates(edit, self.repository.public, manifest, current, others, checked)
            manifest = manifest.model_copy(update={"updates": listed})
            raw = dump(manifest)
            published = parse(FleetManifest, raw, where=name)
            edit.target(name, raw)
        return published

    def _assign(self, edit: Edit, wanted: Assignment) -> Assignment:
        """Publish one assignment, unless it says what the published one says."""
        name = f"sites/{wanted.site}.json"
        current = _assignment(edit.state, wanted.site)
        if current is not None:
            if wanted.model_copy(update={"version": current.version, "issued": current.issued}) == current:
                return current
            version = current.version + 1
        else:
            version = edit.state.targets(edit.state.owner(name)).signed.version
        fresh = wanted.model_copy(update={"version": version, "issued": self.now()})
        edit.target(name, dump(fresh))
        return fresh


def _check_pack(
    pack: PackCandidate, public_key: Trust, channel: str, checked: Sequence[Checked], current: FleetManifest | None
) -> CheckedPack:
    """Check a pack against the build that it will be searched with."""
    if (found := partner(pack, checked, current)) is None:
        reason = (
            f"no build of {pack.workflow} for profile {pack.profile.name} is in {channel} or enters with the pack; "
            "promote the retriever too"
        )
        return CheckedPack(pack, (Gate(name="retriever", verdict=Verdict.FAIL, reason=reason),))
    retriever, profile = found
    return check_pack(replace(pack, profile=profile), public_key, retriever=retriever)


def _store(edit: Edit, checked: Checked | CheckedPack) -> None:
    """Publish the blobs of a bundle or pack, and list them for OCI tools."""
    if checked.published is None:
        return
    ref, evidence = checked.published
    for path, blob in checked.blobs:
        edit.blob(path, blob)
    edit.blob(layout.EMPTY, layout.EMPTY_BLOB)
    edit.offer(layout.artifact_entry(ref))
    referrers = [layout.referrer(ref, attached) for attached in (ref.signature, *evidence)]
    for raw, listed in (*referrers, layout.referrers(ref, [listed for _, listed in referrers])):
        edit.blob(raw, listed)
        edit.offer(listed)


def _manifest(state: State, channel: str) -> FleetManifest | None:
    """A channel's published manifest."""
    name = f"{channel}/manifest.json"
    raw = state.target(name)
    return parse(FleetManifest, raw, where=name) if raw is not None else None


def _assignment(state: State, site: str) -> Assignment | None:
    """A site's published assignment."""
    name = f"sites/{site}.json"
    raw = state.target(name)
    return parse(Assignment, raw, where=name) if raw is not None else None
