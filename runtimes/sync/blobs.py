"""Content-addressed blobs of a site: fetched in pieces, resumed, hashed byte by byte."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from fleet_manifests.bundle import Descriptor
from fleet_manifests.errors import IntegrityError, StorageError, UnreachableError
from fleet_manifests.wire import digest_of, sha256_of
from runtimes.sync.files import sync_folder, write_file
from runtimes.sync.seam import MissingError
from runtimes.sync.sources import Source

PART = ".part"
ATTEMPTS = 4
"""Answers in a row that bring less than `PROGRESS` bytes before a fetch is given up."""
PROGRESS = 64 * 1024
RESERVE = 16 * 1024 * 1024
"""Bytes of the disk that a sync leaves free for everything else."""


class Blobs:
    """The folder `blobs/sha256` of a site.

    A name without `.part` is given only to bytes whose digest was checked and written out.
    """

    def __init__(
        self, folder: Path, *, mirrors: Iterable[Source] = (), pause: Callable[[float], None] = time.sleep
    ) -> None:
        """Use an existing folder.

        Args:
            folder: where the blobs are.
            mirrors: asked for a blob first, each as long as it can be reached and gives what was signed.
            pause: waits between two attempts, in seconds.
        """
        self._folder = folder
        self._mirrors = list(mirrors)
        self._pause = pause
        self.passed_over: list[str] = []
        """Why a mirror is not asked any more, each."""
        self.fetched_bytes = 0
        """Bytes that came over the line, resumed and thrown away ones included."""
        self.reused = 0
        """Blobs that were here already and are whole."""
        self._checked: set[str] = set()

    def path(self, digest: str) -> Path:
        """Where a blob is, or would be."""
        return self._folder / digest.removeprefix("sha256:")

    def has(self, blob: Descriptor) -> bool:
        """Whether a blob is here and whole; it is hashed once per sync, and removed where it is not."""
        if blob.digest in self._checked:
            return True
        path = self.path(blob.digest)
        if not path.is_symlink() and not path.exists():
            return False
        if not _is_whole(path, blob):
            path.unlink()
            return False
        self._checked.add(blob.digest)
        self.reused += 1
        return True

    def missing(self, blobs: Iterable[Descriptor]) -> list[Descriptor]:
        """The blobs that have to be fetched, each once.

        Raises:
            StorageError: the disk has no room for them.
        """
        wanted = {blob.digest: blob for blob in blobs if not self.has(blob)}
        needed, room = sum(blob.size for blob in wanted.values()), self.room()
        if wanted and needed > room:
            raise StorageError(
                f"{self._folder}: {needed} bytes are to be fetched and {max(room, 0)} are free; "
                "the disk is full; free some space, then sync again"
            )
        return list(wanted.values())

    def fetch(self, source: Source, blob: Descriptor, moved: Callable[[int], None] = lambda count: None) -> Path:
        """Bring one blob here, resuming what an earlier attempt left behind.

        Args:
            source: what to ask where no mirror has it; it is trusted with nothing, and neither is a mirror.
            blob: digest and size that a signed document states.
            moved: told about every piece, in bytes.

        Raises:
            IntegrityError: the source gives more bytes, or other bytes, than were signed.
            UnreachableError: the source does not have it, or breaks off again and again.
            OSError: it cannot be written.
        """
        if self.has(blob):
            return self.path(blob.digest)
        for mirror in tuple(self._mirrors):
            try:
                return self._fetch(mirror, blob, moved)
            except MissingError:
                continue
            except (IntegrityError, UnreachableError) as exc:
                self._mirrors.remove(mirror)
                self.passed_over.append(str(exc))
        return self._fetch(source, blob, moved)

    def _fetch(self, source: Source, blob: Descriptor, moved: Callable[[int], None]) -> Path:
        """Bring one blob here from one source."""
        part = self.path(blob.digest + PART)
        if part.is_symlink():
            part.unlink()
        left_over, failures = part.exists(), 0
        while not _is_whole(part, blob):
            if part.exists() and _size(part) >= blob.size:
                self._throw_away(part, blob, final=not left_over)
                left_over = False
            gained, reason = self._attempt(source, blob, part, moved)
            failures = 0 if gained >= PROGRESS else failures + 1
            if _size(part) < blob.size:
                if failures >= ATTEMPTS:
                    raise UnreachableError(f"{reason}; {_size(part)} bytes are kept for the next sync")
                self._pause(0.25 * 2**failures if failures else 0)
        return self._accept(part, blob)

    def room(self) -> int:
        """Bytes that may still be written here; below 0 where the reserve is gone."""
        free = os.statvfs(self._folder)
        return free.f_bavail * free.f_frsize - RESERVE

    def left(self, blob: Descriptor) -> int:
        """Bytes of a blob that an earlier attempt did not leave here."""
        return max(0, blob.size - _size(self.path(blob.digest + PART)))

    def holds(self, digest: str, size: int) -> bool:
        """Whether there is a plain file of that name and size; its bytes are not looked at."""
        path = self.path(digest)
        return _is_plain(path) and path.stat().st_size == size

    def adopt(self, made: Path, blob: Descriptor) -> Path:
        """Give a file that was made here the name of a blob, if it is that blob.

        Raises:
            IntegrityError: it is something else; it is removed.
            OSError: it cannot be renamed.
        """
        if not _is_whole(made, blob):
            made.unlink(missing_ok=True)
            raise IntegrityError(f"{blob.digest}: what was made here is not what the publisher signed; it was removed")
        self.clear(self.path(blob.digest + PART))
        return self._accept(made, blob)

    def keep(self, raw: bytes) -> Path:
        """Keep a document among the blobs, under its digest.

        Raises:
            OSError: it cannot be written.
        """
        path = self.path(digest_of(raw))
        if not _is_plain(path) or path.read_bytes() != raw:
            write_file(path, raw)
        return path

    def forget(self, digest: str) -> None:
        """Remove a blob that is of no more use."""
        self._checked.discard(digest)
        self.clear(self.path(digest))

    def clear(self, path: Path) -> None:
        """Remove a file of this folder, or the link in its place."""
        path.unlink(missing_ok=True)

    def prune(self, keep: Iterable[str]) -> None:
        """Remove every blob and left-over part that no version needs."""
        names = {digest.removeprefix("sha256:") for digest in keep}
        for path in self._folder.iterdir():
            if path.name not in names:
                path.unlink()

    def _throw_away(self, part: Path, blob: Descriptor, *, final: bool) -> None:
        """Remove wrong bytes; what an earlier sync left behind gets a second chance from nothing.

        Raises:
            IntegrityError: all of them came just now.
        """
        part.unlink()
        if final:
            raise IntegrityError(
                f"{blob.digest}: other bytes were received than the publisher signed; they were thrown away; "
                "sync again, and tell the publisher if it stays"
            )

    def _attempt(self, source: Source, blob: Descriptor, part: Path, moved: Callable[[int], None]) -> tuple[int, str]:
        """One request: how many bytes the part has gained, and why it ended early if it did."""
        before = _size(part)
        reason = f"{source.address}: {blob.digest} ends before its {blob.size} bytes"
        try:
            self._append(source, blob, part, moved)
        except MissingError:
            raise
        except UnreachableError as exc:
            reason = str(exc)
        return _size(part) - before, reason

    def _append(self, source: Source, blob: Descriptor, part: Path, moved: Callable[[int], None]) -> None:
        """Ask for what is missing and add it to the part.

        Raises:
            IntegrityError: more bytes came than were signed.
        """
        with part.open("ab") as out, source.open(f"blobs/sha256/{part.stem}", out.tell()) as stream:
            if stream.start != out.tell():
                out.truncate(stream.start)
            size = stream.start
            for chunk in stream.chunks:
                self.fetched_bytes += len(chunk)
                size += len(chunk)
                if size > blob.size:
                    out.truncate(0)
                    raise IntegrityError(
                        f"{source.address}: {blob.digest} goes on after its {blob.size} bytes; tell the publisher"
                    )
                out.write(chunk)
                moved(len(chunk))
            out.flush()
            os.fsync(out.fileno())

    def _accept(self, part: Path, blob: Descriptor) -> Path:
        """Give the checked bytes their name."""
        path = self.path(blob.digest)
        part.chmod(0o444)
        os.replace(part, path)
        sync_folder(self._folder)
        self._checked.add(blob.digest)
        return path


def _is_whole(part: Path, blob: Descriptor) -> bool:
    """Whether the part is all of the blob and nothing else."""
    return _is_plain(part) and part.stat().st_size == blob.size and sha256_of(part) == blob.digest


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
