"""How many queries a percentile needs, and between what bounds it lies.

The arithmetic of MLPerf LoadGen's early stopping (MLPerf Inference rules, "Early stopping
criterion"; `loadgen/early_stopping.cc`): a query is over the true percentile with
probability 1 - p, so the number of such queries among n is binomial.
"""

from __future__ import annotations

from collections.abc import Sequence

from fleet_manifests import Metric

CONFIDENCE = 0.99
"""MLPerf's confidence in a percentile."""


def min_queries(percentile: int, confidence: float = CONFIDENCE) -> int:
    """Queries that a single-stream percentile needs: 64 for p90 and 662 for p99 at 99 % confidence.

    The smallest n of which at most one is over the true percentile with probability 1 - confidence or less.
    """
    from scipy.stats import binom

    n = 2
    while binom.cdf(1, n, 1 - percentile / 100) > 1 - confidence:
        n += 1
    return n


def upper_rank(n: int, percentile: int, confidence: float = CONFIDENCE) -> int | None:
    """Place, in ascending order from 0, of LoadGen's early-stopping estimate; None below `min_queries`.

    LoadGen takes the t-th highest latency for the largest t such that at most t queries
    are over the true percentile with probability 1 - confidence or less.
    """
    from scipy.stats import binom

    over = 1 - percentile / 100
    t = int(binom.ppf(1 - confidence, n, over))
    while t >= 1 and binom.cdf(t, n, over) > 1 - confidence:
        t -= 1
    return n - t if t >= 1 else None


def lower_rank(n: int, percentile: int, confidence: float = CONFIDENCE) -> int | None:
    """Place of the highest latency that the true percentile is not below, with that confidence."""
    from scipy.stats import binom

    rank = int(binom.ppf(1 - confidence, n, percentile / 100))
    while rank >= 0 and binom.cdf(rank, n, percentile / 100) > 1 - confidence:
        rank -= 1
    return rank if rank >= 0 else None


def percentile(samples: Sequence[float], which: int, *, name: str) -> Metric:
    """A percentile of latencies in ms (nearest rank) with its bounds at 99 % confidence, where n allows them."""
    ranked, n = sorted(samples), len(samples)
    low, high = lower_rank(n, which), upper_rank(n, which)
    return Metric(
        name=name,
        value=ranked[min(n * which // 100, n - 1)],
        n=n,
        low=ranked[low] if low is not None and high is not None else None,
        high=ranked[high] if high is not None else None,
        unit="ms",
    )
