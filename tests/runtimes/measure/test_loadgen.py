from __future__ import annotations

import sys
import time
from collections import Counter

import pytest

from evals.percentiles import min_queries, upper_rank
from fleet_manifests import MissingExtraError
from runtimes.measure import loadgen
from runtimes.measure.process import QUERIES

pytestmark = pytest.mark.integration
TEXTS = [f"note {number}" for number in range(20)]


def ask(_: str) -> None:
    end = time.perf_counter() + 0.0002
    while time.perf_counter() < end:
        pass


@pytest.mark.parametrize("percentile", [50, 90, 99])
def test_our_arithmetic_is_loadgens(percentile: int) -> None:
    """Of as many queries, LoadGen leaves as many above its early-stopping estimate as we do."""
    found = loadgen.single_stream(ask, TEXTS, percentile=percentile, queries=QUERIES[percentile] + 137, most=5000, ms=1)
    n = len(found.latencies_ms)
    rank = upper_rank(n, percentile)
    assert n >= QUERIES[percentile] + 137 and rank is not None and found.valid
    assert found.discarded == n - 1 - rank
    assert found.estimate_ms is not None and found.estimate_ms >= found.percentile_ms > 0


@pytest.mark.parametrize(("percentile", "queries"), [(90, 64), (99, 662)])
def test_loadgen_needs_the_queries_that_mlperf_names(percentile: int, queries: int) -> None:
    assert min_queries(percentile) == QUERIES[percentile] == queries
    enough = loadgen.single_stream(ask, TEXTS, percentile=percentile, queries=queries, most=queries, ms=1)
    assert enough.valid and enough.estimate_ms is not None and len(enough.latencies_ms) == queries
    few = loadgen.single_stream(ask, TEXTS, percentile=percentile, queries=queries - 1, most=queries - 1, ms=1)
    assert not few.valid and few.estimate_ms is None


def test_a_run_lasts_as_long_as_it_should_and_is_cut_at_its_most() -> None:
    begun = time.perf_counter()
    loadgen.single_stream(ask, TEXTS, percentile=50, queries=11, most=100_000, ms=200)
    assert time.perf_counter() - begun >= 0.2
    cut = loadgen.single_stream(ask, TEXTS, percentile=50, queries=11, most=50, ms=10_000)
    assert len(cut.latencies_ms) == 50 and not cut.valid


def test_a_run_of_an_engine_that_takes_no_time_is_valid() -> None:
    """LoadGen draws its queries beforehand, by the latency that it is told to expect."""
    found = loadgen.single_stream(lambda _: None, TEXTS, percentile=99, queries=662, most=1_000_000, ms=20)
    assert found.valid and len(found.latencies_ms) > 662


def test_samples_are_drawn_from_all_texts_and_the_same_each_time() -> None:
    seen: list[list[str]] = []
    for _ in range(2):
        asked: list[str] = []
        loadgen.single_stream(asked.append, TEXTS, percentile=90, queries=200, most=200, ms=1)
        seen.append(asked)
    assert seen[0] == seen[1]
    assert set(Counter(seen[0])) == set(TEXTS)


def test_offline_counts_samples_a_second() -> None:
    asked: list[str] = []

    def query(text: str) -> None:
        asked.append(text)
        ask(text)

    begun = time.perf_counter()
    found = loadgen.offline(query, TEXTS, samples=500)
    assert len(asked) >= 500
    assert found >= len(asked) / (time.perf_counter() - begun), "LoadGen's clock stands while it makes ready"


def test_an_error_of_the_engine_comes_out() -> None:
    def broken(text: str) -> None:
        raise ValueError(f"cannot read {text}")

    with pytest.raises(ValueError, match="cannot read note"):
        loadgen.single_stream(broken, TEXTS, percentile=50, queries=20, most=20, ms=1)


def test_without_loadgen_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(MissingExtraError, match=r"lading\[measure\]"):
        loadgen.offline(ask, TEXTS, samples=1)
