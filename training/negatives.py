"""Hard negatives: passages that share the words of a text and do not answer it.

BM25 ranks the library for each text (as Karpukhin et al. 2020, "Dense Passage Retrieval", do);
among the passages at the top some are drawn that are not relevant, do not say nearly the same
as the right one, and are not of the same section. They are drawn, and not the very first taken,
since the higher an unlabelled passage stands the likelier it answers too (Qu et al. 2021, "RocketQA").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fleet_manifests import Passage
from training.chance import chance
from training.lexical import Lexical, words_of
from training.library import Library
from training.pairs import Pair

DEPTH = 60
"""Places of a ranking that are looked at."""
POOL = 10
"""Passages that the negatives of a pair are drawn from, for each wanted one."""
ALIKE = 0.8
"""Share of words in common (Jaccard) from which two passages say nearly the same."""
BLOCK = 256
"""Texts scored at a time, which bounds memory."""
_PART = re.compile(r"\s*\(part \d+\)$", re.IGNORECASE)


def mine(pairs: Sequence[Pair], library: Library, lexical: Lexical, count: int, seed: int) -> list[tuple[int, ...]]:
    """Up to `count` places of hard negatives for each pair; fewer where the words lead nowhere else.

    Args:
        pairs: what to mine for.
        library: where.
        lexical: BM25 over its contents, in its order.
        count: negatives of each pair.
        seed: draws them.
    """
    if count == 0:
        return [() for _ in pairs]
    words = [frozenset(one) for one in words_of([passage.text for passage in library.passages])]
    found = []
    for number, ranked in enumerate(_rankings([pair.anchor for pair in pairs], lexical)):
        pair = pairs[number]
        own = library.passages[pair.passage]
        pool: list[int] = []
        for place in ranked:
            if place in pair.relevant or same_section(own, library.passages[place]):
                continue
            if not alike(words[pair.passage], words[place]):
                pool.append(place)
            if len(pool) == POOL * count:
                break
        drawn = chance(seed, "negatives", number).permutation(len(pool))[:count]
        found.append(tuple(pool[at] for at in drawn))
    return found


def same_section(one: Passage, other: Passage) -> bool:
    """Whether two passages are parts of one section, or one is of a section inside the other's."""
    if one.document != other.document:
        return False
    first, second = _path(one), _path(other)
    shorter = min(len(first), len(second))
    return first[:shorter] == second[:shorter]


def alike(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two passages have most of their words in common (Jaccard 1901)."""
    return len(one & other) >= ALIKE * len(one | other)


def _path(passage: Passage) -> tuple[str, ...]:
    """Title and headings, without the number of a part."""
    return tuple(_PART.sub("", heading).casefold() for heading in (passage.title, *passage.section))


def _rankings(texts: Sequence[str], lexical: Lexical) -> Iterator[list[int]]:
    """The places that share a word with each text, best first, equal ones by place."""
    import numpy as np

    for start in range(0, len(texts), BLOCK):
        scores = lexical.scores(texts[start : start + BLOCK])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
        for row, places in zip(scores, order, strict=True):
            yield [int(place) for place in places if row[place] > 0]
