"""Keys that sign: PEM in a file or a variable, and public halves alone. `release.signers_uri` says where each is."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, Signer, SSlibKey

from fleet_manifests import UsageError

VARIABLE = "LADING_KEYS"


class SigningKey(ABC):
    """One key: its name, its public half, and what signs with it."""

    name: str

    @property
    @abstractmethod
    def public(self) -> SSlibKey:
        """The public key as TUF and DSSE name it."""

    @property
    @abstractmethod
    def signer(self) -> Signer:
        """What signs TUF metadata and DSSE envelopes."""

    @property
    def public_pem(self) -> bytes:
        """The public key, PEM, in the one form that everybody hashes."""
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        key = serialization.load_pem_public_key(self.public.keyval["public"].encode())
        return key.public_bytes(encoding, form)


@dataclass(frozen=True)
class PemKey(SigningKey):
    """A private key as PEM."""

    name: str
    passphrase: str | None = None
    """The environment variable that holds the passphrase; None: the key is not encrypted."""

    @property
    @abstractmethod
    def where(self) -> str:
        """Where it is, for a message."""

    @abstractmethod
    def pem(self) -> bytes:
        """The PEM.

        Raises:
            UsageError: it is missing, or others may read it.
        """

    @cached_property
    def private(self) -> ec.EllipticCurvePrivateKey:
        """The key itself.

        Raises:
            UsageError: missing, readable by others, not to be opened, or not an EC P-256 key.
        """
        secret = None if self.passphrase is None else from_environment(self.passphrase, f"key {self.name}: passphrase")
        try:
            key = serialization.load_pem_private_key(self.pem(), password=None if secret is None else secret.encode())
        except (ValueError, TypeError) as exc:
            raise UsageError(f"key {self.name}: {self.where} {self._unlike}") from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise UsageError(f"key {self.name}: {self.where} is not an EC P-256 key")
        return key

    @property
    def public(self) -> SSlibKey:
        """The public key as TUF and DSSE name it."""
        return SSlibKey.from_crypto(self.private.public_key())

    @property
    def signer(self) -> CryptoSigner:
        """What signs TUF metadata and DSSE envelopes."""
        return CryptoSigner(self.private, self.public)

    @property
    def _unlike(self) -> str:
        if self.passphrase is None:
            return (
                "is not an unencrypted PEM private key; name the variable of its passphrase: file:PATH?passphrase=NAME"
            )
        return f"is not a PEM private key that the passphrase in {self.passphrase} opens"


@dataclass(frozen=True)
class FileKey(PemKey):
    """A private key in a file that only its owner can read."""

    path: Path = Path()

    @property
    def where(self) -> str:
        """Its path."""
        return str(self.path)

    def pem(self) -> bytes:
        """The file's content."""
        require_private(self.path)
        return self.path.read_bytes()


@dataclass(frozen=True)
class EnvironmentKey(PemKey):
    """A private key in an environment variable, as a CI hands it out."""

    variable: str = ""

    @property
    def where(self) -> str:
        """The variable's name."""
        return f"environment variable {self.variable}"

    def pem(self) -> bytes:
        """The variable's content."""
        return from_environment(self.variable, f"key {self.name}").encode()


@dataclass(frozen=True)
class PublicKey(SigningKey):
    """A key whose private half is somebody else's, or in a device: its public half is a file."""

    name: str
    public_path: Path

    @cached_property
    def public(self) -> SSlibKey:
        """The public key as TUF and DSSE name it.

        Raises:
            UsageError: missing, or not an EC P-256 key.
        """
        try:
            key = serialization.load_pem_public_key(self.public_path.read_bytes())
        except OSError as exc:
            raise UsageError(
                f"key {self.name}: {self.public_path}: {exc.strerror}; put the public half of the key there, PEM"
            ) from exc
        except ValueError as exc:
            raise UsageError(f"key {self.name}: {self.public_path} is not a PEM public key") from exc
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise UsageError(f"key {self.name}: {self.public_path} is not an EC P-256 key")
        return SSlibKey.from_crypto(key)

    @property
    def signer(self) -> Signer:
        """Nothing here signs with this key.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"key {self.name}: only its public half is here ({self.public_path}); sign where the private half is, or "
            f"name it in lading.yaml (signers: {self.name}: URI)"
        )


def from_environment(variable: str, what: str) -> str:
    """A secret of the environment.

    Raises:
        UsageError: the variable is not set.
    """
    found = os.environ.get(variable)
    if not found:
        raise UsageError(f"{what}: environment variable {variable} is not set")
    return found


def require_private(path: Path) -> None:
    """Refuse a key or folder that is missing or that group or others may touch.

    Raises:
        UsageError: it is so.
    """
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}; restore the key, or set {VARIABLE} to where it is") from exc
    if stat.S_IMODE(mode) & 0o077:
        wanted = "700" if stat.S_ISDIR(mode) else "600"
        raise UsageError(f"{path}: mode is {stat.S_IMODE(mode):o}, others may touch it; run `chmod {wanted} {path}`")
