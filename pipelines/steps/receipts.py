"""Importing receipts: what a device measured becomes evidence only if every one of these checks holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from fleet_manifests import (
    FleetManifest,
    LadingError,
    Name,
    RefusedError,
    StorageError,
    UsageError,
    Verdict,
    Wire,
    digest_of,
    parse,
)
from fleet_manifests.evidence import now as utc_now
from fleet_manifests.receipt import SUFFIX, Receipt
from pipelines.project.load import Project
from pipelines.steps.outcomes import reasons_of
from pipelines.steps.received import Judged, judge, kept, place_of, read_limited, received, standing

AHEAD = timedelta(minutes=5)
"""How far a device's clock may be ahead."""


class KnownError(RefusedError):
    """The very same receipt was imported before: nothing is wrong, and nothing changes."""


class Taken(Wire):
    """A receipt that was imported, and what the factory says of it."""

    file: str
    site: Name
    workflow: Name
    profile: Name
    taken: datetime
    cpu_model: str
    accuracy: Verdict
    latency: Verdict
    reasons: tuple[str, ...]
    """Why a verdict is not `pass`."""
    receipt: str
    """Digest of the receipt."""


class NotTaken(Wire):
    """A receipt that was refused. Nothing of it counts."""

    file: str
    reason: str
    known: bool
    """The very same one was imported before: nothing is wrong and nothing changes."""


class Imported(Wire):
    """What came of a folder of receipts."""

    taken: tuple[Taken, ...]
    refused: tuple[NotTaken, ...]

    @property
    def problems(self) -> list[NotTaken]:
        """What was refused for a reason that somebody should look at."""
        return [one for one in self.refused if not one.known]


def import_receipts(project: Project, folder: Path, *, now: datetime | None = None) -> Imported:
    """Import every receipt of a folder: of a device, or the folder `receipts` of a centre's state.

    Args:
        project: the project; the caller holds its lock.
        folder: where `*.receipt.dsse.json` are.
        now: the present moment; None asks the system.

    Raises:
        UsageError: no receipt is there.
        StorageError: a receipt cannot be kept.
    """
    files = sorted(folder.glob(f"*{SUFFIX}"), key=_taken)
    if not files:
        raise UsageError(f"{folder}: expected receipts (*{SUFFIX}), found none; `lading-site measure` writes them")
    taken: list[Taken] = []
    refused: list[NotTaken] = []
    for file in files:
        try:
            taken.append(_said(file, take(project, read_limited(file), now=now or utc_now())))
        except StorageError:
            raise
        except LadingError as exc:
            refused.append(NotTaken(file=file.name, reason=str(exc), known=isinstance(exc, KnownError)))
    return Imported(taken=tuple(taken), refused=tuple(refused))


def counted(project: Project) -> list[Taken]:
    """The newest receipt of each site about each build as it is now, with what the factory says of it."""
    return [
        _said(place_of(project, one.receipt), one)
        for workflow, profile in project.builds()
        for one in received(project, workflow, profile)
    ]


def take(project: Project, raw: bytes, *, now: datetime) -> Judged:
    """Check one receipt in every point, judge what it saw, and keep it.

    Raises:
        IntegrityError: it is not signed by its site's registered device, or contradicts itself.
        RefusedError: foreign, stale, replayed, or of the wrong machine; says which.
        StorageError: it cannot be kept.
    """
    if any(path.stat().st_size == len(raw) and path.read_bytes() == raw for path in kept(project)):
        raise KnownError("receipt: the very same one was imported already; it counts as it did")
    opened, by = standing(project, raw)
    receipt = opened.receipt
    _require_new(project, receipt)
    _require_fresh(receipt, now, timedelta(days=project.fleet.receipts.max_age_days))
    _require_offered(receipt, offers(project, receipt))
    judged = judge(project, opened, by)
    _keep(place_of(project, receipt), raw)
    return judged


