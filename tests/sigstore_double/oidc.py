"""The OpenID Connect issuer: logs people in, signs identity tokens, and checks them as Fulcio would."""

from __future__ import annotations

import base64
import secrets
import time
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jwt

from tests.sigstore_double.keys import new_key, sha256

AUDIENCE = "sigstore"


class Issuer:
    def __init__(self, url: str) -> None:
        self.url = url
        self.login: str | None = None
        """Who is logged in in the browser; None: whoever asks is turned away."""
        self.logins = 0
        self._key = new_key()
        self._codes: dict[str, dict[str, str]] = {}

    def token(self, subject: str, *, lifetime: int = 300, audience: str = AUDIENCE, issuer: str | None = None) -> str:
        """An identity token.

        Args:
            subject: whom it names: a mail address, or the URI of a CI workflow.
            lifetime: in seconds; negative: it has expired.
            audience: whom it is for.
            issuer: who is said to have made it, where that is not us.
        """
        moment = int(time.time())
        claims = {
            "iss": issuer or self.url,
            "sub": subject,
            "aud": audience,
            "iat": moment,
            "nbf": moment - 5,
            "exp": moment + lifetime,
        }
        return jwt.encode(claims, self._key, "ES256")

    def check(self, token: str) -> dict[str, Any]:
        """The claims of a token that we made.

        Raises:
            jwt.PyJWTError: another key, audience or issuer, or expired.
        """
        claims: dict[str, Any] = jwt.decode(
            token, self._key.public_key(), ["ES256"], audience=AUDIENCE, issuer=self.url
        )
        return claims

    def authorize(self, query: str) -> str:
        """Where a browser that asks for authorization is sent on to: with a code for who is logged in.

        Raises:
            ValueError: not a request for a code with a proof of who redeems it (RFC 7636).
        """
        asked = dict(parse_qsl(query))
        if (asked["response_type"], asked["client_id"], asked["code_challenge_method"]) != ("code", AUDIENCE, "S256"):
            raise ValueError(f"a code for {AUDIENCE} was expected")
        answer = {"state": asked["state"]}
        if self.login is None:
            answer["error"] = "access_denied"
        else:
            code = answer["code"] = secrets.token_urlsafe()
            self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode(answer)}"

    def redeem(self, form: bytes) -> dict[str, str]:
        """The answer to who brings a code: an identity token, once.

        Raises:
            KeyError, ValueError: no such code, or another asked for it.
        """
        brought = dict(parse_qsl(form.decode()))
        asked = self._codes.pop(brought["code"])
        proof = base64.urlsafe_b64encode(sha256(brought["code_verifier"].encode())).rstrip(b"=").decode()
        if (proof, brought["redirect_uri"]) != (asked["code_challenge"], asked["redirect_uri"]) or self.login is None:
            raise ValueError("another asked for this code")
        self.logins += 1
        return {"access_token": self.token(self.login), "token_type": "Bearer"}
