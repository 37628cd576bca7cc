"""The facade of releasing: create the repository, offer, promote, assign, renew, look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from fleet_manifests import Assignment, FleetManifest, RefusedError, UsageError, WorkflowEntry, dump, parse
from fleet_manifests.evidence import now as utc_now
from release import orders, roles
from release.acts import Promotion
from release.approvals import Approvals
from release.candidates import Candidate, PackCandidate
from release.desk import Desk
from release.edit import Edit
from release.interventions import Interventions
from release.keyring import Keyring
from release.keys import Keys
from release.pending import Pending
from release.policy import Policy
from release.state import State, manifest_of
from release.status import ReleaseStatus, RoleStatus
from release.terms import Adoption


class Release:
    """What a fleet's release managers and builder can do with a published tree."""

    def __init__(
        self,
        public: Path,
        keys: Keys,
        policy: Policy,
        *,
        project: Path | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Refer to a release.

        Args:
            public: the published tree.
            keys: the key store, outside the tree.
            policy: who may sign what, and for how long.
            project: the folder of the release log and of what is pending; None: the one that the tree is in.
            now: the clock.
        """
        self.desk = Desk(public, keys, policy, project=project, now=now)
        self.repository = self.desk.repository
        self.keys = keys
        self.policy = policy
        self.now = now
        self.approvals = Approvals(self.desk)
        """Approval by several people, one at a time."""
        self.interventions = Interventions(self.desk, self.approvals)
        """Halt, resume, roll back, revoke."""

    def init(self) -> bool:
        """Create keys and repository where there are none yet; returns whether it did.

        Where the tree was lost, the orders that stand by the release log are given again.

        Raises:
            RefusedError: the policy's managers or threshold are not the published ones.
            IntegrityError: the release log is not as it was written.
            StorageError: keys or tree cannot be written.
        """
        if self.repository.exists:
            if not self.repository.adopted:
                raise RefusedError(
                    "the fleet policy names other release managers, signers or another threshold than the repository "
                    "trusts; changing them is a key ceremony: put the policy back, or adopt it on purpose"
                )
            return False
        standing = orders.replayed(self.desk.log.entries())
        self.repository.create()
        with self.repository.edit() as edit:
            orders.give(edit, standing)
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
        return self._publish("candidates", Promotion(candidates, workflows, packs))

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
        """Put candidates into `canary` or `stable`, at once; what the channel holds besides stays.

        Packs may come with their retriever, or alone to a retriever that the channel has: then
        nothing else changes. A pack replaces the one of its workflow, profile and site class.

        Args:
            channel: `canary` or `stable`.
            candidates: what to promote; each must hold in every point, with verdict `pass`.
            workflows: what holds for each workflow, without builds.
            managers: the release managers who approve; `stable` needs a threshold of different ones, and all their
                keys. Where they come one after the other, see `propose`.
            packs: knowledge packs to promote; each must hold in every point, with verdict `pass`.
            renew_reference: hold later builds to these, and no longer to the first that the channel had.

        Returns:
            The published manifest; the current one where nothing changes.

        Raises:
            RefusedError: a candidate or pack does not hold, a retriever would have nothing to search,
                or too few managers approve.
            UsageError: no such channel, someone is not a release manager, a workflow is not described.
            IntegrityError: the published tree or the release log is not what was signed and written.
            StorageError: the tree cannot be written, or another publisher is at work.
        """
        if channel not in ("canary", "stable"):
            raise UsageError(f"channel {channel!r}: candidates are promoted to 'canary' or 'stable'")
        if channel == "stable":
            roles.require_managers(managers, self.policy, self.keys)
        elif managers:
            raise UsageError(f"{channel} is signed by the builder; it takes no approval by {', '.join(managers)}")
        act = Promotion(_unmeasured(candidates), workflows, packs, renew_reference)
        return self._publish(channel, act, managers)

    def propose(
        self,
        candidates: Sequence[Candidate],
        workflows: Mapping[str, WorkflowEntry],
        managers: Sequence[str],
        packs: Sequence[PackCandidate] = (),
        *,
        renew_reference: bool = False,
    ) -> Pending | None:
        """Compose and sign the next version of `stable`, which then waits for the others' approval; see `promote`.

        Returns:
            The pending version; None where nothing would change.
        """
        act = Promotion(_unmeasured(candidates), workflows, packs, renew_reference)
        return self.approvals.propose("stable", act, "promote", "", managers)

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
        act = Adoption(self.repository, Keyring(self.repository.keys))
        act.prepare()
        act.publish()

    def manifest(self, channel: str) -> FleetManifest | None:
        """The published manifest of a channel, verified."""
        return manifest_of(self.repository.state(), channel)

    def assignment(self, site: str) -> Assignment | None:
        """The published assignment of a site, verified."""
        return _assignment(self.repository.state(), site)

    def status(self) -> ReleaseStatus:
        """Every role with its expiry, every channel with its manifest, the standing orders, every site.

        Raises:
            UsageError: there is no repository.
            IntegrityError: the published tree is not what was signed.
        """
        state, moment = self.repository.state(), self.now()
        found = {channel: manifest_of(state, channel) for channel in roles.CHANNELS}
        names = [name for role in state.bins.get_roles() for name in state.targets(role).signed.targets]
        return ReleaseStatus(
            release=state.timestamp.signed.version,
            roles=tuple(self._role(state, role, moment) for role in state.all_roles()),
            channels={channel: manifest for channel, manifest in found.items() if manifest},
            orders=orders.published_orders(state),
            sites=tuple(sorted(name.removeprefix("sites/").removesuffix(".json") for name in names)),
        )

    def _role(self, state: State, role: str, moment: datetime) -> RoleStatus:
        """How long a role's metadata still holds."""
        signed = state.get(role).signed
        expired = signed.is_expired(moment)
        due = self.repository.due(role, signed.expires, moment)
        return RoleStatus(role=role, version=signed.version, expires=signed.expires, expired=expired, due=due)

    def _publish(self, channel: str, act: Promotion, managers: Sequence[str] = ()) -> FleetManifest:
        """Publish a promotion; the current manifest where it says nothing new."""
        done = self.approvals.enact(channel, act, "promote", by=managers) or self.manifest(channel)
        assert isinstance(done, FleetManifest)  # enough managers: it is never pending
        return done

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


def _unmeasured(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates without the texts by which a device measures them."""
    return [replace(candidate, cases=None) for candidate in candidates]


def _assignment(state: State, site: str) -> Assignment | None:
    """A site's published assignment."""
    name = f"sites/{site}.json"
    raw = state.target(name)
    return parse(Assignment, raw, where=name) if raw is not None else None
