"""The build before a revoked one: kept for each workflow, verified anew, and served until a manifest says otherwise.

A site keeps the one build that it ran before, as blobs, with the signed manifest that approved it. Where what runs is
revoked, that build comes back by the rules of an installation: what its manifest says of data classes, placement,
profile and agent holds, the manifest has not expired, signature, digests and smoke cases are tried again. Nothing is
asked of the network, so that it works where the line is gone. Only a revocation brings a build back. Whatever speaks
against it leaves the workflow to the centre.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fleet_manifests.assignment import Assignment
from fleet_manifests.authors import Trust
from fleet_manifests.errors import IntegrityError, RefusedError
from fleet_manifests.manifest import FleetManifest, Guardrails, Revocation
from fleet_manifests.profile import HostFacts
from fleet_manifests.wire import MAX_DOCUMENT_BYTES, digest_of, parse
from runtimes.sync import stage
from runtimes.sync.active import RETURNED, VERSIONS, Active, ActiveWorkflow, Before, Returned
from runtimes.sync.blobs import Blobs
from runtimes.sync.fetch import Fetch
from runtimes.sync.files import TEMPORARY, sync_folder
from runtimes.sync.packs import PackParts, key_missing
from runtimes.sync.plan import Chosen, Plan, check_agent, check_manifest, make_plan, served
from runtimes.sync.site import BLOBS, pack_key
from runtimes.sync.sources import Stream


@dataclass(frozen=True)
class Machine:
    """What a build that comes back is held against, besides its own manifest."""

    host: HostFacts
    agent: str
    """Version of `lading`."""
    trust: Trust
    """Whose signature counts now."""
    smoke: stage.Smoke
    now: datetime


class _Nowhere:
    """A source that has nothing: what comes back is here already, or it does not come back."""

    address = "this site"

    def open(self, path: str, offset: int = 0) -> AbstractContextManager[Stream]:
        """Refuse."""
        raise IntegrityError(f"{path}: is not here as it was signed")

    def close(self) -> None:
        """Nothing is open."""


def builds_before(running: Active, record: Active, reasons: Mapping[str, str]) -> dict[str, Before]:
    """What a new version can return to: one build of each workflow, approved for its channel and not revoked.

    A build that a release went back from is none: managers who withdraw one do not want it again.

    Args:
        running: the version that runs now.
        record: the one that takes its place.
        reasons: the reason for each revoked digest.
    """
    found: dict[str, Before] = {}
    for workflow in sorted({*record.workflows, *record.stopped}):
        before = _before(running, workflow, record.workflows.get(workflow))
        if before is not None and before.channel == record.channel and not reasons.keys() & set(before.digests):
            found[workflow] = before
    return found


def bring_back(state: Path, running: Active, reasons: Mapping[str, str], machine: Machine) -> Active:
    """Return every workflow that was stopped to the build before, where that may be; the record as it is then.

    Args:
        state: the site's state folder.
        running: the version that runs, without what was revoked.
        reasons: the reason for each revoked digest.
        machine: what a build is held against.

    Raises:
        OSError: the disk is full; the workflow stays stopped, and the next sync tries again.
    """
    for workflow, stopped in running.stopped.items():
        before = running.before.get(workflow)
        if before is None:
            continue
        kept = {name: one for name, one in running.before.items() if name != workflow}
        try:
            entry = _laid_out(state, running, workflow, before, reasons, machine)
        except (IntegrityError, RefusedError) as exc:
            refused = {**running.refused, workflow: f"the build before it does not come back: {exc}"}
            running = running.model_copy(update={"before": kept, "refused": refused})
        else:
            returned = Returned(before=before, instead=stopped.bundle, reason=running.skipped[workflow])
            running = _with(running, workflow, _policy_of(stopped, entry, returned), kept)
        stage.rewrite(state, running)
    return running


def approved(
    before: Before,
    workflow: str,
    manifest: FleetManifest,
    running: Active,
    reasons: Mapping[str, str],
    machine: Machine,
) -> tuple[Plan, Chosen]:
    """What the manifest of an earlier build says of it, if it may run here today.

    Args:
        before: the build.
        workflow: its workflow.
        manifest: the manifest that approved it.
        running: the version that it is to run in; for it the assignment holds as it was followed last.
        reasons: the reason for each revoked digest.
        machine: the machine, the program and the time.

    Raises:
        IntegrityError: the manifest is another channel's, has expired, or does not name this very build.
        RefusedError: something that it says, or a revocation, is against it.
    """
    check_manifest(manifest, running.channel, machine.now)
    check_agent(manifest, machine.agent)
    assignment = Assignment(
        site=running.site,
        site_class=running.site_class,
        version=running.assignment_version,
        issued=running.activated,
        channel=running.channel,
        kind=running.kind,
        profile=running.profile,
        workflows=(workflow,),
        data_classes=running.data_classes,
        central=running.central,
    )
    more = tuple(Revocation(bundle=digest, reason=reason) for digest, reason in reasons.items())
    manifest = manifest.model_copy(update={"revocations": (*manifest.revocations, *more)})
    plan = make_plan(manifest, before.manifest, assignment, machine.host)
    chosen = plan.chosen.get(workflow)
    if chosen is None:
        raise RefusedError(plan.skipped[workflow])
    if chosen.digests != before.digests:
        raise IntegrityError(
            f"{manifest.channel}/manifest.json: version {manifest.version} names {chosen.digests[0]}, "
            f"{before.bundle} was kept"
        )
    if chosen.entry.task is not running.stopped[workflow].task:
        raise RefusedError(f"its task was {chosen.entry.task.value} then")
    return plan, chosen


def _before(running: Active, workflow: str, new: ActiveWorkflow | None) -> Before | None:
    """The build of a workflow that ran before the new one; None as `new`: nothing that is approved may run."""
    old, kept = running.workflows.get(workflow), running.before.get(workflow)
    if old is None:
        return kept if new is None or kept is None or kept.digests != new.digests else None
    if new is not None and old.digests == new.digests:
        return kept
    if new is not None and kept is not None and kept.digests == new.digests:
        return None
    if old.returned is not None:
        return old.returned.before
    return Before(
        channel=running.channel,
        manifest_version=running.manifest_version,
        manifest=running.manifest_digest,
        bundle=old.bundle,
        pack=old.digests[1],
        blobs=tuple(sorted({*old.needed, running.manifest_digest})),
    )


def _laid_out(
    state: Path, running: Active, workflow: str, before: Before, reasons: Mapping[str, str], machine: Machine
) -> ActiveWorkflow:
    """Check an earlier build as if it came just now, and put it into the running version's folder."""
    blobs = Blobs(state / BLOBS)
    plan, chosen = approved(before, workflow, _manifest(blobs, before), running, reasons, machine)
    fetch = Fetch(blobs, _Nowhere())
    ref, layout = chosen.build.bundle, fetch.bundle(workflow, chosen.build.bundle.manifest)
    proofs = chosen.proofs(machine.trust.policy.require)
    needed = [ref.signature, *layout.layers, *(blob for found in proofs.values() for blob in found)]
    parts, pack = _pack(fetch, chosen, blobs)
    if parts is not None and pack is not None and chosen.pack is not None and chosen.pack.signature is not None:
        if parts.config.encrypted and pack_key(state) is None:
            raise RefusedError(key_missing(running.site_class))
        needed += [chosen.pack.signature, *parts.layout.layers]
    fetch.all(needed, lambda part, what: None)
    entry = served(chosen, layout, parts, proofs)
    staging = state / VERSIONS / running.version / f"{TEMPORARY}{RETURNED}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    checks = stage.Checks(machine.trust, pack_key(state), plan.profile, machine.smoke)
    bundle = stage.Signed(layout, blobs.path(ref.signature.digest), stage.files_of(proofs, blobs))
    try:
        stage.try_out(staging, running, workflow, entry, bundle, pack, blobs, checks)
    except (IntegrityError, RefusedError):
        shutil.rmtree(staging)
        raise
    place = state / VERSIONS / running.version / RETURNED / entry.name
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(exist_ok=True)
    stage.give_name(staging, place)
    sync_folder(place.parent.parent)
    return entry


def _manifest(blobs: Blobs, before: Before) -> FleetManifest:
    """The manifest that approved a build, as it was signed."""
    path = blobs.path(before.manifest)
    where = f"version {before.manifest_version} of {before.channel}/manifest.json"
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_DOCUMENT_BYTES:
        raise IntegrityError(f"{where} is not here")
    raw = path.read_bytes()
    if digest_of(raw) != before.manifest:
        raise IntegrityError(f"{where} is not here as it was signed")
    return parse(FleetManifest, raw, where=where)


def _pack(fetch: Fetch, chosen: Chosen, blobs: Blobs) -> tuple[PackParts | None, stage.Signed | None]:
    """What a retriever's pack is made of, and the pack as it is to be laid out."""
    if chosen.pack is None or chosen.pack.signature is None:
        return None, None
    parts = fetch.pack(chosen.pack)
    return parts, stage.Signed(parts.layout, blobs.path(chosen.pack.signature.digest))


def _policy_of(stopped: ActiveWorkflow, entry: ActiveWorkflow, returned: Returned) -> ActiveWorkflow:
    """The earlier build under what holds for the workflow now; of the guardrails, the stricter of then and now."""
    kept = ("title", "owner", "where", "roles", "actions", "text_export", "data_classes", "policy_version")
    values = {name: getattr(stopped, name) for name in kept}
    guardrails = _stricter(stopped.guardrails, entry.guardrails)
    return entry.model_copy(update={**values, "guardrails": guardrails, "returned": returned})


def _stricter(one: Guardrails, other: Guardrails) -> Guardrails:
    """What is allowed by both."""
    ages = [age for age in (one.max_knowledge_age_days, other.max_knowledge_age_days) if age is not None]
    return Guardrails(
        minimum_confidence=max(one.minimum_confidence, other.minimum_confidence),
        max_characters=min(one.max_characters, other.max_characters),
        max_knowledge_age_days=min(ages, default=None),
    )


def _with(running: Active, workflow: str, entry: ActiveWorkflow, kept: Mapping[str, Before]) -> Active:
    """The record in which a stopped workflow runs again."""
    return running.model_copy(
        update={
            "workflows": {**running.workflows, workflow: entry},
            "skipped": {name: why for name, why in running.skipped.items() if name != workflow},
            "stopped": {name: one for name, one in running.stopped.items() if name != workflow},
            "before": dict(kept),
        }
    )
