"""The gate: what a candidate must show to enter a channel. It believes nothing that it has not recomputed.

`check_candidate` reads everything again from disk (files, signature, evidence) and says point by
point what holds. `admit` decides on that alone and refuses with every reason at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from fleet_manifests import (
    BaseRef,
    Descriptor,
    Gate,
    HardwareProfile,
    IntegrityError,
    Measurement,
    OciManifest,
    RefusedError,
    Verdict,
    worst,
)
from fleet_manifests.bundle import SIGNATURE_TYPE, BundleConfig, BundleRef, bundle_name
from fleet_manifests.manifest import BuildEntry
from fleet_manifests.signature import verify_bundle
from fleet_manifests.wire import digest_of
from release.attest import Evidence, evidence_descriptor, verify_evidence
from release.bundles import CONFIG_FILE, MANIFEST_FILE, manifest_descriptor, open_bundle
from release.signing import SIGNATURE_FILE

KINDS = ("accuracy", "latency")
T = TypeVar("T")


@dataclass(frozen=True)
class Candidate:
    """A signed bundle and its evidence, as they lie on disk."""

    workflow: str
    profile: HardwareProfile
    folder: Path
    """What `assemble` and `sign_bundle` made: `<name>/`, manifest.json, config.json, model.sig."""
    evidence: tuple[Path, ...] = ()
    """DSSE envelopes, at most one of each kind."""

    @property
    def name(self) -> str:
        """The bundle's name."""
        return bundle_name(self.workflow, self.profile.name)


@dataclass(frozen=True)
class Checked:
    """What was found of a candidate."""

    candidate: Candidate
    gates: tuple[Gate, ...]
    """Points of the check; only those that fail say that something is wrong with the candidate."""
    entry: BuildEntry | None = None
    """How a manifest names it; None where the bundle itself does not hold."""
    base: BaseRef | None = None
    blobs: tuple[tuple[Path, Descriptor], ...] = field(default=(), repr=False)
    """Every blob that the entry leads to, and the file that holds it."""

    @property
    def verdict(self) -> Verdict:
        """All points together."""
        return worst(gate.verdict for gate in self.gates)


def check_candidate(candidate: Candidate, public_key: bytes) -> Checked:
    """Verify a candidate from its bytes.

    Args:
        candidate: what to check.
        public_key: the builder's public key, PEM.
    """
    gates: list[Gate] = []
    bundle = _attempt(gates, "bundle", lambda: _bundle(candidate))
    if bundle is None or _attempt(gates, "signature", lambda: _signature(candidate, public_key)) is None:
        return Checked(candidate, tuple(gates))
    manifest, config = bundle
    evidence: list[tuple[Path, Descriptor, Evidence]] = []
    for path in candidate.evidence:
        if (found := _attempt(gates, "evidence", partial(_evidence, path, public_key, manifest.digest))) is not None:
            evidence.append((path, *found))
    gates += [_verdict(kind, candidate, [report for _, _, report in evidence]) for kind in KINDS]
    entry = BuildEntry(
        bundle=_reference(candidate, manifest),
        defer_threshold=config.calibration.defer_threshold,
        verdict=worst(gate.verdict for gate in gates),
        evidence=tuple(sorted((blob for _, blob, _ in evidence), key=lambda blob: blob.digest)),
    )
    blobs = _blobs(candidate, manifest, entry) + [(path, blob) for path, blob, _ in evidence]
    return Checked(candidate, tuple(gates), entry, config.base, tuple(blobs))


def admit(checked: Sequence[Checked], channel: str) -> None:
    """Decide whether candidates may enter a channel: `candidates` takes what has no `fail`, the others only `pass`.

    Raises:
        RefusedError: with the reasons of every candidate that may not.
    """
    reasons = []
    for one in checked:
        for gate in one.gates:
            if gate.verdict is Verdict.FAIL or (channel != "candidates" and gate.verdict is not Verdict.PASS):
                reasons.append(f"{one.candidate.name}: {gate.name}: {gate.reason}")
    names = [one.candidate.name for one in checked]
    reasons += [f"{name}: given twice" for name in sorted({name for name in names if names.count(name) > 1})]
    if reasons:
        raise RefusedError(f"refused for {channel}:\n  " + "\n  ".join(reasons))


def _attempt(gates: list[Gate], name: str, step: Callable[[], T]) -> T | None:
    """Take a step that holds or raises, and write down which."""
    try:
        result = step()
    except IntegrityError as exc:
        gates.append(Gate(name=name, verdict=Verdict.FAIL, reason=str(exc)))
        return None
    gates.append(Gate(name=name, verdict=Verdict.PASS, reason="verified"))
    return result


def _bundle(candidate: Candidate) -> tuple[OciManifest, BundleConfig]:
    """Recompute every digest of the bundle; it must be the one that the candidate is said to be."""
    manifest, config = open_bundle(candidate.folder)
    if (config.workflow, config.profile) != (candidate.workflow, candidate.profile.name):
        raise IntegrityError(f"holds bundle {config.workflow} on {config.profile}")
    if config.isa is not candidate.profile.isa:
        raise IntegrityError(f"was built for isa {config.isa}, profile {config.profile} is {candidate.profile.isa}")
    return manifest, config


def _signature(candidate: Candidate, public_key: bytes) -> bool:
    """Verify the signature as a site does."""
    folder = candidate.folder
    verify_bundle(folder / candidate.name, folder / SIGNATURE_FILE, public_key, name=candidate.name)
    return True


def _evidence(path: Path, public_key: bytes, bundle: str) -> tuple[Descriptor, Evidence]:
    """Verify one envelope."""
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise IntegrityError(f"{path}: {exc.strerror}") from exc
    report = verify_evidence(raw, public_key, bundle)
    return evidence_descriptor(raw, report), report


def _verdict(kind: str, candidate: Candidate, reports: Sequence[Evidence]) -> Gate:
    """What the evidence of one kind says, and whether it may say so."""
    found = [report for report in reports if report.kind == kind]
    if not found:
        return Gate(name=kind, verdict=Verdict.INCONCLUSIVE, reason="there is no evidence; measure the bundle first")
    if len(found) > 1:
        return Gate(name=kind, verdict=Verdict.FAIL, reason=f"there are {len(found)} reports; give the one that counts")
    report = found[0]
    if bundle_name(report.workflow, report.profile) != candidate.name:
        reason = f"the report is about {report.workflow} on {report.profile}"
        return Gate(name=kind, verdict=Verdict.FAIL, reason=reason)
    if report.verdict is Verdict.PASS:
        return _measured(kind, candidate.profile, report)
    said = [gate.reason for gate in report.gates if gate.verdict is not Verdict.PASS]
    return Gate(name=kind, verdict=report.verdict, reason="; ".join(said) or f"the verdict is {report.verdict}")


def _measured(kind: str, profile: HardwareProfile, report: Evidence) -> Gate:
    """A `pass` counts only where it was measured on hardware of the profile."""
    if report.measurement is not Measurement.MEASURED:
        reason = f"says pass, but was {report.measurement}, not measured"
        return Gate(name=kind, verdict=Verdict.FAIL, reason=reason)
    wanted = profile if kind == "latency" else profile.model_copy(update={"cores": 1, "memory_mb": 64})
    if why := wanted.mismatch(report.machine.host):
        return Gate(name=kind, verdict=Verdict.FAIL, reason=f"says pass, but the machine does not match: {why}")
    return Gate(name=kind, verdict=Verdict.PASS, reason=f"measured on {report.machine.host.cpu_model}")


def _reference(candidate: Candidate, manifest: OciManifest) -> BundleRef:
    """How a manifest points to the bundle."""
    raw = (candidate.folder / SIGNATURE_FILE).read_bytes()
    signature = Descriptor(media_type=SIGNATURE_TYPE, digest=digest_of(raw), size=len(raw))
    return BundleRef(name=candidate.name, manifest=manifest_descriptor(manifest), signature=signature)


def _blobs(candidate: Candidate, manifest: OciManifest, entry: BuildEntry) -> list[tuple[Path, Descriptor]]:
    """The bundle's own blobs."""
    folder = candidate.folder
    layers = [(folder / candidate.name / layer.path, layer) for layer in manifest.layers]
    return [
        *layers,
        (folder / CONFIG_FILE, manifest.config),
        (folder / MANIFEST_FILE, entry.bundle.manifest),
        (folder / SIGNATURE_FILE, entry.bundle.signature),
    ]
