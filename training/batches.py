"""Batches for learning by contrast: no passage twice in one, little padding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.chance import chance
from training.features import pad
from training.pairs import Pair

if TYPE_CHECKING:
    import numpy as np
    import torch

CHUNK = 16
"""Texts of similar length that the encoder reads at once. Padding to the longest adds 6 % to a batch of FeedbackQA,
21 % by 64."""


def deal(passages: Sequence[int], size: int, draw: np.random.Generator) -> list[list[int]]:
    """Deal pairs to batches of nearly equal size, each passage at most once in a batch.

    Pairs that lie beside each other by passage go round the batches in turn; there are at least as
    many batches as pairs of one passage, so that none comes back to a batch that has it.

    Args:
        passages: the passage of each pair, at least one.
        size: pairs of a batch at most.
        draw: draws the order of passages, of the pairs of one, and of the batches. Their number does not
            depend on it.
    """
    of: dict[int, list[int]] = defaultdict(list)
    for number, passage in enumerate(passages):
        of[passage].append(number)
    count = max(-(-len(passages) // size), max(len(some) for some in of.values()))
    groups = list(of.values())
    batches: list[list[int]] = [[] for _ in range(count)]
    turn = 0
    for group in draw.permutation(len(groups)):
        for number in draw.permutation(groups[group]):
            batches[turn % count].append(int(number))
            turn += 1
    return [batches[number] for number in draw.permutation(count)]


class Dealer:
    """The batches of one epoch after another, dealt anew for each: a batch sampler for a data loader."""

    def __init__(self, passages: Sequence[int], size: int, seed: int) -> None:
        """Take the passage of each pair."""
        self._passages, self._size, self._seed = passages, size, seed
        self._epoch = 0
        self._count = len(deal(passages, size, chance(seed)))

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the next epoch."""
        self._epoch += 1
        return iter(deal(self._passages, self._size, chance(self._seed, "epoch", self._epoch)))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._count


@dataclass(frozen=True)
class Tokens:
    """Everything of the pairs that the encoder reads, as token ids."""

    pairs: tuple[Pair, ...]
    anchors: list[list[int]]
    positives: list[list[int]]
    passages: list[list[int]]
    """By place in the library: what negatives are made of."""
    negatives: list[tuple[int, ...]]
    """Places of the hard negatives of each pair."""
    fill: int
    """The id that stands for padding."""

    def batch(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The texts of some pairs: anchors, then their passages in the same order, then hard negatives.

        Returns:
            `chunks`: ids and mask, int64 [texts, tokens], of texts of similar length;
            `order`: int64 [texts], where each text of the concatenated chunks belongs;
            `blocked`: bool [pairs, passages], what is right although it is another's passage.
        """
        import torch

        places = [self.pairs[number].passage for number in numbers]
        present = set(places)
        hard = [place for number in numbers for place in self.negatives[number]]
        hard = [place for place in dict.fromkeys(hard) if place not in present]
        texts = [self.anchors[number] for number in numbers] + [self.positives[number] for number in numbers]
        texts += [self.passages[place] for place in hard]
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        chunks = [
            pad([texts[place] for place in order[start : start + CHUNK]], self.fill)
            for start in range(0, len(order), CHUNK)
        ]
        return {"chunks": chunks, "order": torch.tensor(order), "blocked": self._blocked(numbers, [*places, *hard])}

    def _blocked(self, numbers: Sequence[int], columns: Sequence[int]) -> torch.Tensor:
        """Which columns are no mistake for a row, its own passage aside."""
        import torch

        found = torch.zeros((len(numbers), len(columns)), dtype=torch.bool)
        for row, number in enumerate(numbers):
            relevant = self.pairs[number].relevant
            for column, place in enumerate(columns):
                found[row, column] = column != row and place in relevant
        return found
