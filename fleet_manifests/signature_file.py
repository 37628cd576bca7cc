"""The signature file of a bundle, strictly: a Sigstore bundle v0.3 with the statement of OpenSSF Model Signing.

Two forms are known: signed by a key, as model_signing's EC signer writes it, and keyless, as
sigstore-python writes it. Unknown fields, second spellings and duplicate keys are refused, so
that what is checked here and what model_signing reads cannot be two different documents.
"""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from fleet_manifests.errors import IntegrityError
from fleet_manifests.wire import Wire, parse

PayloadType = Literal["application/vnd.in-toto+json"]
BundleType = Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
PAYLOAD_TYPE: PayloadType = "application/vnd.in-toto+json"
SIGSTORE_BUNDLE: BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"


class _Strict(Wire):
    """A part of a signature file: a field that is not known is refused, not ignored."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False, serialize_by_alias=True)


class DsseSignature(_Strict):
    """The signature inside the envelope."""

    sig: str
    keyid: str = ""


class Envelope(_Strict):
    """The DSSE envelope."""

    payload: str
    payload_type: Annotated[PayloadType, Field(alias="payloadType")]
    signatures: Annotated[tuple[DsseSignature, ...], Field(min_length=1, max_length=1)]


class PublicKey(_Strict):
    """Names a key by the SHA-256 of its PEM."""

    hint: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class KeyMaterial(_Strict):
    """What a key-signed file says of its signer."""

    public_key: Annotated[PublicKey, Field(alias="publicKey")]
    tlog_entries: Annotated[tuple[()], Field(alias="tlogEntries")] = ()


class _Certificate(_Strict):
    raw_bytes: Annotated[str, Field(alias="rawBytes", min_length=1)]


class _LogId(_Strict):
    key_id: Annotated[str, Field(alias="keyId")]


class _Kind(_Strict):
    kind: str
    version: str


class _Promise(_Strict):
    signed_entry_timestamp: Annotated[str, Field(alias="signedEntryTimestamp")]


class _Checkpoint(_Strict):
    envelope: str


class _Inclusion(_Strict):
    log_index: Annotated[str, Field(alias="logIndex")]
    root_hash: Annotated[str, Field(alias="rootHash")]
    tree_size: Annotated[str, Field(alias="treeSize")]
    hashes: tuple[str, ...] = ()
    checkpoint: _Checkpoint


class _LogEntry(_Strict):
    log_index: Annotated[str, Field(alias="logIndex")]
    log_id: Annotated[_LogId, Field(alias="logId")]
    kind_version: Annotated[_Kind, Field(alias="kindVersion")]
    integrated_time: Annotated[str | None, Field(alias="integratedTime")] = None
    inclusion_promise: Annotated[_Promise | None, Field(alias="inclusionPromise")] = None
    inclusion_proof: Annotated[_Inclusion, Field(alias="inclusionProof")]
    canonicalized_body: Annotated[str, Field(alias="canonicalizedBody")]


class _Timestamp(_Strict):
    signed_timestamp: Annotated[str, Field(alias="signedTimestamp")]


class _Timestamps(_Strict):
    rfc3161_timestamps: Annotated[tuple[_Timestamp, ...], Field(alias="rfc3161Timestamps", max_length=32)] = ()


class KeylessMaterial(_Strict):
    """What a keyless file says of its signer: certificate, log entry, timestamps."""

    certificate: _Certificate
    tlog_entries: Annotated[tuple[_LogEntry, ...], Field(alias="tlogEntries", min_length=1, max_length=1)]
    timestamps: Annotated[_Timestamps | None, Field(alias="timestampVerificationData")] = None


class SignatureFile(_Strict):
    """A signature file of either form."""

    media_type: Annotated[BundleType, Field(alias="mediaType")] = SIGSTORE_BUNDLE
    material: Annotated[KeyMaterial | KeylessMaterial, Field(alias="verificationMaterial")]
    envelope: Annotated[Envelope, Field(alias="dsseEnvelope")]


class _Subject(_Strict):
    name: str
    digest: dict[str, str]


class _Serialization(_Strict):
    """How the files were hashed: all of them, whole. `ignore_paths` is an unknown field here."""

    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: Literal[False]


class _Predicate(_Strict):
    serialization: _Serialization
    resources: tuple[dict[str, str], ...]


class _Statement(_Strict):
    """The in-toto statement inside: what is signed, and how it was hashed."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[tuple[_Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[Literal["https://model_signing/signature/v1.0"], Field(alias="predicateType")]
    predicate: _Predicate


def read_signature(raw: bytes, name: str) -> SignatureFile:
    """Read a signature file and the statement in it, believing nothing yet.

    Args:
        raw: the file's content.
        name: the name that must be signed.

    Raises:
        IntegrityError: another form, another name, another way of hashing, or ignored paths.
    """
    where = f"signature of bundle {name}"
    found = parse(SignatureFile, raw, where=where)
    try:
        payload = base64.b64decode(found.envelope.payload, validate=True)
    except ValueError as exc:
        raise IntegrityError(f"{where}: the payload is not base64") from exc
    statement = parse(_Statement, payload, where=where)
    if (said := statement.subject[0].name) != name:
        raise IntegrityError(f"{where}: it is for bundle {said!r}")
    return found
