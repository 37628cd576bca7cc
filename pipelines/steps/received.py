"""What devices have measured: receipts that stand, the reports that the factory makes of them, and which one counts.

A receipt is kept in `PROJECT/receipts/<build>/<site>/`, for it cannot be made again. Everything else is
derived from it by the factory's own policy and references, whenever it is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import (
    AccuracyReport,
    Evidence,
    IntegrityError,
    LadingError,
    LatencyReport,
    Measurement,
    RefusedError,
    Verdict,
    digest_of,
    dump,
)
from fleet_manifests.bundle import bundle_name
from fleet_manifests.receipt import MAX_RECEIPT_BYTES, SUFFIX, MeasurementCases, Receipt
from pipelines.project.load import Project
from pipelines.project.spec import DeviceSpec
from pipelines.steps.cases import cases_of
from pipelines.steps.evidence import Basis, basis, read_accuracy, read_latency, write_report
from pipelines.store import Entry
from runtimes.measure.outputs import unpack
from runtimes.measure.receipt import Opened, claimed, open_receipt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

ACCURACY, LATENCY = "accuracy_report", "latency_report"


@dataclass(frozen=True)
class Judged:
    """The reports that the factory made of a receipt."""

    receipt: Receipt
    digest: str
    entries: dict[str, Entry]
    """Store entry by kind, as own reports have them."""
    reports: dict[str, AccuracyReport | LatencyReport]
    outputs: dict[str, NDArray[np.float32]]
    """What the bundle gave on the device, [texts, width] by split."""


@dataclass(frozen=True)
class Standing:
    """A receipt that is what it says, and what it is judged by."""

    opened: Opened
    by: Basis
    cases: MeasurementCases
    """Those of the project now, which are the ones that were run."""


def read_limited(path: Path) -> bytes:
    """The bytes of a receipt's file.

    Raises:
        IntegrityError: there are more of them than a receipt has, or it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_RECEIPT_BYTES + 1)
    except OSError as exc:
        raise IntegrityError(f"receipt: {path.name}: cannot be read: {exc.strerror}") from exc
    if len(raw) > MAX_RECEIPT_BYTES:
        raise IntegrityError(f"receipt: more than {MAX_RECEIPT_BYTES} bytes; a device never writes that")
    return raw


def standing(project: Project, raw: bytes) -> Standing:
    """A receipt that is what it says and about what the project has now, whenever it was imported.

    Raises:
        IntegrityError: it is not signed by the registered key of its site, or contradicts itself.
        RefusedError: it is about another bundle or other cases than the project's, or of the wrong machine.
    """
    site = claimed(raw).site
    device = project.devices.get(site)
    if device is None:
        raise RefusedError(
            f"receipt: site {site} has no registered device; `lading device add {site} PUBLIC.pem` registers its key"
        )
    opened = open_receipt(raw, device.pem, site=site)
    by, cases = _basis(project, opened.receipt), cases_of(project, opened.receipt.workflow)
    _require_subject(opened.receipt, by, cases)
    _require_machine(opened.receipt, device, by)
    return Standing(opened, by, cases)


def judge(project: Project, found: Standing) -> Judged:
    """The factory's reports about what a device saw; made once for a policy and its references.

    Raises:
        IntegrityError: its outputs or latencies are none that this bundle gives for these cases.
    """
    opened, by, receipt = found.opened, found.by, found.opened.receipt
    outputs = unpack(opened.outputs, found.cases.sizes, where="receipt: outputs")
    width = by.config.dimension or len(by.config.labels)
    for split, rows in outputs.items():
        if rows.shape[1] != width:
            raise IntegrityError(
                f"receipt: outputs: {split}: expected {width} numbers for each text, found {rows.shape[1]}"
            )
    mark = {"site": receipt.site, "receipt": opened.digest}

    def accuracy_work(out: Path) -> None:
        from evals.observed import Observed

        judged = by.judge(Observed(outputs, receipt.machine, receipt.taken))
        write_report(project, judged.model_copy(update=mark), out)

    def latency_work(out: Path) -> None:
        from evals.latency import judge as judge_latency

        judged = judge_latency(
            by.bundle,
            opened.latency,
            profile=by.profile,
            bundle_digest=by.bundle_digest,
            taken=receipt.taken,
            machine=receipt.machine,
        )
        write_report(project, judged.model_copy(update=mark), out)

    inputs = {"receipt": opened.digest}
    entries = {
        ACCURACY: project.store.run(by.step("received_accuracy_report", inputs), accuracy_work),
        LATENCY: project.store.run(by.step("received_latency_report", inputs), latency_work),
    }
    return Judged(receipt, opened.digest, entries, _read(entries), outputs)


