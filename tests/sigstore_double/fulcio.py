"""The certificate authority, and the log that its certificates carry a promise of (RFC 6962)."""

from __future__ import annotations

import struct
import time
from datetime import timedelta

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from tests.sigstore_double.keys import Key, authority, key_usage, new_key, present, sha256, sign, spki
from tests.sigstore_double.oidc import Issuer

ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
ISSUER_DER = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
PROMISES = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


class CertificateLog:
    """Signs timestamps for certificates that are about to be issued (RFC 6962, section 3.2)."""

    def __init__(self) -> None:
        self.key = new_key()

    def promise(self, tbs: bytes, issuer: Key) -> bytes:
        """The list of signed certificate timestamps, of one, for a certificate without that list."""
        moment = int(time.time() * 1000)
        length = struct.pack("!I", len(tbs))[1:]
        entry = struct.pack("!BBQH", 0, 0, moment, 1) + sha256(spki(issuer)) + length + tbs + b"\0\0"
        signature = sign(self.key, entry)
        log_id = sha256(spki(self.key))
        found = b"\0" + log_id + struct.pack("!QH", moment, 0) + b"\x04\x03" + struct.pack("!H", len(signature))
        found += signature
        return struct.pack("!HH", len(found) + 2, len(found)) + found


class Authority:
    """Issues a certificate of a few minutes to whoever proves an identity and the possession of a key."""

    def __init__(self, issuer: Issuer, log: CertificateLog) -> None:
        self._issuer, self._log = issuer, log
        self._root_key, self._key = new_key(), new_key()
        self.root = authority("root", self._root_key, "root", self._root_key, ca=True)
        self.intermediate = authority(
            "intermediate", self._key, "root", self._root_key, ca=True, usage=[ExtendedKeyUsageOID.CODE_SIGNING]
        )

    def issue(self, request: bytes, token: str) -> list[str]:
        """The chain of a new certificate, PEM.

        Raises:
            jwt.PyJWTError: the token is none of our issuer's.
            ValueError: the request is not signed with its own key.
        """
        claims = self._issuer.check(token)
        wanted = x509.load_pem_x509_csr(request)
        if not wanted.is_signature_valid:
            raise ValueError("the request is not signed with its own key")
        draft = self._draft(wanted, claims["sub"], claims["iss"])
        tbs = draft.sign(self._key, hashes.SHA256()).tbs_certificate_bytes
        promises = core.OctetString(self._log.promise(tbs, self._key)).dump()
        final = draft.add_extension(x509.UnrecognizedExtension(PROMISES, promises), critical=False)
        chain = [final.sign(self._key, hashes.SHA256()), self.intermediate, self.root]
        return [one.public_bytes(serialization.Encoding.PEM).decode() for one in chain]

    def _draft(self, wanted: x509.CertificateSigningRequest, subject: str, issuer: str) -> x509.CertificateBuilder:
        """The certificate without the log's promise."""
        mail = "@" in subject and "://" not in subject
        name = x509.RFC822Name(subject) if mail else x509.UniformResourceIdentifier(subject)
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (key_usage(signs=True), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
            (x509.SubjectKeyIdentifier.from_public_key(wanted.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
            (x509.SubjectAlternativeName([name]), True),
            (x509.UnrecognizedExtension(ISSUER, issuer.encode()), False),
            (x509.UnrecognizedExtension(ISSUER_DER, core.UTF8String(issuer).dump()), False),
        ]
        start = present()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.intermediate.subject)
            .public_key(wanted.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(minutes=10))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder
