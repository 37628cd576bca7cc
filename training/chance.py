"""Seeded draws: the same seed and purpose draw the same, whatever else was drawn before."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def chance(seed: int, *purpose: object) -> np.random.Generator:
    """A generator for one purpose.

    Args:
        seed: of the tuning.
        purpose: what it is for, such as an epoch or the id of a passage.
    """
    import numpy as np

    return np.random.default_rng([seed, zlib.crc32(":".join(map(str, purpose)).encode())])
