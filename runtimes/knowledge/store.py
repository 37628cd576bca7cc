"""Where a pack's files are read from: mapped from the disk, or decrypted.

Every error of the file system and of `numpy`'s reader becomes one of ours here.
"""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fleet_manifests import IntegrityError, StorageError
from runtimes.knowledge.spill import Spill, full

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Blob(Protocol):
    """Bytes that are read in pieces."""

    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from `offset` on, `size` of them."""
        ...

    def close(self) -> None:
        """Let go of them."""
        ...


class FileBlob:
    """A file that is read in pieces and not mapped: what was read once does not stay resident."""

    def __init__(self, path: Path) -> None:
        """Open the file. It is closed when nobody holds the blob any more, as a mapped one is."""
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._end = weakref.finalize(self, os.close, self._descriptor)
        self.size = os.fstat(self._descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from `offset` on; safe in several threads.

        Raises:
            StorageError: the file cannot be read, or was closed or cut since it was opened.
        """
        try:
            raw = os.pread(self._descriptor, size, offset)
        except OSError as exc:
            raise StorageError(f"{self._path}: cannot be read: {exc}") from exc
        if len(raw) != size:
            raise StorageError(f"{self._path}: {size} bytes at {offset} were expected, found {len(raw)}; it was cut")
        return raw

    def close(self) -> None:
        """Close the file."""
        self._descriptor = -1
        self._end()


class Writer(Protocol):
    """What takes plain text."""

    def write(self, data: bytes, /) -> int:
        """Take more."""
        ...

    def flush(self) -> None:
        """Pass on what was taken."""
        ...


class Store(Protocol):
    """The files of one pack by their names."""

    def blob(self, name: str) -> Blob:
        """A file that is read in pieces."""
        ...

    def array(self, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]) -> NDArray[Any]:
        """An array of a type and shape; None: any length."""
        ...


class PlainStore:
    """Files in the clear. Arrays are mapped, so that processes share them and only what is read is loaded."""

    def __init__(self, folder: Path) -> None:
        """Name the folder."""
        self._folder = folder

    def blob(self, name: str) -> Blob:
        """A file that is read in pieces.

        Raises:
            IntegrityError: no such file.
        """
        try:
            return FileBlob(self._folder / name)
        except OSError as exc:
            raise missing(self._folder, name) from exc

    def array(self, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]) -> NDArray[Any]:
        """A mapped array, read-only.

        Raises:
            IntegrityError: no such file, damaged, or another type or shape.
        """
        path = self._folder / name
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as exc:
            raise missing(self._folder, name) from exc
        except (OSError, ValueError, EOFError) as exc:
            raise IntegrityError(f"{path}: not an array: {exc}; fetch the pack again") from exc
        return checked(found, path, dtype, shape)


class SealedStore:
    """Files that are decrypted: arrays into memory, what is read in pieces into a `Spill`."""

    def __init__(self, folder: Path, decrypt: Callable[[str, Writer], None]) -> None:
        """Take the function that writes a file's plain text; `folder` is for messages."""
        self._folder = folder
        self._decrypt = decrypt

    def blob(self, name: str) -> Blob:
        """A file that is read in pieces.

        Raises:
            StorageError: the disk has no room for it.
            LadingError: what the function raises.
        """
        spill = Spill()
        try:
            self._decrypt(name, spill)
        except IntegrityError as exc:
            raise (full(spill.failure) if spill.failure else exc) from exc.__cause__
        return spill.blob()

    def array(self, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]) -> NDArray[Any]:
        """An array in memory.

        Raises:
            IntegrityError: damaged, or another type or shape.
            LadingError: what the function raises.
        """
        plain = io.BytesIO()
        self._decrypt(name, plain)
        plain.seek(0)
        try:
            found = np.load(plain, allow_pickle=False)
        except (OSError, ValueError, EOFError) as exc:
            raise IntegrityError(f"{self._folder / name}: not an array: {exc}; fetch the pack again") from exc
        return checked(found, self._folder / name, dtype, shape)


def missing(folder: Path, name: str) -> IntegrityError:
    """The error for a file that a pack must have."""
    return IntegrityError(f"{folder}: no file {name!r}; the pack is incomplete, fetch it again")


def checked(found: Any, path: Path, dtype: type[np.generic], shape: tuple[int | None, ...]) -> NDArray[Any]:
    """An array as a plain view, if it is of the type and shape expected.

    Raises:
        IntegrityError: it is not.
    """
    if not isinstance(found, np.ndarray):
        raise IntegrityError(f"{path}: one array was expected, found an archive; fetch the pack again")
    fits = len(found.shape) == len(shape) and all(
        want in (None, has) for want, has in zip(shape, found.shape, strict=True)
    )
    if found.dtype != np.dtype(dtype) or not fits:
        expected = f"{np.dtype(dtype)} {[size if size is not None else 'any' for size in shape]}"
        raise IntegrityError(f"{path}: {expected} was expected, found {found.dtype} {list(found.shape)}")
    return found.view(np.ndarray)
