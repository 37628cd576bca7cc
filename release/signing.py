"""Signing a bundle or pack with OpenSSF Model Signing, strictly, and verifying it the way a site does."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fleet_manifests import IntegrityError, OciManifest, StorageError
from fleet_manifests.knowledge import PACK_FILE
from fleet_manifests.signature import strict_hashing, verify_bundle
from release.artifacts import holds, title
from release.bundles import open_bundle
from release.keys import SigningKey
from release.packs import open_pack_folder

SIGNATURE_FILE = "model.sig"


def sign_bundle(out: Path, key: SigningKey) -> Path:
    """Sign an assembled bundle or pack; a signature by the same key that still holds is kept.

    ECDSA draws a fresh nonce, so signing anew would change the signature's digest and with
    it every manifest that names it.

    Args:
        out: the folder that `assemble` or `assemble_pack` made.
        key: the builder's key.

    Returns:
        The signature, `OUT/model.sig`, beside the signed folder and never inside it.

    Raises:
        IntegrityError: the artifact is not what its manifest says, or the new signature does not verify.
        StorageError: the signature cannot be written.
    """
    name, public = title(_opened(out)), key.public_pem
    signature = out / SIGNATURE_FILE
    if signature.exists():
        try:
            verify_bundle(out / name, signature, public, name=name)
        except IntegrityError:
            signature.unlink()
        else:
            return signature
    try:
        with tempfile.TemporaryDirectory(prefix=".sign.", dir=out) as scratch:
            fresh = Path(scratch, SIGNATURE_FILE)
            _sign(out / name, fresh, key)
            verify_bundle(out / name, fresh, public, name=name)
            fresh.replace(signature)
    except OSError as exc:
        raise StorageError(f"{signature}: cannot be written: {exc.strerror}") from exc
    return signature


def _opened(out: Path) -> OciManifest:
    """The OCI manifest of an artifact of either kind, every digest recomputed."""
    manifest, _ = open_pack_folder(out) if holds(out, PACK_FILE) else open_bundle(out)
    return manifest


def _sign(folder: Path, signature: Path, key: SigningKey) -> None:
    """The seam to model_signing."""
    from model_signing import signing

    config = signing.Config().use_elliptic_key_signer(private_key=key.path)
    try:
        config.set_hashing_config(strict_hashing()).sign(folder, signature)
    except ValueError as exc:
        raise IntegrityError(f"{folder}: cannot be signed: {exc}") from exc
