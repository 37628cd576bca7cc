"""The signed documents of a source: everything that TUF verifies, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests.errors import IntegrityError, RefusedError
from fleet_manifests.wire import MAX_DOCUMENT_BYTES
from runtimes.sync.authority import Authority, authority
from runtimes.sync.files import write_file
from runtimes.sync.seam import MissingError, trusting
from runtimes.sync.sources import Source

if TYPE_CHECKING:
    from tuf.ngclient.fetcher import FetcherInterface
    from tuf.ngclient.updater import Updater

METADATA_PATH = "metadata/"
TARGETS_PATH = "targets/"
CACHE = "cache"

_HEX = re.compile(r"[0-9a-f]{64}")


class SignedDocuments:
    """The TUF client of one sync.

    Raises (every method, and the constructor):
        IntegrityError: metadata or a document does not verify, is old or has expired.
        UnreachableError: the source cannot be read.
        OSError: the metadata folder cannot be written.
    """

    def __init__(self, folder: Path, source: Source, *, root: bytes, now: datetime) -> None:
        """Trust `root`, and everything that it leads to.

        Args:
            folder: where verified metadata is kept between syncs.
            source: where to read; it is trusted with nothing.
            root: the root of trust from enrolment.
            now: the moment that expiry dates are held against.
        """
        self._cache = folder / CACHE
        self._source = source
        self._used: set[str] = set()
        self.fetched_bytes = 0
        self._cache.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with trusting(source.address):
            self._fetcher = _fetcher(self)
            self._updater = _updater(folder, self._fetcher, root, now)

    def refresh(self) -> None:
        """Fetch root, timestamp, snapshot and targets; everything after it is one consistent state."""
        with trusting(self._source.address):
            self._updater.refresh()

    def document(self, name: str) -> tuple[bytes, str]:
        """A signed document and its digest.

        Raises:
            RefusedError: no role that may name it does.
        """
        with trusting(self._source.address):
            info = self._updater.get_targetinfo(name)
            if info is None:
                raise RefusedError(f"{self._source.address}: nobody who may do so has published {name}")
            digest = info.hashes.get("sha256", "")
            if not _HEX.fullmatch(digest) or info.length > MAX_DOCUMENT_BYTES:
                raise IntegrityError(f"{name}: a document of at most {MAX_DOCUMENT_BYTES} bytes with a sha256 was due")
            raw = self._cached(digest, info.verify_length_and_hashes)
            if raw is None:
                raw = self._fetcher.download_bytes(_prefixed(name, digest), info.length)
                info.verify_length_and_hashes(raw)
                write_file(self._cache / digest, raw)
            return raw, f"sha256:{digest}"

    def optional(self, name: str) -> bytes | None:
        """A signed document that need not be published; None where it is not."""
        with trusting(self._source.address):
            published = self._updater.get_targetinfo(name) is not None
        return self.document(name)[0] if published else None

    def authority(self, role: str) -> Authority:
        """Whose keys count for a role that `targets` delegates to, of which a document was read.

        Raises:
            IntegrityError: there is no such role.
        """
        trusted = self._updater._trusted_set
        delegations = trusted.targets.delegations
        named = None if delegations is None or delegations.roles is None else delegations.roles.get(role)
        if named is None:
            raise IntegrityError(f"{self._source.address}: targets delegates to no role {role}; tell the publisher")
        return authority(trusted.root.version, trusted.targets.version, named.keyids)

    def version(self, role: str) -> int:
        """Version of a role's metadata, of which a document was read; 0 where it publishes nothing."""
        trusted = self._updater._trusted_set
        return trusted[role].version if role in trusted else 0

    def forget_unused(self) -> None:
        """Drop cached documents that this sync did not ask for."""
        for path in self._cache.iterdir():
            if path.name not in self._used:
                path.unlink()

    def chunks(self, path: str) -> Iterator[bytes]:
        """The bytes of a file of the source, counted."""
        with self._source.open(path) as stream:
            for chunk in stream.chunks:
                self.fetched_bytes += len(chunk)
                yield chunk

    def _cached(self, digest: str, verify: Callable[[bytes], None]) -> bytes | None:
        """A document from an earlier sync, verified again; None where it is not here or not whole."""
        from tuf.api.exceptions import LengthOrHashMismatchError

        path = self._cache / digest
        self._used.add(path.name)
        if not path.is_file():
            return None
        raw = path.read_bytes()
        try:
            verify(raw)
        except LengthOrHashMismatchError:
            path.unlink()
            return None
        return raw


def _prefixed(name: str, digest: str) -> str:
    """Where a document lies in the published tree: its digest comes before its file name."""
    folder, slash, base = name.rpartition("/")
    return f"{TARGETS_PATH}{folder}{slash}{digest}.{base}"


def _fetcher(documents: SignedDocuments) -> FetcherInterface:
    """What tuf reads through: our source, with tuf's word for "there is no such file"."""
    from tuf.api.exceptions import DownloadHTTPError
    from tuf.ngclient.fetcher import FetcherInterface

    class SourceFetcher(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            try:
                yield from documents.chunks(url)
            except MissingError as exc:
                raise DownloadHTTPError(str(exc), 404) from exc

    return SourceFetcher()


def _updater(folder: Path, fetcher: FetcherInterface, root: bytes, now: datetime) -> Updater:
    """A tuf client whose idea of the time is ours.

    tuf 7 takes its reference time from the system without a parameter; setting it before
    the first expiry check is what its own tests do.
    """
    from tuf.ngclient.updater import Updater

    updater = Updater(str(folder), METADATA_PATH, fetcher=fetcher, bootstrap=root)
    updater._trusted_set.reference_time = now
    return updater


def _sweep(folder: Path) -> None:
    """Remove the temporary files of a client that was killed."""
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink() and path.suffix != ".json":
            path.unlink()
