"""The gate: what a candidate must show to enter a channel. It believes nothing that it has not recomputed.

`check_candidate` and `check_pack` read everything again from disk (files, signature, evidence) and say
point by point what holds. `admit` decides on that alone and refuses with every reason at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fleet_manifests import (
    BaseRef,
    Descriptor,
    Gate,
    HardwareProfile,
    IntegrityError,
    KnowledgeReport,
    OciManifest,
    PackConfig,
    RefusedError,
    Verdict,
    sha256_of,
    worst,
)
from fleet_manifests.bundle import BundleConfig, BundleRef, bundle_name
from fleet_manifests.knowledge import PACK_FILE, pack_name
from fleet_manifests.manifest import BuildEntry, PackRef
from fleet_manifests.receipt import CASES_TYPE, SEALED_CASES_TYPE
from release.bundles import open_bundle
from release.checks import Blob, Proof, attempt, blobs_of, proofs, reference, said, signed
from release.packs import open_pack_folder

KINDS = ("accuracy", "latency")
KNOWLEDGE = "knowledge"


@dataclass(frozen=True)
class Candidate:
    """A signed bundle and its evidence, as they lie on disk."""

    workflow: str
    profile: HardwareProfile
    folder: Path
    """What `assemble` and `sign_bundle` made: `<name>/`, manifest.json, config.json, model.sig."""
    evidence: tuple[Path, ...] = ()
    """DSSE envelopes, at most one of each kind."""
    cases: Path | None = None
    """The texts that a device runs to measure it, where they may travel; they go to `candidates` only.
    A file `.age` is sealed for the classes of sites that may have them."""
    derivation: Path | None = None
    """A folder with `plan.json`, `base.bin` and `adapter.bin`, of which a site can compute the tuned weights."""

    @property
    def name(self) -> str:
        """The bundle's name."""
        return bundle_name(self.workflow, self.profile.name)


@dataclass(frozen=True)
class PackCandidate:
    """A signed knowledge pack and its evidence, as they lie on disk."""

    workflow: str
    profile: HardwareProfile
    """The profile whose retriever the pack is bound to."""
    site_class: str
    folder: Path
    """What `assemble_pack` and `sign_bundle` made: `<name>/`, manifest.json, config.json, model.sig."""
    evidence: tuple[Path, ...] = ()
    """DSSE envelopes; one, of kind `knowledge`."""

    @property
    def name(self) -> str:
        """The pack's name."""
        return pack_name(self.workflow, self.profile.name, self.site_class)


@dataclass(frozen=True)
class Checked:
    """What was found of a candidate."""

    candidate: Candidate
    gates: tuple[Gate, ...]
    """Points of the check; only those that fail say that something is wrong with the candidate."""
    entry: BuildEntry | None = None
    """How a manifest names it; None where the bundle itself does not hold."""
    base: BaseRef | None = None
    blobs: tuple[Blob, ...] = field(default=(), repr=False)
    """Every blob that the entry leads to, and the file that holds it."""

    @property
    def verdict(self) -> Verdict:
        """All points together."""
        return worst(gate.verdict for gate in self.gates)

    @property
    def published(self) -> tuple[BundleRef, tuple[Descriptor, ...]] | None:
        """The bundle and what is attached to it; None where it does not hold."""
        return None if self.entry is None else (self.entry.bundle, self.entry.evidence)


@dataclass(frozen=True)
class CheckedPack:
    """What was found of a pack."""

    candidate: PackCandidate
    gates: tuple[Gate, ...]
    """Points of the check; only those that fail say that something is wrong with the pack."""
    ref: PackRef | None = None
    """How a manifest names it; None where the pack itself does not hold."""
    artifact: BundleRef | None = None
    """The same as OCI tools see it."""
    blobs: tuple[Blob, ...] = field(default=(), repr=False)
    """Every blob that the reference leads to, and the file that holds it."""

    @property
    def verdict(self) -> Verdict:
        """All points together."""
        return worst(gate.verdict for gate in self.gates)

    @property
    def published(self) -> tuple[BundleRef, tuple[Descriptor, ...]] | None:
        """The pack and what is attached to it; None where it does not hold."""
        return None if self.artifact is None or self.ref is None else (self.artifact, self.ref.evidence)


def check_candidate(candidate: Candidate, public_key: bytes) -> Checked:
    """Verify a candidate from its bytes.

    Args:
        candidate: what to check.
        public_key: the builder's public key, PEM.
    """
    gates: list[Gate] = []
    bundle = attempt(gates, "bundle", lambda: _bundle(candidate))
    if bundle is None or not signed(gates, candidate.folder, candidate.name, public_key):
        return Checked(candidate, tuple(gates))
    manifest, config = bundle
    evidence = proofs(gates, candidate.evidence, public_key, manifest.digest)
    reports = [report for _, _, report in evidence]
    gates += [said(kind, candidate.name, candidate.profile, reports) for kind in KINDS]
    ref = reference(candidate.folder, manifest)
    entry = BuildEntry(
        bundle=ref,
        defer_threshold=config.calibration.defer_threshold,
        verdict=worst(gate.verdict for gate in gates),
        engine=config.engine,
        evidence=_attached(evidence),
        cases=_cases(candidate),
    )
    blobs = blobs_of(candidate.folder, manifest, ref, evidence)
    if candidate.cases is not None and entry.cases is not None:
        blobs = (*blobs, (candidate.cases, entry.cases))
    return Checked(candidate, tuple(gates), entry, config.built_on, blobs)


