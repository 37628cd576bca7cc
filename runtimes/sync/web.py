"""A source on the web. It may say nothing, too little, too much or for ever; it does not hold up a site."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fleet_manifests.errors import UnreachableError, UsageError
from runtimes.sync.seam import MissingError
from runtimes.sync.sources import Stream

if TYPE_CHECKING:
    import httpx

TIMEOUT = 30.0
"""Seconds to connect, and between two pieces of an answer."""
GRACE = 30.0
"""Seconds over which the rate is taken, again and again."""
SLOWEST = 1024
"""Bytes per second; a slower answer is given up."""


SMALL = 64 * 1024
"""Bytes of an answer that is not the file itself, above which it is not read on."""


class HttpSource:
    """A web server. Follows no redirect: only the enrolled address is ever asked."""

    def __init__(
        self,
        address: str,
        *,
        timeout: float = TIMEOUT,
        slowest: int = SLOWEST,
        grace: float = GRACE,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | None = None,
        name: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ):
        """Ask `address`.

        Args:
            address: the base address.
            timeout: seconds of silence after which it is given up.
            slowest: bytes a second below which it is given up.
            grace: seconds over which the rate is taken.
            headers: sent with every request besides our own.
            auth: signs every request; None: the user and password that ~/.netrc has for the host, if any.
            name: what to call it in a message; None: the address.
            transport: what carries requests; None: the network.

        Raises:
            UsageError: ~/.netrc cannot be used.
        """
        import httpx

        self._base = address
        self._name = name or address
        self._lines: defaultdict[str, _Line] = defaultdict(_Line)
        self._slowest = slowest
        self._grace = grace
        self._client = httpx.Client(
            auth=auth or of_netrc(),
            timeout=timeout,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "lading-site", **(headers or {})},
            transport=transport,
        )

    @property
    def address(self) -> str:
        """The base address."""
        return self._name

    @contextlib.contextmanager
    def open(self, path: str, offset: int = 0) -> Iterator[Stream]:
        """See `Source.open`. Resumes with a `Range` request."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with Pace(self._slowest, self._grace) as pace, _asking(self._name, pace):
            request = self._client.build_request(
                "GET", f"{self._base}/{path}", headers=headers, extensions={"trace": pace.trace}
            )
            with contextlib.closing(self._answer(request, pace)) as response:
                start = self._start(response, path, offset)
                yield Stream(start, self._chunks(response, pace))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _answer(self, request: httpx.Request, pace: Pace) -> httpx.Response:
        """The answer to one request for a file, whose body is not read yet."""
        return self._send(request, pace)

    def _send(self, request: httpx.Request, pace: Pace) -> httpx.Response:
        """Send one request, over a line that is watched."""
        pace.watch(self._lines[host_of(request.url)])
        return self._client.send(request, stream=True)

    def _start(self, response: httpx.Response, path: str, offset: int) -> int:
        """Where the answer starts.

        Raises:
            MissingError: 403, 404 or 410.
            UnreachableError: any other answer than the file.
        """
        status = response.status_code
        if status == 200:
            return 0
        if status == 206 and _range_start(response.headers.get("Content-Range", "")) == offset:
            return offset
        if status in (403, 404, 410):
            raise MissingError(f"{self._name} has no {path} (HTTP {status}); check the address or publish again")
        if status == 206:
            raise UnreachableError(f"{self._name}/{path}: answered with a part that was not asked for")
        if response.next_request is not None:
            target = host_of(response.next_request.url)
            raise UnreachableError(f"{self._name}/{path}: sends on to {target}; enrol with the final address")
        raise UnreachableError(f"{self._name}/{path}: HTTP {status}; try again later")

    def _chunks(self, response: httpx.Response, pace: Pace) -> Iterator[bytes]:
        """The chunks as they come over the line, counted."""
        with _asking(self._name, pace):
            for chunk in response.iter_raw():
                pace.received += len(chunk)
                yield chunk
            pace.check(self._name)

    def _small(self, response: httpx.Response, pace: Pace) -> bytes:
        """The body of an answer that is not the file, read to `SMALL` bytes and a chunk; closes the answer."""
        raw = bytearray()
        with contextlib.closing(response):
            for chunk in self._chunks(response, pace):
                raw += chunk
                if len(raw) > SMALL:
                    break
        return bytes(raw)


class _Line:
    """The connection to a host that was opened last, which is the one in use: requests are made one after the other."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None

    def cut(self) -> None:
        """End it for both sides; a read that waits on it returns."""
        if self.socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


class Pace:
    """Cuts the line where less than `slowest` bytes a second of an answer have come, `grace` seconds long.

    A read that waits for a whole head counts nothing itself: a byte now and then would keep it waiting for days.
    """

    def __init__(self, slowest: int, grace: float) -> None:
        self.received = 0
        self._line, self._slowest, self._grace = _Line(), slowest, grace
        self._connected = False
        self._broken: str | None = None
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="pace", daemon=True)

    def __enter__(self) -> Pace:
        self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._watcher.join()

    def watch(self, line: _Line) -> None:
        """Watch the line to the host that is asked now."""
        self._line = line

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """What httpcore tells of a request: among others the connections that it opens."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._line.socket = info["return_value"].get_extra_info("socket")
            self._connected = True

    def check(self, address: str) -> None:
        """Refuse what ended because the line was cut here.

        Raises:
            UnreachableError: it was.
        """
        if self._broken is not None:
            raise UnreachableError(f"{address}: {self._broken}")

    def _watch(self) -> None:
        """Look at what has come, again and again; the time in which the line was made does not count."""
        before, begun = 0, time.monotonic()
        while not self._done.wait(self._grace):
            if self._connected:
                self._connected = False
            elif self._line.socket is not None and self.received - before < self._grace * self._slowest:
                gained, elapsed = self.received - before, time.monotonic() - begun
                self._broken = f"{gained} bytes in {elapsed:.1f} s, less than {self._slowest} a second"
                self._line.cut()
                return
            before, begun = self.received, time.monotonic()


def of_netrc() -> httpx.Auth | None:
    """The passwords of ~/.netrc, where there is one. What is wrong with it is said without a word of it."""
    import netrc

    import httpx

    try:
        return httpx.NetRCAuth()
    except FileNotFoundError:
        return None
    except (netrc.NetrcParseError, OSError):
        raise UsageError("~/.netrc: cannot be read as a netrc file for its owner alone; mend or remove it") from None


def host_of(url: httpx.URL) -> str:
    """What a message says of an address that somebody else gave; the rest of a signed address is a secret."""
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"


def _range_start(header: str) -> int | None:
    """The first byte that a `Content-Range` header names."""
    match = re.match(r"bytes (\d+)-", header)
    return int(match[1]) if match else None


@contextlib.contextmanager
def _asking(address: str, pace: Pace) -> Iterator[None]:
    """Translate what httpx raises."""
    import httpx

    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        pace.check(address)
        raise UnreachableError(f"{address}: {exc or type(exc).__name__}; the running version stays") from exc
