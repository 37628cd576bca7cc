"""The files of a pack beside `pack.json`, and how they are written.

| file | holds |
|---|---|
| `passages.jsonl` | passages as canonical JSON, one a line, in the order of their ids; row i is line i |
| `embedding_codes.npy` | int8 [n, dim], see `runtimes.knowledge.rows` |
| `embedding_corrections.i8` | int8, n rows of dim bytes without a header; a search reads a hundred rows of it |
| `embedding_scales.npy` | float32 [n] |
| `bm25_terms.txt` | the words, sorted, one a line |
| `bm25_starts.npy`, `bm25_rows.npy`, `bm25_scores.npy` | see `runtimes.knowledge.lexical` |

The same passages and embeddings give the same bytes. A passage that did not change has the
same line, codes, corrections and scale in the next pack; only its place moves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fleet_manifests import DataError, Passage, StorageError, UsageError, digest_of
from runtimes.knowledge import lexical, rows
from runtimes.knowledge.library import lines_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

PASSAGES = "passages.jsonl"
CODES = "embedding_codes.npy"
CORRECTIONS = "embedding_corrections.i8"
SCALES = "embedding_scales.npy"
TERMS = "bm25_terms.txt"
STARTS = "bm25_starts.npy"
ROWS = "bm25_rows.npy"
SCORES = "bm25_scores.npy"
FILES = (PASSAGES, CODES, CORRECTIONS, SCALES, TERMS, STARTS, ROWS, SCORES)


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
    postings = lexical.index([passage.content for passage in ordered])
    try:
        (folder / PASSAGES).write_bytes(lines)
        (folder / CORRECTIONS).write_bytes(encoded.corrections.tobytes())
        (folder / TERMS).write_bytes("\n".join(postings.terms).encode())
        for name, array in (
            (CODES, encoded.codes),
            (SCALES, encoded.scales),
            (STARTS, postings.starts),
            (ROWS, postings.rows),
            (SCORES, postings.scores),
        ):
            np.save(folder / name, array, allow_pickle=False)
    except OSError as exc:
        raise StorageError(f"{folder}: cannot be written: {exc}; free space or choose a writable folder") from exc
    return digest_of(lines)
