"""The OpenID Connect issuer: signs identity tokens, and checks them as Fulcio would."""

from __future__ import annotations

import time
from typing import Any

import jwt

from tests.sigstore_double.keys import new_key

AUDIENCE = "sigstore"


class Issuer:
    def __init__(self, url: str) -> None:
        self.url = url
        self._key = new_key()

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
