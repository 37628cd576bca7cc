"""The passages of a pack: one canonical JSON document a line, in the order of their ids.

The file holds exactly the bytes that `library_digest` digests, so checking the library is
hashing the file. Canonical JSON escapes line ends, so a line end is always the end of a
passage, and a quote inside a text is always escaped, so `,"id":"` is always the field.
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fleet_manifests import IntegrityError, Passage, dump, parse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from runtimes.knowledge.store import Blob

BLOCK = 1 << 20
REMEMBERED = 4096
"""Ids kept in memory, some 0.4 MB: a ranking names a hundred passages, and an evaluation asks for many."""
_ID = re.compile(rb',"id":("(?:[^"\\]|\\.)*")')


def lines_of(passages: Sequence[Passage]) -> bytes:
    """The file's content for passages that are in the order of their ids."""
    return b"\n".join(dump(passage) for passage in passages)


class Library:
    """Passages that are read one at a time. Row i is the i-th id in order. Safe to share between threads."""

    def __init__(self, blob: Blob, where: Path, *, digest: str, count: int) -> None:
        """Read the file once: its digest, where each passage begins, and that no id comes twice.

        Args:
            blob: the file.
            where: what to call it in an error.
            digest: of all passages, as `pack.json` says.
            count: passages, as `pack.json` says.

        Raises:
            IntegrityError: another digest or count, a line without an id, ids that repeat or are out of order.
        """
        self._blob = blob
        self._where = where
        self._ids: dict[int, str] = {}
        hashed = hashlib.sha256()
        starts = array("q", [0])
        last = ""
        for line in _lines(blob):
            hashed.update(line)
            number = len(starts)
            starts.append(starts[-1] + len(line))
            found = self._id(line, number)
            if found <= last:
                raise IntegrityError(f"{where}: line {number}: the id {found!r} is not after {last!r}; {_ADVICE}")
            last = found
        if f"sha256:{hashed.hexdigest()}" != digest:
            raise IntegrityError(
                f"{where}: the library {digest} was expected, found sha256:{hashed.hexdigest()}; {_ADVICE}"
            )
        self._starts: NDArray[np.int64] = np.frombuffer(starts, np.int64)
        if len(self) != count:
            raise IntegrityError(f"{where}: {count} passages were expected, found {len(self)}; {_ADVICE}")

    def __len__(self) -> int:
        return len(self._starts) - 1

    def passage(self, row: int) -> Passage:
        """The passage of a row.

        Raises:
            IntegrityError: the line is not a passage.
        """
        return parse(Passage, self._line(row), where=f"{self._where}: line {row + 1}")

    def id(self, row: int) -> str:
        """The id of a row; the rest of its passage is not parsed."""
        found = self._ids.get(row)
        if found is None:
            if len(self._ids) >= REMEMBERED:
                self._ids.clear()
            found = self._ids[row] = self._id(self._line(row), row + 1)
        return found

    def find(self, wanted: str) -> int | None:
        """The row of an id, by bisection; None: not in this library."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.id(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self.id(low) == wanted else None

    def ids(self) -> tuple[str, ...]:
        """The ids of all rows, in order."""
        return tuple(self._id(line, number) for number, line in enumerate(_lines(self._blob), 1))

    def close(self) -> None:
        """Let go of the file."""
        self._blob.close()

    def _line(self, row: int) -> bytes:
        """The bytes of a row."""
        start, end = int(self._starts[row]), int(self._starts[row + 1])
        return self._blob.read(start, end - start)

    def _id(self, line: bytes, number: int) -> str:
        """The id in a line."""
        if (found := _ID.search(line)) is None:
            raise IntegrityError(f"{self._where}: line {number}: a passage was expected, found no id; {_ADVICE}")
        quoted = found[1]
        return str(json.loads(quoted)) if b"\\" in quoted else quoted[1:-1].decode("utf-8", "replace")


_ADVICE = "fetch the pack again"


def _lines(blob: Blob) -> Iterator[bytes]:
    """Lines of a blob with their ends, read in blocks."""
    rest = b""
    for offset in range(0, blob.size, BLOCK):
        *whole, rest = (rest + blob.read(offset, min(BLOCK, blob.size - offset))).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest
