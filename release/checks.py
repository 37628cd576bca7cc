"""The points of a check that bundles and packs share: what was signed, and what was measured of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from fleet_manifests import (
    Descriptor,
    Evidence,
    Gate,
    HardwareProfile,
    IntegrityError,
    Measurement,
    OciManifest,
    Verdict,
)
from fleet_manifests.attested import KIND
from fleet_manifests.authors import Authors, Trust
from fleet_manifests.bundle import SIGNATURE_TYPE, BundleConfig, BundleRef
from fleet_manifests.signature import verify_bundle
from fleet_manifests.wire import digest_of
from release.artifacts import CONFIG_FILE, MANIFEST_FILE, manifest_descriptor, title
from release.attest import evidence_descriptor, verify_evidence
from release.attestations import attestation_descriptor, verify_attestation
from release.signing import SIGNATURE_FILE

Blob = tuple[Path, Descriptor]
"""A blob to publish, and the file that holds it."""
Proof = tuple[Path, Descriptor, Evidence]
"""An envelope, how a manifest refers to it, and the report in it."""
T = TypeVar("T")


def attempt(gates: list[Gate], name: str, step: Callable[[], T]) -> T | None:
    """Take a step that holds or raises, and write down which."""
    try:
        result = step()
    except IntegrityError as exc:
        gates.append(Gate(name=name, verdict=Verdict.FAIL, reason=str(exc)))
        return None
    gates.append(Gate(name=name, verdict=Verdict.PASS, reason="verified"))
    return result


def signed(gates: list[Gate], folder: Path, name: str, by: bytes | Authors) -> bool:
    """Verify as a site does that an assembled artifact is signed by somebody who may do so, under that name."""

    def verify() -> bool:
        verify_bundle(folder / name, folder / SIGNATURE_FILE, by, name=name)
        return True

    return attempt(gates, "signature", verify) is not None


def proofs(gates: list[Gate], paths: Sequence[Path], by: bytes | Authors, digest: str) -> list[Proof]:
    """Verify each envelope; those that hold."""
    found = [attempt(gates, "evidence", partial(_proof, path, by, digest)) for path in paths]
    return [proof for proof in found if proof is not None]


def attested(
    gates: list[Gate], paths: Sequence[Path], trust: Trust, config: BundleConfig, digest: str
) -> list[tuple[Path, Descriptor]]:
    """Verify each attestation besides the evidence, and that none is missing that the policy asks for.

    Args:
        gates: told what held.
        paths: the envelopes.
        trust: whose signature counts, and what must be there.
        config: the bundle's own `bundle.json`.
        digest: the digest of its manifest.

    Returns:
        Those that hold, and how a manifest refers to each.
    """
    found = {}
    for path in paths:
        act = attempt(gates, "attestation", partial(_attestation, path, trust, config, digest))
        if act is not None and act.annotations[KIND] in found:
            reason = f"there are two of kind {act.annotations[KIND]}"
            gates.append(Gate(name="attestation", verdict=Verdict.FAIL, reason=reason))
        elif act is not None:
            found[act.annotations[KIND]] = (path, act)
    for missing in sorted(set(trust.policy.require) - {"evidence"} - set(found)):  # without evidence nothing passes
        reason = "the signing policy asks for it and there is none; build the bundle again"
        gates.append(Gate(name=missing, verdict=Verdict.FAIL, reason=reason))
    return [found[kind] for kind in sorted(found)]


def said(kind: str, subject: str, profile: HardwareProfile, reports: Sequence[Evidence]) -> Gate:
    """What the evidence of one kind says, and whether it may say so.

    Args:
        kind: `accuracy`, `latency` or `knowledge`.
        subject: the name that a report must be about.
        profile: what a `pass` must have been measured on.
        reports: all that was found.
    """
    found = [report for report in reports if report.kind == kind]
    if not found:
        return Gate(name=kind, verdict=Verdict.INCONCLUSIVE, reason="there is no evidence; measure it first")
    if len(found) > 1:
        return Gate(name=kind, verdict=Verdict.FAIL, reason=f"there are {len(found)} reports; give the one that counts")
    report = found[0]
    if report.subject != subject:
        return Gate(name=kind, verdict=Verdict.FAIL, reason=f"the report is about {report.subject}")
    if report.verdict is Verdict.PASS:
        return _measured(kind, profile, report)
    reasons = [gate.reason for gate in report.gates if gate.verdict is not Verdict.PASS]
    return Gate(name=kind, verdict=report.verdict, reason="; ".join(reasons) or f"the verdict is {report.verdict}")


def reference(folder: Path, manifest: OciManifest) -> BundleRef:
    """How a manifest points to an assembled and signed artifact."""
    raw = (folder / SIGNATURE_FILE).read_bytes()
    signature = Descriptor(media_type=SIGNATURE_TYPE, digest=digest_of(raw), size=len(raw))
    return BundleRef(name=title(manifest), manifest=manifest_descriptor(manifest), signature=signature)


def blobs_of(
    folder: Path, manifest: OciManifest, ref: BundleRef, evidence: Sequence[Proof], attestations: Sequence[Blob] = ()
) -> tuple[Blob, ...]:
    """Every blob that a reference leads to."""
    return (
        *((folder / ref.name / layer.path, layer) for layer in manifest.layers),
        (folder / CONFIG_FILE, manifest.config),
        (folder / MANIFEST_FILE, ref.manifest),
        (folder / SIGNATURE_FILE, ref.signature),
        *((path, blob) for path, blob, _ in evidence),
        *attestations,
    )


def _proof(path: Path, by: bytes | Authors, digest: str) -> Proof:
    """Verify one envelope."""
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise IntegrityError(f"{path}: {exc.strerror}") from exc
    report = verify_evidence(raw, by, digest)
    return path, evidence_descriptor(raw, report), report


def _attestation(path: Path, trust: Trust, config: BundleConfig, digest: str) -> Descriptor:
    """Verify one attestation."""
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise IntegrityError(f"{path}: {exc.strerror}") from exc
    act, _ = verify_attestation(raw, trust, config, digest)
    return attestation_descriptor(raw, act)


def _measured(kind: str, profile: HardwareProfile, report: Evidence) -> Gate:
    """A `pass` counts only where it was measured on hardware of the profile."""
    if report.measurement is not Measurement.MEASURED:
        reason = f"says pass, but was {report.measurement}, not measured"
        return Gate(name=kind, verdict=Verdict.FAIL, reason=reason)
    wanted = profile if kind == "latency" else profile.model_copy(update={"cores": 1, "memory_mb": 64})
    if why := wanted.mismatch(report.machine.host):
        return Gate(name=kind, verdict=Verdict.FAIL, reason=f"says pass, but the machine does not match: {why}")
    return Gate(name=kind, verdict=Verdict.PASS, reason=f"measured on {report.machine.host.cpu_model}")
