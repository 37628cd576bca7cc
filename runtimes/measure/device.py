"""`lading-site measure`: a candidate is brought here, measured, described in a receipt, and removed.

The device reports what it saw and judges nothing: the factory does, with its own policy and references.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fleet_manifests import HardwareProfile, Machine
from fleet_manifests.program import version
from fleet_manifests.receipt import SUFFIX, MeasurementCases, Receipt
from runtimes.device import load_key
from runtimes.measure import loadgen, process
from runtimes.measure.latency import Outcome
from runtimes.measure.receipt import seal
from runtimes.sync.candidate import Pulled, Wanted, pulled
from runtimes.sync.client import Progress
from runtimes.sync.files import write_file
from runtimes.sync.seam import storing


def _machine() -> Machine:
    from runtimes.engine import host

    return host.machine()


def _answers(bundle: Path, cases: MeasurementCases, profile: HardwareProfile) -> bytes:
    return process.answers(bundle, cases.texts, profile)


def _latency(bundle: Path, cases: MeasurementCases, profile: HardwareProfile) -> Outcome:
    return process.latency(process.latency_job(bundle, profile, cases.latency))


@dataclass(frozen=True)
class Device:
    """What a measurement takes from the machine and the program that it runs in."""

    version: str = field(default_factory=version)
    """Version of `lading`, held against a manifest's `minimum_agent`."""
    machine: Callable[[], Machine] = _machine
    """The fingerprint."""
    answers: Callable[[Path, MeasurementCases, HardwareProfile], bytes] = _answers
    """What a bundle gives for the cases, from a process held to the profile."""
    latency: Callable[[Path, MeasurementCases, HardwareProfile], Outcome] = _latency
    """How long it takes and how much memory, from another one."""
    require: Callable[[], None] = loadgen.require
    """Raises where something is missing that a measurement needs."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    pause: Callable[[float], None] = time.sleep
    """Waits between two attempts to fetch, in seconds."""


@dataclass(frozen=True)
class Measured:
    """A measurement that was written down."""

    receipt: Receipt
    file: Path
    latency: Outcome
    central: str | None
    """Base URL of the centre, where the assignment names one."""


def measure(
    state: Path,
    workflow: str,
    *,
    out: Path,
    profile: str | None = None,
    source: str | None = None,
    progress: Progress | None = None,
    device: Device | None = None,
) -> Measured:
    """Measure the candidate of a workflow on this machine and write `<workflow>--<profile>.receipt.dsse.json`.

    What the site serves does not change, and nothing of the candidate stays.

    Args:
        state: the state folder of an enrolled site.
        workflow: what to measure.
        out: folder for the receipt; made where it is missing.
        profile: the profile; None: the one that the assignment names, else the one that fits this machine.
        source: another copy of the published tree for this once.
        progress: told how far it is, from 0 to 1, and what is done.
        device: the machine and program; None takes this one.

    Raises:
        UsageError: the folder is not enrolled or has no device key, or LoadGen is not installed.
        IntegrityError: what is offered is not signed, fresh or consistent, or does not load here.
        RefusedError: it may not or cannot be measured here; says why. Other hardware is refused before any fetch.
        UnreachableError: the source cannot be read.
        StorageError: the disk is full, or another measurement or sync is running.
        LadingError: a measuring process could not do its work.
    """
    device, told = device or Device(), progress or (lambda part, what: None)
    device.require()
    key, machine = load_key(state), device.machine()
    told(0.0, "refreshing signed metadata")
    with pulled(
        state,
        Wanted(workflow, profile, source),
        host=machine.host,
        agent=device.version,
        now=device.clock(),
        pause=device.pause,
        progress=lambda part, what: told(0.05 + 0.25 * part, what),
    ) as found:
        chosen = found.candidate.profile
        told(0.3, f"answering {sum(found.cases.sizes.values())} cases")
        answers = device.answers(found.folder, found.cases, chosen)
        told(0.7, "measuring latency and memory")
        latency = device.latency(found.folder, found.cases, chosen)
        receipt = _receipt(found, machine, device)
        raw = seal(receipt, answers, latency, key.signer)
    file = out / f"{receipt.subject}{SUFFIX}"
    with storing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_file(file, raw)
    told(1.0, f"measured {receipt.subject}")
    return Measured(receipt, file, latency, found.central)


def _receipt(found: Pulled, machine: Machine, device: Device) -> Receipt:
    """Who measured what, when and where."""
    candidate = found.candidate
    return Receipt(
        id=secrets.token_hex(16),
        site=found.site,
        workflow=candidate.workflow,
        profile=candidate.profile.name,
        bundle=candidate.build.bundle.digest,
        cases=found.cases_digest,
        manifest=candidate.manifest_version,
        taken=device.clock().replace(microsecond=0),
        machine=machine,
        lading=device.version,
    )
