"""What a retriever learns from: texts, and the passage that each must find.

Questions that people asked come first. Where nobody asked, headings and sentences or steps of the
passage stand for a question (the inverse cloze task, Lee et al. 2019, "Latent Retrieval for Weakly
Supervised Open Domain Question Answering"), so that no passage is only ever a wrong answer. Most of
them are taken out of the passage, for what is in it word for word is found without learning.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fleet_manifests import DataError, Passage
from training.arguments import RetrieveArguments
from training.chance import chance
from training.lexical import words_of
from training.library import Library

Kind = Literal["question", "heading", "sentence"]
MOST_QUESTIONS = 16
"""Questions of one passage that are learned from; a batch holds a passage once, and more would make batches small."""
FEWEST_WORDS = 4
"""Different words, stop words aside, of a sentence that can stand for a question; and any words that must be left of
a passage without it."""
MOST_WORDS = 60


@dataclass(frozen=True)
class Pair:
    """A text and the passage that it must find."""

    anchor: str
    passage: int
    """Its place in the library."""
    positive: str
    """What is embedded of the passage: its content, mostly without the anchor."""
    relevant: frozenset[int]
    """Passages that are no mistake: those that answer, and those that say the same."""
    kind: Kind


def make_pairs(library: Library, arguments: RetrieveArguments) -> tuple[Pair, ...]:
    """Every pair of a library, in the order of its passages. The same input gives the same pairs.

    Of texts with the same words, in whatever order, one is kept; a heading or sentence that stands in
    several passages finds none of them, and is left out.

    Raises:
        DataError: fewer than two passages have a pair.
    """
    asked = _questions(library, arguments.seed)
    made: dict[int, dict[frozenset[str], Pair]] = defaultdict(dict)
    candidates = [pair for place in range(len(library.passages)) for pair in _made(library, place, arguments)]
    for pair, key in _unambiguous(candidates):
        made[pair.passage].setdefault(key, pair)
    found: list[Pair] = []
    for place in range(len(library.passages)):
        found += asked.get(place) or list(made[place].values())[: arguments.pairs_per_passage]
    if len({pair.passage for pair in found}) < 2:
        raise DataError(
            "library: expected questions, headings or sentences of at least 2 passages to learn from, found fewer; "
            "add training questions, or raise pairs_per_passage"
        )
    twins = _twins(library.passages)
    return tuple(
        replace(pair, relevant=frozenset().union(*(twins[place] for place in pair.relevant))) for pair in found
    )


def counts(pairs: Sequence[Pair]) -> dict[str, int]:
    """Pairs by kind."""
    return dict(sorted(Counter(pair.kind for pair in pairs).items()))


def _questions(library: Library, seed: int) -> dict[int, list[Pair]]:
    """The questions by passage. Who asks the same with another answer makes both answers right."""
    words = words_of([question.text for question in library.train])
    keys = [frozenset(some) or frozenset({one.text}) for some, one in zip(words, library.train, strict=True)]
    answers: dict[frozenset[str], set[int]] = defaultdict(set)
    for question, key in zip(library.train, keys, strict=True):
        answers[key] |= question.relevant
    found: dict[int, dict[frozenset[str], Pair]] = defaultdict(dict)
    for question, key in zip(library.train, keys, strict=True):
        for place in sorted(question.relevant):
            content = library.passages[place].content
            pair = Pair(question.text, place, content, frozenset(answers[key]), "question")
            found[place].setdefault(key, pair)
    chosen: dict[int, list[Pair]] = {}
    for place, some in found.items():
        pairs = list(some.values())
        if len(pairs) > MOST_QUESTIONS:
            order = chance(seed, "questions", library.passages[place].id).permutation(len(pairs))
            pairs = [pairs[number] for number in sorted(order[:MOST_QUESTIONS])]
        chosen[place] = pairs
    return chosen


def _made(library: Library, place: int, arguments: RetrieveArguments) -> Iterator[Pair]:
    """Headings of a passage, then its sentences in random order."""
    passage = library.passages[place]
    draw = chance(arguments.seed, "passage", passage.id)
    relevant = frozenset({place})
    for parts in _headings(passage):
        gone = draw.random() < arguments.withhold and len(passage.text.split()) >= FEWEST_WORDS
        positive = _content(passage, without=parts) if gone else passage.content
        yield Pair(": ".join(parts), place, positive, relevant, "heading")
    sentences = list(_sentences(passage.text))
    for sentence in (sentences[number] for number in draw.permutation(len(sentences))):
        rest = _without(passage.text, sentence)
        gone = draw.random() < arguments.withhold and len(rest.split()) >= FEWEST_WORDS
        positive = f"{passage.heading}\n{rest}" if gone else passage.content
        yield Pair(sentence, place, positive, relevant, "sentence")


def _headings(passage: Passage) -> list[tuple[str, ...]]:
    """What can be asked of the headings: the last alone, and the title with it."""
    if not passage.section:
        return [(passage.title,)] if passage.title.strip() else []
    last = passage.section[-1]
    return [(last,), (passage.title, last)] if last.strip() else []


def _content(passage: Passage, *, without: tuple[str, ...]) -> str:
    """The content of a passage without some of its headings."""
    kept = [part for part in (passage.title, *passage.section) if part not in without]
    return "\n".join(part for part in (" > ".join(kept), passage.text) if part)


_ITEM = re.compile(r"^\s*(?:\d+[.)]|[-*+•])\s+")
_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]*[A-Z0-9])")


def _sentences(text: str) -> Iterator[str]:
    """The sentences and steps of a passage that can stand for a question; tables and headings are left out."""
    for paragraph in _paragraphs(text):
        for sentence in _END.split(paragraph):
            words = sentence.split()
            if FEWEST_WORDS <= len(words) <= MOST_WORDS:
                yield " ".join(words)


def _paragraphs(text: str) -> list[str]:
    """Lines without their marks; a line that goes on in small letters is joined to the one before."""
    found: list[str] = []
    open_ = False
    for line in text.splitlines():
        bare = _ITEM.sub("", line).strip()
        if not bare or bare.startswith(("|", "#")):
            open_ = False
        elif open_ and bare[0].islower() and not _ITEM.match(line):
            found[-1] += f"\n{bare}"
        else:
            found.append(bare)
            open_ = True
    return found


def _without(text: str, sentence: str) -> str:
    """A text without the first occurrence of a sentence, however it is broken into lines, and without empty steps."""
    pattern = r"\s+".join(re.escape(word) for word in sentence.split())
    lines = re.sub(pattern, "", text, count=1).splitlines()
    return "\n".join(line.rstrip() for line in lines if not line.strip() or _ITEM.sub("", f"{line} ").strip()).strip()


def _unambiguous(pairs: Sequence[Pair]) -> list[tuple[Pair, frozenset[str]]]:
    """Pairs with the words of their anchors, without those that say too little or are anchors of other passages too."""
    words = words_of([pair.anchor for pair in pairs])
    keyed = [(pair, frozenset(some)) for pair, some in zip(pairs, words, strict=True)]
    owners: dict[frozenset[str], set[int]] = defaultdict(set)
    for pair, key in keyed:
        owners[key].add(pair.passage)
    fewest = {"heading": 1, "sentence": FEWEST_WORDS}
    return [(pair, key) for pair, key in keyed if len(key) >= fewest[pair.kind] and len(owners[key]) == 1]


def _twins(passages: Sequence[Passage]) -> list[frozenset[int]]:
    """For each passage those whose text has the same words, itself among them."""
    keys = [frozenset(words) for words in words_of([passage.text for passage in passages])]
    keys = [key or frozenset({passage.id}) for key, passage in zip(keys, passages, strict=True)]
    alike: dict[frozenset[str], set[int]] = defaultdict(set)
    for place, key in enumerate(keys):
        alike[key].add(place)
    return [frozenset(alike[key]) for key in keys]
