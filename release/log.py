"""The release log: who did what, to which channel, why and when. Append-only, each entry chained to the one before.

One canonical JSON document a line in PROJECT/release-log.jsonl. The last line is kept in the key store too, where who
can write the project's folder cannot change it: an entry that was edited, moved, taken out or slipped in shows, and so
does a log that was cut off or exchanged. It is written there first, so that a crash in between loses nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from fleet_manifests import Digest, IntegrityError, Wire, digest_of, dump, parse
from release.keys import Keys
from release.tree import storage

LOG_FILE = "release-log.jsonl"
HEAD = "log-head"
"""The last line, as the key store remembers it."""
FIRST = digest_of(b"")
"""What the first entry is chained to."""
PUBLISHED = "publish"
"""The action by which a manifest became the one of its channel; `found` where a publisher died before writing so."""
FOUND = "found"


class LogEntry(Wire):
    """One act."""

    schema_version: Literal[1] = 1
    number: Annotated[int, Field(ge=1)]
    when: AwareDatetime
    actor: str
    """A release manager, several with commas between, or the key that signed."""
    action: str
    """`propose`, `approve`, `reject`, `publish`, `halt`, `resume`, `revoke`, or a ceremony."""
    channel: str | None = None
    version: int | None = None
    """Of the manifest."""
    digest: Digest | None = None
    """Of the manifest; of a revocation that of the bundle or pack."""
    reason: str = ""
    previous: Digest
    """The digest of the line before."""


class ReleaseLog:
    """The log of one project."""

    def __init__(self, path: Path, keys: Keys) -> None:
        """Refer to a log, which may not exist yet.

        Args:
            path: the file.
            keys: the key store, which remembers the last entry.
        """
        self.path = path
        self._keys = keys

    def append(
        self,
        actor: str,
        action: str,
        channel: str | None,
        version: int | None,
        digest: str | None,
        reason: str,
        when: datetime,
    ) -> LogEntry:
        """Write one entry, durably.

        Raises:
            IntegrityError: the log does not end with the entry that was written last.
            StorageError: it cannot be written.
        """
        with self._locked():
            self._mend()
            last = self._keys.read(HEAD)
            entry = LogEntry(
                number=1 + (_entry(last, "the key store").number if last else 0),
                when=when,
                actor=actor,
                action=action,
                channel=channel,
                version=version,
                digest=digest,
                reason=reason,
                previous=digest_of(last) if last else FIRST,
            )
            line = dump(entry)
            self._keys.store(HEAD, line, replace=True)
            self._write(line)
        return entry

    def require_sound(self) -> None:
        """Refuse to go on below a log that does not end as it was written.

        Raises:
            IntegrityError: the last entry is missing, or is not the one that the key store remembers.
        """
        lines, head = self._lines(), self._keys.read(HEAD)
        if head and _is_next(lines, head):
            return
        if (lines[-1] if lines else None) != head:
            raise IntegrityError(self._foreign(lines, head))

    def entries(self) -> tuple[LogEntry, ...]:
        """All entries, oldest first.

        Raises:
            IntegrityError: the chain is broken, or does not end as the key store remembers; names the line.
        """
        lines, head = self._lines(), self._keys.read(HEAD)
        found: list[LogEntry] = []
        previous = FIRST
        for number, line in enumerate(lines, start=1):
            entry = _entry(line, f"{self.path}:{number}")
            if (entry.number, entry.previous) != (number, previous):
                raise IntegrityError(
                    f"{self.path}:{number}: is not the entry that was written after the one above: something was "
                    "edited, moved, taken out or slipped in there; restore the file from a copy"
                )
            found.append(entry)
            previous = digest_of(line)
        if (lines[-1] if lines else None) != head:
            raise IntegrityError(self._foreign(lines, head))
        return tuple(found)

    def _foreign(self, lines: list[bytes], head: bytes | None) -> str:
        """What is wrong with the end of the log."""
        if head is None:
            return (
                f"{self.path}: has {len(lines)} entries, and the key store {self._keys.folder} knows of none: the log "
                "is of another project, or the keys are"
            )
        due = _entry(head, "the key store").number
        if _is_next(lines, head):
            return f"{self.path}: entry {due} is missing at the end; the next entry puts it back"
        if len(lines) < due:
            return f"{self.path}: was cut off: ends with entry {len(lines)}, {due} were written; restore the file"
        return f"{self.path}: does not end with the entry {due} that was written last; restore the file from a copy"

    def _lines(self) -> list[bytes]:
        """The lines as they are; what a crash left half-written at the end is none."""
        if not self.path.exists():
            return []
        return self.path.read_bytes().split(b"\n")[:-1]

    def _mend(self) -> None:
        """Write the last entry again where a crash kept it from the file, and nothing else."""
        lines, head = self._lines(), self._keys.read(HEAD)
        if head is not None and _is_next(lines, head):
            self._write(head)
        elif (lines[-1] if lines else None) != head:
            raise IntegrityError(self._foreign(lines, head))

    def _write(self, line: bytes) -> None:
        """Add a line durably, after the last that is whole."""
        whole = sum(len(one) + 1 for one in self._lines())
        with storage(self.path), self.path.open("r+b" if self.path.exists() else "w+b") as stream:
            stream.truncate(whole)
            stream.seek(whole)
            stream.write(line + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time."""
        with storage(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            with storage(self.path):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def published(entries: Iterable[LogEntry], channel: str) -> dict[int, str]:
    """The digest of each version that a channel has had, by the log."""
    return {
        one.version: one.digest
        for one in entries
        if one.action in (PUBLISHED, FOUND) and one.channel == channel and one.version and one.digest
    }


def check_published(entries: Iterable[LogEntry], channels: Mapping[str, tuple[int, str]]) -> None:
    """Refuse a published version that the log does not know.

    Args:
        entries: of the log.
        channels: version and digest of each channel's published manifest.

    Raises:
        IntegrityError: names the channel and version.
    """
    known = tuple(entries)
    for channel, (version, digest) in sorted(channels.items()):
        logged = published(known, channel).get(version)
        if logged != digest:
            said = "does not know it" if logged is None else f"says {logged}"
            raise IntegrityError(
                f"{channel} version {version} is published as {digest}, the release log {said}; if a "
                "publisher was killed, `lading release publish` writes it down, else find out who published it"
            )


def _entry(line: bytes, where: str) -> LogEntry:
    return parse(LogEntry, line, where=where)


def _is_next(lines: list[bytes], head: bytes) -> bool:
    """Whether the head is the entry that the lines lack."""
    due = _entry(head, "the key store")
    return due.number == len(lines) + 1 and due.previous == (digest_of(lines[-1]) if lines else FIRST)
