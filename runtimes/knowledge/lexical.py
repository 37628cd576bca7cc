"""BM25 over the words of passages in Lucene's form, as bm25s (Lù 2024) has it and without it.

Words are what `bm25s.tokenize` makes of a text: lower case, two characters and more,
without Lucene's English stop words, reduced by the Snowball stemmer. k1 = 1.2 and b = 0.75 are
Lucene's defaults and not tuned: on the 460 questions of the sample's procedures, nDCG@10 of
cosine and BM25 together stays between .554 and .565 over k1 0.6 to 2 and b 0.4 to 0.9.

The index is eager: a posting is the BM25 score of one word in one passage, so a question
costs one addition per posting: a few lines here, and bm25s, which loads scipy, would add 28 MB
to every process that serves. Tests hold words and scores to those of bm25s. Scores depend on
how often a word occurs in the whole library; a changed library therefore changes most of these
bytes. They need not travel: `runtimes.knowledge.indexing` makes the same bytes from the same passages.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fleet_manifests import IntegrityError

if TYPE_CHECKING:
    from numpy.typing import NDArray

K1 = 1.2
B = 0.75
WORD = re.compile(r"\b\w\w+\b")
STOP_WORDS = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not",
    "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was",
    "will", "with",
})  # fmt: skip


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

    # A stemmer is not safe to share between threads; making one is cheap.
    stem = Stemmer.Stemmer("english").stemWords
    return [stem([word for word in WORD.findall(text.lower()) if word not in STOP_WORDS]) for text in texts]


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

    def asked(self, question: str) -> Asked:
        """What the index knows of a question's words."""
        words = dict.fromkeys(words_of([question])[0])
        known = tuple(self._numbers[word] for word in words if word in self._numbers)
        return Asked(known, len(words) - len(known))

    def scores(self, asked: Asked) -> NDArray[np.float32]:
        """BM25 of every passage, float32 [passages]; zero for a question without a known word."""
        found = np.zeros(self._passages, np.float32)
        for number in asked.known:
            rows, scores = self._of(number)
            found[rows] += scores  # no passage twice within a term
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
        rows, _ = self._of(number)
        at = int(np.searchsorted(rows, row))
        return at < len(rows) and int(rows[at]) == row

    def _of(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The rows and scores of a term."""
        part = slice(self._postings.starts[number], self._postings.starts[number + 1])
        return self._postings.rows[part], self._postings.scores[part]


def idf(frequencies: NDArray[np.int64], passages: int) -> NDArray[np.float64]:
    """Inverse document frequency as Lucene has it: log(1 + (N - n + 0.5) / (n + 0.5)), always positive."""
    found: NDArray[np.float64] = np.log1p((passages - frequencies + 0.5) / (frequencies + 0.5))
    return found


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
    elif not _rising(starts, rows):
        problem = "rows do not rise within a term"
    elif not np.isfinite(scores).all():
        problem = "a score is not finite"
    if problem:
        raise IntegrityError(f"BM25 index: {problem}; fetch the pack again")


def _rising(starts: NDArray[np.int64], rows: NDArray[np.int32]) -> bool:
    """Whether the rows of each term rise."""
    falls = np.flatnonzero(np.diff(rows) <= 0) + 1
    return bool(np.isin(falls, starts).all())
