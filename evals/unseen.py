"""Bounds that reckon with what the sample has not seen.

A bootstrap only knows the differences that occurred. Where they are rare and lopsided, as those of two builds
of one model are, a BCa interval that should miss in 2.5 % of the cases misses in 4 to 6 % (200 items; the
simulations are in the tests). The bounds here are those of a Bayesian bootstrap (Rubin 1981) to which one more
item is added, the worst that could have occurred, or the best. For a mean that is the bound of Gaffke (2005,
"Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable"), which
Learned-Miller and Thomas (2020, "A new confidence interval for the mean of a bounded random variable") found to
hold at every sample size that they tried; for other statistics it is the same device, and simulation decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Interval = tuple[float, float]


def weights(counts: Floats, resamples: int, seed: int) -> Floats:
    """Draws of a Dirichlet distribution, [resamples, cells]: what share of the population each cell could have."""
    drawn = np.random.default_rng(seed).standard_gamma(counts, size=(resamples, len(counts)))
    found: Floats = drawn / drawn.sum(axis=1, keepdims=True)
    return found


def mean_bounds(values: Floats, span: Interval, *, confidence: float, resamples: int, seed: int) -> Interval:
    """Bounds of the mean of a variable, each at (1 - confidence) / 2.

    Args:
        values: [n] what was seen.
        span: the least and the greatest value that the variable can have.
        confidence: of the two bounds together.
        resamples: draws.
        seed: of the draws.
    """
    distinct, counts = np.unique(values, return_counts=True)
    share = weights(np.append(counts, 1).astype(np.float64), resamples, seed)
    tail = (1 - confidence) / 2
    low = np.quantile(share @ np.append(distinct, span[0]), tail)
    high = np.quantile(share @ np.append(distinct, span[1]), 1 - tail)
    return float(low), float(high)
