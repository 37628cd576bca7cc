"""How the files of a pack are written: `runtimes.knowledge.layout` says which, and reads them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fleet_manifests import DataError, Passage, StorageError, UsageError, digest_of
from runtimes.knowledge import rows
from runtimes.knowledge.layout import CODES, CORRECTIONS, FILES, PASSAGES, ROWS, SCALES, SCORES, STARTS, TERMS
from runtimes.knowledge.lexical import K1, METHOD, B, Postings, words_of
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


def index(texts: Sequence[str]) -> Postings:
    """Index the contents of passages, in their order.

    Raises:
        DataError: no text holds a word.
    """
    import bm25s

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # importing it switches its debug lines on
    words = words_of(texts)
    terms = sorted({word for one in words for word in one})
    if not terms:
        raise DataError("passages: words to search for were expected, found none")
    numbers = {term: number for number, term in enumerate(terms)}
    engine = bm25s.BM25(k1=K1, b=B, method=METHOD)
    numbered = [[numbers[word] for word in one] for one in words]
    engine.index((numbered, numbers), create_empty_token=False, show_progress=False)
    made = engine.scores
    return Postings(
        tuple(terms),
        np.asarray(made["indptr"], np.int64),
        np.asarray(made["indices"], np.int32),
        np.asarray(made["data"], np.float32),
    )
