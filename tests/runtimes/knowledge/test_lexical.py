"""BM25: the words of a text, the index, its scores against the formula, and damaged indexes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sample
from fleet_manifests import DataError, IntegrityError
from runtimes.knowledge.indexing import index
from runtimes.knowledge.lexical import K1, STOP_WORDS, Asked, B, Lexical, Postings, idf, words_of

pytestmark = pytest.mark.unit

TEXTS = (
    "Scan the pallet and drive the pallet away",
    "Chilled pallets are driven to the cold room",
    "Count the cartons twice",
    "The cartons and the pallet",
)


@pytest.fixture
def postings() -> Postings:
    return index(TEXTS)


@pytest.fixture
def lexical(postings: Postings) -> Lexical:
    return Lexical(postings, len(TEXTS))


def by_hand(question: str, row: int) -> float:
    """BM25 in Lucene's form, from its definition."""
    words = words_of(TEXTS)
    average = sum(map(len, words)) / len(words)
    total = 0.0
    for word in dict.fromkeys(words_of([question])[0]):
        frequency = sum(word in one for one in words)
        times = words[row].count(word)
        weight = math.log(1 + (len(words) - frequency + 0.5) / (frequency + 0.5))
        total += weight * times / (times + K1 * (1 - B + B * len(words[row]) / average))
    return total


def test_words_are_stemmed_lower_and_without_stop_words() -> None:
    assert words_of(["The PALLETS were driven, and driving"]) == [["pallet", "were", "driven", "drive"]]


def test_words_keep_their_order_and_number() -> None:
    assert words_of(["count count two", ""]) == [["count", "count", "two"], []]


def test_terms_are_sorted_and_rows_rise(postings: Postings) -> None:
    assert list(postings.terms) == sorted(postings.terms)
    for start, end in zip(postings.starts, postings.starts[1:], strict=False):
        assert (np.diff(postings.rows[start:end]) > 0).all()


def test_index_has_plain_types(postings: Postings) -> None:
    assert (postings.starts.dtype, postings.rows.dtype, postings.scores.dtype) == (np.int64, np.int32, np.float32)


@pytest.mark.parametrize("question", ["pallet", "driving pallets", "cartons twice", "cold cartons on a pallet"])
def test_scores_are_those_of_the_formula(lexical: Lexical, question: str) -> None:
    found = lexical.scores(lexical.asked(question))
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx([by_hand(question, row) for row in range(len(TEXTS))], rel=1e-5)


def sample_texts() -> list[str]:
    """The questions of the sample, and what few people type."""
    folder = Path(sample.__file__).parent / "sops/questions"
    lines = [line for path in sorted(folder.glob("[abc]*.jsonl")) for line in path.read_text().splitlines()]
    found = [row["text"] for row in map(json.loads, lines) if "text" in row]
    odd = ["", "  ", "a", "THE", "it's o'clock", "naïve café İSTANBUL ſtraße", "x_1 4.5kg 10-12 e-mail", "货物 到了 仓库",
           "\u0301combining e\u0301tat", "running\x00runs", "was\nwill\tnot"]  # fmt: skip
    return found + odd


def test_words_and_scores_are_those_of_bm25s() -> None:
    import bm25s
    import Stemmer

    texts = sample_texts()
    assert len(texts) > 1000
    assert set(bm25s.stopwords.STOPWORDS_EN) == STOP_WORDS
    stemmer = Stemmer.Stemmer("english")
    theirs = bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)
    assert words_of(texts) == theirs
    engine = bm25s.BM25(k1=K1, b=B, method="lucene")
    engine.index(theirs, show_progress=False)
    lexical = Lexical(index(texts), len(texts))
    for text in texts[::7]:
        known = list(dict.fromkeys(word for word in words_of([text])[0] if word in engine.vocab_dict))
        expected = engine.get_scores(known) if known else np.zeros(len(texts))
        np.testing.assert_allclose(lexical.scores(lexical.asked(text)), expected, rtol=1e-6)


def test_a_repeated_word_counts_once(lexical: Lexical) -> None:
    once, often = lexical.asked("pallet"), lexical.asked("pallet pallets PALLET")
    assert once == often


