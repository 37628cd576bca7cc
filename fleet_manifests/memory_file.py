"""Bytes as a file for those who only read files: in memory, so that nothing stays behind whatever ends the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def memory_file(raw: bytes) -> Iterator[Path]:
    """A path in this process that reads as these bytes, as often as it is opened.

    Args:
        raw: the content.

    Raises:
        OSError: no memory, or no more open files.
    """
    with os.fdopen(os.memfd_create("lading"), "wb", buffering=0) as held:
        held.write(raw)
        yield Path(f"/proc/self/fd/{held.fileno()}")
