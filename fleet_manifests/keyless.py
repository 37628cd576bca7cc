"""The seam to sigstore-python: verification with a trusted root that is given, never one that it finds itself.

sigstore-python reads its own cached trusted root unverified when it is offline, and ignores `validFor.end` of
the keys in it. So the trusted root comes from the fleet's own TUF repository (`trust/trusted_root.json`), and a
key is revoked by removing its entry there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from fleet_manifests.authors import TRUSTED_ROOT, Authors
from fleet_manifests.errors import IntegrityError
from fleet_manifests.memory_file import memory_file
from fleet_manifests.signature_file import PAYLOAD_TYPE
from fleet_manifests.wire import MAX_DOCUMENT_BYTES, Wire, parse

if TYPE_CHECKING:
    from sigstore.verify import Verifier
    from sigstore.verify.policy import VerificationPolicy

_CLIENT_CONFIG = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
_SIGNING_CONFIG = "application/vnd.dev.sigstore.signingconfig.v0.2+json"


class _Digested(Wire):
    digest: dict[str, str] = {}


class _Subjects(Wire):
    """What an in-toto statement is about."""

    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[tuple[_Digested, ...], Field(min_length=1)]


def failures() -> tuple[type[Exception], ...]:
    """Everything that sigstore-python and model_signing raise for a bundle that does not hold."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from pyasn1.error import PyAsn1Error
    from sigstore.errors import Error

    of_certificates = (x509.ExtensionNotFound, x509.DuplicateExtension, x509.InvalidVersion)
    of_python = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, AssertionError, OSError)
    return (Error, InvalidSignature, UnsupportedAlgorithm, PyAsn1Error, *of_certificates, *of_python)


def payload(raw: bytes, authors: Authors, *, what: str, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """The in-toto statement in a Sigstore bundle, if one of the identities signed it.

    Args:
        raw: the Sigstore bundle, JSON.
        authors: who may have signed it, and the trusted root.
        what: what it is, for the message.
        limit: most bytes that it may have.

    Raises:
        IntegrityError: altered, too large, signed by somebody else, or not vouched for by the trusted root.
    """
    from sigstore.models import Bundle

    if len(raw) > limit:
        raise IntegrityError(f"{what}: {len(raw)} bytes; it has at most {limit}")
    root = _require(authors, what)
    try:
        kind, content = _verifier(root).verify_dsse(Bundle.from_json(raw), _policy(authors))
    except failures() as exc:
        raise IntegrityError(f"{what}: is not signed by {_named(authors)}: {exc}") from exc
    if kind != PAYLOAD_TYPE:
        raise IntegrityError(f"{what}: the payload is {kind!r}, expected {PAYLOAD_TYPE}")
    return content


def verify_digest(raw: bytes, digest: bytes, authors: Authors, *, what: str) -> None:
    """Verify that one of the identities signed an artifact, or an in-toto statement whose subject it is.

    Args:
        raw: the Sigstore bundle, JSON.
        digest: SHA-256 of the artifact.
        authors: who may have signed it, and the trusted root.
        what: what it is, for the message.

    Raises:
        IntegrityError: altered, of another artifact, or signed by somebody else.
    """
    from sigstore.hashes import Hashed
    from sigstore.models import Bundle
    from sigstore_models.common.v1 import HashAlgorithm

    root = _require(authors, what)
    try:
        bundle = Bundle.from_json(raw)
        if bundle._dsse_envelope is None:
            hashed = Hashed(algorithm=HashAlgorithm.SHA2_256, digest=digest)
            _verifier(root).verify_artifact(hashed, bundle, _policy(authors))
            return
    except failures() as exc:
        raise IntegrityError(f"{what}: is not signed by {_named(authors)}: {exc}") from exc
    statement = parse(_Subjects, payload(raw, authors, what=what), where=what)
    if digest.hex() not in {subject.digest.get("sha256") for subject in statement.subject}:
        raise IntegrityError(f"{what}: is a statement about something else than sha256:{digest.hex()}")


def verify_files(folder: Path, signature: bytes, authors: Authors, hashing: Any, *, name: str) -> None:
    """Verify with model_signing that one of the identities signed a folder.

    Args:
        folder: the bundle's folder.
        signature: the content of the signature file.
        authors: who may have signed it, and the trusted root.
        hashing: makes a fresh `model_signing.hashing.Config`, one for each verification.
        name: the bundle's name, for the message.

    Raises:
        IntegrityError: it is not what one of them signed.
    """
    from model_signing import verifying

    root = _require(authors, f"bundle {name}")
    reasons = []
    with memory_file(_client_config(root)) as config_file, memory_file(signature) as signature_file:
        for one in authors.identities:
            try:
                config = verifying.Config().use_sigstore_verifier(
                    identity=one.identity, oidc_issuer=one.issuer, trust_config=config_file
                )
                config.set_hashing_config(hashing()).verify(folder, signature_file)
            except failures() as exc:
                reasons.append(str(exc) or type(exc).__name__)
            else:
                return
    raise IntegrityError(f"bundle {name}: is not what {_named(authors)} signed: {'; '.join(reasons)}")


def _require(authors: Authors, what: str) -> bytes:
    """The trusted root; refuse where no identity may sign this."""
    if not authors.identities or authors.trusted_root is None:
        raise IntegrityError(f"{what}: is signed keyless; the signing policy lets no identity sign {authors.what}")
    return authors.trusted_root


def _named(authors: Authors) -> str:
    return " or ".join(f"{one.identity} ({one.issuer})" for one in authors.identities)


def _policy(authors: Authors) -> VerificationPolicy:
    """Any of the identities, each with its own issuer."""
    from sigstore.verify.policy import AnyOf, Identity

    return AnyOf([Identity(identity=one.identity, issuer=one.issuer) for one in authors.identities])


def _verifier(root: bytes) -> Verifier:
    """A verifier with this trusted root. It needs no network."""
    from sigstore.models import ClientTrustConfig
    from sigstore.verify import Verifier

    return Verifier(trusted_root=ClientTrustConfig.from_json(_client_config(root).decode()).trusted_root)


def _client_config(trusted_root: bytes) -> bytes:
    """A client configuration that can verify and nothing else: it names no service to sign with.

    Raises:
        IntegrityError: the trusted root is not JSON.
    """
    try:
        trusted = json.loads(trusted_root)
    except ValueError as exc:
        raise IntegrityError(f"{TRUSTED_ROOT}: is not JSON: {exc}") from exc
    nothing: dict[str, Any] = {name: [] for name in ("caUrls", "oidcUrls", "rekorTlogUrls", "tsaUrls")}
    selectors = {name: {"selector": "ANY"} for name in ("rekorTlogConfig", "tsaConfig")}
    return json.dumps(
        {
            "mediaType": _CLIENT_CONFIG,
            "trustedRoot": trusted,
            "signingConfig": {"mediaType": _SIGNING_CONFIG, **nothing, **selectors},
        }
    ).encode()
