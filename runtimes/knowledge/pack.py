"""Search an open knowledge pack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from fleet_manifests import PackConfig, Passage, UsageError
from runtimes.knowledge.lexical import Asked, Lexical
from runtimes.knowledge.library import Library
from runtimes.knowledge.rows import Dense
from runtimes.knowledge.search import (
    FEATURES,
    RIVALS,
    Found,
    Hit,
    Rankings,
    Scale,
    Scores,
    Words,
    best_rows,
    features_of,
    in_force,
    in_order,
    is_for,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANDIDATES = 100
"""Passages that are scored again exactly, best by the approximate score."""


class Pack:
    """One open pack. Safe to share between threads. Use `open_pack`."""

    def __init__(self, config: PackConfig, library: Library, dense: Dense, lexical: Lexical) -> None:
        """Take the parts that `open_pack` has checked."""
        self.config = config
        self._library = library
        self._dense = dense
        self._lexical = lexical

    def search(
        self,
        vector: NDArray[np.float32],
        question: str,
        *,
        top: int = 5,
        on: date | None = None,
        site_class: str | None = None,
    ) -> Found:
        """The passages that answer a question best.

        Cosine and BM25 of every passage, each as z-scores over the library, are summed with
        the pack's weight; the best candidates are scored again with the exact cosine.

        Args:
            vector: the question's embedding by the pack's retriever, float32 [dimension], length 1.
            question: its text.
            top: passages wanted, at least 1.
            on: a day; passages not in force on it are passed over. None: none is.
            site_class: who asks; passages for other classes of sites are passed over. None: none is.

        Raises:
            UsageError: `top` is below 1.
            DataError: `vector` is not such an embedding.
            IntegrityError: a line is not a passage.
            StorageError: a file cannot be read.
        """
        if top < 1:
            raise UsageError(f"top: at least 1 was expected, found {top}")
        scored = _Scored(self, vector, question)
        found = self._hits(scored, max(top, RIVALS + 1), on, site_class)
        if not found:
            return Found((), (), dict.fromkeys(FEATURES, 0.0), 0.0, on)
        rows, hits = zip(*found, strict=True)
        features = self._features(scored, hits[: RIVALS + 1], rows[0])
        confidence = self.config.relevance.confidence(features)
        return Found(hits[:top], self._disagreeing(hits[:top], site_class), features, confidence, on)

    def rankings(self, vector: NDArray[np.float32], question: str, *, top: int = CANDIDATES) -> Rankings:
        """Whole rankings by cosine, by BM25 and by both, as `search` makes them.

        Raises:
            DataError: `vector` is not an embedding of the pack's retriever.
        """
        scored = _Scored(self, vector, question)
        rows, scores, _ = scored.fused(max(CANDIDATES, top))
        near = best_rows(scored.dense, max(CANDIDATES, top))
        return Rankings(
            dense=self._named(near, self._dense.exact(near, vector), top),
            lexical=self._named(*scored.matching(top), top),
            fused=self._named(rows, scores, top),
        )

    def scores(self, vector: NDArray[np.float32], question: str) -> Scores:
        """The z-scores that are fused, before the weight; dense ones by the approximate cosine.

        Raises:
            DataError: `vector` is not an embedding of the pack's retriever.
        """
        return _Scored(self, vector, question).standardized()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all passages, in order; read anew each time."""
        return self._library.ids()

    def passages(self) -> Iterator[Passage]:
        """All passages in the order of their ids, read one by one."""
        return (self._library.passage(row) for row in range(len(self._library)))

    def passage(self, name: str) -> Passage | None:
        """The passage with an id; None: not in this pack."""
        row = self._library.find(name)
        return None if row is None else self._library.passage(row)

    def close(self) -> None:
        """Let go of the files. Searching afterwards fails."""
        self._library.close()
        self._dense.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _hits(self, scored: _Scored, count: int, on: date | None, site_class: str | None) -> list[tuple[int, Hit]]:
        """The best passages in force on a day for a class of sites, with their rows; the rest stop scoring."""
        wanted = max(CANDIDATES, count)
        while True:
            found: list[tuple[int, Hit]] = []
            rows, scores, cosines = scored.fused(wanted)
            for row, score, cosine in zip(rows.tolist(), scores.tolist(), cosines.tolist(), strict=True):
                passage = self._library.passage(row)
                if (on is None or in_force(passage, on)) and is_for(passage, site_class):
                    found.append((row, Hit(passage, score, cosine, float(scored.lexical[row]))))
                else:
                    scored.pass_over(row)
                if len(found) == count:
                    return found
            if wanted >= len(self._library):
                return found
            # Nearly all of the best are for others: rare, and then a longer look is worth its time.
            wanted *= 10

    def _named(self, rows: NDArray[np.intp], scores: NDArray[np.floating], top: int) -> tuple[str, ...]:
        """Ids in order."""
        return tuple(self._library.id(int(rows[at])) for at in in_order(rows, scores)[:top])

    def _features(self, scored: _Scored, hits: Sequence[Hit], first: int) -> dict[str, float]:
        """The features of the first hit among its rivals."""
        weights = self._lexical.weights(scored.asked)
        return features_of(
            cosines=np.array([hit.cosine for hit in hits]),
            lexical=np.array([hit.lexical for hit in hits]),
            scores=np.array([hit.score for hit in hits]),
            dense_all=scored.dense,
            lexical_all=scored.lexical,
            first=first,
            words=Words(
                known=float(weights.sum()),
                unknown=scored.asked.unknown * self._lexical.unknown_weight(),
                first=float(weights[self._lexical.holds(first, scored.asked)].sum()),
            ),
        )

    def _disagreeing(self, hits: Sequence[Hit], site_class: str | None) -> tuple[Passage, ...]:
        """The passages that hits disagree with, as far as this pack has them for these sites."""
        names = {name for hit in hits for name in hit.passage.disagrees_with}
        found = (self.passage(name) for name in sorted(names))
        return tuple(passage for passage in found if passage is not None and is_for(passage, site_class))


