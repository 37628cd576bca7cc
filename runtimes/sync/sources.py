"""Where the published tree is read from: a web server, a bucket, a folder or a USB stick; blobs also from a registry.

A source is trusted with nothing. It gives bytes; who asked counts and verifies them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from fleet_manifests.errors import UnreachableError, UsageError
from runtimes.sync.seam import MissingError

CHUNK = 256 * 1024
BUCKET = "s3://"
REGISTRY = "oci+"
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=-]+)*")
_REPOSITORY = re.compile(r"/[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


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
    """The form in which a source is stored: an http(s) URL, `s3://bucket/prefix` or an absolute folder.

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
    if parts.scheme == "s3":
        if not _BUCKET.fullmatch(source.rstrip("/")):
            raise UsageError(f"s3://{parts.hostname or ''}: s3://BUCKET or s3://BUCKET/PREFIX was expected")
        return source.rstrip("/")
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise UsageError(f"{source}: a file address has three slashes and no host")
        return str(Path(unquote(parts.path)).absolute())
    if "://" in source:
        raise UsageError(f"{source}: an http, https, s3 or file address or a folder was expected")
    return str(Path(source).expanduser().absolute())


def normal_blobs_address(source: str) -> str:
    """The same for what gives blobs alone, which may also be a registry: `oci+https://host/repository`.

    Raises:
        UsageError: as `normal_address`, or the name of the repository is none.
    """
    if not source.startswith(REGISTRY):
        return normal_address(source)
    web = source.removeprefix(REGISTRY)
    if not web.startswith(("http://", "https://")) or not _REPOSITORY.fullmatch(urlsplit(web).path):
        raise UsageError(f"{source}: oci+https://HOST/REPOSITORY was expected, with a name of small letters")
    return f"{REGISTRY}{normal_address(web)}"


def open_source(address: str) -> Source:
    """The source at a normal address. What it needs is imported here.

    Raises:
        MissingExtraError: a bucket, without what signs its requests.
        UsageError: a bucket, without credentials on this machine.
    """
    if address.startswith(("http://", "https://")):
        from runtimes.sync.web import HttpSource

        return HttpSource(address)
    if address.startswith(BUCKET):
        from runtimes.sync.bucket import bucket_source

        return bucket_source(address)
    if address.startswith(REGISTRY):
        from runtimes.sync.registry import RegistrySource

        return RegistrySource(address)
    return FolderSource(Path(address))


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
            if not ((self._folder / "metadata").is_dir() or (self._folder / "oci-layout").is_file()):
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


@contextlib.contextmanager
def _reading(address: str) -> Iterator[None]:
    """Translate what the operating system raises about a folder source."""
    try:
        yield
    except OSError as exc:
        raise UnreachableError(f"{address}: cannot be read: {exc.strerror or exc}") from exc
