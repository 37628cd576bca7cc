"""Where a private key is, and how it signs: one URI per key.

    file:PATH[?passphrase=VARIABLE]    an EC P-256 PEM, encrypted where a passphrase is named
    env:VARIABLE[?passphrase=VARIABLE] the same, in an environment variable
    pkcs11:...?pin-source=env:VARIABLE a token, by RFC 7512 (`release.signers_token`)
    awskms: gcpkms: azurekms: hv: hsm: as securesystemslib reads them

Secrets come from the environment by name. They are never asked for, never in a URI, and never in a message.
A key that is not in a file needs its public half beside the others, `KEYS/<name>.pub`: what signs is checked
against it, and a repository delegates to it where the private half is somebody else's.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, Signature, Signer, SSlibKey

from fleet_manifests import MissingExtraError, UnreachableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "LADING_KEYS"
REMOTE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "awskms": ("awskms", ("botocore.exceptions:BotoCoreError", "botocore.exceptions:ClientError")),
    "azurekms": ("azurekms", ("azure.core.exceptions:AzureError",)),
    "gcpkms": ("gcpkms", ("google.api_core.exceptions:GoogleAPIError", "google.auth.exceptions:GoogleAuthError")),
    "hsm": ("hsm", ("pkcs11.exceptions:PKCS11Error",)),
    "hv": ("vault", ("hvac.exceptions:VaultError",)),
}
"""Schemes of securesystemslib: the extra that brings each, and what its library raises."""
SCHEMES = ("file", "env", "pkcs11", *sorted(REMOTE))


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


@dataclass(frozen=True)
class DeviceKey(PublicKey):
    """A key in a token or a key management service: it signs there, and what it signs is checked here."""

    uri: str = ""

    @cached_property
    def signer(self) -> Signer:
        """What signs TUF metadata and DSSE envelopes.

        Raises:
            UsageError: the URI does not name a key.
            MissingExtraError: the library that reaches it is not installed.
        """
        return _Checked(self, _reach(self))


class _Checked:
    """A signer elsewhere, with its errors as ours, whose signatures must be by the key we know."""

    def __init__(self, key: DeviceKey, inner: Signer) -> None:
        self._key, self._inner = key, inner

    @property
    def public_key(self) -> SSlibKey:
        """The public key."""
        return self._key.public

    def sign(self, payload: bytes) -> Signature:
        """Sign.

        Raises:
            UnreachableError: the device or service refused or cannot be reached.
            UsageError: it signs with another key.
        """
        from securesystemslib.exceptions import Error as SecuresystemslibError

        scheme = self._key.uri.partition(":")[0]
        failures = (*_foreign(scheme), OSError, ValueError, SecuresystemslibError)
        try:
            signature = self._inner.sign(payload)
        except failures as exc:
            raise UnreachableError(f"key {self._key.name}: {scheme} did not sign: {type(exc).__name__}: {exc}") from exc
        try:
            self._key.public.verify_signature(signature, payload)
        except SecuresystemslibError as exc:
            raise UsageError(
                f"key {self._key.name}: {scheme} signs with another key than {self._key.public_path} says; "
                "correct the URI or the file"
            ) from exc
        return signature


def from_uri(name: str, uri: str, folder: Path) -> SigningKey:
    """The key that a URI names.

    Args:
        name: the key's name.
        uri: where its private half is.
        folder: the key store, which paths are relative to and which has the public halves.

    Raises:
        UsageError: no such scheme, or a URI that says a secret.
    """
    scheme, _, rest = uri.partition(":")
    place, _, query = rest.partition("?")
    if scheme in ("file", "env"):
        options = dict(parse_qsl(query, keep_blank_values=True))
        passphrase = options.pop("passphrase", None)
        if options or not place:
            raise UsageError(f"signers: {name}: expected {scheme}:NAME or {scheme}:NAME?passphrase=VARIABLE")
        if scheme == "env":
            return EnvironmentKey(name, passphrase, place)
        return FileKey(name, passphrase, folder / Path(unquote(place)).expanduser())
    if scheme == "sigstore":
        raise UsageError(f"signers: {name}: only the builder signs keyless; TUF metadata is signed by keys")
    if scheme not in SCHEMES:
        raise UsageError(f"signers: {name}: scheme {scheme!r} is not known; there are: {', '.join(SCHEMES)}")
    if "pin-value" in uri:
        raise UsageError(f"signers: {name}: a secret has no place in a URI; use pin-source=env:VARIABLE")
    return DeviceKey(name, folder / f"{name}.pub", uri)


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


def _reach(key: DeviceKey) -> Signer:
    """The signer of a device or service."""
    from securesystemslib.exceptions import UnsupportedLibraryError

    scheme, _, rest = key.uri.partition(":")
    if scheme == "pkcs11":
        from release.signers_token import token_signer

        return token_signer(key.name, key.uri, key.public)
    extra, _ = REMOTE[scheme]
    variable = dict(parse_qsl(rest.partition("?")[2])).get("pin", "").removeprefix("env:")
    failures: tuple[type[Exception], ...] = (*_foreign(scheme), OSError, ValueError, KeyError)
    try:
        return Signer.from_priv_key_uri(
            key.uri, key.public, lambda _: from_environment(variable, f"key {key.name}: `pin=env:VARIABLE` in the URI")
        )
    except UnsupportedLibraryError as exc:
        raise MissingExtraError(
            f"key {key.name}: {scheme} needs another library; run `pip install 'securesystemslib[{extra}]'`"
        ) from exc
    except failures as exc:
        raise UsageError(f"key {key.name}: {scheme} does not know this key: {type(exc).__name__}: {exc}") from exc


def _foreign(scheme: str) -> tuple[type[Exception], ...]:
    """What the library of a scheme raises; it is there when the scheme works at all."""
    found = []
    for name in REMOTE.get(scheme, ("", ()))[1]:
        module, _, error = name.partition(":")
        try:
            found.append(getattr(import_module(module), error))
        except ImportError:
            continue
    return tuple(found)
