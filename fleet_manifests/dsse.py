"""What evidence and receipts are written in: in-toto Test Result statements over one digest, in DSSE.

What was found travels inside the statement, as the content of its `configuration` entries, so that an
envelope needs nothing beside it. Formats: in-toto Statement v1 (https://in-toto.io/Statement/v1),
predicate Test Result v0.1, DSSE v1.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from fleet_manifests import keyless
from fleet_manifests.authors import Authors
from fleet_manifests.errors import IntegrityError
from fleet_manifests.wire import MAX_DOCUMENT_BYTES, Wire, digest_of, dump, parse

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

PAYLOAD_TYPE = "application/vnd.in-toto+json"
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"

Result = Literal["PASSED", "WARNED", "FAILED"]


@dataclass(frozen=True)
class Enclosed:
    """One document inside a statement."""

    name: str
    media_type: str
    content: bytes


class Resource(Wire):
    """An in-toto ResourceDescriptor."""

    name: str
    digest: dict[str, str]
    content: str | None = None
    media_type: Annotated[str | None, Field(alias="mediaType")] = None


class Findings(Wire):
    """The Test Result predicate."""

    result: Result
    configuration: Annotated[tuple[Resource, ...], Field(min_length=1, max_length=4)]
    passed: Annotated[tuple[str, ...], Field(alias="passedTests")] = ()
    warned: Annotated[tuple[str, ...], Field(alias="warnedTests")] = ()
    failed: Annotated[tuple[str, ...], Field(alias="failedTests")] = ()


class Statement(Wire):
    """An in-toto Statement about one bundle or pack."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")] = (
        "https://in-toto.io/Statement/v1"
    )
    subject: Annotated[tuple[Resource, ...], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[
        Literal["https://in-toto.io/attestation/test-result/v0.1"], Field(alias="predicateType")
    ] = "https://in-toto.io/attestation/test-result/v0.1"
    predicate: Findings

    @property
    def subject_digest(self) -> str:
        """What the statement is about, `sha256:<hex>`."""
        return f"sha256:{self.subject[0].digest.get('sha256', '')}"

    def enclosed(self, *, what: str) -> dict[str, bytes]:
        """The documents inside, by name, each checked against the digest that the statement says.

        Args:
            what: what the statement is, for the message: `evidence` or `receipt`.

        Raises:
            IntegrityError: one is not base64, has another digest, or a name appears twice.
        """
        found: dict[str, bytes] = {}
        for one in self.predicate.configuration:
            try:
                raw = base64.b64decode(one.content or "", validate=True)
            except ValueError as exc:
                raise IntegrityError(f"{what}: the enclosed {one.name} is not base64") from exc
            if digest_of(raw) != f"sha256:{one.digest.get('sha256', '')}":
                raise IntegrityError(f"{what}: the enclosed {one.name} has another digest than the statement says")
            if one.name in found:
                raise IntegrityError(f"{what}: {one.name} is enclosed twice")
            found[one.name] = raw
        return found


class _Form(Wire):
    """A Sigstore bundle says its media type; a bare envelope has none."""

    media_type: Annotated[str | None, Field(alias="mediaType")] = None


class _Signature(Wire):
    keyid: str
    sig: str


class _Dsse(Wire):
    """A DSSE envelope."""

    payload: str
    payload_type: Annotated[Literal["application/vnd.in-toto+json"], Field(alias="payloadType")]
    signatures: Annotated[tuple[_Signature, ...], Field(min_length=1, max_length=16)]


def envelope_type(raw: bytes) -> str:
    """The media type of an envelope: bare, or in a Sigstore bundle.

    Raises:
        IntegrityError: it is neither.
    """
    return parse(_Form, raw, where="envelope").media_type or ENVELOPE_TYPE


def statement(
    subject: str,
    digest: str,
    enclosed: Sequence[Enclosed],
    *,
    result: Result,
    passed: Sequence[str] = (),
    warned: Sequence[str] = (),
    failed: Sequence[str] = (),
) -> Statement:
    """The one statement that these documents give.

    Args:
        subject: name of what it is about.
        digest: its digest, `sha256:<hex>`.
        enclosed: the documents inside.
        result: what came of it.
        passed: names of the tests that passed.
        warned: names of the tests that say neither.
        failed: names of the tests that failed.
    """
    inside = tuple(
        Resource(
            name=one.name,
            digest=_hex(digest_of(one.content)),
            content=base64.b64encode(one.content).decode(),
            media_type=one.media_type,
        )
        for one in enclosed
    )
    findings = Findings(
        result=result, configuration=inside, passed=tuple(passed), warned=tuple(warned), failed=tuple(failed)
    )
    return Statement(subject=(Resource(name=subject, digest=_hex(digest)),), predicate=findings)


def seal(said: Statement, signer: Signer) -> bytes:
    """Sign a statement.

    Returns:
        The DSSE envelope, JSON.
    """
    return seal_payload(dump(said), signer)


def seal_payload(content: bytes, signer: Signer) -> bytes:
    """Sign an in-toto statement, JSON.

    Returns:
        The DSSE envelope, JSON.
    """
    from securesystemslib.dsse import Envelope

    envelope = Envelope(content, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return dump(_Dsse.model_validate(envelope.to_dict()))


def opened(
    raw: bytes, public_key: bytes | Authors, *, what: str, by: str, limit: int = MAX_DOCUMENT_BYTES
) -> Statement:
    """The statement in an envelope, if somebody who may do so signed it.

    Args:
        raw: the DSSE envelope, or the Sigstore bundle of one.
        public_key: who may have signed it; a key (PEM) stands for itself alone.
        what: what it is, for the message: `evidence` or `receipt`.
        by: whose key it is, for the message.
        limit: most bytes that it may have.

    Raises:
        IntegrityError: altered, signed by someone else, too large, or no such statement.
    """
    content = payload(raw, Authors.of(public_key), what=what, by=by, limit=limit)
    return parse(Statement, content, where=what, limit=limit)


def payload(raw: bytes, authors: Authors, *, what: str, by: str, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """The content of an envelope of either form, if one of the authors signed it.

    Args:
        raw: the DSSE envelope, or the Sigstore bundle of one.
        authors: who may have signed it.
        what: what it is, for the message.
        by: whose key it is, for the message.
        limit: most bytes that it may have.

    Raises:
        IntegrityError: altered, signed by someone else, too large, or neither of the two.
    """
    if parse(_Form, raw, where=what, limit=limit).media_type is not None:
        return keyless.payload(raw, authors, what=what, limit=limit)
    if authors.key is None:
        raise IntegrityError(f"{what}: is signed by a key; the signing policy lets no key sign {authors.what}")
    return _payload(raw, authors.key, what, by, limit)


def unverified(raw: bytes, *, what: str, limit: int) -> Statement:
    """The statement in an envelope, believed in nothing: only to see whose key is to verify it.

    Raises:
        IntegrityError: too large, or no such statement.
    """
    dsse = parse(_Dsse, raw, where=what, limit=limit)
    try:
        payload = base64.b64decode(dsse.payload, validate=True)
    except ValueError as exc:
        raise IntegrityError(f"{what}: the payload is not base64") from exc
    return parse(Statement, payload, where=what, limit=limit)


def _payload(raw: bytes, public_key: bytes, what: str, by: str, limit: int) -> bytes:
    """The one seam to securesystemslib: the payload of an envelope that the key signed."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import Error as SecuresystemslibError
    from securesystemslib.signer import SSlibKey

    try:
        dsse = parse(_Dsse, raw, where=what, limit=limit)
        envelope = Envelope.from_dict(dsse.model_dump(by_alias=True, mode="json"))
        envelope.verify([SSlibKey.from_crypto(load_pem_public_key(public_key))], 1)
    except (SecuresystemslibError, ValueError, KeyError, TypeError) as exc:
        raise IntegrityError(f"{what}: is not signed by {by}: {exc}") from exc
    payload: bytes = envelope.payload
    return payload


def _hex(digest: str) -> dict[str, str]:
    """A digest as in-toto writes it."""
    return {"sha256": digest.removeprefix("sha256:")}
