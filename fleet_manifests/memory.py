"""Memory that a process no longer needs."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_blocks = 0
"""How many blocks of `lent` this process is in."""


def give_back() -> None:
    """Return freed memory to the system where the C library can (glibc).

    It keeps what was freed in many pieces: some 6 MB for each model that ONNX Runtime parses, 1 GiB for a
    model that was tuned on batches of many lengths.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@contextmanager
def lent() -> Iterator[None]:
    """Give back what a block took, objects that refer to each other in a circle included.

    ONNX Runtime's optimizer leaves such a circle with 270 MB of a float32 model in it, which Python's collector may
    not meet for a long time. Only what the outermost block made is searched: objects that were there before are left
    out (`gc.freeze`), among a few million of which a search takes a second.
    """
    global _blocks
    if not _blocks:
        gc.freeze()
    _blocks += 1
    try:
        yield
    finally:
        gc.collect()
        _blocks -= 1
        if not _blocks:
            gc.unfreeze()
        give_back()
