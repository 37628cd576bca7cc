"""The baselines: row-aligned predictions, honest scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_manifests import DataError
from training.arguments import TuneArguments
from training.baselines import STRENGTHS, fit_baselines
from training.bases import ResolvedBase

pytestmark = pytest.mark.integration

MODELS = {"frozen_lr", "tfidf_svm"}


@pytest.fixture(scope="module")
def fitted(
    corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("baselines") / "out"
    fit_baselines(corpus, base, out, arguments)
    return out


def labels(path: Path) -> list[str]:
    return [json.loads(line)["label"] for line in path.read_text().splitlines()]


def test_predictions_are_labels_aligned_with_the_rows(fitted: Path, corpus: Path) -> None:
    predictions = json.loads((fitted / "predictions.json").read_text())
    assert set(predictions) == MODELS
    for splits in predictions.values():
        assert set(splits) == {"validation", "test"}
        for split, found in splits.items():
            assert len(found) == len(labels(corpus / f"{split}.jsonl"))
            assert set(found) <= {"damage", "late", "price"}


def test_scores_are_those_of_the_predictions(fitted: Path, corpus: Path) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    predictions = json.loads((fitted / "predictions.json").read_text())
    scores = json.loads((fitted / "scores.json").read_text())
    for name in MODELS:
        assert scores[name]["strength"] in STRENGTHS[name]
        for split in ("validation", "test"):
            truth = labels(corpus / f"{split}.jsonl")
            assert scores[name][split]["accuracy"] == pytest.approx(accuracy_score(truth, predictions[name][split]))
            macro = f1_score(truth, predictions[name][split], average="macro")
            assert scores[name][split]["macro_f1"] == pytest.approx(macro)
            assert scores[name][split]["n"] == 60


def test_words_that_tell_a_class_are_found(fitted: Path) -> None:
    scores = json.loads((fitted / "scores.json").read_text())
    assert scores["tfidf_svm"]["test"]["macro_f1"] > 0.9
    assert scores["tfidf_svm"]["test"]["macro_f1"] > 0.9
    assert scores["frozen_lr"]["test"]["macro_f1"] > 0.4


def test_the_test_split_does_not_choose(
    fitted: Path, corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path: Path
) -> None:
    """Other labels in the test split change no prediction and no strength."""
    copy = tmp_path / "corpus"
    copy.mkdir()
    for name in ("train", "validation"):
        (copy / f"{name}.jsonl").write_bytes((corpus / f"{name}.jsonl").read_bytes())
    rows = [json.loads(line) | {"label": "price"} for line in (corpus / "test.jsonl").read_text().splitlines()]
    (copy / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fit_baselines(copy, base, tmp_path / "out", arguments)
    assert (tmp_path / "out" / "predictions.json").read_bytes() == (fitted / "predictions.json").read_bytes()


def test_a_bad_corpus_leaves_nothing(
    write_corpus: Callable[..., Path], base: ResolvedBase, arguments: TuneArguments, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="found none"):
        fit_baselines(write_corpus([]), base, tmp_path / "out", arguments)
    assert not (tmp_path / "out").exists()