def offers(project: Project, receipt: Receipt) -> Mapping[int, datetime]:
    """The manifests of `candidates` that offered a bundle for measuring: when each was issued, by version.

    Every manifest that was ever published is still in the tree.
    """
    found: dict[int, datetime] = {}
    for path in sorted((project.public / "targets" / "candidates").glob("*.manifest.json")):
        raw = path.read_bytes()
        if not path.name.startswith(digest_of(raw).removeprefix("sha256:")):
            continue  # not what was published under this name
        manifest = parse(FleetManifest, raw, where=str(path))
        entry = manifest.workflows.get(receipt.workflow)
        build = entry.builds.get(receipt.profile) if entry else None
        if build is not None and build.cases is not None and build.bundle.digest == receipt.bundle:
            found[manifest.version] = manifest.issued
    return found


def _require_new(project: Project, receipt: Receipt) -> None:
    """Refuse a receipt that was imported before, and one older than what the same site has said since.

    Raises:
        RefusedError: it is either.
    """
    if any(path.name.endswith(f"-{receipt.id}{SUFFIX}") for path in kept(project)):
        raise RefusedError(f"receipt: {receipt.subject}: {receipt.id} of {receipt.site} was imported already")
    here = [path.name for path in kept(project, receipt.subject, receipt.site)]
    if here and place_of(project, receipt).name[:16] <= (newest := max(here))[:16]:
        raise RefusedError(
            f"receipt: {receipt.subject}: taken {receipt.taken:%Y-%m-%d %H:%M:%S}, but one of {receipt.site} taken "
            f"{datetime.strptime(newest[:16], '%Y%m%dT%H%M%SZ'):%Y-%m-%d %H:%M:%S} was imported already"
        )


def _require_fresh(receipt: Receipt, now: datetime, age: timedelta) -> None:
    """Refuse what was measured too long ago, or in the future.

    Raises:
        RefusedError: it is either.
    """
    if receipt.taken > now + AHEAD:
        raise RefusedError(
            f"receipt: {receipt.subject}: taken {receipt.taken:%Y-%m-%d %H:%M} UTC, which is in the future; set the "
            f"clock of {receipt.site} and measure again"
        )
    if receipt.taken < now - age:
        raise RefusedError(
            f"receipt: {receipt.subject}: taken {receipt.taken:%Y-%m-%d}, more than {age.days} days ago; measure again"
        )


def _require_offered(receipt: Receipt, found: Mapping[int, datetime]) -> None:
    """Refuse what no manifest of this fleet offered, or offered only later.

    Raises:
        RefusedError: it is either.
    """
    issued = found.get(receipt.manifest)
    if issued is None:
        raise RefusedError(
            f"receipt: {receipt.subject}: candidates version {receipt.manifest} did not offer this bundle for "
            "measuring; measure what is offered now"
        )
    if receipt.taken < issued - AHEAD:
        raise RefusedError(
            f"receipt: {receipt.subject}: taken {receipt.taken:%Y-%m-%d %H:%M} UTC, before candidates version "
            f"{receipt.manifest} offered the bundle ({issued:%Y-%m-%d %H:%M}); set the clock of {receipt.site}"
        )


def _keep(path: Path, raw: bytes) -> None:
    """Write a receipt down, whole and for good."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.part")
        with partial.open("wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as exc:
        raise StorageError(f"{path}: cannot be written: {exc.strerror}; nothing of it counts") from exc


def _taken(file: Path) -> tuple[str, str]:
    """The order in which receipts are imported: as they were taken, so that none makes another too old."""
    from runtimes.measure.receipt import claimed

    try:
        return f"{claimed(read_limited(file)).taken:%Y%m%dT%H%M%S}", file.name
    except LadingError:
        return "", file.name


def _said(file: Path, judged: Judged) -> Taken:
    """An imported receipt as it is shown."""
    receipt, reports = judged.receipt, judged.reports
    gates = [gate for report in reports.values() for gate in report.gates]
    return Taken(
        file=file.name,
        site=receipt.site,
        workflow=receipt.workflow,
        profile=receipt.profile,
        taken=receipt.taken,
        cpu_model=receipt.machine.host.cpu_model,
        accuracy=reports["accuracy_report"].verdict,
        latency=reports["latency_report"].verdict,
        reasons=reasons_of(gates),
        receipt=judged.digest,
    )
