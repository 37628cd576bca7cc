from __future__ import annotations

import numpy as np
import pytest

from evals.percentiles import lower_rank, min_queries, percentile, upper_rank

pytestmark = pytest.mark.unit


def test_the_minimum_query_counts_are_those_of_mlperf() -> None:
    assert min_queries(90) == 64
    assert min_queries(99) == 662


@pytest.mark.parametrize(("which", "n"), [(90, 64), (99, 662)])
def test_the_minimum_is_where_loadgen_begins_to_estimate(which: int, n: int) -> None:
    assert upper_rank(n, which) == n - 1
    assert upper_rank(n - 1, which) is None


def test_more_queries_discard_the_highest_latencies() -> None:
    rank = upper_rank(2000, 99)
    assert rank is not None and 1980 < rank < 1999


@pytest.mark.parametrize("which", [50, 90, 99])
def test_the_bounds_hold_as_often_as_they_say(which: int) -> None:
    rng, n, runs = np.random.default_rng(1), 800, 2000
    truly = -np.log(1 - which / 100)
    samples = np.sort(rng.exponential(size=(runs, n)), axis=1)
    low, high = lower_rank(n, which), upper_rank(n, which)
    assert low is not None and high is not None
    assert (samples[:, high] < truly).mean() <= 0.015
    assert (samples[:, low] > truly).mean() <= 0.015


def test_a_percentile_with_its_bounds() -> None:
    found = percentile([float(value) for value in range(1, 1001)], 99, name="p99")
    assert found.value == 991.0 and found.n == 1000
    assert found.low is not None and found.high is not None and found.low < found.value < found.high
    assert found.unit == "ms"


def test_too_few_queries_have_no_bounds() -> None:
    found = percentile([1.0] * 100, 99, name="p99")
    assert found.low is None and found.high is None
