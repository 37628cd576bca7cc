"""A candidate, brought here to be measured: verified like anything that is served, and never served.

It lies in a scratch folder of its own beside what sync keeps. Nothing that serves or activates ever looks there.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fleet_manifests.authors import Authors
from fleet_manifests.bundle import BUNDLE_FILE, BundleConfig, Descriptor, bundle_name
from fleet_manifests.errors import IntegrityError, RefusedError
from fleet_manifests.manifest import BuildEntry, WorkflowEntry
from fleet_manifests.profile import HardwareProfile, HostFacts
from fleet_manifests.receipt import MAX_CASES_BYTES, SEALED_CASES_TYPE, MeasurementCases
from fleet_manifests.wire import digest_of, parse
from runtimes.sync.accept import Accepted, accept, signed_documents, signers
from runtimes.sync.active import Active, load_active
from runtimes.sync.blobs import Blobs
from runtimes.sync.contents import check_config
from runtimes.sync.fetch import Fetch
from runtimes.sync.files import only_one
from runtimes.sync.floor import load_floor
from runtimes.sync.plan import check_agent, revoked
from runtimes.sync.seam import storing
from runtimes.sync.site import LOCK_FILE, load_enrolment, pack_key
from runtimes.sync.sources import normal_address, open_source
from runtimes.sync.stage import Signed, verified

CHANNEL = "candidates"
SCRATCH = "measuring"
"""Folder of the state folder in which candidates lie while they are measured."""
MEASURE_LOCK = "measuring.lock"


@dataclass(frozen=True)
class Wanted:
    """What is to be measured, and who asks."""

    workflow: str
    profile: str | None = None
    """The profile; None: the one that the assignment names, else the one that fits."""
    source: str | None = None
    """Another copy of the same tree for this once."""


@dataclass(frozen=True)
class Candidate:
    """A build that may be measured on this machine."""

    workflow: str
    entry: WorkflowEntry
    profile: HardwareProfile
    build: BuildEntry
    manifest_version: int


@dataclass(frozen=True)
class Pulled:
    """A verified candidate, as long as the measurement lasts."""

    site: str
    candidate: Candidate
    folder: Path
    """The bundle's folder."""
    cases: MeasurementCases
    cases_digest: str
    """Digest of the cases, decrypted where they were sealed."""
    central: str | None
    """Base URL of the centre, as the assignment says."""


@contextlib.contextmanager
def pulled(
    state: Path,
    wanted: Wanted,
    *,
    host: HostFacts,
    agent: str,
    now: datetime,
    pause: Callable[[float], None],
    progress: Callable[[float, str], None],
) -> Iterator[Pulled]:
    """Bring a candidate here and verify it; whatever happens, it is gone after the block.

    Args:
        state: the state folder of an enrolled site.
        wanted: what to measure.
        host: this machine.
        agent: version of `lading`.
        now: the present moment.
        pause: waits between two attempts to fetch, in seconds.
        progress: told the part fetched, from 0 to 1.

    Raises:
        UsageError: the folder is not enrolled.
        IntegrityError: what is offered is not signed, fresh, consistent or meant for this site.
        RefusedError: it may not or cannot be measured here; says why.
        UnreachableError: the source cannot be read.
        StorageError: the disk is full, or the site is measuring or syncing already.
    """
    enrolment = load_enrolment(state)
    with _scratch(state) as scratch:
        with (
            storing(state),
            only_one(state / LOCK_FILE),
            contextlib.closing(open_source(normal_address(wanted.source or enrolment.source))) as source,
        ):
            running = _running(state)
            load_floor(state, running, enrolment.floor_file).check_clock(now)
            documents = signed_documents(state, enrolment, source, now)
            documents.refresh()
            found = accept(state, enrolment, documents, now=now, running=running, channel=CHANNEL)
            check_agent(found.manifest, agent)
            candidate = choose(found, wanted, host)
            allowed = signers(documents).authors(wanted.workflow, "bundle")
            (scratch / "blobs").mkdir()
            blobs = Blobs(scratch / "blobs", pause=pause)
            fetch = Fetch(blobs, source)
            fetch.shortcuts.read(found.manifest.updates)
            folder = _bundle(candidate, fetch, blobs, allowed, scratch / "bundle", progress)
            raw = _plain(candidate, blobs.fetch(source, _offered(candidate)).read_bytes(), pack_key(state))
        cases = _cases(candidate, raw)
        yield Pulled(enrolment.site, candidate, folder, cases, digest_of(raw), found.assignment.central)


