"""The whole instance: one loopback server, and the documents that say whom to trust and where to sign."""

from __future__ import annotations

import base64
import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import jwt
from cryptography import x509

from tests.sigstore_double.fulcio import Authority, CertificateLog
from tests.sigstore_double.keys import Key, b64, der, present, sha256, spki
from tests.sigstore_double.oidc import Issuer
from tests.sigstore_double.rekor import TransparencyLog
from tests.sigstore_double.tsa import TimestampAuthority

JSON = "application/json"


class SigstoreDouble:
    """A Sigstore instance.

    Args:
        rekor: which API of the log clients use, 1 or 2.
    """

    def __init__(self, rekor: int = 2) -> None:
        self._server = _server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.rekor = rekor
        self.oidc = Issuer(self.url)
        self.certificate_log = CertificateLog()
        self.fulcio = Authority(self.oidc, self.certificate_log)
        self.log = TransparencyLog(self.url.removeprefix("http://"))
        self.tsa = TimestampAuthority()

    def __enter__(self) -> SigstoreDouble:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, raw: bytes, authorization: str) -> tuple[str, bytes]:
        """The content type and body of a POST.

        Raises:
            jwt.PyJWTError, ValueError, KeyError: it is refused.
        """
        if path == "/api/v2/signingCert":
            request = base64.b64decode(json.loads(raw)["certificateSigningRequest"])
            chain = self.fulcio.issue(request, authorization.removeprefix("Bearer "))
            return JSON, json.dumps({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}).encode()
        if path == "/token":
            return JSON, json.dumps(self.oidc.redeem(raw)).encode()
        if path == "/api/v1/log/entries":
            return JSON, json.dumps(self.log.v1(json.loads(raw))).encode()
        if path == "/api/v2/log/entries":
            return JSON, json.dumps(self.log.v2(json.loads(raw))).encode()
        if path == "/api/v1/timestamp":
            return "application/timestamp-reply", self.tsa.respond(raw)
        raise ValueError(f"there is no {path}")

    def trusted_root(self) -> dict[str, Any]:
        """What verifies signatures of this instance."""
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self._log(self.log.key)],
            "ctlogs": [self._log(self.certificate_log.key)],
            "certificateAuthorities": [self._authority(self.fulcio.intermediate, self.fulcio.root)],
            "timestampAuthorities": [self._authority(self.tsa.certificate, self.tsa.root)],
        }

    def client_config(self) -> dict[str, Any]:
        """What signs with this instance."""
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": self.trusted_root(),
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": [self._service(self.url)],
                "oidcUrls": [self._service(self.url)],
                "rekorTlogUrls": [self._service(self.url, self.rekor)],
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaUrls": [self._service(f"{self.url}/api/v1/timestamp")],
                "tsaConfig": {"selector": "ANY"},
            },
        }

    def _service(self, url: str, version: int = 1) -> dict[str, Any]:
        return {"url": url, "majorApiVersion": version, "validFor": _since(), "operator": "sigstore double"}

    def _log(self, key: Key) -> dict[str, Any]:
        public = {"rawBytes": b64(spki(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": _since()}
        log_id = {"keyId": b64(sha256(spki(key)))}
        return {"baseUrl": self.url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": log_id}

    def _authority(self, *chain: x509.Certificate) -> dict[str, Any]:
        return {
            "subject": {"organization": "sigstore double", "commonName": "double"},
            "uri": self.url,
            "certChain": {"certificates": [{"rawBytes": b64(der(one))} for one in chain]},
            "validFor": _since(),
        }


def _since() -> dict[str, str]:
    return {"start": (present() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _server(double: SigstoreDouble) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/auth":
                self.send_response(302)
                self.send_header("Location", double.oidc.authorize(query))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            known = path == "/.well-known/openid-configuration"
            endpoints = {"issuer": "", "authorization_endpoint": "/auth", "token_endpoint": "/token"}
            said = {name: double.url + place for name, place in endpoints.items()} if known else {}
            self._reply(200 if known else 404, JSON, json.dumps(said).encode())

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                kind, body = double.answer(self.path, raw, self.headers.get("Authorization", ""))
            except (jwt.PyJWTError, ValueError, KeyError) as exc:
                self._reply(400, JSON, json.dumps({"code": 3, "message": f"{type(exc).__name__}: {exc}"}).encode())
            else:
                self._reply(201, kind, body)

        def _reply(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)
