"""Passages of different documents that state different values about the same matter.

Two owners revise independently, and one procedure says 2 hours where the other says 4. A
pair is reported only where all of this holds: both passages are for some site in common and
hold at some time in common; their embeddings are near; each has a sentence with values of
one kind, none of them in common; the two sentences, values masked, share most of their
content words and are near as embeddings. Precision comes before recall: a paraphrase in
other words is not found. The thresholds were set on the sample's procedures of two of their
three writers, with the frozen all-MiniLM-L6-v2: its cosines are what they are about.

Only sentences that share most of their words with one of a near passage are embedded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from fleet_manifests import DataError, Passage
from runtimes.knowledge.lexical import idf, words_of
from runtimes.knowledge.values import Statement, statements

if TYPE_CHECKING:
    from numpy.typing import NDArray

Embed = Callable[[list[str]], "NDArray[np.float32]"]
"""Texts to embeddings, float32 [texts, dimension], rows of length 1."""

NEIGHBOURS = 50
"""Nearest passages of other documents that a passage is compared with."""
NEAR = 0.4
"""Least cosine of two passages."""
SHARED = 0.6
"""Least share of the content words that two sentences must have in common."""
ALIKE = 0.7
"""Least cosine of two masked sentences."""
SAME_MATTER = 0.71
"""Least mean of both for two sentences with `ENOUGH_WORDS` content words in common."""
SAME_SENTENCE = 0.9
"""Least mean of both for sentences with fewer, or that differ only in what is forbidden."""
ENOUGH_WORDS = 4
FEWEST_WORDS = 3
MOST_VALUES = 2
"""A sentence with more values of a kind is a list; which value belongs to what is not clear."""
BLOCK = 256


@dataclass(frozen=True)
class Disagreement:
    """Two passages, and the two sentences that state different values."""

    first: str
    """Id; the lesser of the two."""
    second: str
    first_says: str
    second_says: str
    kinds: tuple[str, ...]
    """What differs: `duration`, `share`, `count:person` ..."""
    shared: float
    """Share of the content words, by idf, that both sentences have."""
    cosine: float
    """Of the sentences with their values masked."""


@dataclass(frozen=True)
class _Said:
    """A statement of a passage and its content words."""

    row: int
    statement: Statement
    words: frozenset[str]


def disagreements(
    passages: Sequence[Passage], embeddings: NDArray[np.float32], embed: Embed
) -> dict[str, tuple[str, ...]]:
    """For each passage that disagrees with others: their ids, sorted; symmetric. See `explained`.

    Raises:
        DataError: `embeddings` has not one row a passage.
    """
    found: dict[str, set[str]] = {}
    for one in explained(passages, embeddings, embed):
        found.setdefault(one.first, set()).add(one.second)
        found.setdefault(one.second, set()).add(one.first)
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


def explained(passages: Sequence[Passage], embeddings: NDArray[np.float32], embed: Embed) -> tuple[Disagreement, ...]:
    """Every pair of passages that disagrees, with the two sentences most alike, in the order of ids.

    Args:
        passages: a library.
        embeddings: of their contents, float32 [passages, dimension], rows of length 1.
        embed: embeds sentences; called once, with those that need it.

    Raises:
        DataError: `embeddings` has not one row a passage.
    """
    if len(embeddings) != len(passages):
        raise DataError(f"embeddings: {len(passages)} rows were expected, one a passage, found {len(embeddings)}")
    said = _said(passages)
    weights = _weights(said)
    candidates = list(_candidates(passages, embeddings, said, weights))
    if not candidates:
        return ()
    texts = sorted({one.statement.masked for _, *pair in candidates for one in pair})
    place = {text: number for number, text in enumerate(texts)}
    vectors = embed(texts)
    best: dict[tuple[str, str], Disagreement] = {}
    for shared, one, other in candidates:
        cosine = float(vectors[place[one.statement.masked]] @ vectors[place[other.statement.masked]])
        if cosine < ALIKE or (cosine + shared) / 2 < _least(one, other):
            continue
        one, other = sorted((one, other), key=lambda each: passages[each.row].id)
        pair = passages[one.row].id, passages[other.row].id
        kinds = tuple(sorted(_differing(one.statement, other.statement)))
        found = Disagreement(*pair, one.statement.sentence, other.statement.sentence, kinds, shared, cosine)
        if pair not in best or _likeness(found) > _likeness(best[pair]):
            best[pair] = found
    return tuple(best[pair] for pair in sorted(best))


def _said(passages: Sequence[Passage]) -> dict[int, list[_Said]]:
    """What each passage states, by row."""
    found = [(row, one) for row, passage in enumerate(passages) for one in statements(passage.text)]
    words = words_of([one.masked for _, one in found])
    said: dict[int, list[_Said]] = {}
    for (row, one), own in zip(found, words, strict=True):
        kinds = {part for kind, _ in one.values for part in words_of([kind.partition(":")[0]])[0]}
        said.setdefault(row, []).append(_Said(row, one, frozenset(own) - kinds))
    return said


def _weights(said: Mapping[int, Sequence[_Said]]) -> dict[str, float]:
    """The idf of each word over all statements."""
    counted: dict[str, int] = {}
    for one in (one for some in said.values() for one in some):
        for word in one.words:
            counted[word] = counted.get(word, 0) + 1
    total = sum(len(some) for some in said.values())
    values = idf(np.array(list(counted.values()), np.int64), total)
    return dict(zip(counted, values.tolist(), strict=True))


def _candidates(
    passages: Sequence[Passage],
    embeddings: NDArray[np.float32],
    said: Mapping[int, Sequence[_Said]],
    weights: Mapping[str, float],
) -> Iterator[tuple[float, _Said, _Said]]:
    """Statements of near passages that differ in a value and share most of their words."""
    rows = np.array(sorted(said), np.intp)
    for row, other in _near(passages, embeddings, rows):
        for one in said[row]:
            for two in said[other]:
                if _differing(one.statement, two.statement):
                    shared = _shared(one.words, two.words, weights)
                    if shared >= SHARED and len(one.words & two.words) >= FEWEST_WORDS:
                        yield shared, one, two


def _near(
    passages: Sequence[Passage], embeddings: NDArray[np.float32], rows: NDArray[np.intp]
) -> Iterator[tuple[int, int]]:
    """Pairs of near passages of different documents that hold at one site at one time, each once."""
    documents = np.unique([passages[row].document for row in rows], return_inverse=True)[1] if len(rows) else rows
    kept = embeddings[rows]
    seen: set[tuple[int, int]] = set()
    for start in range(0, len(rows), BLOCK):
        cosines = kept[start : start + BLOCK] @ kept.T
        cosines[documents[start : start + BLOCK, None] == documents[None]] = -1
        count = min(NEIGHBOURS, len(rows))
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        for place, others in enumerate(nearest):
            row = int(rows[start + place])
            for other in rows[others[cosines[place, others] >= NEAR]].tolist():
                pair = min(row, other), max(row, other)
                if pair not in seen and _together(passages[row], passages[other]):
                    seen.add(pair)
                    yield pair


def _together(one: Passage, other: Passage) -> bool:
    """Whether two passages hold at some site in common, at some time in common."""
    sites = not one.site_classes or not other.site_classes or bool(set(one.site_classes) & set(other.site_classes))
    begun = max(one.effective_from or date.min, other.effective_from or date.min)
    ended = min(one.effective_until or date.max, other.effective_until or date.max)
    return sites and begun < ended


def _differing(one: Statement, other: Statement) -> set[str]:
    """The kinds of which both state something, and nothing in common."""
    kinds = {kind for kind, _ in one.values} & {kind for kind, _ in other.values}
    few = {kind for kind in kinds if max(len(one.of(kind)), len(other.of(kind))) <= MOST_VALUES}
    return {kind for kind in few if not one.of(kind) & other.of(kind)}


def _least(one: _Said, other: _Said) -> float:
    """How alike two statements must be; more than 1: none are alike enough."""
    few = len(one.words & other.words) < ENOUGH_WORDS
    if _differing(one.statement, other.statement) == {"rule"}:
        return 2.0 if few else SAME_SENTENCE
    return SAME_SENTENCE if few else SAME_MATTER


def _likeness(found: Disagreement) -> tuple[float, int, str, str]:
    """Order of the sentences of one pair of passages: the most alike first, then the longest."""
    likeness = round((found.cosine + found.shared) / 2, 6)
    return likeness, len(found.first_says) + len(found.second_says), found.first_says, found.second_says


def _shared(one: frozenset[str], other: frozenset[str], weights: Mapping[str, float]) -> float:
    """Share of the words, by idf, that both have, of the poorer sentence's."""
    poorer = min(sum(weights[word] for word in words) for words in (one, other))
    return sum(weights[word] for word in one & other) / poorer if poorer > 0 else 0.0