class _Scored:
    """Both scores of every passage for one question."""

    def __init__(self, pack: Pack, vector: NDArray[np.float32], question: str) -> None:
        self.asked: Asked = pack._lexical.asked(question)
        self.dense = pack._dense.scores(vector)
        self.lexical = pack._lexical.scores(self.asked)
        self._pack = pack
        self._vector = vector
        self._scales = Scale.of(self.dense), Scale.of(self.lexical)

    def fused(self, count: int) -> tuple[NDArray[np.intp], NDArray[np.floating], NDArray[np.float64]]:
        """The best rows, best first, with their fused scores and exact cosines."""
        rows = best_rows(self._sum(self.dense, self.lexical), count)
        cosines = self._pack._dense.exact(rows, self._vector)
        scores = self._sum(cosines, self.lexical[rows].astype(np.float64))
        order = in_order(rows, scores)
        return rows[order], scores[order], cosines[order]

    def matching(self, count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The best rows by BM25 alone that share a word with the question, and their scores."""
        rows = best_rows(self.lexical, count)
        rows = rows[self.lexical[rows] > 0]
        return rows, self.lexical[rows]

    def standardized(self) -> Scores:
        """Both z-scores of every row."""
        return Scores(self._scales[0].z(self.dense), self._scales[1].z(self.lexical))

    def pass_over(self, row: int) -> None:
        """Score a passage as if the library had not got it."""
        self.dense[row] = -1.0
        self.lexical[row] = 0.0

    def _sum(self, dense: NDArray[np.floating], lexical: NDArray[np.floating]) -> NDArray[np.floating]:
        """The weighted sum of both z-scores."""
        weight = self._pack.config.fusion.dense_weight
        by_meaning, by_words = self._scales[0].z(dense), self._scales[1].z(lexical)
        return by_meaning * by_meaning.dtype.type(weight) + by_words * by_words.dtype.type(1 - weight)
