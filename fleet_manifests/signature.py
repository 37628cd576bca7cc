"""Verification of a bundle's OpenSSF Model Signing signature, by an EC key, strictly.

`model_signing` 1.1.1 verifies the envelope and hashes the files. Around it stand the
checks that it does not make: the signed name is the expected one, nothing is ignored
(its defaults skip `.git`, and a signature may carry its own `ignore_paths`), only the
current predicate is taken, and the folder holds plain files only. Each call builds its
own configuration, because a reused one carries the ignored paths of the model before.

Factory and sites verify through this one function, so that what the factory accepts a
site accepts.
"""

from __future__ import annotations

import base64
import stat
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from fleet_manifests.bundle import is_bundle_path
from fleet_manifests.errors import IntegrityError
from fleet_manifests.wire import MAX_DOCUMENT_BYTES, Wire, parse


class _Strict(Wire):
    """A part of a signature file: a field that is not known is refused, not ignored."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class _DsseSignature(_Strict):
    sig: str
    keyid: str = ""


class _Envelope(_Strict):
    payload: str
    payload_type: Annotated[Literal["application/vnd.in-toto+json"], Field(alias="payloadType")]
    signatures: Annotated[tuple[_DsseSignature, ...], Field(min_length=1, max_length=1)]


class _PublicKey(_Strict):
    hint: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Material(_Strict):
    public_key: Annotated[_PublicKey, Field(alias="publicKey")]
    tlog_entries: Annotated[tuple[()], Field(alias="tlogEntries")] = ()


class _SignatureFile(_Strict):
    """A Sigstore bundle as model_signing's EC signer writes it.

    Unknown fields, second spellings and duplicate keys are refused, so that what is
    checked here and what model_signing reads cannot be two different documents.
    """

    media_type: Annotated[Literal["application/vnd.dev.sigstore.bundle.v0.3+json"], Field(alias="mediaType")]
    material: Annotated[_Material, Field(alias="verificationMaterial")]
    envelope: Annotated[_Envelope, Field(alias="dsseEnvelope")]


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


def verify_bundle(folder: Path, signature: Path, public_key: bytes, *, name: str) -> None:
    """Verify that a folder holds exactly the files that the builder signed under that name.

    Args:
        folder: the bundle's folder. Its own name does not matter; the signed one does.
        signature: the signature file, outside the folder.
        public_key: the builder's public key, PEM, EC P-256.
        name: what the signature must be for, `<workflow>--<profile>`.

    Raises:
        IntegrityError: anything else than that, whatever the reason.
    """
    raw = _read(signature, name)
    _require_statement(raw, name)
    _require_plain(folder, name)
    with tempfile.TemporaryDirectory(prefix="lading-verify-") as scratch:
        key_file, signature_file = Path(scratch, "key.pub"), Path(scratch, "model.sig")
        key_file.write_bytes(public_key)
        signature_file.write_bytes(raw)
        _verify(folder, signature_file, key_file, name)


def strict_hashing() -> Any:
    """A fresh `model_signing.hashing.Config` that ignores nothing and follows no link."""
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False).set_allow_symlinks(False)


def _read(signature: Path, name: str) -> bytes:
    """The signature file's bytes, read once, so that what is checked is what is verified."""
    try:
        with signature.open("rb") as stream:
            raw = stream.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as exc:
        raise IntegrityError(f"bundle {name}: no signature can be read at {signature}: {exc.strerror}") from exc
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise IntegrityError(f"bundle {name}: the signature has more than {MAX_DOCUMENT_BYTES} bytes")
    return raw


def _require_statement(raw: bytes, name: str) -> None:
    """Refuse another name, another way of hashing, and ignored paths."""
    where = f"signature of bundle {name}"
    envelope = parse(_SignatureFile, raw, where=where).envelope
    try:
        payload = base64.b64decode(envelope.payload, validate=True)
    except ValueError as exc:
        raise IntegrityError(f"{where}: the payload is not base64") from exc
    statement = parse(_Statement, payload, where=where)
    if (found := statement.subject[0].name) != name:
        raise IntegrityError(f"{where}: it is for bundle {found!r}")


def _require_plain(folder: Path, name: str) -> None:
    """Refuse everything but plain files with plain names, also what model_signing would not look at."""
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise IntegrityError(f"bundle {name}: {folder} is not a folder")
        _walk(folder, folder, name)
    except OSError as exc:
        raise IntegrityError(f"bundle {name}: {exc.filename}: cannot be read: {exc.strerror}") from exc


def _walk(root: Path, folder: Path, name: str) -> None:
    """Check one folder and those below it."""
    entries = sorted(folder.iterdir())
    if not entries:
        raise IntegrityError(f"bundle {name}: folder {folder.relative_to(root).as_posix()!r} is empty")
    for entry in entries:
        path = entry.relative_to(root).as_posix()
        mode = entry.lstat().st_mode
        if stat.S_ISDIR(mode):
            _walk(root, entry, name)
        elif not stat.S_ISREG(mode):
            raise IntegrityError(f"bundle {name}: {path!r} is not a plain file")
        elif not is_bundle_path(path):
            raise IntegrityError(f"bundle {name}: {path!r} is not a path inside a bundle")


def _verify(folder: Path, signature: Path, public_key: Path, name: str) -> None:
    """The one seam to model_signing: whatever it raises means that the bundle is not the signed one."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from model_signing import verifying

    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
        config.set_hashing_config(strict_hashing()).verify(folder, signature)
    except InvalidSignature as exc:
        raise IntegrityError(f"bundle {name}: the signature is not by the builder's key") from exc
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OSError, UnsupportedAlgorithm) as exc:
        raise IntegrityError(f"bundle {name}: {exc}") from exc
