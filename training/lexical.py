"""BM25 over the words of passages, by bm25s (Lù 2024) in Lucene's form, as sites search: what training mines and mixes.

Words are lower case, without English stop words, reduced by the Snowball stemmer; k1 and b are
those of `runtimes.knowledge`, so that the weight chosen here means the same there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METHOD, K1, B = "lucene", 1.2, 0.75


def words_of(texts: Sequence[str]) -> list[list[str]]:
    """The stemmed words of each text, in order, repeated as they are."""
    import bm25s
    import Stemmer

    found: list[list[str]] = bm25s.tokenize(
        list(texts), stopwords="en", stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False
    )
    return found


class Lexical:
    """BM25 scores of passages."""

    def __init__(self, contents: Sequence[str]) -> None:
        """Index the contents of passages, at least one."""
        import bm25s

        self._size = len(contents)
        words = words_of(contents)
        self._numbers = {word: number for number, word in enumerate(sorted({word for one in words for word in one}))}
        self._engine: Any = bm25s.BM25(method=METHOD, k1=K1, b=B)
        rows = [[self._numbers[word] for word in one] for one in words]
        if self._numbers:
            self._engine.index((rows, self._numbers), create_empty_token=False, show_progress=False)

    def scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """BM25 of every passage for each text, float32 [texts, passages]; each word of a text counts once."""
        import numpy as np

        found = np.zeros((len(texts), self._size), np.float32)
        for row, words in enumerate(words_of(texts)):
            known = [self._numbers[word] for word in dict.fromkeys(words) if word in self._numbers]
            if known:
                found[row] = self._engine.get_scores_from_ids(known)
        return found
