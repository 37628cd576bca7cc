"""Evidence as attestations: in-toto Test Result statements over the digest of a bundle or pack, in DSSE.

The report travels inside the statement, as the content of its one `configuration` entry,
so that an envelope needs nothing beside it. Formats: in-toto Statement v1
(https://in-toto.io/Statement/v1), predicate Test Result v0.1, DSSE v1.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SecuresystemslibError
from securesystemslib.signer import SSlibKey

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
    dump,
    parse,
    worst,
)
from release.keys import SigningKey

PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
KIND = "lading.evidence.kind"
"""Annotation of an evidence descriptor: `accuracy`, `latency` or `knowledge`."""

_RESULTS: dict[Verdict, Literal["PASSED", "WARNED", "FAILED"]] = {
    Verdict.PASS: "PASSED",
    Verdict.INCONCLUSIVE: "WARNED",
    Verdict.FAIL: "FAILED",
}


class _Resource(Wire):
    """An in-toto ResourceDescriptor."""

    name: str
    digest: dict[str, str]
    content: str | None = None
    media_type: Annotated[str | None, Field(alias="mediaType")] = None


class _Outcome(Wire):
    """The Test Result predicate."""

    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: Annotated[tuple[_Resource, ...], Field(min_length=1, max_length=1)]
    passed: Annotated[tuple[str, ...], Field(alias="passedTests")] = ()
    warned: Annotated[tuple[str, ...], Field(alias="warnedTests")] = ()
    failed: Annotated[tuple[str, ...], Field(alias="failedTests")] = ()


class _Statement(Wire):
    """An in-toto Statement about one bundle or pack."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")] = (
        "https://in-toto.io/Statement/v1"
    )
    subject: Annotated[tuple[_Resource, ...], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[
        Literal["https://in-toto.io/attestation/test-result/v0.1"], Field(alias="predicateType")
    ] = "https://in-toto.io/attestation/test-result/v0.1"
    predicate: _Outcome


class _Signature(Wire):
    keyid: str
    sig: str


class _Dsse(Wire):
    """A DSSE envelope."""

    payload: str
    payload_type: Annotated[Literal["application/vnd.in-toto+json"], Field(alias="payloadType")]
    signatures: Annotated[tuple[_Signature, ...], Field(min_length=1, max_length=16)]


class _Kind(Wire):
    kind: Literal["accuracy", "latency", "knowledge"]


def attest(report: Evidence, key: SigningKey) -> bytes:
    """Sign a report as evidence about the bundle or pack that it names.

    Returns:
        The DSSE envelope, JSON.

    Raises:
        IntegrityError: the report contradicts itself.
    """
    _require_consistent(report)
    statement = _statement(report, dump(report))
    envelope = Envelope(dump(statement), PAYLOAD_TYPE, {})
    envelope.sign(key.signer)
    return dump(_Dsse.model_validate(envelope.to_dict()))


def verify_evidence(envelope: bytes, public_key: bytes, bundle: str) -> Evidence:
    """Read the report in an envelope, if it is about that bundle or pack and signed by that key.

    Args:
        envelope: the DSSE envelope.
        public_key: the builder's public key, PEM.
        bundle: the digest of the bundle or pack.

    Raises:
        IntegrityError: altered, signed by someone else, about something else, or contradicting itself.
    """
    payload = _verified_payload(envelope, public_key)
    statement = parse(_Statement, payload, where="evidence")
    subject, enclosed = statement.subject[0], statement.predicate.configuration[0]
    if (found := f"sha256:{subject.digest.get('sha256', '')}") != bundle:
        raise IntegrityError(f"evidence: is about bundle {found}, not {bundle}")
    try:
        raw = base64.b64decode(enclosed.content or "", validate=True)
    except ValueError as exc:
        raise IntegrityError("evidence: the enclosed report is not base64") from exc
    if digest_of(raw) != f"sha256:{enclosed.digest.get('sha256', '')}":
        raise IntegrityError("evidence: the enclosed report has another digest than the statement says")
    report = _report(raw)
    _require_consistent(report)
    if statement != _statement(report, raw):
        raise IntegrityError("evidence: the statement says something else than the report in it")
    return report


def evidence_descriptor(envelope: bytes, report: Evidence) -> Descriptor:
    """The descriptor by which a fleet manifest refers to evidence."""
    return Descriptor(
        media_type=ENVELOPE_TYPE, digest=digest_of(envelope), size=len(envelope), annotations={KIND: report.kind}
    )


def _statement(report: Evidence, raw: bytes) -> _Statement:
    """The one statement that a report gives.

    Args:
        report: the report.
        raw: its bytes as they were signed; an older version may have written fewer fields than we would.
    """
    enclosed = _Resource(
        name=f"{report.kind}-report",
        digest={"sha256": digest_of(raw).removeprefix("sha256:")},
        content=base64.b64encode(raw).decode(),
        media_type=f"application/vnd.lading.{report.kind}-report.v1+json",
    )
    outcome = _Outcome(
        result=_RESULTS[report.verdict],
        configuration=(enclosed,),
        passed=_names(report.gates, Verdict.PASS),
        warned=_names(report.gates, Verdict.INCONCLUSIVE),
        failed=_names(report.gates, Verdict.FAIL),
    )
    subject = _Resource(
        name=report.subject,
        digest={"sha256": report.bundle.removeprefix("sha256:")},
    )
    return _Statement(subject=(subject,), predicate=outcome)


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


def _verified_payload(raw: bytes, public_key: bytes) -> bytes:
    """The one seam to securesystemslib: the payload of an envelope that the key signed."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        dsse = parse(_Dsse, raw, where="evidence")
        envelope = Envelope.from_dict(dsse.model_dump(by_alias=True, mode="json"))
        envelope.verify([SSlibKey.from_crypto(load_pem_public_key(public_key))], 1)
    except (SecuresystemslibError, ValueError, KeyError, TypeError) as exc:
        raise IntegrityError(f"evidence: is not signed by the builder's key: {exc}") from exc
    payload: bytes = envelope.payload
    return payload
