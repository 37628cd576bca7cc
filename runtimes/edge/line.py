"""The line to the centre: one small HTTP client that trusts nothing it reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

from fleet_manifests import Digest, IntegrityError, RefusedError, UnreachableError, Wire, digest_of, dump, parse
from fleet_manifests.dsse import ENVELOPE_TYPE
from runtimes.deferrals import MAX_BYTES, CentralAnswer, Deferral
from runtimes.problems import ForbiddenError, UnauthorizedError
from runtimes.tokens import LOOPBACK

if TYPE_CHECKING:
    import httpx

_TEMPORARY = frozenset({408, 425, 429})


class _Kept(Wire):
    """What the centre says of a receipt that it has."""

    receipt: Digest


class Line(Protocol):
    """What the site needs of the centre."""

    def send(self, deferral: Deferral, *, seconds: float) -> CentralAnswer:
        """Deliver a deferral; sending it again is harmless."""
        ...

    def answer(self, site: str, request_id: str, *, seconds: float) -> CentralAnswer:
        """Ask what became of a deferral that the centre has."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class HttpLine:
    """The line over HTTP.

    Args:
        url: base URL of the centre; `https`, or `http` to this very machine.
        token: the site's bearer token.

    Raises:
        RefusedError: the token would travel readable by others.
    """

    def __init__(self, url: str, token: str) -> None:
        """Check the address; nothing is sent yet."""
        parts = urlsplit(url)
        local = parts.hostname in LOOPBACK
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            raise RefusedError(
                f"central: https is expected, found {parts.scheme or 'no scheme'}; a token is not sent in clear text"
            )
        self._url = url.rstrip("/")
        self._token = token
        self._client = _client(trust_env=not local)

    def send(self, deferral: Deferral, *, seconds: float) -> CentralAnswer:
        """Deliver a deferral and read what the centre makes of it.

        Raises:
            UnreachableError: no valid answer within the time; try again later.
            UnauthorizedError, ForbiddenError: the token is not accepted.
            RefusedError: the centre will never take this deferral.
        """
        return self._call("POST", "/v1/deferrals", deferral.site, deferral.id, seconds, dump(deferral))

    def answer(self, site: str, request_id: str, *, seconds: float) -> CentralAnswer:
        """Ask what became of a deferral. Raises as `send`."""
        return self._call("GET", f"/v1/answers/{quote(site)}/{quote(request_id)}", site, request_id, seconds)

    def submit(self, receipt: bytes, *, seconds: float) -> None:
        """Hand in a receipt; handing it in again is harmless.

        Raises:
            UnreachableError: the centre did not say within the time that it has it; try again later.
            UnauthorizedError, ForbiddenError: the token is not accepted.
            RefusedError: the centre will never take it.
        """
        status, raw = self._exchange("POST", "/v1/receipts", seconds, receipt, ENVELOPE_TYPE)
        if status != 200:
            raise _error(status, raw)
        try:
            kept = parse(_Kept, raw, where="central's answer").receipt
        except IntegrityError as exc:
            raise UnreachableError(f"central: {exc}") from exc
        if kept != digest_of(receipt):
            raise UnreachableError(f"central: was given receipt {digest_of(receipt)}, says that it has {kept}")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(
        self, method: str, path: str, site: str, request_id: str, seconds: float, body: bytes | None = None
    ) -> CentralAnswer:
        """One request; the answer must be about the very deferral that was sent."""
        status, raw = self._exchange(method, path, seconds, body)
        if status != 200:
            raise _error(status, raw)
        try:
            answer = parse(CentralAnswer, raw, where="central's answer")
        except IntegrityError as exc:
            raise UnreachableError(f"central: {exc}") from exc
        if (answer.site, answer.id) != (site, request_id):
            raise UnreachableError(
                f"central: asked about {site}/{request_id}, answered about {answer.site}/{answer.id}"
            )
        return answer

    def _exchange(
        self, method: str, path: str, seconds: float, body: bytes | None, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """Status and body, read within a time and a size: the seam where httpx's errors become ours."""
        import httpx

        deadline = time.monotonic() + seconds
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        raw = bytearray()
        try:
            with self._client.stream(
                method, self._url + path, content=body, headers=headers, timeout=seconds
            ) as response:
                for chunk in response.iter_raw():
                    raw += chunk
                    if len(raw) > MAX_BYTES or time.monotonic() > deadline:
                        raise UnreachableError("central: the answer is endless or too slow")
                return response.status_code, bytes(raw)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise UnreachableError(f"central: {type(exc).__name__}: {exc}") from exc


class Breaker:
    """Remembers that the line is down, so that not every user waits to learn it again.

    Args:
        pause: seconds to leave the line alone after a failure.
        clock: seconds that only rise.
    """

    def __init__(self, pause: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        """The line counts as up."""
        self._pause, self._clock = pause, clock
        self._until = float("-inf")
        self.problem: str | None = None

    @property
    def closed(self) -> bool:
        """Whether the line may be tried."""
        return self._clock() >= self._until

    def failed(self, problem: str) -> None:
        """Note a failure."""
        self.problem, self._until = problem, self._clock() + self._pause

    def worked(self) -> None:
        """Note that the line is up."""
        self.problem, self._until = None, float("-inf")


def _client(*, trust_env: bool) -> httpx.Client:
    """An HTTP client that follows no redirect; httpx is imported when a line is first needed."""
    import httpx

    return httpx.Client(trust_env=trust_env, follow_redirects=False)


def _error(status: int, raw: bytes) -> Exception:
    """Our error for a status that is not 200: try later, token not accepted, or never."""
    said = f"central: status {status}: {raw[:300].decode('utf-8', 'replace')}"
    if status == 401:
        return UnauthorizedError(f"{said}; ask the centre for a new token of this site")
    if status == 403:
        return ForbiddenError(f"{said}; ask the centre for a token of this site")
    permanent = 400 <= status < 500 and status not in _TEMPORARY
    return RefusedError(said) if permanent else UnreachableError(said)
