"""The one seam where exceptions of other libraries become ours."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from fleet_manifests.errors import IntegrityError, StorageError, UnreachableError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class MissingError(UnreachableError):
    """The source answers but does not have the file that was asked for."""


@contextlib.contextmanager
def trusting(source: str) -> Iterator[None]:
    """Translate what tuf raises.

    Raises:
        IntegrityError: metadata or a target is not what was signed, old, or expired.
        UnreachableError: a file that must be there could not be had.
    """
    from tuf.api import exceptions

    try:
        yield
    except exceptions.ExpiredMetadataError as exc:
        raise IntegrityError(
            f"{source}: {exc}; nothing new is installed until the publisher renews it (or this clock is set right)"
        ) from exc
    except exceptions.UnsignedMetadataError as exc:
        raise IntegrityError(f"{source}: not enough valid signatures: {exc}; tell the publisher") from exc
    except exceptions.BadVersionNumberError as exc:
        raise IntegrityError(f"{source}: older metadata than this site has seen: {exc}; use a newer copy") from exc
    except exceptions.DownloadLengthMismatchError as exc:
        raise IntegrityError(f"{source}: {exc}; tell the publisher") from exc
    except exceptions.RepositoryError as exc:
        detail = f"{exc} ({exc.__cause__})" if exc.__cause__ else str(exc)
        raise IntegrityError(f"{source}: metadata does not verify: {detail}; tell the publisher") from exc
    except exceptions.DownloadError as exc:
        if isinstance(exc.__cause__, UnreachableError):
            raise exc.__cause__ from exc
        raise UnreachableError(f"{source}: {exc}; check the address, then sync again") from exc


@contextlib.contextmanager
def storing(state: Path) -> Iterator[None]:
    """Translate what the operating system raises about the state folder.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    try:
        yield
    except OSError as exc:
        where = exc.filename or state
        if exc.errno in _FULL:
            raise StorageError(f"{where}: the disk is full; free some space, then sync again") from exc
        raise StorageError(f"{where}: {exc.strerror or exc}; check the state folder {state}") from exc
