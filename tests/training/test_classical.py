"""The classical model: what it reads, what it learns, and that scikit-learn's own pipeline would say the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_manifests import DataError, IntegrityError, UsageError
from training.arguments import TuneArguments
from training.classical import (
    LONGEST,
    MOST_CHARACTERS,
    SPACE,
    STRENGTHS,
    UNKNOWN,
    Classical,
    fit_classical,
    framed,
    load_classical,
    max_characters,
    normalizer,
    tokenizer_of,
)

pytestmark = pytest.mark.unit

ODD = (
    "Late  pallet,\tdock-4!", "\N{GRINNING FACE}", "   ", "", "a", "\u65e5\u672c\u8a9e\u3002\u30c6\u30b9\u30c8", "\u03a3\u03b1\u03a3 \u0130",
    "x\x1cy\u2028z\x85", "\u00bd \u00e9 e\u0301", "no words" * 300,
)  # fmt: skip


@pytest.fixture(scope="module")
def fitted(corpus: Path, arguments: TuneArguments, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("classical") / "out"
    fit_classical(corpus, out, arguments)
    return out


@pytest.fixture(scope="module")
def model(fitted: Path) -> Classical:
    return load_classical(fitted)


def texts_of(corpus: Path, split: str) -> list[str]:
    return [json.loads(line)["text"] for line in (corpus / f"{split}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("Late, 2x!", " late , 2x ! "),
        ("  a\t\n b\x1c\x1dc\u3000d ", " a b c d "),
        ("don't", " don ' t "),
        ("\N{GRINNING FACE}\N{GRINNING FACE}ok", " \N{GRINNING FACE} \N{GRINNING FACE} ok "),
        ("\u6771\u4eac\u3002\u304b", " \u6771\u4eac \u3002 \u304b "),
        ("", "  "),
        (" \n ", "  "),
        ("a_b", " a_b "),
    ],
)
def test_a_text_as_it_is_read(text: str, reads: str) -> None:
    assert framed([text], 100) == [reads]


def test_no_white_space_of_python_is_left_but_single_spaces() -> None:
    """scikit-learn splits at what Python takes for white space; nothing may be left for it to see otherwise."""
    white = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
    assert len(white) > 20
    for character in white:
        assert normalizer().normalize_str(f"a{character}{character}b") == "a b", hex(ord(character))


@pytest.mark.parametrize("text", ODD)
def test_the_tokenizer_gives_one_id_for_each_character_that_is_read(text: str) -> None:
    tokenizer = tokenizer_of([framed([text], 64)[0]], 64)
    (reads,) = framed([text], 64)
    ids = tokenizer.encode(text).ids
    assert len(ids) == len(reads) <= 64
    assert [tokenizer.id_to_token(one) for one in ids] == list(reads)
    assert ids[0] == ids[-1] == SPACE


def test_an_unknown_character_and_a_token_in_the_text_are_no_special_tokens() -> None:
    ids = tokenizer_of(["ab"], 64).encode("aZ[PAD]").ids
    assert ids.count(UNKNOWN) > 0
    assert 0 not in ids


def test_a_tokenizer_survives_its_file(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    made = tokenizer_of(["late"], 16)
    made.save(str(tmp_path / "tokenizer.json"))
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ODD:
        assert again.encode(text).ids == made.encode(text).ids


def test_scores_are_those_of_scikit_learns_own_pipeline(corpus: Path, fitted: Path, model: Classical) -> None:
    """scikit-learn's union and SVM, fitted on the same texts; half precision of the weights is all that differs."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union
    from sklearn.svm import LinearSVC

    from training.corpus import read_corpus
    from training.probe import class_weights

    rows = read_corpus(corpus)
    train, validation = (framed(texts_of(corpus, split), model.max_tokens) for split in ("train", "validation"))
    union = make_union(
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True),
    )
    weights = dict(enumerate(class_weights(rows.counts(), "sqrt")))
    strength = json.loads((fitted / "arguments.json").read_text())["strength"]
    svm = LinearSVC(C=strength, class_weight=weights, random_state=0)
    svm.fit(union.fit_transform(train), rows.classes(rows.train))
    theirs = svm.decision_function(union.transform(validation))
    ours = model.scores(texts_of(corpus, "validation"))
    assert np.abs(ours - theirs).max() < 2e-3
    assert np.abs(theirs).max() > 0.5


