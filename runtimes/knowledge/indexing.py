"""Making the word index of a pack out of its passages, in the factory and at a site: the same bytes in both.

Most scores change with any passage, so that a delta of the index would hold nearly all of it; a site makes it of the
passages that it has anyway. A score is a few IEEE 754 operations in a fixed order on doubles, rounded once. The one
logarithm for each number of passages may differ in its last bit between C libraries, which that rounding hides; where
it does not, the digest says so and the file is fetched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fleet_manifests import DataError, Passage, parse
from runtimes.knowledge.layout import ROWS, SCORES, STARTS, TERMS
from runtimes.knowledge.lexical import K1, B, Postings, words_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

AT_A_TIME = 1000
"""Texts whose words are in memory as words."""


def index(texts: Sequence[str]) -> Postings:
    """Index the contents of passages, in their order, as bm25s does in Lucene's form.

    Raises:
        DataError: no text holds a word.
    """
    numbers: dict[str, int] = {}
    found, lengths = [], []
    for start in range(0, len(texts), AT_A_TIME):
        words = words_of(texts[start : start + AT_A_TIME])
        lengths += [len(one) for one in words]
        found.append(np.array([numbers.setdefault(word, len(numbers)) for one in words for word in one], np.int32))
    terms = sorted(numbers)
    if not terms:
        raise DataError("passages: words to search for were expected, found none")
    place = np.empty(len(terms), np.int64)
    place[[numbers[term] for term in terms]] = np.arange(len(terms))
    total = np.array(lengths, np.int64)
    keys = place[np.concatenate(found)] * len(texts) + np.repeat(np.arange(len(texts)), total)
    keys, often = np.unique(keys, return_counts=True)
    term, row = keys // len(texts), keys % len(texts)
    holding = np.bincount(term, minlength=len(terms))
    length = K1 * ((1 - B) + B * total / (sum(lengths) / len(texts)))
    scores = _weights(holding, len(texts))[term] * (often / (length[row] + often))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(holding)])
    return Postings(tuple(terms), starts, row.astype(np.int32), scores.astype(np.float32))


def _weights(holding: NDArray[np.int64], texts: int) -> NDArray[np.float64]:
    """The idf of each term by how many texts hold it, with one logarithm for a number."""
    counts, which = np.unique(holding, return_inverse=True)
    return np.array([math.log(1 + (texts - one + 0.5) / (one + 0.5)) for one in counts.tolist()])[which]


def write_part(postings: Postings, name: str, path: Path) -> None:
    """Write one file of a pack's word index.

    Args:
        postings: the index.
        name: of the file in a pack.
        path: where to write it.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("wb") as stream:
        if name == TERMS:
            stream.write("\n".join(postings.terms).encode())
        else:
            arrays: dict[str, NDArray[Any]] = {STARTS: postings.starts, ROWS: postings.rows, SCORES: postings.scores}
            np.save(stream, arrays[name], allow_pickle=False)


def contents_of(passages: Path) -> list[str]:
    """The texts of a pack's `passages.jsonl`.

    Raises:
        IntegrityError: it is not such a file.
    """
    lines = passages.read_bytes().split(b"\n")
    return [parse(Passage, line, where=f"{passages}, line {number}").content for number, line in enumerate(lines, 1)]