def kept(project: Project, name: str = "*", site: str = "*") -> list[Path]:
    """The receipts that were imported, of a build and site; of one site the oldest first."""
    return sorted(project.receipts.glob(f"{name}/{site}/*{SUFFIX}"))


def place_of(project: Project, receipt: Receipt) -> Path:
    """Where an imported receipt is kept."""
    taken = f"{receipt.taken:%Y%m%dT%H%M%SZ}"
    return project.receipts / receipt.subject / receipt.site / f"{taken}-{receipt.id}{SUFFIX}"


def received(project: Project, workflow: str, profile_name: str) -> list[Judged]:
    """What devices say of a build as it is now: the newest receipt of each site, the newest of all last."""
    found = _judged(project, kept(project, bundle_name(workflow, profile_name)))
    newest = {one.receipt.site: one for one in sorted(found, key=lambda one: one.receipt.taken)}
    return sorted(newest.values(), key=lambda one: (one.receipt.taken, one.receipt.site))


def evidence_of(project: Project, workflow: str, profile_name: str) -> dict[str, Entry]:
    """The report of each kind that counts for a build: the factory's own, or that of a device where it must be.

    Raises:
        RefusedError: the build has no reports of its own.
    """
    name = bundle_name(workflow, profile_name)
    own = {kind: project.store.latest(kind, name) for kind in (ACCURACY, LATENCY)}
    found = received(project, workflow, profile_name)
    if not found:
        return own
    read = _read(own)
    chosen = {kind: counting(read[kind], [one.reports[kind] for one in found]) for kind in own}
    return {kind: own[kind] if place is None else found[place].entries[kind] for kind, place in chosen.items()}


def counting(own: Evidence, others: Sequence[Evidence]) -> int | None:
    """Which report counts: the place among those of devices, or None for the factory's own. Pure.

    A device that saw a failure is always heard. Otherwise what the factory measured on such hardware counts,
    and where it could not, what devices measured: a `pass` before what says neither, the newest first.

    Args:
        own: the factory's.
        others: those of devices, the newest last.
    """
    verdicts = [report.verdict for report in others]
    if Verdict.FAIL in verdicts:
        return _last(verdicts, Verdict.FAIL)
    if own.measurement is Measurement.MEASURED or not others:
        return None
    return _last(verdicts, Verdict.PASS) if Verdict.PASS in verdicts else len(others) - 1


def _read(entries: Mapping[str, Entry]) -> dict[str, AccuracyReport | LatencyReport]:
    """The report in each entry."""
    return {ACCURACY: read_accuracy(entries[ACCURACY]), LATENCY: read_latency(entries[LATENCY])}


def _last(verdicts: Sequence[Verdict], wanted: Verdict) -> int:
    return max(place for place, verdict in enumerate(verdicts) if verdict is wanted)


def _judged(project: Project, paths: Sequence[Path]) -> Iterator[Judged]:
    """The receipts among these that still stand; a bundle that was built anew leaves the old ones behind."""
    for path in paths:
        try:
            yield judge(project, standing(project, read_limited(path)))
        except LadingError as exc:
            log.info("%s does not count: %s", path, exc)


def _basis(project: Project, receipt: Receipt) -> Basis:
    """What the build of a receipt is judged by.

    Raises:
        RefusedError: the project has no such build.
    """
    if (receipt.workflow, receipt.profile) not in project.builds():
        raise RefusedError(f"receipt: {receipt.subject}: this project has no such build")
    return basis(project, receipt.workflow, receipt.profile)


def _require_subject(receipt: Receipt, by: Basis, cases: MeasurementCases) -> None:
    """Refuse what was measured of another bundle, or with other texts.

    Raises:
        RefusedError: names both digests.
    """
    if receipt.bundle != by.bundle_digest:
        raise RefusedError(
            f"receipt: {receipt.subject}: is about bundle {receipt.bundle}, the candidate now is {by.bundle_digest}; "
            "measure that one"
        )
    if receipt.cases != (expected := digest_of(dump(cases))):
        raise RefusedError(
            f"receipt: {receipt.subject}: was measured with cases {receipt.cases}, those of the candidate now are "
            f"{expected}; measure it again"
        )


def _require_machine(receipt: Receipt, device: DeviceSpec, by: Basis) -> None:
    """Refuse what was measured on other hardware than the profile's, or on another machine than the registered one.

    Raises:
        RefusedError: says which.
    """
    host = receipt.machine.host
    if (why := by.profile.mismatch(host)) is not None:
        raise RefusedError(f"receipt: {receipt.subject}: measured on a machine that does not match: {why}")
    if device.cpu_model is not None and host.cpu_model != device.cpu_model:
        raise RefusedError(
            f"receipt: {receipt.subject}: measured on {host.cpu_model}, the device of {receipt.site} was registered as "
            f"{device.cpu_model}; if it was exchanged, register it anew"
        )
