"""What a search finds: against brute force, in order, with features that are always finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_manifests import DataError, Fusion, Passage, Relevance, UsageError
from runtimes.knowledge import FEATURES, Found, search
from runtimes.knowledge.indexing import index
from runtimes.knowledge.lexical import words_of
from runtimes.knowledge.search import Scale, Words, best_rows, features_of, in_force, in_order
from tests.runtimes.knowledge.conftest import DIMENSION, Asker, embed, passage, procedures

pytestmark = pytest.mark.unit

Ask = Callable[..., Asker]
QUESTIONS = (
    "the slot is already full, what now",
    "how often do I read the probe in the chill room",
    "zebra unicorn",
    "the of and",
    "scan",
    "gloves and goggles for the battery truck on charge at 20 per cent",
)


def many(count: int, seed: int = 3) -> list[Passage]:
    """Passages of random words."""
    rng = np.random.default_rng(seed)
    words = [f"word{number}" for number in range(150)]
    return [
        passage(f"d{number // 8:03d}/s{number:04d}", " ".join(rng.choice(words, size=20).tolist()))
        for number in range(count)
    ]


def fused_by_hand(passages: list[Passage], question: str, weight: float) -> list[tuple[str, float]]:
    """Exact cosines and BM25 as z-scores, from their definitions."""
    passages = sorted(passages, key=lambda one: one.id)
    dense = embed([one.content for one in passages]).astype(np.float64) @ embed([question])[0].astype(np.float64)
    postings = index([one.content for one in passages])
    lexical = np.zeros(len(passages))
    for word in dict.fromkeys(words_of([question])[0]):
        if word in postings.terms:
            start, end = postings.starts[postings.terms.index(word) :][:2]
            lexical[postings.rows[start:end]] += postings.scores[start:end]

    def z(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return (scores - scores.mean()) / scores.std() if scores.std() > 1e-9 else np.zeros_like(scores)

    fused = weight * z(dense) + (1 - weight) * z(lexical)
    return sorted(
        ((one.id, score) for one, score in zip(passages, fused, strict=True)), key=lambda pair: (-pair[1], pair[0])
    )


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("question", ["word3 word17 word40", "word7 word99 word100 word101", "word5 and zebra"])
def test_hits_are_those_of_brute_force(ask: Ask, weight: float, question: str) -> None:
    passages = many(400)
    asker = ask(passages, fusion=Fusion(dense_weight=weight))
    expected = fused_by_hand(passages, question, weight)[:5]
    hits = asker.search(question).hits
    assert [hit.passage.id for hit in hits] == [name for name, _ in expected]
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=0.01)


def test_hits_carry_cosine_and_bm25(asker: Asker) -> None:
    question = "read the probe of the chill room"
    first = asker.search(question).hits[0]
    assert first.passage.id == "cc-002/reading-the-probe"
    assert first.cosine == pytest.approx(float(embed([question])[0] @ embed([first.passage.content])[0]), abs=1e-4)
    assert first.lexical > 0


def test_a_passage_comes_back_whole(asker: Asker) -> None:
    found = asker.search("occupied location").hits[0].passage
    assert found in procedures()


@pytest.mark.parametrize("top", [1, 3, 5, 8, 50])
def test_top_bounds_the_hits_and_not_the_features(asker: Asker, top: int) -> None:
    found = asker.search(QUESTIONS[0], top=top)
    assert len(found.hits) == min(top, 8)
    assert found.features == asker.search(QUESTIONS[0]).features


@pytest.mark.parametrize("top", [0, -1])
def test_top_below_one_is_refused(asker: Asker, top: int) -> None:
    with pytest.raises(UsageError, match="top"):
        asker.search("scan", top=top)


def test_a_vector_of_another_retriever_is_refused(asker: Asker) -> None:
    for vector in (np.ones(DIMENSION, np.float32), embed(["x"])[0][:-1], np.full(DIMENSION, np.nan, np.float32)):
        with pytest.raises(DataError):
            asker.pack.search(vector, "scan")


def test_equal_passages_come_in_the_order_of_ids(ask: Ask) -> None:
    names = [f"d{number}/same" for number in (5, 3, 9, 1, 7, 2)]
    asker = ask([passage(name, title="One title") for name in names])
    found = asker.search("scan the label").hits
    assert [hit.passage.id for hit in found] == sorted(names)[:5]
    assert len({hit.score for hit in found}) == 1


def test_more_equal_passages_than_candidates_give_the_first_ids(ask: Ask) -> None:
    asker = ask([passage(f"d{number:03d}/same", title="One title") for number in range(250)])
    assert asker.ids("scan the label") == [f"d{number:03d}/same" for number in range(5)]
    assert asker.pack.rankings(embed(["scan"])[0], "scan").lexical == tuple(f"d{n:03d}/same" for n in range(100))


def test_a_library_that_scores_alike_has_no_zero_division(ask: Ask) -> None:
    asker = ask([passage(f"d{number}/same", title="One title") for number in range(7)])
    with np.errstate(all="raise"):
        found = asker.search("scan")
    assert {hit.score for hit in found.hits} == {0.0}
    assert found.features["cosine_peak"] == 0.0


def test_a_library_of_one_passage(ask: Ask) -> None:
    asker = ask([passage("a/b")])
    with np.errstate(all="raise"):
        found = asker.search("scan the label")
    assert [hit.passage.id for hit in found.hits] == ["a/b"]
    assert found.features["cosine_margin"] == found.features["lexical_margin"] == found.features["score_margin"] == 0.0
    assert found.features["dense_rank"] == found.features["lexical_rank"] == 1.0


RANGES = {name: (-1.0, 1.0) if name.endswith("_margin") or name == "cosine" else (0.0, 1.0) for name in FEATURES}


@pytest.mark.parametrize("question", QUESTIONS)
def test_features_are_finite_and_bounded(asker: Asker, question: str) -> None:
    with np.errstate(all="raise"):
        found = asker.search(question)
    assert tuple(found.features) == FEATURES
    for name, value in found.features.items():
        assert isinstance(value, float)
        low, high = RANGES[name]
        assert low <= value <= high, name


def test_features_are_finite_on_many_random_questions(ask: Ask) -> None:
    asker = ask(many(120))
    rng = np.random.default_rng(1)
    for _ in range(60):
        words = [f"word{number}" for number in rng.integers(220, size=rng.integers(1, 9)).tolist()]
        for name, value in asker.search(" ".join(words)).features.items():
            assert RANGES[name][0] <= value <= RANGES[name][1], (name, words)


@pytest.mark.parametrize("question", ["zebra unicorn", "", "the of and", "?"])
def test_a_question_without_a_known_word_has_no_lexical_features(asker: Asker, question: str) -> None:
    features = asker.search(question).features
    for name in ("lexical_share", "lexical_margin", "known", "covered", "lexical_rank", "overlap"):
        assert features[name] == 0.0, name


def test_covered_and_known_are_shares_of_the_idf(asker: Asker) -> None:
    all_known = asker.search("probe chill room").features
    assert all_known["known"] == pytest.approx(1.0)
    assert all_known["covered"] == pytest.approx(1.0)
    half = asker.search("probe chill room zebra unicorn mammoth").features
    assert 0 < half["covered"] == half["known"] < 0.5
    partly = asker.search("probe chill room pallet").features
    assert partly["known"] == pytest.approx(1.0)
    assert partly["covered"] < 1.0


def test_features_tell_a_good_match_from_a_poor_one(asker: Asker) -> None:
    good = asker.search("Put the truck on charge at 20 per cent. Wear goggles and gloves.").features
    poor = asker.search("who won the football on Saturday").features
    for name in ("cosine", "cosine_peak", "lexical_share", "known", "covered", "score_margin"):
        assert good[name] > poor[name], name


def test_ranks_and_overlap_by_hand() -> None:
    features = features_of(
        cosines=np.array([0.5, 0.6, 0.1]),
        lexical=np.array([2.0, 1.0, 0.0]),
        scores=np.array([3.0, 2.0, 1.0]),
        dense_all=np.array([0.1, 0.5, 0.6, 0.0], np.float32),
        lexical_all=np.array([0.0, 2.0, 1.0, 0.0], np.float32),
        first=1,
        words=Words(known=4.0, unknown=4.0, first=3.0),
    )
    assert features["dense_rank"] == 0.5
    assert features["lexical_rank"] == 1.0
    assert features["overlap"] == 0.5  # of four by cosine, two hold a word
    assert features["cosine_margin"] == pytest.approx(-0.1)
    assert features["lexical_share"] == 0.5
    assert features["lexical_margin"] == 0.25
    assert features["known"] == 0.5
    assert features["covered"] == pytest.approx(3 / 8)
    assert features["score_margin"] == 0.5


def test_confidence_is_the_logistic_of_the_relevance(ask: Ask) -> None:
    relevance = Relevance(intercept=-1.5, weights={"cosine": 2.0, "covered": 3.0})
    found = ask(procedures(), relevance=relevance).search(QUESTIONS[1])
    total = -1.5 + 2.0 * found.features["cosine"] + 3.0 * found.features["covered"]
    assert found.confidence == pytest.approx(1 / (1 + math.exp(-total)))


@pytest.mark.parametrize(("intercept", "expected"), [(1e6, 1.0), (-1e6, 0.0), (0.0, 0.5)])
def test_confidence_stays_between_0_and_1(ask: Ask, intercept: float, expected: float) -> None:
    found = ask(procedures(), relevance=Relevance(intercept=intercept)).search("scan")
    assert found.confidence == pytest.approx(expected)


def test_rankings_begin_with_the_hits(asker: Asker) -> None:
    for question in QUESTIONS:
        rankings = asker.pack.rankings(embed([question])[0], question)
        assert list(rankings.fused[:5]) == asker.ids(question)


def test_rankings_by_meaning_and_by_words(ask: Ask) -> None:
    passages = sorted(many(300), key=lambda one: one.id)
    asker = ask(passages)
    question = "word3 word17 word40"
    vector = embed([question])[0]
    rankings = asker.pack.rankings(vector, question, top=20)
    dense = embed([one.content for one in passages]) @ vector
    assert list(rankings.dense) == [passages[row].id for row in np.argsort(-dense, kind="stable")[:20]]
    assert len(rankings.fused) == 20
    holders = {one.id for one in passages if set(question.split()) & set(one.text.split())}
    assert set(rankings.lexical) <= holders


def test_the_lexical_ranking_has_only_passages_that_share_a_word(asker: Asker) -> None:
    assert asker.pack.rankings(embed(["probe"])[0], "probe").lexical == ("cc-002/reading-the-probe",)
    assert asker.pack.rankings(embed(["zebra"])[0], "zebra").lexical == ()


def test_scores_are_z_scores_in_the_order_of_ids(asker: Asker) -> None:
    scores = asker.pack.scores(embed(["probe"])[0], "probe")
    assert scores.dense.shape == scores.lexical.shape == (8,)
    assert scores.dense.dtype == scores.lexical.dtype == np.float32
    assert float(scores.dense.mean()) == pytest.approx(0, abs=1e-5)
    assert float(scores.lexical.std()) == pytest.approx(1, abs=1e-5)
    assert asker.pack.ids[int(scores.lexical.argmax())] == "cc-002/reading-the-probe"


def test_a_pack_gives_its_passages_and_ids(asker: Asker) -> None:
    expected = sorted(procedures(), key=lambda one: one.id)
    assert list(asker.pack.passages()) == expected
    assert asker.pack.ids == tuple(one.id for one in expected)
    assert asker.pack.passage("hs-004/charging") == expected[2]
    assert asker.pack.passage("hs-004/chargin") is None


def test_disagreeing_passages_come_with_the_hits(ask: Ask) -> None:
    passages = [
        passage("a/probe", "Read the probe every 2 hours.", disagrees_with=("b/probe", "other-sites/probe")),
        passage("b/probe", "Nothing of the kind at all.", disagrees_with=("a/probe",)),
        *(passage(f"c/{number}", f"Read the probe {number}.") for number in range(6)),
    ]
    found = ask(passages).search("Title of a read the probe every 2 hours", top=1)
    assert [hit.passage.id for hit in found.hits] == ["a/probe"]
    assert [one.id for one in found.disagreeing] == ["b/probe"]


def dated(name: str, begun: date | None, ended: date | None = None) -> Passage:
    text = "Read the probe every 2 hours."
    return passage(name, text, title="Probe", section=("Reading",), effective_from=begun, effective_until=ended)


def test_passages_not_in_force_are_passed_over(ask: Ask) -> None:
    asker = ask(
        [
            dated("a/old", date(2024, 1, 1), date(2026, 1, 1)),
            dated("a/new", date(2026, 1, 1)),
            dated("b/future", date(2027, 1, 1)),
            passage("c/else", "Count the cartons."),
        ]
    )
    assert asker.ids("read the probe every 2 hours", on=date(2026, 3, 1))[0] == "a/new"
    assert set(asker.ids("read the probe", on=date(2026, 3, 1))) == {"a/new", "c/else"}
    assert set(asker.ids("read the probe", on=date(2025, 3, 1))) == {"a/old", "c/else"}
    assert set(asker.ids("read the probe")) == {"a/old", "a/new", "b/future", "c/else"}


def test_what_is_passed_over_is_no_rival(ask: Ask) -> None:
    others = [passage(f"c/{number}", f"Count the {word}.") for number, word in enumerate(("cartons", "totes", "drums"))]
    twins = [dated("a/old", None, date(2026, 1, 1)), dated("b/new", date(2026, 1, 1)), *others]
    question = "read the probe every 2 hours"
    whole = ask(twins).search(question)
    today = ask(twins).search(question, on=date(2026, 3, 1))
    assert whole.features["score_margin"] == 0.0
    assert today.features["score_margin"] > 0.1
    assert today.features["dense_rank"] == today.features["lexical_rank"] == 1.0
    assert today.on == date(2026, 3, 1)


def test_passages_for_other_sites_are_passed_over(ask: Ask) -> None:
    text = "Read the probe every {} hours."
    asker = ask(
        [
            passage("a/all", text.format(1), disagrees_with=("b/branch", "c/both")),
            passage("b/branch", text.format(2), site_classes=("branch",)),
            passage("c/both", text.format(3), site_classes=("branch", "warehouse")),
            passage("d/warehouse", text.format(4), site_classes=("warehouse",)),
        ]
    )
    assert set(asker.ids("read the probe", site_class="branch")) == {"a/all", "b/branch", "c/both"}
    assert set(asker.ids("read the probe", site_class="warehouse")) == {"a/all", "c/both", "d/warehouse"}
    assert set(asker.ids("read the probe", site_class="office")) == {"a/all"}
    assert len(asker.ids("read the probe")) == 4
    for site_class, expected in (("warehouse", ["c/both"]), ("office", []), (None, ["b/branch", "c/both"])):
        found = asker.search("read the probe every 1 hours title of a", site_class=site_class, top=1)
        assert [one.id for one in found.disagreeing] == expected


def test_few_passages_for_a_site_are_found_among_many_for_others(ask: Ask) -> None:
    text = "Read the probe every hour."
    others = [passage(f"a/{number:04d}", text, title="Probe", site_classes=("branch",)) for number in range(1500)]
    asker = ask([*others, passage("z/mine", "Count the cartons.", site_classes=("warehouse",))])
    assert asker.ids("read the probe every hour", site_class="warehouse") == ["z/mine"]


def test_nothing_in_force_gives_nothing(ask: Ask) -> None:
    asker = ask([dated(f"a/{number}", date(2027, 1, 1)) for number in range(3)], relevance=Relevance(intercept=9.0))
    assert asker.search("probe", on=date(2026, 1, 1)) == Found(
        (), (), dict.fromkeys(FEATURES, 0.0), 0.0, date(2026, 1, 1)
    )


@pytest.mark.parametrize(
    ("begun", "ended", "expected"),
    [
        (None, None, True),
        (date(2026, 3, 1), None, True),
        (date(2026, 3, 2), None, False),
        (None, date(2026, 3, 2), True),
        (None, date(2026, 3, 1), False),
        (date(2026, 1, 1), date(2026, 2, 1), False),
    ],
)
def test_in_force(begun: date | None, ended: date | None, expected: bool) -> None:
    assert in_force(dated("a/b", begun, ended), date(2026, 3, 1)) is expected


def test_threads_find_the_same(ask: Ask) -> None:
    asker = ask(many(200))
    questions = [f"word{number} word{number + 3} word{number + 40}" for number in range(40)]
    alone = [asker.search(question) for question in questions]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(asker.search, questions * 3)) == alone * 3


def test_best_rows_take_the_earliest_of_equals() -> None:
    scores = np.array([1, 3, 2, 2, 2, 0], np.float32)
    assert sorted(best_rows(scores, 3).tolist()) == [1, 2, 3]
    assert sorted(best_rows(scores, 1).tolist()) == [1]
    assert best_rows(scores, 6).tolist() == best_rows(scores, 60).tolist() == list(range(6))


def test_best_rows_agree_with_sorting() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 5, 99):
        scores = rng.integers(20, size=300).astype(np.float32)
        expected = np.lexsort((np.arange(300), -scores))[:count]
        assert sorted(best_rows(scores, count).tolist()) == sorted(expected.tolist())


def test_in_order_is_by_score_then_row() -> None:
    rows, scores = np.array([9, 4, 7]), np.array([1.0, 1.0, 2.0])
    assert rows[in_order(rows, scores)].tolist() == [7, 4, 9]


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -5.0, 1e6])
def test_scores_that_are_all_alike_have_z_zero(value: float) -> None:
    scores = np.full(100_000, value, np.float32)
    with np.errstate(all="raise"):
        assert not Scale.of(scores).z(scores).any()


def test_z_scores_keep_their_type() -> None:
    scale = Scale(1.0, 2.0)
    assert scale.z(np.array([3.0], np.float32)).dtype == np.float32
    assert scale.z(np.array([3.0])).tolist() == [1.0]


def test_the_documentation_names_every_feature() -> None:
    assert search.__doc__ is not None
    assert [line.split("`")[1] for line in search.__doc__.splitlines() if line.startswith("| `")] == list(FEATURES)
