"""Tuning a retriever on a tiny base: what it writes, that it learns, repeats itself and refuses early."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fleet_manifests import DataError, IntegrityError, UsageError
from training import retriever as module
from training.arguments import RetrieveArguments, read_arguments
from training.bases import ResolvedBase
from training.epochs import best_of
from training.merge import merge
from training.retriever import RetrieverResult, finetune_retriever

pytestmark = pytest.mark.integration

FILES = {
    "adapter.bin",
    "adapter_config.json",
    "adapter_model.safetensors",
    "arguments.json",
    "base.json",
    "history.json",
    "versions.json",
}


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_it_learns_what_words_that_nobody_shares_mean(retriever: tuple[RetrieverResult, Path]) -> None:
    result, _ = retriever
    assert result.epochs[0].ndcg_at_10 < 0.5
    assert result.best.ndcg_at_10 > result.epochs[0].ndcg_at_10 + 0.2
    assert result.best.dense_ndcg_at_10 > 0.6
    assert result.best == best_of(result.epochs)
    assert 80 < result.pairs["question"] <= 90
    assert result.pairs["heading"] > 0


def test_the_adapter_folder_is_complete(retriever: tuple[RetrieverResult, Path], base: ResolvedBase) -> None:
    result, out = retriever
    assert {path.name for path in out.iterdir()} == FILES
    assert json.loads((out / "base.json").read_text())["digest"] == base.ref.digest
    history = json.loads((out / "history.json").read_text())
    assert [epoch["ndcg_at_10"] for epoch in history["epochs"]] == [epoch.ndcg_at_10 for epoch in result.epochs]
    assert history["best_epoch"] == result.best.epoch
    assert history["pairs"] == result.pairs
    assert {"bm25s", "ir-measures", "pystemmer", "torch"} <= set(json.loads((out / "versions.json").read_text()))


def test_the_folder_says_that_it_is_a_retriever(
    retriever: tuple[RetrieverResult, Path], retrieve_arguments: RetrieveArguments
) -> None:
    assert json.loads((retriever[1] / "arguments.json").read_text())["task"] == "retrieve"
    assert read_arguments(retriever[1]) == retrieve_arguments


def test_the_folder_names_no_path_of_this_machine(retriever: tuple[RetrieverResult, Path], base: ResolvedBase) -> None:
    for path in retriever[1].iterdir():
        assert str(base.path).encode() not in path.read_bytes()
        assert str(retriever[1].parent).encode() not in path.read_bytes()


def test_only_lora_is_saved(retriever: tuple[RetrieverResult, Path]) -> None:
    from safetensors import safe_open

    with safe_open(retriever[1] / "adapter_model.safetensors", "pt") as stream:
        names = list(stream.keys())
    assert len(names) == 2 * 6 * 2
    assert all("lora_" in name for name in names)


def test_epoch_zero_is_the_frozen_base(
    retriever: tuple[RetrieverResult, Path], library: Path, base: ResolvedBase, tmp_path: Path
) -> None:
    from training.baselines_retrieval import rank_baselines

    arguments = read_arguments(retriever[1])
    assert isinstance(arguments, RetrieveArguments)
    rank_baselines(library, base, tmp_path / "out", arguments)
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    first = retriever[0].epochs[0]
    assert scores["frozen_dense"]["validation"]["ndcg_at_10"] == pytest.approx(first.dense_ndcg_at_10, abs=1e-6)
    assert scores["frozen_fused"]["validation"]["ndcg_at_10"] == pytest.approx(first.ndcg_at_10, abs=1e-6)
    assert scores["frozen_fused"]["dense_weight"] == first.dense_weight


def test_epoch_zero_takes_the_frozen_base_from_a_reader(
    library: Path, base: ResolvedBase, retrieve_arguments: RetrieveArguments, tmp_path: Path
) -> None:
    from training.frozen import reader

    arguments = retrieve_arguments.model_copy(update={"epochs": 1, "precision": "fp32"})
    asked: list[list[str]] = []

    def read(texts: Sequence[str]) -> NDArray[np.float32]:
        asked.append(list(texts))
        return 3 * reader(base, arguments)(texts)

    alone = finetune_retriever(library, base, arguments, tmp_path / "alone")
    given = finetune_retriever(library, base, arguments, tmp_path / "given", frozen=read)
    assert len(asked) == 1
    for one, other in zip(alone.epochs, given.epochs, strict=True):
        assert asdict(one) == pytest.approx(asdict(other), abs=1e-6)
    weights = "adapter_model.safetensors"
    assert digests(tmp_path / "alone")[weights] == digests(tmp_path / "given")[weights]


def test_the_saved_weights_are_those_of_the_best_epoch(
    retriever: tuple[RetrieverResult, Path], library: Path, base: ResolvedBase, tmp_path: Path
) -> None:
    """The merged model, asked apart from the training loop, finds what the best epoch found."""
    import torch

    from training.features import load_tokenizer, pad, tokenize
    from training.library import read_library
    from training.model import load_merged
    from training.ranking import figures, rank

    result, out = retriever
    merge(out, base, tmp_path / "merged")
    model, tokenizer = load_merged(tmp_path / "merged"), load_tokenizer(tmp_path / "merged", 32)
    read = read_library(library)
    with torch.inference_mode():
        passages, asked = (
            model(*pad(tokenize(tokenizer, texts), 0)).numpy()
            for texts in (read.contents, [one.text for one in read.validation])
        )
    found = figures(read.validation, rank(asked @ passages.T))["ndcg_at_10"]
    assert found == pytest.approx(result.best.dense_ndcg_at_10, abs=0.01)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_bytes(
    precision: str, library: Path, base: ResolvedBase, retrieve_arguments: RetrieveArguments, tmp_path: Path
) -> None:
    same = retrieve_arguments.model_copy(update={"precision": precision, "epochs": 1})
    finetune_retriever(library, base, same, tmp_path / "a")
    finetune_retriever(library, base, same.model_copy(update={"seed": 14}), tmp_path / "other")
    finetune_retriever(library, base, same, tmp_path / "b")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    weights = "adapter_model.safetensors"
    assert digests(tmp_path / "a")[weights] != digests(tmp_path / "other")[weights]


def test_a_tuning_that_never_beats_the_base_keeps_it_and_says_so(
    library: Path, base: ResolvedBase, retrieve_arguments: RetrieveArguments, tmp_path: Path
) -> None:
    idle = retrieve_arguments.model_copy(update={"learning_rate": 1e-12, "patience": 1})
    result = finetune_retriever(library, base, idle, tmp_path / "adapter")
    assert result.best.epoch == 0
    assert len(result.epochs) == 2
    assert any("no epoch beat the frozen base" in note for note in result.notes)
    assert any("validation has 40 questions" in note for note in result.notes)
    merge(tmp_path / "adapter", base, tmp_path / "merged")


def test_a_library_without_training_questions_is_learned_from_too(
    library: Path, base: ResolvedBase, retrieve_arguments: RetrieveArguments, tmp_path: Path
) -> None:
    folder = shutil.copytree(library, tmp_path / "library")
    (folder / "train.jsonl").unlink()
    result = finetune_retriever(
        folder, base, retrieve_arguments.model_copy(update={"epochs": 1, "negatives": 0}), tmp_path / "adapter"
    )
    assert set(result.pairs) == {"heading", "sentence"}
    assert any("no training questions" in note for note in result.notes)


def test_progress_rises_to_one(
    library: Path, base: ResolvedBase, retrieve_arguments: RetrieveArguments, tmp_path: Path
) -> None:
    told: list[tuple[float, str]] = []
    short = retrieve_arguments.model_copy(update={"epochs": 2})
    finetune_retriever(library, base, short, tmp_path / "a", lambda share, what: told.append((share, what)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any("epoch 2 of 2; best nDCG@10 0." in what for _, what in told)


def test_a_bad_corpus_is_refused_before_the_base_is_read(
    library: Path,
    base: ResolvedBase,
    retrieve_arguments: RetrieveArguments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "load_encoder", lambda path: pytest.fail("the base must not be loaded"))
    folder = shutil.copytree(library, tmp_path / "library")
    (folder / "validation.jsonl").write_text("")
    with pytest.raises(DataError, match="expected questions, found none"):
        finetune_retriever(folder, base, retrieve_arguments, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("field", ["max_tokens", "train_tokens"])
def test_too_many_tokens_for_the_base_leave_nothing(
    field: str, library: Path, base: ResolvedBase, retrieve_arguments: RetrieveArguments, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="expected at most 64 for this base, found 65"):
        finetune_retriever(library, base, retrieve_arguments.model_copy(update={field: 65}), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_of_another_base_or_without_weights_is_refused(
    retriever: tuple[RetrieverResult, Path], base: ResolvedBase, other_base: ResolvedBase, tmp_path: Path
) -> None:
    with pytest.raises(IntegrityError, match="was trained on tiny"):
        merge(retriever[1], other_base, tmp_path / "out")
    folder = shutil.copytree(retriever[1], tmp_path / "copy")
    (folder / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(IntegrityError, match="PEFT adapter for this base"):
        merge(folder, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()
