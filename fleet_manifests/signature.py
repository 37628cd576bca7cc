"""Verification of a bundle's OpenSSF Model Signing signature, by an EC key or a keyless identity, strictly.

`model_signing` 1.1.1 verifies the envelope and hashes the files. Around it stand the
checks that it does not make: the signed name is the expected one, nothing is ignored
(its defaults skip `.git`, and a signature may carry its own `ignore_paths`), only the
current predicate is taken (`fleet_manifests.signature_file`), the signer may sign this
(`fleet_manifests.authors`), and the folder holds plain files only. Each call builds its
own configuration, because a reused one carries the ignored paths of the model before.

Factory and sites verify through this one function, so that what the factory accepts a
site accepts.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from fleet_manifests import keyless
from fleet_manifests.authors import Authors
from fleet_manifests.bundle import is_bundle_path
from fleet_manifests.errors import IntegrityError
from fleet_manifests.memory_file import memory_file
from fleet_manifests.signature_file import KeyMaterial, read_signature
from fleet_manifests.wire import MAX_DOCUMENT_BYTES


def verify_bundle(folder: Path, signature: Path, by: bytes | Authors, *, name: str) -> None:
    """Verify that a folder holds exactly the files that somebody who may do so signed under that name.

    Args:
        folder: the bundle's folder. Its own name does not matter; the signed one does.
        signature: the signature file, outside the folder.
        by: who may have signed it; a public key (PEM, EC P-256) stands for that key alone.
        name: what the signature must be for, `<workflow>--<profile>`.

    Raises:
        IntegrityError: anything else than that, whatever the reason.
    """
    authors = Authors.of(by)
    raw = _read(signature, name)
    material = read_signature(raw, name).material
    _require_plain(folder, name)
    if not isinstance(material, KeyMaterial):
        keyless.verify_files(folder, raw, authors, strict_hashing, name=name)
        return
    if authors.key is None:
        raise IntegrityError(f"bundle {name}: is signed by a key; the signing policy lets no key sign {authors.what}")
    with memory_file(authors.key) as key_file, memory_file(raw) as signature_file:
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
