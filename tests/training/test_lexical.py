"""BM25 as training uses it: the scores of sites."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.lexical import Lexical, words_of

pytestmark = pytest.mark.unit

CONTENTS = ["pallets are counted twice", "count the pallet and the pallet label", "drivers sign the docket"]


def test_words_are_stemmed_and_stop_words_left_out() -> None:
    assert words_of(["The pallets are COUNTED", "the"]) == [["pallet", "count"], []]


def test_scores_are_bm25_in_lucenes_form() -> None:
    lengths = [len(words) for words in words_of(CONTENTS)]
    mean = sum(lengths) / 3
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = [
        idf * n / (n + 1.2 * (1 - 0.75 + 0.75 * length / mean)) for n, length in zip((1, 2, 0), lengths, strict=True)
    ]
    found = Lexical(CONTENTS).scores(["pallets"])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_a_word_counts_once_and_unknown_words_not_at_all() -> None:
    scores = Lexical(CONTENTS).scores(["docket", "docket dockets forklift", "forklift", ""])
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not scores[2:].any()


def test_scores_are_those_that_sites_find() -> None:
    from runtimes.knowledge.indexing import index
    from runtimes.knowledge.lexical import Lexical as AtSites

    at_site = AtSites(index(CONTENTS), len(CONTENTS))
    for text in ("count pallets", "who signs a docket", "nothing known"):
        np.testing.assert_allclose(Lexical(CONTENTS).scores([text])[0], at_site.scores(at_site.asked(text)), rtol=1e-6)


def test_a_library_without_words_scores_nothing() -> None:
    assert Lexical(["the", "of"]).scores(["the pallet"]).tolist() == [[0.0, 0.0]]
