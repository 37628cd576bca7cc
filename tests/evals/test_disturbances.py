from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from evals.disturbances import KINDS, MOST, disturbed

pytestmark = pytest.mark.unit
TEXTS = [
    "short 3 cases on pallet 4, seal broken, driver refused to sign",
    "Customer says the delivery was late again and wants a credit note",
    "no stock of item 4711 in the south warehouse, please advise",
] * 40
ODD = ["", " ", "ok", "ü", "4711", "\U0001f69a" * 5, "a b c", "\n\t", "ÄÖÜ ß", "x" * 3000]


def test_every_text_is_disturbed_once_in_one_of_the_ways() -> None:
    found = disturbed(TEXTS)
    assert found.places == tuple(range(len(TEXTS)))
    assert set(Counter(found.kinds).values()) == {len(TEXTS) // len(KINDS)}
    changed = sum(text != TEXTS[place] for place, text in zip(found.places, found.texts, strict=True))
    assert changed > 0.9 * len(TEXTS)  # the case may be what it was, and a doubled letter may be swapped


def test_the_same_texts_give_the_same_disturbances() -> None:
    assert disturbed(TEXTS) == disturbed(TEXTS) != disturbed(TEXTS, seed=14)


def test_of_many_texts_some_are_taken_from_all_over() -> None:
    found = disturbed(["text number one"] * 5000)
    assert len(found.texts) == MOST == len(set(found.places))
    assert list(found.places) == sorted(found.places)
    assert abs(np.mean(found.places) - 2500) < 200


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("text", ODD)
def test_odd_texts_stay_texts(kind: str, text: str) -> None:
    for seed in range(20):
        found = KINDS[kind](text, np.random.default_rng(seed))
        assert isinstance(found, str)
        assert bool(found.strip()) == bool(text.strip())


def shapes(kind: str) -> list[str]:
    return [KINDS[kind](TEXTS[0], np.random.default_rng(seed)) for seed in range(50)]


def test_what_each_kind_does() -> None:
    words = TEXTS[0].split(" ")
    wrong = [sum(a != b for a, b in zip(text.split(" "), words, strict=True)) for text in shapes("typos")]
    assert 1 <= np.mean(wrong) < 3 and wrong.count(0) < 5
    assert {text.lower() for text in shapes("case")} == {TEXTS[0]}
    assert set(shapes("abbreviations")) == {"sht 3 cs on plt 4, seal brkn, drvr refused to sign"}
    assert all(TEXTS[0].startswith(text) and 6 <= len(text.split(" ")) <= 11 for text in shapes("truncated"))
    assert all(abs(len(text) - len(TEXTS[0])) < 12 for text in shapes("scanned"))
    assert KINDS["abbreviations"]("replenishment explained", np.random.default_rng(0)) == "rplnshmnt explnd"
