"""The key of a device: made on it at enrolment, never leaves it, and signs its receipts."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import RefusedError, UsageError
from runtimes.sync.files import write_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from securesystemslib.signer import Signer

KEY_FILE = "device-key.pem"
"""The private key, EC P-256, PEM. Nobody but its owner may read it."""


@dataclass(frozen=True)
class DeviceKey:
    """The key of this device."""

    private: EllipticCurvePrivateKey

    @property
    def public_pem(self) -> bytes:
        """The public key, PEM."""
        from cryptography.hazmat.primitives import serialization

        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, form)

    @property
    def signer(self) -> Signer:
        """What signs DSSE envelopes."""
        from securesystemslib.signer import CryptoSigner, SSlibKey

        return CryptoSigner(self.private, SSlibKey.from_crypto(self.private.public_key()))


def ensure_key(state: Path) -> None:
    """Make the key where there is none; one that is there is never touched. The caller holds the state folder.

    Raises:
        OSError: it cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if (state / KEY_FILE).exists():
        return
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    raw = ec.generate_private_key(ec.SECP256R1()).private_bytes(serialization.Encoding.PEM, *form)
    write_file(state / KEY_FILE, raw, private=True)


def load_key(state: Path) -> DeviceKey:
    """The key of this device.

    Raises:
        UsageError: there is none, or the file holds something else.
        RefusedError: others may read it.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = state / KEY_FILE
    if not path.is_file():
        raise UsageError(f"{path}: this site has no device key yet; run `lading-site enroll` again, which makes it")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise RefusedError(f"{path}: others may read the device key; make it private (chmod 600), or make a new one")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as exc:
        raise UsageError(f"{path}: expected the private key of this device (PEM), found something else") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(f"{path}: expected a private key on the curve P-256, found another")
    return DeviceKey(key)
