"""The gate: what a candidate must show to enter a channel. It believes nothing that it has not recomputed.

`check_candidate` and `check_pack` read everything again from disk (files, signature, evidence) and say
point by point what holds. `admit` decides on that alone and refuses with every reason at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fleet_manifests import (
    Descriptor,
    Evidence,
    Gate,
    IntegrityError,
    KnowledgeReport,
    OciManifest,
    PackConfig,
    RefusedError,
    Verdict,
    sha256_of,
    worst,
)
from fleet_manifests.authors import Trust
from fleet_manifests.bundle import BundleConfig
from fleet_manifests.knowledge import PACK_FILE
from fleet_manifests.manifest import BuildEntry, PackRef
from fleet_manifests.receipt import CASES_TYPE, SEALED_CASES_TYPE
from release.bundles import open_bundle
from release.candidates import Candidate, Checked, CheckedPack, PackCandidate
from release.checks import Proof, attempt, attested, blobs_of, proofs, reference, said, signed
from release.packs import open_pack_folder
from release.rules import Rules

KINDS = ("accuracy", "latency")
KNOWLEDGE = "knowledge"


def check_candidate(candidate: Candidate, public_key: bytes | Trust, rules: Rules | None = None) -> Checked:
    """Verify a candidate from its bytes.

    Args:
        candidate: what to check.
        public_key: whose signature counts; a public key (PEM) stands for the builder's key alone.
        rules: what the fleet asks besides; None: of what a channel has had before, that it is whole, signed and passed.
    """
    gates: list[Gate] = []
    trust = Trust.of(public_key)
    allowed = partial(trust.authors, candidate.workflow)
    bundle = attempt(gates, "bundle", lambda: _bundle(candidate))
    if bundle is None or not signed(gates, candidate.folder, candidate.name, allowed("bundle")):
        return Checked(candidate, tuple(gates))
    manifest, config = bundle
    evidence = proofs(gates, candidate.evidence, allowed("evidence"), manifest.digest)
    reports = [report for _, _, report in evidence]
    gates += [said(kind, candidate.name, candidate.profile, reports) for kind in KINDS]
    if rules is not None:
        card = candidate.folder / candidate.name / config.data_card_file
        gates.append(rules.licensed(config.built_on, card.read_bytes() if card.is_file() else None))
        gates += _ruled(rules, manifest.digest, reports)
    attestations = attested(gates, candidate.attestations, trust, config, manifest.digest)
    ref = reference(candidate.folder, manifest)
    entry = BuildEntry(
        bundle=ref,
        defer_threshold=config.calibration.defer_threshold,
        verdict=worst(gate.verdict for gate in gates),
        engine=config.engine,
        evidence=_attached(evidence),
        attestations=tuple(sorted((blob for _, blob in attestations), key=lambda blob: blob.digest)),
        cases=_cases(candidate),
    )
    blobs = blobs_of(candidate.folder, manifest, ref, evidence, attestations)
    if candidate.cases is not None and entry.cases is not None:
        blobs = (*blobs, (candidate.cases, entry.cases))
    return Checked(candidate, tuple(gates), entry, config.built_on, blobs)


def check_pack(
    candidate: PackCandidate, public_key: bytes | Trust, *, retriever: str, rules: Rules | None = None
) -> CheckedPack:
    """Verify a knowledge pack from its bytes.

    Args:
        candidate: what to check.
        public_key: whose signature counts; a public key (PEM) stands for the builder's key alone.
        retriever: digest of the bundle that will search it: that of the pack's workflow and profile.
        rules: what the fleet asks besides; None: as `check_candidate`.
    """
    gates: list[Gate] = []
    allowed = partial(Trust.of(public_key).authors, candidate.workflow)
    pack = attempt(gates, "pack", lambda: _pack(candidate))
    if pack is None or not signed(gates, candidate.folder, candidate.name, allowed("bundle")):
        return CheckedPack(candidate, tuple(gates))
    manifest, config = pack
    attempt(gates, "retriever", lambda: _bound(config, retriever))
    evidence = proofs(gates, candidate.evidence, allowed("evidence"), manifest.digest)
    gates.append(_knowledge(candidate, config, evidence))
    if rules is not None:
        gates += _ruled(rules, manifest.digest, [report for _, _, report in evidence])
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


def _ruled(rules: Rules, digest: str, reports: Sequence[Evidence]) -> list[Gate]:
    """What the fleet asks of bundles and packs alike."""
    return [gate for gate in (rules.fresh(reports), rules.standing(digest)) if gate is not None]


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