def test_the_best_strength_on_validation_is_kept(corpus: Path, fitted: Path, model: Classical) -> None:
    from sklearn.metrics import f1_score

    trials = json.loads((fitted / "scores.json").read_text())["validation"]
    assert [trial["strength"] for trial in trials] == list(STRENGTHS)
    told = json.loads((fitted / "arguments.json").read_text())
    best = max(trials, key=lambda trial: trial["macro_f1"])
    assert told["strength"] == best["strength"]
    truth = [json.loads(line)["label"] for line in (corpus / "validation.jsonl").read_text().splitlines()]
    found = [model.labels[place] for place in model.predict(texts_of(corpus, "validation"))]
    assert best["macro_f1"] == pytest.approx(f1_score(truth, found, average="macro"))
    assert best["macro_f1"] > 0.9, "the words of a topic tell it"


def test_equal_inputs_give_equal_bytes(corpus: Path, fitted: Path, arguments: TuneArguments, tmp_path: Path) -> None:
    fit_classical(corpus, tmp_path / "again", arguments)
    names = sorted(path.name for path in fitted.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in names:
        assert (fitted / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_two_classes_have_two_scores(write_corpus: Callable[..., Path], tmp_path: Path) -> None:
    rows = [{"id": f"{n}", "text": f"{word} pallet", "label": word} for word in ("late", "wet") for n in range(4)]
    model = fit_classical(write_corpus(rows), tmp_path / "out")
    scores = model.scores(["late", "wet", "?"])
    assert scores.shape == (3, 2)
    assert scores[0].argmax() == 0 and scores[1].argmax() == 1
    assert scores[:, 0] == pytest.approx(-scores[:, 1], abs=1e-3)


def test_features_are_bounded(
    write_corpus: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.classical.MOST", 5)
    texts = {"late": "late truck", "wet": "wet box " + "w" * LONGEST}
    rows = [{"id": f"{n}", "text": text, "label": label} for label, text in texts.items() for n in range(4)]
    model = fit_classical(write_corpus(rows), tmp_path / "out")
    assert {len(block.grams) for block in model.blocks.values()} == {5}
    assert all(len(gram) + 2 <= LONGEST for gram in model.blocks["words"].grams)


def test_how_much_of_a_text_is_read() -> None:
    assert max_characters(TuneArguments(max_tokens=32)) == 256
    assert max_characters(TuneArguments(max_tokens=8192)) == MOST_CHARACTERS
    assert len(framed(["x " * 300], 256)[0]) == 256


def test_a_corpus_without_anything_in_common_is_refused(write_corpus: Callable[..., Path], tmp_path: Path) -> None:
    rows = [{"id": str(n), "text": chr(0x4E00 + n), "label": "ab"[n % 2]} for n in range(4)]
    with pytest.raises(DataError, match=r"no characters that .* training\.candidates"):
        fit_classical(write_corpus(rows, validation=rows, test=rows), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_content_is_left_alone(corpus: Path, fitted: Path) -> None:
    with pytest.raises(UsageError, match="content"):
        fit_classical(corpus, fitted)


@pytest.mark.parametrize(
    ("name", "content"), [("grams.json", b"{}"), ("numbers.npz", b"PK"), ("arguments.json", b"{}")]
)
def test_a_damaged_model_is_refused(fitted: Path, tmp_path: Path, name: str, content: bytes) -> None:
    import shutil

    shutil.copytree(fitted, tmp_path / "model")
    (tmp_path / "model" / name).write_bytes(content)
    with pytest.raises(IntegrityError, match="fit it again"):
        load_classical(tmp_path / "model")


@pytest.mark.parametrize("given", [(), ("tuned", "tuned"), ("svm",)])
def test_candidates_that_make_no_sense_are_refused(given: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="candidates"):
        TuneArguments.model_validate({"candidates": given})


def test_candidates_change_no_saved_hyper_parameter() -> None:
    assert TuneArguments(candidates=("classical",)).model_dump() == TuneArguments().model_dump()
