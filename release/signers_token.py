"""Keys in a PKCS#11 token (RFC 7512 URIs): smartcards, HSMs, SoftHSM.

    pkcs11:token=release;object=alice?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=env:ALICE_PIN

model_signing reads the URI, opens the token and finds the key (with PyKCS11); what it signs is
any payload, so that one key of a token signs TUF metadata, attestations and bundles alike.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import quote

from securesystemslib.signer import Signature, SSlibKey

from fleet_manifests import MissingExtraError, UsageError
from release.signers import from_environment

_PIN = re.compile(r"([?&])pin-source=env:([A-Za-z_][A-Za-z0-9_]*)")


class TokenSigner:
    """Signs with ECDSA on the token."""

    def __init__(self, opened: Any, public: SSlibKey) -> None:
        """Sign with an opened token.

        Args:
            opened: a `model_signing._signing.sign_pkcs11.Signer`.
            public: the public key that it must have.
        """
        self._opened, self._public = opened, public

    @property
    def public_key(self) -> SSlibKey:
        """The public key."""
        return self._public

    def sign(self, payload: bytes) -> Signature:
        """Sign the SHA-256 of a payload.

        Raises:
            ValueError: the token refuses.
        """
        import PyKCS11
        from asn1crypto.algos import DSASignature

        mechanism = PyKCS11.Mechanism(PyKCS11.CKM_ECDSA, None)
        digest = hashlib.sha256(payload).digest()
        try:
            plain = self._opened.session.sign(self._opened._private_key, digest, mecha=mechanism)
        except PyKCS11.PyKCS11Error as exc:
            raise ValueError(f"the token refuses: {exc}") from exc
        return Signature(self._public.keyid, DSASignature.from_p1363(bytes(plain)).dump().hex())


def token_signer(name: str, uri: str, public: SSlibKey) -> TokenSigner:
    """Open a token and find its key.

    Args:
        name: the key's name, for a message.
        uri: RFC 7512; the PIN is `pin-source=env:VARIABLE`.
        public: the public key that it must have.

    Raises:
        MissingExtraError: PyKCS11 is not installed.
        UsageError: no such module, token or key, a wrong PIN, or another key than expected.
    """
    try:
        import PyKCS11
        from model_signing._signing.sign_pkcs11 import Signer as Opened
    except ImportError as exc:
        raise MissingExtraError(f"key {name}: pkcs11 needs another library; run `pip install PyKCS11`") from exc
    found = _PIN.search(uri)
    pin = quote(from_environment(found[2], f"key {name}: PIN"), safe="") if found else ""
    try:
        try:
            opened = Opened(_PIN.sub(lambda match: f"{match[1]}pin-value={pin}", uri))
        except PyKCS11.PyKCS11Error as exc:
            if exc.value != PyKCS11.CKR_USER_ALREADY_LOGGED_IN:
                raise
            opened = Opened(_without_pin(uri))  # another key of this token did
    except (ValueError, OSError, LookupError, TypeError, PyKCS11.PyKCS11Error) as exc:
        said = str(exc).replace(pin, "***") if pin else str(exc)
        raise UsageError(f"key {name}: the token does not open, or has no such key: {said}") from None
    if SSlibKey.from_crypto(opened.public_key()).keyid != public.keyid:
        raise UsageError(f"key {name}: the token holds another key than {name}.pub says; correct the URI or the file")
    return TokenSigner(opened, public)


def _without_pin(uri: str) -> str:
    """The URI without its PIN."""
    place, _, query = uri.partition("?")
    kept = [one for one in query.split("&") if not one.startswith("pin-source=")]
    return f"{place}?{'&'.join(kept)}" if kept else place
