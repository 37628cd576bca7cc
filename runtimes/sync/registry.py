"""Blobs from an OCI registry (distribution specification 1.1). Signed metadata never comes from there.

A registry may want a token (`runtimes.sync.bearer`), and may send on to where it stores its blobs. Neither is trusted:
who asked hashes every byte.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fleet_manifests.bundle import MANIFEST_TYPE
from fleet_manifests.errors import UnreachableError
from runtimes.sync.bearer import Challenge, challenge_of, may_follow, token_of
from runtimes.sync.seam import MissingError
from runtimes.sync.sources import REGISTRY, Stream
from runtimes.sync.web import SMALL, HttpSource, Pace, host_of, of_netrc

if TYPE_CHECKING:
    import httpx

BLOBS = "blobs/sha256/"
REDIRECTS = 4
"""Times that one request is sent on."""


class RegistrySource(HttpSource):
    """One repository of a registry, asked for blobs by digest.

    It is a mirror: what it lacks, or gives otherwise than signed, is asked of the site's source.
    The password that ~/.netrc has for the registry's host goes to the registry, where it asks for one, and to the token
    service that it names; never to where it sends on.
    """

    def __init__(
        self,
        address: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Ask `oci+http(s)://host/repository`.

        Args:
            address: the repository.
            clock: seconds, for the term of a token.
            transport: what carries requests; None: the network.

        Raises:
            UsageError: ~/.netrc cannot be used.
        """
        import httpx

        parts = urlsplit(address.removeprefix(REGISTRY))
        base = f"{parts.scheme}://{parts.netloc}/v2{parts.path}"
        super().__init__(
            base,
            headers={"Accept": f"{MANIFEST_TYPE}, application/octet-stream"},
            auth=httpx.Auth(),
            name=address,
            transport=transport,
        )
        self._registry = httpx.URL(base)
        self._password = _password(self._registry)
        self._clock = clock
        self._authorization: str | None = None
        self._until = 0.0

    @contextlib.contextmanager
    def open(self, path: str, offset: int = 0) -> Iterator[Stream]:
        """See `Source.open`. To a registry the manifest of a bundle is no blob: it is asked for in its own place."""
        if not path.startswith(BLOBS):
            raise MissingError(f"{self.address} gives blobs only, not {path}")
        digest = f"sha256:{path.removeprefix(BLOBS)}"
        with contextlib.ExitStack() as stack:
            try:
                stream = stack.enter_context(super().open(f"blobs/{digest}", offset))
            except MissingError:
                stream = stack.enter_context(super().open(f"manifests/{digest}", offset))
            yield stream

    def _answer(self, request: httpx.Request, pace: Pace) -> httpx.Response:
        """The registry's answer, or that of where it sends on to.

        Raises:
            UnreachableError: it refuses, asks for what this site has not, or sends on to where no site goes.
        """
        response = self._allowed(request, pace)
        for _ in range(REDIRECTS):
            if (onward := response.next_request) is None:
                return response
            self._small(response, pace)
            self._require_allowed(onward.url, "sends on to")
            response = self._send(onward, pace)  # httpx has taken the authorization away where the host is another
        if response.next_request is None:
            return response
        response.close()
        raise UnreachableError(f"{self.address}: sent on more than {REDIRECTS} times; tell who runs the registry")

    def _allowed(self, request: httpx.Request, pace: Pace) -> httpx.Response:
        """The registry's own answer; where it asks for authorization, the one after it was shown some, once."""
        if self._authorization is not None and self._clock() < self._until:
            request.headers["Authorization"] = self._authorization
        response = self._send(request, pace)
        if response.status_code == 401:
            self._small(response, pace)
            asked = challenge_of(response.headers.get_list("WWW-Authenticate"))
            request.headers["Authorization"] = self._authorization = self._authorized(asked, pace)
            response = self._send(request, pace)
        if response.status_code in (401, 403):
            response.close()
            self._authorization = None
            raise UnreachableError(
                f"{self.address}: this site may not read there (HTTP {response.status_code}); the registry's password "
                f"belongs into ~/.netrc: machine {self._registry.host}"
            )
        return response

    def _authorized(self, asked: Challenge | None, pace: Pace) -> str:
        """What a registry is to be shown.

        Raises:
            UnreachableError: there is none.
        """
        if asked is not None and asked.scheme == "bearer":
            began = self._clock()
            token, seconds = self._token(asked, pace)
            self._until = began + seconds
            return f"Bearer {token}"
        if asked is None or self._password is None:
            raise UnreachableError(
                f"{self.address}: asks for a password (HTTP 401); put one into ~/.netrc: machine {self._registry.host}"
            )
        self._until = float("inf")
        return self._password

    def _token(self, asked: Challenge, pace: Pace) -> tuple[str, float]:
        """Ask the token service that the registry names; its answer is sent on by nobody.

        Raises:
            UnreachableError: it may not be asked, or gives none.
        """
        import httpx

        realm = httpx.URL(asked.realm)
        self._require_allowed(realm, "names as its token service")
        request = self._client.build_request(
            "GET",
            realm.copy_merge_params(tuple(asked.question())),
            headers={"Accept": "application/json"} | ({"Authorization": self._password} if self._password else {}),
            extensions={"trace": pace.trace},
        )
        where = f"{self.address}: its token service {host_of(realm)}"
        response = self._send(request, pace)
        raw = self._small(response, pace)
        if response.status_code != 200:
            raise UnreachableError(
                f"{where}: HTTP {response.status_code} where a token was expected; the registry's password belongs "
                f"into ~/.netrc: machine {self._registry.host}"
            )
        return token_of(raw, SMALL, where)

    def _require_allowed(self, url: httpx.URL, what: str) -> None:
        """Refuse to ask something else than https, or than this machine where the registry is there too."""
        if not may_follow(url, self._registry):
            raise UnreachableError(f"{self.address}: {what} {host_of(url)}, which no site asks; https was expected")


def _password(registry: httpx.URL) -> str | None:
    """The header with what ~/.netrc has for the registry's host."""
    import httpx

    if (netrc := of_netrc()) is None:
        return None
    shown = next(netrc.sync_auth_flow(httpx.Request("GET", registry)))
    return str(shown.headers["Authorization"]) if "Authorization" in shown.headers else None