def test_unknown_words_are_counted_and_score_nothing(lexical: Lexical) -> None:
    asked = lexical.asked("zebra pallet unicorn zebra")
    assert (len(asked.known), asked.unknown) == (1, 2)
    assert lexical.scores(asked).tolist() == lexical.scores(lexical.asked("pallet")).tolist()


@pytest.mark.parametrize("question", ["", "the and of", "zebra", "?!"])
def test_a_question_without_known_words_scores_zero(lexical: Lexical, question: str) -> None:
    asked = lexical.asked(question)
    assert asked.known == ()
    assert lexical.scores(asked).tolist() == [0.0] * len(TEXTS)
    assert lexical.weights(asked).tolist() == []
    assert lexical.holds(0, asked).tolist() == []


def test_weights_bound_the_scores(lexical: Lexical) -> None:
    asked = lexical.asked("pallet cartons cold room twice count")
    assert lexical.scores(asked).max() < lexical.weights(asked).sum()


def test_an_unknown_word_weighs_more_than_any_known(lexical: Lexical) -> None:
    asked = lexical.asked("pallet cartons cold room twice")
    assert lexical.unknown_weight() > lexical.weights(asked).max()


def test_idf_is_lucene_s() -> None:
    assert idf(np.array([0, 3, 10]), 10).tolist() == pytest.approx(
        [math.log(1 + 10.5 / 0.5), math.log(1 + 7.5 / 3.5), math.log(1 + 0.5 / 10.5)]
    )


def test_holds_says_which_words_a_passage_has(lexical: Lexical) -> None:
    asked = lexical.asked("cartons pallet twice")
    assert lexical.holds(2, asked).tolist() == [True, False, True]
    assert lexical.holds(3, asked).tolist() == [True, True, False]


def test_index_does_not_depend_on_hash_order() -> None:
    import subprocess
    import sys

    script = (
        "from runtimes.knowledge.indexing import index; import hashlib;"
        "p = index(['b c a pallet', 'a forklift c', 'cold room pallet']);"
        "print(p.terms, hashlib.sha256(p.starts.tobytes() + p.rows.tobytes() + p.scores.tobytes()).hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert "forklift" in told.pop()


def test_texts_without_words_are_refused() -> None:
    with pytest.raises(DataError, match="words"):
        index(["the", "..."])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda p: {"terms": p.terms[:-1]}, "do not fit"),
        (lambda p: {"scores": p.scores[:-1]}, "do not fit"),
        (lambda p: {"terms": (*p.terms[:-2], p.terms[-1], p.terms[-2])}, "not sorted"),
        (lambda p: {"terms": (p.terms[0], p.terms[0], *p.terms[2:])}, "repeat"),
        (lambda p: {"starts": np.append(p.starts[:-1], 999)}, "starts do not rise"),
        (lambda p: {"starts": np.insert(p.starts[1:], 0, 1)}, "starts do not rise"),
        (lambda p: {"starts": np.concatenate([p.starts[:1], p.starts[2:3], p.starts[1:2], p.starts[3:]])}, "do not rise"),
        (lambda p: {"rows": p.rows + 1}, "outside of the 4"),
        (lambda p: {"rows": p.rows - 1}, "outside of the 4"),
        (lambda p: {"rows": np.zeros_like(p.rows)}, "do not rise within a term"),
        (lambda p: {"scores": np.where(np.arange(len(p.scores)) == 3, np.nan, p.scores)}, "not finite"),
        (lambda p: {"scores": np.where(np.arange(len(p.scores)) == 3, np.inf, p.scores)}, "not finite"),
    ],
)  # fmt: skip
def test_a_damaged_index_is_refused(postings: Postings, change: object, problem: str) -> None:
    with pytest.raises(IntegrityError, match=problem):
        Lexical(replace(postings, **change(postings)), len(TEXTS))  # type: ignore[operator]


def test_an_index_of_more_passages_than_the_pack_is_refused(postings: Postings) -> None:
    with pytest.raises(IntegrityError, match="outside of the 3"):
        Lexical(postings, 3)


def test_asked_is_a_value(lexical: Lexical) -> None:
    assert lexical.asked("pallet zebra") == Asked(lexical.asked("pallet").known, 1)
