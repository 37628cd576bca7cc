"""How the files of a pack are written: `runtimes.knowledge.layout` says which, and reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fleet_manifests import DataError, Passage, StorageError, UsageError, digest_of
from fleet_manifests.knowledge import WORD_INDEX
from runtimes.knowledge import rows
from runtimes.knowledge.indexing import index, write_part
from runtimes.knowledge.layout import CODES, CORRECTIONS, FILES, PASSAGES, SCALES
from runtimes.knowledge.library import lines_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write(passages: Sequence[Passage], embeddings: NDArray[np.float32], folder: Path) -> str:
    """Write a pack's files into a folder that is there and holds none of them; `pack.json` is the caller's.

    Args:
        passages: in any order, ids unique.
        embeddings: of their `content` by the retriever, float32 [passages, dimension], rows of length 1.
        folder: to write into.

    Returns:
        The digest of the library, for `PackConfig.library`.

    Raises:
        DataError: no passages, ids that repeat, no words, or embeddings that do not fit them.
        UsageError: a file is there already.
        StorageError: the folder cannot be written.
    """
    if not passages:
        raise DataError("passages: at least one was expected, found none")
    twice = [name for name, times in Counter(passage.id for passage in passages).items() if times > 1]
    if twice:
        raise DataError(f"passages: unique ids were expected, found {twice[0]!r} more than once")
    if len(embeddings) != len(passages):
        raise DataError(f"embeddings: {len(passages)} rows were expected, one a passage, found {len(embeddings)}")
    for name in FILES:
        if (folder / name).exists():
            raise UsageError(f"{folder / name}: exists already; write into an empty folder")
    order = sorted(range(len(passages)), key=lambda number: passages[number].id)
    ordered = [passages[number] for number in order]
    encoded = rows.encode(np.asarray(embeddings)[order])
    lines = lines_of(ordered)
    postings = index([passage.content for passage in ordered])
    try:
        (folder / PASSAGES).write_bytes(lines)
        (folder / CORRECTIONS).write_bytes(encoded.corrections.tobytes())
        for name, array in ((CODES, encoded.codes), (SCALES, encoded.scales)):
            np.save(folder / name, array, allow_pickle=False)
        for name in WORD_INDEX:
            write_part(postings, name, folder / name)
    except OSError as exc:
        raise StorageError(f"{folder}: cannot be written: {exc}; free space or choose a writable folder") from exc
    return digest_of(lines)
