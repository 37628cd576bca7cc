"""The timestamp authority (RFC 3161)."""

from __future__ import annotations

import secrets

from asn1crypto import cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.sigstore_double.keys import authority, der, new_key, present, sha256, sign

POLICY = "1.3.6.1.4.1.57264.2"


class TimestampAuthority:
    """Says when it saw a digest. `broken`: answers nothing that anybody could use."""

    def __init__(self) -> None:
        root_key, self._key = new_key(), new_key()
        self.root = authority("tsa root", root_key, "tsa root", root_key, ca=True)
        self.certificate = authority(
            "tsa", self._key, "tsa root", root_key, ca=False, usage=[ExtendedKeyUsageOID.TIME_STAMPING], critical=True
        )
        self.broken = False

    def respond(self, raw: bytes) -> bytes:
        """The answer to a request, both DER.

        Raises:
            ValueError: it is broken, or this is no request.
        """
        if self.broken:
            raise ValueError("out of order")
        request = tsp.TimeStampReq.load(raw)
        certificate = asn1_x509.Certificate.load(der(self.certificate))
        moment = present()
        said = {
            "version": "v1",
            "policy": POLICY,
            "message_imprint": request["message_imprint"],
            "serial_number": secrets.randbits(63),
            "gen_time": moment,
            "accuracy": {"seconds": 1},
        }
        if request["nonce"].native is not None:
            said["nonce"] = request["nonce"].native
        content = tsp.TSTInfo(said).dump()
        issued_by = {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
        attributes = self._attributes(content, cms.Time({"utc_time": moment}))
        signer = {
            "version": "v1",
            "sid": cms.SignerIdentifier({"issuer_and_serial_number": issued_by}),
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature": sign(self._key, attributes.dump()),
        }
        enclosed = {"content_type": "tst_info", "content": core.ParsableOctetString(content)}
        signed = {
            "version": "v3",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": enclosed,
            "signer_infos": [cms.SignerInfo(signer)],
        }
        if request["cert_req"].native:
            signed["certificates"] = [certificate]
        token = {"content_type": "signed_data", "content": cms.SignedData(signed)}
        answer: bytes = tsp.TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": token}).dump()
        return answer

    def _attributes(self, content: bytes, moment: cms.Time) -> cms.CMSAttributes:
        """What is signed: the content's digest, the time, and whose certificate it is."""
        named = tsp.SigningCertificateV2({"certs": [{"cert_hash": sha256(der(self.certificate))}]})
        values = {
            "content_type": "tst_info",
            "signing_time": moment,
            "message_digest": sha256(content),
            "signing_certificate_v2": named,
        }
        return cms.CMSAttributes([cms.CMSAttribute({"type": kind, "values": [one]}) for kind, one in values.items()])