def choose(found: Accepted, wanted: Wanted, host: HostFacts) -> Candidate:
    """The build that this machine may measure. Pure.

    Raises:
        RefusedError: there is none, its texts may not come here, or this is other hardware; says which.
        IntegrityError: the manifest contradicts itself.
    """
    manifest, assignment, workflow = found.manifest, found.assignment, wanted.workflow
    if found.halted is not None:
        raise RefusedError(found.halted)
    where = f"{CHANNEL} {manifest.version}"
    entry = manifest.workflows.get(workflow)
    if entry is None:
        listed = ", ".join(sorted(manifest.workflows)) or "none"
        raise RefusedError(f"workflow {workflow}: {where} does not have it; there are: {listed}")
    if excess := sorted(set(entry.data_classes) - set(assignment.data_classes)):
        raise RefusedError(
            f"workflow {workflow}: its texts are of data class {', '.join(excess)}, which is not allowed at this site; "
            "measure it at a site where it is"
        )
    profile = manifest.profile_for(host, kind=assignment.kind, wanted=wanted.profile or assignment.profile)
    build = entry.builds.get(profile.name)
    if build is None:
        others = ", ".join(sorted(entry.builds))
        raise RefusedError(
            f"workflow {workflow}: {where} has no build for profile {profile.name}, which fits this machine; "
            f"there are builds for: {others}; name one with --profile"
        )
    if build.bundle.name != bundle_name(workflow, profile.name):
        raise IntegrityError(
            f"{CHANNEL}/manifest.json: workflow {workflow}, profile {profile.name}: names the bundle "
            f"{build.bundle.name!r}; tell the publisher"
        )
    if (reason := revoked(manifest.revocations).get(build.bundle.digest)) is not None:
        raise RefusedError(f"workflow {workflow}: its bundle was revoked: {reason}")
    if (lack := host.lacks(build.engine)) is not None:
        raise RefusedError(f"workflow {workflow}: {lack}")
    candidate = Candidate(workflow, entry, profile, build, manifest.version)
    _offered(candidate)
    return candidate


@contextlib.contextmanager
def _scratch(state: Path) -> Iterator[Path]:
    """A folder for one measurement at a time, gone after the block."""
    folder = state / SCRATCH
    with only_one(state / MEASURE_LOCK, "measurement"):
        with storing(state):
            if folder.exists():
                shutil.rmtree(folder)  # what a killed measurement left behind
            folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _offered(candidate: Candidate) -> Descriptor:
    """Where the cases of a candidate are.

    Raises:
        RefusedError: they do not travel.
        IntegrityError: they are too large to be honest.
    """
    if candidate.build.cases is None:
        raise RefusedError(
            f"workflow {candidate.workflow}: its texts are not published, because no class of sites may have them or "
            "they are too many; only the factory can measure it, on a machine of the profile"
        )
    if candidate.build.cases.size > MAX_CASES_BYTES:
        raise IntegrityError(
            f"measurement cases of {candidate.workflow}: {candidate.build.cases.size} bytes are offered"
        )
    return candidate.build.cases


def _bundle(
    candidate: Candidate, fetch: Fetch, blobs: Blobs, by: Authors, folder: Path, progress: Callable[[float, str], None]
) -> Path:
    """Fetch a candidate's bundle, lay it out and verify it as sync does; its folder."""
    ref, workflow = candidate.build.bundle, candidate.workflow
    layout = fetch.bundle(workflow, ref.manifest)
    fetch.all([ref.signature, *layout.layers], progress)
    signed = Signed(layout, blobs.path(ref.signature.digest))
    laid_out = verified(folder / ref.name, signed, blobs, by, ref.name)
    config = parse(BundleConfig, (laid_out / BUNDLE_FILE).read_bytes(), where=f"{ref.name}/{BUNDLE_FILE}")
    check_config(config, ref.name, workflow, candidate.entry.task, candidate.profile)
    return laid_out


def _plain(candidate: Candidate, raw: bytes, key: Path | None) -> bytes:
    """The document with the cases, decrypted in memory where it is sealed.

    Raises:
        RefusedError: the key of the site class is not here, or is another's.
    """
    if _offered(candidate).media_type != SEALED_CASES_TYPE:
        return raw
    return _unsealed(raw, key, f"measurement cases of {candidate.workflow}")


def _cases(candidate: Candidate, raw: bytes) -> MeasurementCases:
    """The cases.

    Raises:
        IntegrityError: they are damaged, or of another workflow.
    """
    where = f"measurement cases of {candidate.workflow}"
    cases = parse(MeasurementCases, raw, where=where, limit=MAX_CASES_BYTES)
    if cases.workflow != candidate.workflow:
        raise IntegrityError(f"{where}: are those of {cases.workflow}; tell the publisher")
    return cases


def _unsealed(raw: bytes, key: Path | None, where: str) -> bytes:
    """What is in an age file for the key of this site's class. No message ever shows the key."""
    import pyrage

    if key is None:
        raise RefusedError(
            f"{where}: encrypted for its class of sites, and this site has no key; enroll again with --pack-key-file"
        )
    identity = pyrage.x25519.Identity.from_str(key.read_text(encoding="ascii").strip())
    try:
        plain: bytes = pyrage.decrypt(raw, [identity])
    except pyrage.DecryptError as exc:
        raise RefusedError(
            f"{where}: encrypted for other classes of sites than this site's key opens, or damaged; measure at a site "
            "of a class that may have them"
        ) from exc
    return plain


def _running(state: Path) -> Active | None:
    """The running version, where it is sound: measuring needs none."""
    try:
        return load_active(state)
    except IntegrityError:
        return None
