"""Writing the published tree: each file whole or not at all, and all of a publication or none.

A reader sees a publication at the moment in which `timestamp.json` is replaced. All that
is written before has a name of its own (a digest or a version number), so that a reader
of the old release is never disturbed. Until that moment everything can be undone.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fleet_manifests import Descriptor, IntegrityError, StorageError

STAGING = ".staging"
"""Folder of files that are being written. It is there only while someone publishes."""
_BLOCK = 1 << 20
_SYNCS = 16
_MANY = 64
"""From so many files on, one sync of the whole file system costs less than one for each."""


@contextmanager
def locked(public: Path) -> Iterator[None]:
    """Exclude other publishers of the same tree. The lock ends with the process that holds it.

    Raises:
        StorageError: another process is publishing, or the lock file cannot be written.
    """
    path = public.resolve().parent / f".{public.name}.lock"
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace") or "unknown"
            raise StorageError(f"{path}: held by process {holder}; wait until it has published") from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """The seam to the disk: an OSError becomes ours and names the file.

    Raises:
        StorageError: the disk is full, not writable or gone.
    """
    try:
        yield
    except OSError as exc:
        raise StorageError(f"{path}: cannot be written: {exc.strerror or exc}; mend the disk, then repeat") from exc


class Tree:
    """The files of one publication, in the order in which they are written."""

    def __init__(self, public: Path) -> None:
        """Begin a publication into a tree; what a killed publisher left half-copied is removed."""
        self.public = public
        self._staging = public / STAGING
        self._folders: set[Path] = set()
        self._undo: list[tuple[Path, bytes | None]] = []
        self._unsettled: set[Path] = set()
        with storage(public):
            for leftover in self._staging.glob("*"):
                leftover.unlink(missing_ok=True)
        self._clear()

    def blob(self, source: Path | bytes, blob: Descriptor) -> None:
        """Store a blob under its digest; one that is there and sound is kept.

        Raises:
            IntegrityError: the source is not what the descriptor says.
            StorageError: it cannot be written.
        """
        target = self.public / "blobs" / "sha256" / blob.digest.removeprefix("sha256:")
        with storage(target):
            if target.exists() and _digest(target) == (blob.digest, blob.size):
                return
        self._put(source, target, None, blob)

    def write(self, name: str, raw: bytes, *, shared: bool = False) -> None:
        """Write one file of the tree.

        Args:
            name: its path in the tree.
            raw: its content.
            shared: it replaces a file that the release before uses too; an abort puts that one back.

        Raises:
            StorageError: it cannot be written.
        """
        target = self.public / name
        with storage(target):
            try:
                previous = target.read_bytes()
            except FileNotFoundError:
                previous = None
        if previous == raw:
            return
        self._put(raw, target, previous if shared else None)

    def settle(self) -> None:
        """Make all that was written durable: contents, then names; side by side, as a disk groups its syncs.

        Raises:
            StorageError: the disk did not take something.
        """
        if len(self._unsettled) > _MANY:
            _sync_all(self.public)
        else:
            with ThreadPoolExecutor(_SYNCS) as pool:
                list(pool.map(sync, sorted(self._unsettled)))
                list(pool.map(sync, sorted({path.parent for path in self._unsettled})))
        self._unsettled.clear()
        self._clear()

    def undo(self) -> None:
        """Take back what was written, last first.

        A disk that fails here too ends it: what stays is unreferenced, since whatever refers
        to a file was written after it and is taken back before it.

        Raises:
            StorageError: something could not be taken back.
        """
        while self._undo:
            target, previous = self._undo[-1]
            with storage(target):
                self._unsettled.discard(target)
                if previous is None:
                    target.unlink(missing_ok=True)
                else:
                    temporary = self._temporary(target)
                    _copy(previous, temporary)
                    temporary.replace(target)
            self._undo.pop()
        self._clear()

    def _temporary(self, target: Path) -> Path:
        """A name on the target's disk that no reader asks for."""
        with storage(target):
            for folder in {target.parent, self._staging} - self._folders:
                folder.mkdir(parents=True, exist_ok=True)
                self._folders.add(folder)
        return self._staging / secrets.token_hex(8)

    def _clear(self) -> None:
        """Remove the folder of files that are being written, which is empty now."""
        self._folders.discard(self._staging)
        with suppress(OSError):
            self._staging.rmdir()

    def _put(
        self, source: Path | bytes, target: Path, previous: bytes | None, expected: Descriptor | None = None
    ) -> None:
        """Write a file beside, give it its name when it is whole, and remember how to take it back."""
        temporary = self._temporary(target)
        with ExitStack() as failing:
            failing.callback(temporary.unlink, missing_ok=True)
            with storage(target):
                digest, size = _copy(source, temporary)
            if expected is not None and (digest, size) != (expected.digest, expected.size):
                raise IntegrityError(f"blob {expected.digest} of {expected.size} bytes: found {digest} of {size} bytes")
            with storage(target):
                temporary.replace(target)
            failing.pop_all()
        self._undo.append((target, previous))
        self._unsettled.add(target)


def sync(path: Path) -> None:
    """Make a file's content, or a folder's names, durable."""
    with storage(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sync_all(path: Path) -> None:
    """Make everything durable that was written to the file system of a path (Linux reports what failed from 5.8 on)."""
    with storage(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(descriptor)


def _copy(source: Path | bytes, target: Path) -> tuple[str, int]:
    """Write a new file; returns the digest and size of what was written."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "wb") as out:
        if isinstance(source, bytes):
            out.write(source)
            found = "sha256:" + hashlib.sha256(source).hexdigest(), len(source)
        else:
            with source.open("rb") as stream:
                found = _pump(stream, out)
    return found


def _pump(stream: BinaryIO, out: BinaryIO) -> tuple[str, int]:
    """Copy a stream and hash it on the way."""
    digest, size = hashlib.sha256(), 0
    while block := stream.read(_BLOCK):
        digest.update(block)
        size += len(block)
        out.write(block)
    return f"sha256:{digest.hexdigest()}", size


def _digest(path: Path) -> tuple[str, int]:
    """Digest and size of a file."""
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size
