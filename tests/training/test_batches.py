"""Batches: each passage at most once, nothing lost, what is right blocked, little padding."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from training.batches import CHUNK, Dealer, Tokens, deal
from training.chance import chance
from training.pairs import Pair

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("passages", "size"),
    [
        (list(range(100)), 8),
        ([n // 4 for n in range(101)], 16),
        ([0] * 30 + list(range(1, 40)), 16),
        ([0, 0, 0, 1], 64),
        ([5], 64),
    ],
    ids=["all different", "four of each", "one is asked about often", "few", "one"],
)
def test_every_pair_is_dealt_once_and_no_batch_holds_a_passage_twice(passages: list[int], size: int) -> None:
    batches = deal(passages, size, chance(3))
    assert sorted(number for batch in batches for number in batch) == list(range(len(passages)))
    for batch in batches:
        held = Counter(passages[number] for number in batch)
        assert max(held.values()) == 1
        assert len(batch) <= size
    sizes = [len(batch) for batch in batches]
    assert max(sizes) - min(sizes) <= 1
    assert len(batches) == max(-(-len(passages) // size), max(Counter(passages).values()))


def test_each_epoch_is_dealt_anew_and_repeats_itself() -> None:
    passages = [n // 3 for n in range(90)]
    dealer, again = Dealer(passages, 10, 13), Dealer(passages, 10, 13)
    first, second = list(dealer), list(dealer)
    assert first != second
    assert [first, second] == [list(again), list(again)]
    assert list(Dealer(passages, 10, 14)) != first
    assert len(dealer) == len(first) == len(second)


def test_purposes_draw_apart() -> None:
    same, other = chance(1, "epoch", 1).random(4), chance(1, "epoch", 2).random(4)
    np.testing.assert_array_equal(same, chance(1, "epoch", 1).random(4))
    assert not np.array_equal(same, other)
    assert not np.array_equal(same, chance(2, "epoch", 1).random(4))


def tokens(relevant: list[set[int]], negatives: list[tuple[int, ...]]) -> Tokens:
    """Pair n finds passage n; anchors are [1 n], passages [2 n n], as the first token says."""
    pairs = tuple(Pair(f"a{n}", n, f"p{n}", frozenset({n, *some}), "question") for n, some in enumerate(relevant))
    return Tokens(
        pairs=pairs,
        anchors=[[1, n] for n in range(len(pairs))],
        positives=[[2, n, n] for n in range(len(pairs))],
        passages=[[3, n, n, n] for n in range(20)],
        negatives=negatives,
        fill=0,
    )


def texts(batch: dict[str, object]) -> list[list[int]]:
    """The texts of a batch in the order that the loss sees, without padding."""
    found: list[list[int]] = []
    for ids, mask in batch["chunks"]:  # type: ignore[attr-defined]
        found += [row[keep.bool()].tolist() for row, keep in zip(ids, mask, strict=True)]
    ordered: list[list[int]] = [[]] * len(found)
    for place, text in zip(batch["order"].tolist(), found, strict=True):  # type: ignore[attr-defined]
        ordered[place] = text
    return ordered


def test_a_batch_holds_anchors_passages_and_negatives_in_this_order() -> None:
    batch = tokens([set(), set(), set()], [(7,), (8, 7), ()]).batch([2, 0, 1])
    assert texts(batch) == [
        [1, 2], [1, 0], [1, 1], [2, 2, 2], [2, 0, 0], [2, 1, 1], [3, 7, 7, 7], [3, 8, 8, 8],
    ]  # fmt: skip
    assert batch["blocked"].shape == (3, 5)
    assert not batch["blocked"].any()


def test_what_is_right_for_another_reason_is_blocked() -> None:
    batch = tokens([{1, 9}, set(), {9}], [(8,), (9,), ()]).batch([0, 1, 2])
    # columns: passages 0, 1, 2, then 8 and 9
    assert batch["blocked"].int().tolist() == [[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]]


def test_a_hard_negative_that_is_in_the_batch_already_is_not_read_twice() -> None:
    batch = tokens([set(), set()], [(1,), (9,)]).batch([0, 1])
    assert len(texts(batch)) == 5


def test_texts_of_similar_length_are_read_together() -> None:
    lengths = [(n * 7) % 60 + 2 for n in range(50)]
    pairs = tuple(Pair("a", n, "p", frozenset({n}), "question") for n in range(50))
    made = Tokens(pairs, [[5] * 8] * 50, [[6] * length for length in lengths], [], [()] * 50, 0)
    batch = made.batch(list(range(50)))
    assert all(len(ids) <= CHUNK for ids, _ in batch["chunks"])
    padded = sum(ids.numel() for ids, _ in batch["chunks"])
    assert padded < 1.4 * (8 * 50 + sum(lengths))
    assert padded < 0.7 * 100 * max(lengths)
