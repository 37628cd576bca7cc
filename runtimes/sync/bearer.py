"""Tokens of a registry, as Docker's token specification and the distribution specification have them. Pure.

A registry answers 401 with a challenge that names a token service (`realm`) and what to ask it for. The token that the
service gives is shown to the registry until it ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from fleet_manifests.errors import IntegrityError, UnreachableError
from fleet_manifests.wire import Wire, parse
from runtimes.tokens import LOOPBACK

if TYPE_CHECKING:
    import httpx

SHORTEST = 60
"""Seconds that a token holds where its service does not say for how long."""
_PARAMETER = r'([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))'
_CHALLENGE = re.compile(rf"(?:^|,)\s*(Bearer|Basic)\s+({_PARAMETER}(?:\s*,\s*{_PARAMETER})*)", re.IGNORECASE)
_EACH = re.compile(_PARAMETER, re.IGNORECASE)
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~+/-]+=*$", max_length=32 * 1024)]


@dataclass(frozen=True)
class Challenge:
    """What a registry wants to be shown."""

    scheme: str
    """`bearer`, or `basic`: the password itself."""
    realm: str = ""
    service: str = ""
    scope: str = ""

    def question(self) -> list[tuple[str, str]]:
        """The query that a token service is asked with."""
        scopes = [("scope", one) for one in self.scope.split()]
        return [("service", self.service), *scopes] if self.service else scopes


class Answer(Wire):
    """What a token service says."""

    token: Token | None = None
    access_token: Token | None = None
    """The same by another name, which OAuth 2.0 has."""
    expires_in: Annotated[float, Field(ge=0)] = SHORTEST
    """Seconds for which it holds."""


def challenge_of(headers: Iterable[str]) -> Challenge | None:
    """What a registry's `WWW-Authenticate` headers ask for: a token rather than a password; None: neither."""
    found = {}
    for match in (match for header in headers for match in _CHALLENGE.finditer(header)):
        given = {
            name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in _EACH.findall(match[2])
        }
        known = {name: given.get(name, "") for name in ("realm", "service", "scope")}
        found[match[1].lower()] = Challenge(match[1].lower(), **known)
    return found.get("bearer", found.get("basic"))


def token_of(raw: bytes, limit: int, where: str) -> tuple[str, float]:
    """The token in a service's answer, and the seconds for which it holds.

    Raises:
        UnreachableError: it is none. What was answered is not said: it may be a secret.
    """
    try:
        answer = parse(Answer, raw, where=where, limit=limit)
    except IntegrityError:
        raise UnreachableError(
            f"{where}: a token was expected, a JSON document of at most {limit} bytes; found {len(raw)} bytes "
            "that are none; the running version stays"
        ) from None
    if (token := answer.token or answer.access_token) is None:
        raise UnreachableError(f"{where}: answered without a token; the running version stays")
    return token, answer.expires_in


def may_follow(target: httpx.URL, registry: httpx.URL) -> bool:
    """Whether what a registry names may be asked: https anywhere; http only from this machine to this machine."""
    if target.scheme == "https":
        return bool(target.host)
    return target.scheme == registry.scheme == "http" and {target.host, registry.host} <= LOOPBACK
