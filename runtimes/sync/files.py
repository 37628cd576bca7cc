"""Durable changes to the state folder: whole files, whole links, one writer at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from fleet_manifests.errors import StorageError

TEMPORARY = ".tmp-"
"""Prefix of a file or link that is being written; without meaning after a crash."""


def write_file(path: Path, raw: bytes, *, private: bool = False) -> None:
    """Replace a file as a whole; after a return it survives a loss of power.

    Args:
        path: the file.
        raw: its content.
        private: nobody but the owner may read it, at no moment.

    Raises:
        OSError: it cannot be written; the old content is untouched.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        if private:
            temporary.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if private else os.O_TRUNC)
        with os.fdopen(os.open(temporary, flags, 0o600 if private else 0o666), "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def swap_link(path: Path, target: Path) -> None:
    """Point a symbolic link elsewhere in one step; a reader sees the old or the new target.

    Raises:
        OSError: it cannot be written; the old link is untouched.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def only_one(lock: Path, what: str = "sync") -> Iterator[None]:
    """Hold the state folder for one process; the kernel lets go when that process dies.

    Args:
        lock: the lock file.
        what: what is done once at a time, for the message.

    Raises:
        StorageError: another process holds it.
    """
    with lock.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise StorageError(f"{lock}: another {what} of this site is running; wait for it to end") from exc
        yield
