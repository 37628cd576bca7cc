"""A small container of byte arrays: the safetensors layout, read with limits and without its library."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import rfc8785

from fleet_manifests.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np

MAX_HEADER = 1024 * 1024
DTYPES = {"U8": "<u1", "F32": "<f4"}


class Container:
    """The arrays of a file, mapped; each is read when it is asked for."""

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            IntegrityError: the file is not of this form.
            OSError: it cannot be read.
        """
        self._path = path
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise IntegrityError(f"{path}: a container of arrays was expected; fetch it again")
            raw = stream.read(length)
        self._start, self._room = 8 + length, size - 8 - length
        try:
            header = json.loads(raw)
            self.told: dict[str, str] = dict(header.pop("__metadata__", {}))
            self._entries = {
                name: (str(one["dtype"]), tuple(map(int, one["shape"])), int(one["data_offsets"][0]))
                for name, one in header.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as exc:
            raise IntegrityError(f"{path}: its header cannot be read: {exc}; fetch it again") from exc

    @property
    def names(self) -> list[str]:
        """Names of the arrays, sorted."""
        return sorted(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of an array.

        Raises:
            IntegrityError: there is none of that name.
        """
        return self._entry(name)[1]

    def array(self, name: str) -> np.ndarray:
        """An array, mapped.

        Raises:
            IntegrityError: there is none of that name, or it does not lie in the file.
        """
        import numpy as np

        kind, shape, offset = self._entry(name)
        if kind not in DTYPES or min(shape, default=1) < 0 or offset < 0:
            raise IntegrityError(f"{self._path}: array {name!r}: {kind} {list(shape)} at {offset} cannot be meant")
        size = math.prod(shape) * np.dtype(DTYPES[kind]).itemsize
        if offset + size > self._room:
            raise IntegrityError(f"{self._path}: array {name!r} ends after the file; fetch it again")
        if size == 0:
            return np.zeros(shape, DTYPES[kind])
        return np.memmap(self._path, DTYPES[kind], "r", self._start + offset, shape)

    def _entry(self, name: str) -> tuple[str, tuple[int, ...], int]:
        if name not in self._entries:
            raise IntegrityError(f"{self._path}: has no array {name!r}; it belongs to another model")
        return self._entries[name]


def write(path: Path, arrays: Mapping[str, np.ndarray], told: Mapping[str, str]) -> None:
    """Write a container. Equal inputs give equal bytes."""
    header: dict[str, object] = {"__metadata__": dict(told)}
    offset, kinds = 0, {value: key for key, value in DTYPES.items()}
    for name, array in sorted(arrays.items()):
        kind = kinds["<" + array.dtype.str[1:]]
        spot = [offset, offset + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": spot}
        offset += array.nbytes
    raw = rfc8785.dumps(header)  # type: ignore[arg-type]
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as stream:
        stream.write(len(raw).to_bytes(8, "little") + raw)
        for _, array in sorted(arrays.items()):
            stream.write(array.astype("<" + array.dtype.str[1:]).tobytes())
