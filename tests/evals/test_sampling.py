from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.questions import read_questions
from evals.rows import read_split
from evals.sampling import FEWEST, sample, size, spread
from evals.statistics import items_needed
from fleet_manifests import Comparison, DataError

pytestmark = pytest.mark.unit


def comparison(half: float, n: int = 2000, against: str = "unquantized") -> Comparison:
    """No difference, and an interval that reaches `half` to each side."""
    return Comparison(
        against=against, metric="macro_f1", ours=0.9, theirs=0.9, difference=0.0, low=-half, high=half, n=n, lost=9, gained=9
    )  # fmt: skip


def test_the_more_two_models_differ_the_more_items_are_needed() -> None:
    assert size([comparison(0.001)], 0.02) == FEWEST
    few, many = size([comparison(0.012)], 0.02), size([comparison(0.024)], 0.02)
    assert few is not None and many is not None and FEWEST < few < many
    assert many == items_needed(comparison(0.024), 0.02)


def test_without_the_comparison_everything_is_taken() -> None:
    assert size([comparison(0.01, against="champion")], 0.02) is None
    assert size([], 0.02) is None


def test_every_stratum_has_its_share() -> None:
    strata = ["a"] * 600 + ["b"] * 300 + ["c"] * 97 + ["d"] * 3
    found = spread(strata, 100, seed=3)
    counts = Counter(strata[place] for place in found)
    assert len(set(found)) == len(found) == 100 and found == sorted(found)
    assert abs(counts["a"] - 60) <= 1 and abs(counts["b"] - 30) <= 1 and abs(counts["c"] - 10) <= 1
    assert spread(strata, 100, seed=3) == found != spread(strata, 100, seed=4)


@pytest.mark.parametrize("n", [10, 11])
def test_a_sample_of_all_is_all(n: int) -> None:
    assert spread(["b", "a"] * 5, n, seed=0) == list(range(10))


def test_sampled_rows_keep_their_lines(case: Callable[..., Any], tmp_path: Path) -> None:
    made, out = case(n=600, outside=5), tmp_path / "out"
    out.mkdir()
    taken = sample(made.corpus, out, ["test", "validation"], 100, seed=1)
    assert sorted(taken) == ["test"] and not (out / "oos_test.jsonl").exists()
    whole, some = read_split(made.corpus, "test"), read_split(out, "test")
    assert some.ref.n == 100 and some.ref.digest != whole.ref.digest
    assert some.rows == tuple(whole.rows[place] for place in taken["test"])


def test_sampled_questions(tmp_path: Path) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    out.mkdir()
    questions = [{"id": f"q{n}", "text": f"how {n}", "relevant": [f"p{n % 4}"]} for n in range(40)]
    (corpus / "test.jsonl").write_text("".join(json.dumps(one) + "\n" for one in questions))
    (corpus / "oos_test.jsonl").write_text('{"id": "x", "text": "weather", "relevant": []}\n')
    taken = sample(corpus, out, ["test", "oos_test"], 8, seed=1)
    found = read_questions(out, "test").questions
    assert [question.id for question in found] == [f"q{place}" for place in taken["test"]]
    assert Counter(question.relevant[0] for question in found) == {f"p{n}": 2 for n in range(4)}
    assert taken["oos_test"] == [0]


@pytest.mark.parametrize("text", ["{", "[1]\n", "\udcff"])
def test_a_split_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "test.jsonl").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"test\.jsonl: expected lines of JSON objects"):
        sample(tmp_path, tmp_path, ["test"], 1, seed=0)
