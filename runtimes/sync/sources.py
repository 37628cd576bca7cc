"""Where the published tree is read from: a web server, a folder or a USB stick.

A source is trusted with nothing. It gives bytes; who asked counts and verifies them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from fleet_manifests.errors import UnreachableError, UsageError
from runtimes.sync.seam import MissingError

if TYPE_CHECKING:
    import httpx

CHUNK = 256 * 1024
TIMEOUT = 30.0
"""Seconds to connect, and between two pieces of an answer."""
GRACE = 30.0
"""Seconds over which the rate is taken, again and again."""
SLOWEST = 1024
"""Bytes per second; a slower answer is given up."""


@dataclass(frozen=True)
class Stream:
    """An answer: where in the file it starts, and its bytes."""

    start: int
    chunks: Iterator[bytes]


class Source(Protocol):
    """What gives the files of a published tree."""

    @property
    def address(self) -> str:
        """What to call it in a message."""

    def open(self, path: str, offset: int = 0) -> AbstractContextManager[Stream]:
        """A file's bytes from `offset` on, or from 0 where the source cannot skip.

        Raises:
            MissingError: it has no such file.
            UnreachableError: it cannot be read; also raised by the chunks.
        """

    def close(self) -> None:
        """Let go of connections."""


def normal_address(source: str) -> str:
    """The form in which a source is stored: an http(s) URL or an absolute folder.

    Raises:
        UsageError: another scheme, or an address with a password, query or fragment.
    """
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        if "@" in parts.netloc or parts.query or parts.fragment or not parts.hostname:
            raise UsageError(
                f"{parts.scheme}://{parts.hostname or ''}: a plain address was expected, without user, query "
                "or fragment; credentials belong into ~/.netrc"
            )
        return source.rstrip("/")
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise UsageError(f"{source}: a file address has three slashes and no host")
        return str(Path(unquote(parts.path)).absolute())
    if "://" in source:
        raise UsageError(f"{source}: an http, https or file address or a folder was expected")
    return str(Path(source).expanduser().absolute())


def open_source(address: str) -> Source:
    """The source at a normal address."""
    return HttpSource(address) if address.startswith(("http://", "https://")) else FolderSource(Path(address))


class FolderSource:
    """A folder that holds a published tree."""

    def __init__(self, folder: Path) -> None:
        """Read below `folder`, which need not be there yet."""
        self._folder = folder

    @property
    def address(self) -> str:
        """The folder."""
        return str(self._folder)

    @contextlib.contextmanager
    def open(self, path: str, offset: int = 0) -> Iterator[Stream]:
        """See `Source.open`. Only regular files are read."""
        with self._file(path) as stream:
            with _reading(self.address):
                stream.seek(offset)
            yield Stream(offset, self._chunks(stream))

    def close(self) -> None:
        """Nothing is kept open."""

    def _file(self, path: str) -> io.FileIO:
        """Open one file without waiting on a pipe or a device."""
        with _reading(self.address):
            if not (self._folder / "metadata").is_dir():
                raise UnreachableError(
                    f"{self.address}: no published tree is there (a folder `metadata` was expected); "
                    "is the medium plugged in?"
                )
            try:
                handle = os.open(self._folder / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError) as exc:
                raise MissingError(f"{self.address} has no {path}; publish again or use a complete copy") from exc
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                os.close(handle)
                raise UnreachableError(f"{self.address}/{path}: a regular file was expected")
            return io.FileIO(handle, "rb")

    def _chunks(self, stream: io.FileIO) -> Iterator[bytes]:
        with _reading(self.address):
            while chunk := stream.read(CHUNK):
                yield chunk


class HttpSource:
    """A web server or bucket. Follows no redirect: only the enrolled address is ever asked."""

    def __init__(self, address: str, *, timeout: float = TIMEOUT, slowest: int = SLOWEST, grace: float = GRACE):
        """Ask `address`; give up after `timeout` seconds of silence, or below `slowest` bytes a second."""
        import httpx

        self._address = address
        self._slowest = slowest
        self._grace = grace
        self._client = httpx.Client(
            timeout=timeout,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "lading-site"},
        )

    @property
    def address(self) -> str:
        """The base address."""
        return self._address

    @contextlib.contextmanager
    def open(self, path: str, offset: int = 0) -> Iterator[Stream]:
        """See `Source.open`. Resumes with a `Range` request."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with (
            _asking(self._address),
            self._client.stream("GET", f"{self._address}/{path}", headers=headers) as response,
        ):
            start = self._start(response, path, offset)
            yield Stream(start, self._paced(response.iter_raw()))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

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
            raise MissingError(f"{self._address} has no {path} (HTTP {status}); check the address or publish again")
        if status == 206:
            raise UnreachableError(f"{self._address}/{path}: answered with a part that was not asked for")
        if response.is_redirect:
            target = response.headers.get("Location", "?")
            raise UnreachableError(f"{self._address}/{path}: sends on to {target}; enrol with the final address")
        raise UnreachableError(f"{self._address}/{path}: HTTP {status}; try again later")

    def _paced(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks, given up when they trickle, at the start or later."""
        begun, received = time.monotonic(), 0
        with _asking(self._address):
            for chunk in chunks:
                yield chunk
                received += len(chunk)
                elapsed = time.monotonic() - begun
                if elapsed < self._grace:
                    continue
                if received < elapsed * self._slowest:
                    raise UnreachableError(
                        f"{self._address}: {received} bytes in {elapsed:.1f} s, less than {self._slowest} a second"
                    )
                begun, received = time.monotonic(), 0


def _range_start(header: str) -> int | None:
    """The first byte that a `Content-Range` header names."""
    match = re.match(r"bytes (\d+)-", header)
    return int(match[1]) if match else None


@contextlib.contextmanager
def _reading(address: str) -> Iterator[None]:
    """Translate what the operating system raises about a folder source."""
    try:
        yield
    except OSError as exc:
        raise UnreachableError(f"{address}: cannot be read: {exc.strerror or exc}") from exc


@contextlib.contextmanager
def _asking(address: str) -> Iterator[None]:
    """Translate what httpx raises."""
    import httpx

    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise UnreachableError(f"{address}: {exc or type(exc).__name__}; the running version stays") from exc
