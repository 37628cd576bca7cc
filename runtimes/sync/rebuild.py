"""Rebuilding a blob from a delta: bounded in memory and size, whatever the payload says.

The result is believed for its digest alone, which whoever calls compares with the signed one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fleet_manifests.errors import DataError, IntegrityError
from fleet_manifests.knowledge import WORD_INDEX
from fleet_manifests.updates import INDEX, PATCH, SUBTRACT, WHOLE, Delta

if TYPE_CHECKING:
    import zstandard

METHODS = frozenset({WHOLE, SUBTRACT, PATCH, INDEX})
CHUNK = 1024 * 1024
"""Bytes in memory at a time, of the payload, the base and the result each."""
MAX_WINDOW = 64 * 1024 * 1024
"""Most memory that a payload may ask for to be decompressed."""
MAX_DICTIONARY = 64 * 1024 * 1024
"""Largest base of a `patch` or an `index`, which has to be in memory whole."""
LONGEST_NAME = 64


def rebuild(delta: Delta, payload: Path, base: Path | None, out: Path) -> None:
    """Write the blob that a delta leads to; what `out` holds after an error is worth nothing.

    Args:
        delta: what the payload is.
        payload: the payload's file.
        base: the file of the base, where the delta has one.
        out: the file to write.

    Raises:
        IntegrityError: the payload is damaged or cut, makes more or less than `delta.target.size` bytes, asks for too
            much memory, or the base is missing or too large.
        OSError: the file cannot be written.
    """
    import zstandard

    if (delta.base is None) != (base is None) or (delta.method == WHOLE) != (base is None):
        raise IntegrityError(f"{delta.method} delta of {delta.target.digest}: it comes without the base that it needs")
    if delta.method == INDEX and base is not None:
        _index(delta, payload, base, out)
        return
    done = 0
    try:
        with payload.open("rb") as packed, _opened(base) as old, out.open("wb") as target:
            with _decompressor(delta, old).stream_reader(packed) as stream:
                while chunk := stream.read(min(CHUNK, delta.target.size - done + 1)):
                    done += len(chunk)
                    if done > delta.target.size:
                        raise IntegrityError(
                            f"delta of {delta.target.digest}: makes more than its {delta.target.size} bytes"
                        )
                    target.write(_added(chunk, old) if delta.method == SUBTRACT and old is not None else chunk)
            target.flush()
            os.fsync(target.fileno())
    except zstandard.ZstdError as exc:
        raise IntegrityError(f"delta of {delta.target.digest}: cannot be decompressed: {exc}") from exc
    if done != delta.target.size:
        raise IntegrityError(f"delta of {delta.target.digest}: makes {done} of its {delta.target.size} bytes")


def _index(delta: Delta, payload: Path, passages: Path, out: Path) -> None:
    """Make one file of a pack's word index.

    Raises:
        IntegrityError: the payload names no such file, or the base is too large or holds no passages.
    """
    from runtimes.knowledge.indexing import contents_of, index, write_part

    with payload.open("rb") as stream:
        name = stream.read(LONGEST_NAME).decode(errors="replace")
    where = f"index delta of {delta.target.digest}"
    if name not in WORD_INDEX:
        raise IntegrityError(f"{where}: one of {', '.join(WORD_INDEX)} was expected in it, found {name!r}")
    if passages.stat().st_size > MAX_DICTIONARY:
        raise IntegrityError(f"{where}: its base has more than {MAX_DICTIONARY} bytes")
    try:
        write_part(index(contents_of(passages)), name, out)
    except DataError as exc:
        raise IntegrityError(f"{where}: {exc}") from exc


def _decompressor(delta: Delta, base: IO[bytes] | None) -> zstandard.ZstdDecompressor:
    """What reads the payload.

    Raises:
        IntegrityError: the base is too large to be a dictionary, or the method is unknown.
    """
    import zstandard

    if delta.method not in METHODS:
        raise IntegrityError(f"delta of {delta.target.digest}: method {delta.method!r} is not known to this version")
    if delta.method != PATCH or base is None:
        return zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    known = base.read(MAX_DICTIONARY + 1)
    if len(known) > MAX_DICTIONARY:
        raise IntegrityError(f"delta of {delta.target.digest}: its base has more than {MAX_DICTIONARY} bytes")
    dictionary = zstandard.ZstdCompressionDict(known, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=MAX_WINDOW)


def _added(chunk: bytes, base: IO[bytes]) -> bytes:
    """A piece of the difference plus the same piece of the base, modulo 256."""
    import numpy as np

    found = np.frombuffer(chunk, np.uint8).copy()
    old = np.frombuffer(base.read(len(chunk)), np.uint8)
    found[: len(old)] += old
    return found.tobytes()


@contextlib.contextmanager
def _opened(base: Path | None) -> Iterator[IO[bytes] | None]:
    """The base, where there is one.

    Raises:
        IntegrityError: it cannot be read.
    """
    if base is None:
        yield None
        return
    try:
        stream = base.open("rb")
    except OSError as exc:
        raise IntegrityError(f"{base}: the base of a delta cannot be read: {exc.strerror}") from exc
    with stream:
        yield stream
