"""What a site believes: fresh metadata, its own assignment, and the manifest of one channel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fleet_manifests.assignment import Assignment
from fleet_manifests.authors import BUILDER_KEY, BY_KEY, SIGNERS, TRUSTED_ROOT, SignerPolicy, Trust
from fleet_manifests.manifest import FleetManifest
from fleet_manifests.orders import Orders
from fleet_manifests.wire import parse
from runtimes.sync.active import Active
from runtimes.sync.floor import load_floor, save_floor
from runtimes.sync.orders import halt_of, halted, take_orders, with_orders
from runtimes.sync.plan import check_assignment, check_manifest
from runtimes.sync.site import METADATA, Enrolment, load_root
from runtimes.sync.sources import Source
from runtimes.sync.trust import SignedDocuments


@dataclass(frozen=True)
class Accepted:
    """The documents that a site acts on."""

    assignment: Assignment
    manifest: FleetManifest
    """With what the standing orders revoke among its revocations."""
    digest: str
    """Digest of the manifest as it was signed."""
    halted: str | None = None
    """Why nothing new of its channel may be installed now."""


def signed_documents(state: Path, enrolment: Enrolment, source: Source, now: datetime) -> SignedDocuments:
    """The client of a site's signed documents, not refreshed yet.

    Raises:
        UsageError: the root of trust was lost.
        IntegrityError, UnreachableError, OSError: as `SignedDocuments`.
    """
    root = load_root(state, enrolment)
    return SignedDocuments(state / METADATA, source, root=root, now=now)


def signers(documents: SignedDocuments) -> Trust:
    """Whose signature counts, as the role `targets` says.

    Raises:
        RefusedError: there is no key of the builder.
        IntegrityError: the policy is none, or names identities without a trusted root.
    """
    policy = documents.optional(SIGNERS)
    return Trust(
        builder=documents.document(BUILDER_KEY)[0],
        policy=BY_KEY if policy is None else parse(SignerPolicy, policy, where=SIGNERS),
        trusted_root=documents.optional(TRUSTED_ROOT),
    )


def accept(
    state: Path,
    enrolment: Enrolment,
    documents: SignedDocuments,
    *,
    now: datetime,
    running: Active | None,
    channel: str | None = None,
    orders: Orders | None = None,
) -> Accepted:
    """The assignment, and the manifest of a channel. What they were is never gone below again.

    Args:
        state: the site's state folder.
        enrolment: who the site is.
        documents: refreshed.
        now: the present moment.
        running: the sound version that runs now.
        channel: `candidates`, to measure; None: the one that the assignment names.
        orders: the standing orders, where they were taken already.

    Raises:
        IntegrityError: a document is for somebody else, has expired, or is older than one accepted before.
        RefusedError: it is not published.
    """
    floor = load_floor(state, running, enrolment.floor_file)
    name = f"sites/{enrolment.site}.json"
    raw, _ = documents.document(name)
    assignment = parse(Assignment, raw, where=name)
    check_assignment(assignment, site=enrolment.site, kind=enrolment.kind)
    assigned_by = documents.authority("sites")
    floor = floor.rekeyed("sites", assigned_by)
    floor.check_assignment(assignment)
    wanted = channel or assignment.channel
    name = f"{wanted}/manifest.json"
    raw, digest = documents.document(name)
    manifest = parse(FleetManifest, raw, where=name)
    check_manifest(manifest, wanted, now)
    by = documents.authority(wanted)
    floor = floor.rekeyed(wanted, by)
    floor.check_manifest(manifest, digest)
    floor = floor.raised(now, assignment, manifest, digest, assigned_by=assigned_by, by=by)
    save_floor(state, floor, enrolment.floor_file)
    orders = orders or take_orders(state, documents, enrolment.orders_file)
    halt = halt_of(orders, wanted)
    return Accepted(assignment, with_orders(manifest, orders), digest, halted(wanted, halt) if halt else None)
