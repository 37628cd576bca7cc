"""BM25 over the words of passages, by bm25s (Lù 2024) in Lucene's form.

Words are what `bm25s.tokenize` makes of a text: lower case, two characters and more,
without English stop words, reduced by the Snowball stemmer. k1 = 1.2 and b = 0.75 are
Lucene's defaults and not tuned: on the 460 questions of the sample's procedures, nDCG@10 of
cosine and BM25 together stays between .554 and .565 over k1 0.6 to 2 and b 0.4 to 0.9.

The index is eager: a posting is the BM25 score of one word in one passage, so a question
costs one addition per posting. Scores depend on how often a word occurs in the whole
library; a changed library therefore changes most of these bytes. They need not travel in
a delta: `write` makes the same bytes from the same passages anywhere.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fleet_manifests import DataError, IntegrityError

if TYPE_CHECKING:
    from numpy.typing import NDArray

METHOD = "lucene"
K1 = 1.2
B = 0.75


@dataclass(frozen=True)
class Postings:
    """An index: for term t, `rows[starts[t]:starts[t+1]]` hold it, with these BM25 `scores`."""

    terms: tuple[str, ...]
    """Sorted."""
    starts: NDArray[np.int64]
    """[terms + 1]"""
    rows: NDArray[np.int32]
    """[postings], rising within a term."""
    scores: NDArray[np.float32]
    """[postings]"""


@dataclass(frozen=True)
class Asked:
    """The words of a question, each once: numbers of the known ones, and how many the library does not have."""

    known: tuple[int, ...]
    unknown: int


def words_of(texts: Sequence[str]) -> list[list[str]]:
    """The stemmed words of each text, in order, repeated as they are."""
    import Stemmer

    bm25s = _bm25s()

    # A stemmer is not safe to share between threads; making one is cheap.
    found: list[list[str]] = bm25s.tokenize(
        list(texts), stopwords="en", stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False
    )
    return found


def index(texts: Sequence[str]) -> Postings:
    """Index the contents of passages, in their order.

    Raises:
        DataError: no text holds a word.
    """
    bm25s = _bm25s()

    words = words_of(texts)
    terms = sorted({word for one in words for word in one})
    if not terms:
        raise DataError("passages: words to search for were expected, found none")
    numbers = {term: number for number, term in enumerate(terms)}
    engine = bm25s.BM25(k1=K1, b=B, method=METHOD)
    rows = [[numbers[word] for word in one] for one in words]
    engine.index((rows, numbers), create_empty_token=False, show_progress=False)
    made = engine.scores
    return Postings(
        tuple(terms),
        np.asarray(made["indptr"], np.int64),
        np.asarray(made["indices"], np.int32),
        np.asarray(made["data"], np.float32),
    )


class Lexical:
    """BM25 scores of every passage for a question. Safe to share between threads."""

    def __init__(self, postings: Postings, passages: int) -> None:
        """Take an index over `passages` rows.

        Raises:
            IntegrityError: its parts do not fit together, or a score is not finite.
        """
        _check(postings, passages)
        self._postings = postings
        self._passages = passages
        self._numbers = {term: number for number, term in enumerate(postings.terms)}
        self._engine = _engine(postings, passages)

    def asked(self, question: str) -> Asked:
        """What the index knows of a question's words."""
        words = dict.fromkeys(words_of([question])[0])
        known = tuple(self._numbers[word] for word in words if word in self._numbers)
        return Asked(known, len(words) - len(known))

    def scores(self, asked: Asked) -> NDArray[np.float32]:
        """BM25 of every passage, float32 [passages]; zero for a question without a known word."""
        found: NDArray[np.float32] = self._engine.get_scores_from_ids(list(asked.known))
        return found

    def weights(self, asked: Asked) -> NDArray[np.float64]:
        """The idf of each known word, Lucene's form: the most that the word can add to a score."""
        starts = self._postings.starts
        numbers = np.array(asked.known, np.intp)
        return idf(starts[numbers + 1] - starts[numbers], self._passages)

    def unknown_weight(self) -> float:
        """The idf of a word that no passage has."""
        return float(idf(np.zeros(1, np.int64), self._passages)[0])

    def holds(self, row: int, asked: Asked) -> NDArray[np.bool_]:
        """Which known words a passage holds."""
        return np.array([self._has(row, number) for number in asked.known], bool)

    def _has(self, row: int, number: int) -> bool:
        """Whether a passage holds a term, by bisection in the term's rows."""
        rows = self._postings.rows[self._postings.starts[number] : self._postings.starts[number + 1]]
        at = int(np.searchsorted(rows, row))
        return at < len(rows) and int(rows[at]) == row


def idf(frequencies: NDArray[np.int64], passages: int) -> NDArray[np.float64]:
    """Inverse document frequency as Lucene has it: log(1 + (N - n + 0.5) / (n + 0.5)), always positive."""
    found: NDArray[np.float64] = np.log1p((passages - frequencies + 0.5) / (frequencies + 0.5))
    return found


def _bm25s() -> Any:
    """The library, without the debug lines that it switches on when it is imported."""
    import bm25s

    logging.getLogger("bm25s").setLevel(logging.WARNING)
    return bm25s


def _engine(postings: Postings, passages: int) -> Any:
    """bm25s on arrays that are already there; its own loader reads only from a folder."""
    bm25s = _bm25s()

    engine = bm25s.BM25(k1=K1, b=B, method=METHOD)
    engine.scores = {
        "data": postings.scores, "indices": postings.rows, "indptr": postings.starts, "num_docs": passages,
    }  # fmt: skip
    engine.nonoccurrence_array = None
    return engine


def _check(postings: Postings, passages: int) -> None:
    """Refuse an index whose parts do not fit together."""
    terms, starts, rows, scores = postings.terms, postings.starts, postings.rows, postings.scores
    problem = ""
    if len(starts) != len(terms) + 1 or len(rows) != len(scores):
        problem = f"{len(terms)} terms, {len(starts)} starts, {len(rows)} rows, {len(scores)} scores do not fit"
    elif any(term <= last for last, term in itertools.pairwise(terms)):
        problem = "terms are not sorted or repeat"
    elif starts[0] != 0 or starts[-1] != len(rows) or (np.diff(starts) < 0).any():
        problem = "starts do not rise from 0 to the number of postings"
    elif len(rows) and not (rows.min() >= 0 and rows.max() < passages):
        problem = f"a row is outside of the {passages} passages"
    elif not np.isfinite(scores).all():
        problem = "a score is not finite"
    if problem:
        raise IntegrityError(f"BM25 index: {problem}; fetch the pack again")
