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

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from securesystemslib.signer import Signature, Signer, SSlibKey

from fleet_manifests import MissingExtraError, UnreachableError, UsageError
from release.signers import EnvironmentKey, FileKey, PublicKey, SigningKey, from_environment

REMOTE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "awskms": ("awskms", ("botocore.exceptions:BotoCoreError", "botocore.exceptions:ClientError")),
    "azurekms": ("azurekms", ("azure.core.exceptions:AzureError",)),
    "gcpkms": ("gcpkms", ("google.api_core.exceptions:GoogleAPIError", "google.auth.exceptions:GoogleAuthError")),
    "hsm": ("hsm", ("pkcs11.exceptions:PKCS11Error",)),
    "hv": ("vault", ("hvac.exceptions:VaultError",)),
}
"""Schemes of securesystemslib: the extra that brings each, and what its library raises."""
logging.getLogger("securesystemslib").handlers = [logging.NullHandler()]
"""It prints what it raises; its errors come as ours, once. Who configures logging still has its records."""
SCHEMES = ("file", "env", "pkcs11", *sorted(REMOTE))


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
