"""Evidence as attestations: Test Result statements over the digest of a bundle or pack (`fleet_manifests.dsse`).

The report is the one document inside the statement.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from fleet_manifests import (
    AccuracyReport,
    Descriptor,
    Evidence,
    Gate,
    IntegrityError,
    KnowledgeReport,
    LatencyReport,
    Verdict,
    Wire,
    digest_of,
    dsse,
    dump,
    parse,
    worst,
)
from fleet_manifests.authors import Authors
from fleet_manifests.dsse import Enclosed, Result, Statement, envelope_type
from release.signers import SigningKey
from release.signing import Author

KIND = "lading.evidence.kind"
"""Annotation of an evidence descriptor: `accuracy`, `latency` or `knowledge`."""

_RESULTS: dict[Verdict, Result] = {
    Verdict.PASS: "PASSED",
    Verdict.INCONCLUSIVE: "WARNED",
    Verdict.FAIL: "FAILED",
}


class _Kind(Wire):
    kind: Literal["accuracy", "latency", "knowledge"]


def attest(report: Evidence, by: SigningKey | Author) -> bytes:
    """Sign a report as evidence about the bundle or pack that it names.

    Args:
        report: the report.
        by: who signs; a key alone is held to itself.

    Returns:
        The DSSE envelope, or the Sigstore bundle of one, JSON.

    Raises:
        IntegrityError: the report contradicts itself, or the policy does not let this author sign it.
    """
    _require_consistent(report)
    return Author.of(by).seal(dump(_statement(report, dump(report))), workflow=report.workflow, act="evidence")


def verify_evidence(envelope: bytes, by: bytes | Authors, bundle: str) -> Evidence:
    """Read the report in an envelope, if it is about that bundle or pack and signed by somebody who may do so.

    Args:
        envelope: the DSSE envelope, or the Sigstore bundle of one.
        by: who may have signed it; a public key (PEM) stands for that key alone.
        bundle: the digest of the bundle or pack.

    Raises:
        IntegrityError: altered, signed by someone else, about something else, or contradicting itself.
    """
    statement = dsse.opened(envelope, by, what="evidence", by="the builder's key")
    if statement.subject_digest != bundle:
        raise IntegrityError(f"evidence: is about bundle {statement.subject_digest}, not {bundle}")
    (raw, *others) = statement.enclosed(what="evidence").values()
    if others:
        raise IntegrityError(f"evidence: expected one report, found {1 + len(others)}")
    report = _report(raw)
    _require_consistent(report)
    if statement != _statement(report, raw):
        raise IntegrityError("evidence: the statement says something else than the report in it")
    return report


def evidence_descriptor(envelope: bytes, report: Evidence) -> Descriptor:
    """The descriptor by which a fleet manifest refers to evidence."""
    return Descriptor(
        media_type=envelope_type(envelope),
        digest=digest_of(envelope),
        size=len(envelope),
        annotations={KIND: report.kind},
    )


def _statement(report: Evidence, raw: bytes) -> Statement:
    """The one statement that a report gives.

    Args:
        report: the report.
        raw: its bytes as they were signed; an older version may have written fewer fields than we would.
    """
    media_type = f"application/vnd.lading.{report.kind}-report.v1+json"
    return dsse.statement(
        report.subject,
        report.bundle,
        [Enclosed(f"{report.kind}-report", media_type, raw)],
        result=_RESULTS[report.verdict],
        passed=_names(report.gates, Verdict.PASS),
        warned=_names(report.gates, Verdict.INCONCLUSIVE),
        failed=_names(report.gates, Verdict.FAIL),
    )


def _names(gates: Iterable[Gate], verdict: Verdict) -> tuple[str, ...]:
    """The gates of that verdict, in order."""
    return tuple(gate.name for gate in gates if gate.verdict is verdict)


def _report(raw: bytes) -> Evidence:
    """Read a report of any kind."""
    kinds: dict[str, type[AccuracyReport] | type[LatencyReport] | type[KnowledgeReport]] = {
        "accuracy": AccuracyReport,
        "latency": LatencyReport,
        "knowledge": KnowledgeReport,
    }
    return parse(kinds[parse(_Kind, raw, where="evidence").kind], raw, where="evidence")


def _require_consistent(report: Evidence) -> None:
    """Refuse a verdict that the report's own gates do not carry."""
    if (carried := worst(gate.verdict for gate in report.gates)) is not report.verdict:
        raise IntegrityError(
            f"{report.kind} report of {report.subject}: says {report.verdict}, its gates say {carried}"
        )