def check_pack(candidate: PackCandidate, public_key: bytes, *, retriever: str) -> CheckedPack:
    """Verify a knowledge pack from its bytes.

    Args:
        candidate: what to check.
        public_key: the builder's public key, PEM.
        retriever: digest of the bundle that will search it: that of the pack's workflow and profile.
    """
    gates: list[Gate] = []
    pack = attempt(gates, "pack", lambda: _pack(candidate))
    if pack is None or not signed(gates, candidate.folder, candidate.name, public_key):
        return CheckedPack(candidate, tuple(gates))
    manifest, config = pack
    attempt(gates, "retriever", lambda: _bound(config, retriever))
    evidence = proofs(gates, candidate.evidence, public_key, manifest.digest)
    gates.append(_knowledge(candidate, config, evidence))
    artifact = reference(candidate.folder, manifest)
    ref = PackRef(
        name=candidate.name,
        blob=artifact.manifest,
        site_classes=(candidate.site_class,),
        retriever=config.retriever,
        workflow=candidate.workflow,
        profile=candidate.profile.name,
        signature=artifact.signature,
        data_class=config.data_class,
        verdict=worst(gate.verdict for gate in gates),
        evidence=_attached(evidence),
    )
    return CheckedPack(candidate, tuple(gates), ref, artifact, blobs_of(candidate.folder, manifest, artifact, evidence))


def admit(checked: Sequence[Checked | CheckedPack], channel: str) -> None:
    """Decide whether bundles and packs may enter a channel.

    `candidates` takes what has no `fail`, the others only `pass`.

    Raises:
        RefusedError: with the reasons of each that may not.
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


def _bundle(candidate: Candidate) -> tuple[OciManifest, BundleConfig]:
    """Recompute every digest of the bundle; it must be the one that the candidate is said to be."""
    manifest, config = open_bundle(candidate.folder)
    if (config.workflow, config.profile) != (candidate.workflow, candidate.profile.name):
        raise IntegrityError(f"holds bundle {config.workflow} on {config.profile}")
    if config.isa is not candidate.profile.isa:
        raise IntegrityError(f"was built for isa {config.isa}, profile {config.profile} is {candidate.profile.isa}")
    return manifest, config


def _pack(candidate: PackCandidate) -> tuple[OciManifest, PackConfig]:
    """Recompute every digest of the pack; it must be the one that the candidate is said to be."""
    manifest, config = open_pack_folder(candidate.folder)
    found = config.workflow, config.profile, config.site_class
    if found != (candidate.workflow, candidate.profile.name, candidate.site_class):
        raise IntegrityError(f"holds pack {config.workflow} on {config.profile} for {config.site_class}")
    return manifest, config


def _bound(config: PackConfig, retriever: str) -> bool:
    """Whether the pack's embeddings are of the retriever that will search it."""
    if config.retriever != retriever:
        raise IntegrityError(
            f"{PACK_FILE} is bound to retriever {config.retriever}, the build's bundle is {retriever}; "
            "make the pack anew"
        )
    return True


def _knowledge(candidate: PackCandidate, config: PackConfig, evidence: Sequence[Proof]) -> Gate:
    """What was measured of the pack, and that it was measured with its own retriever."""
    reports = [report for _, _, report in evidence]
    for report in reports:
        if isinstance(report, KnowledgeReport) and report.retriever != config.retriever:
            reason = f"was measured with retriever {report.retriever}, the pack is bound to {config.retriever}"
            return Gate(name=KNOWLEDGE, verdict=Verdict.FAIL, reason=reason)
    return said(KNOWLEDGE, candidate.name, candidate.profile, reports)


def _cases(candidate: Candidate) -> Descriptor | None:
    """The measurement cases as a manifest names them."""
    if candidate.cases is None:
        return None
    sealed = candidate.cases.suffix == ".age"
    return Descriptor(
        media_type=SEALED_CASES_TYPE if sealed else CASES_TYPE,
        digest=sha256_of(candidate.cases),
        size=candidate.cases.stat().st_size,
    )


def _attached(evidence: Sequence[Proof]) -> tuple[Descriptor, ...]:
    """The evidence as a manifest lists it."""
    return tuple(sorted((blob for _, blob, _ in evidence), key=lambda blob: blob.digest))
