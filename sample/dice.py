"""Seeded chance: the same seed and purpose give the same draws on every machine."""

from __future__ import annotations

import functools
import hashlib
import itertools
import zlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Dice:
    """Draws for one purpose. Two purposes never share a stream, so adding one disturbs no other."""

    def __init__(self, seed: int, purpose: str) -> None:
        """Open the stream of `purpose` under `seed` (not negative)."""
        self.rng = np.random.default_rng([seed, zlib.crc32(purpose.encode())])

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return bool(self.rng.random() < probability)

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.rng.random() * (high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, each as likely."""
        return options[int(self.rng.random() * len(options))]

    def weighted(self, options: Sequence[T], weights: Sequence[float]) -> T:
        """One of the options, by weight (not negative, at least one above 0)."""
        bounds = list(itertools.accumulate(weights))
        drawn = self.rng.random() * bounds[-1]
        return next(option for option, bound in zip(options, bounds, strict=True) if drawn < bound)


@functools.cache
def taste(*parts: str) -> float:
    """A fixed number in [0, 1) for a combination of things: a habit rather than a draw."""
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48
