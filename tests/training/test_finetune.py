"""Tuning on a tiny base: what it writes, that it learns, repeats itself and refuses early."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_manifests import DataError, IntegrityError, UsageError
from training import finetune as module
from training.arguments import TuneArguments
from training.bases import ResolvedBase
from training.epochs import best_of
from training.finetune import TuneResult, finetune
from training.loop import Epoch

pytestmark = pytest.mark.integration

FILES = {
    "adapter.bin",
    "adapter_config.json",
    "adapter_model.safetensors",
    "arguments.json",
    "base.json",
    "history.json",
    "labels.json",
    "versions.json",
}


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def tuned(
    corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TuneResult, Path]:
    out = tmp_path_factory.mktemp("tuned") / "adapter"
    return finetune(corpus, base, arguments, out), out


def pairs(count: int, seed: int) -> list[dict[str, str]]:
    """Two cue words whose combination is the label: no linear layer over a bag of words can tell them apart."""
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        cues = [chance.choice(["wet", "broken"]), chance.choice(["late", "price"])]
        label = "same" if (cues[0] == "wet") == (cues[1] == "late") else "different"
        words = [*cues, *chance.choices(["the", "order", "item"], k=chance.randint(0, 3))]
        chance.shuffle(words)
        rows.append({"text": " ".join(words), "label": label})
    return rows


def test_tuning_learns_what_the_probe_cannot(
    write_corpus: Callable[..., Path], base: ResolvedBase, tmp_path: Path
) -> None:
    fast = TuneArguments(
        epochs=5,
        learning_rate=2e-2,
        head_learning_rate=2e-2,
        batch_size=16,
        rank=8,
        alpha=16,
        max_tokens=32,
        threads=1,
        precision="fp32",
        patience=5,
    )
    result = finetune(write_corpus(pairs(200, 1), validation=pairs(60, 2)), base, fast, tmp_path / "out")
    assert result.epochs[0].macro_f1 < 0.7
    assert result.best.macro_f1 > 0.9
    assert result.best == best_of(result.epochs)


def test_the_adapter_folder_is_complete(tuned: tuple[TuneResult, Path], base: ResolvedBase) -> None:
    result, out = tuned
    assert {path.name for path in out.iterdir()} == FILES
    assert json.loads((out / "labels.json").read_text()) == ["damage", "late", "price"]
    assert json.loads((out / "base.json").read_text())["digest"] == base.ref.digest
    history = json.loads((out / "history.json").read_text())
    assert [e["macro_f1"] for e in history["epochs"]] == [e.macro_f1 for e in result.epochs]
    assert history["best_epoch"] == result.best.epoch
    assert json.loads((out / "versions.json").read_text())["torch"].startswith("2.")


def test_the_folder_names_no_path_of_this_machine(tuned: tuple[TuneResult, Path], base: ResolvedBase) -> None:
    _, out = tuned
    for path in out.iterdir():
        assert str(base.path).encode() not in path.read_bytes()
        assert str(out.parent).encode() not in path.read_bytes()


def test_only_lora_and_the_head_are_saved(tuned: tuple[TuneResult, Path]) -> None:
    from safetensors import safe_open

    with safe_open(tuned[1] / "adapter_model.safetensors", "pt") as stream:
        names = list(stream.keys())
    lora = [name for name in names if "lora_" in name]
    assert len(lora) == 2 * 6 * 2
    assert sorted(set(names) - set(lora)) == ["base_model.model.head.bias", "base_model.model.head.weight"]


def test_epoch_zero_is_the_linear_probe(tuned: tuple[TuneResult, Path], corpus: Path, base: ResolvedBase) -> None:
    from training.compute import Compute
    from training.corpus import read_corpus
    from training.features import embed, load_tokenizer, tokenize
    from training.model import load_encoder
    from training.probe import class_weights, fit_probe

    rows = read_corpus(corpus)
    tokenizer, encoder = load_tokenizer(base.path, 32), load_encoder(base.path)
    train, validation = (
        (embed(encoder, tokenize(tokenizer, [r.text for r in split]), Compute("fp32", 1, "cpu")), rows.classes(split))
        for split in (rows.train, rows.validation)
    )
    probe = fit_probe(train, validation, class_weights(rows.counts(), "sqrt"), TuneArguments().probe_grid)
    assert tuned[0].epochs[0].macro_f1 == pytest.approx(probe.macro_f1)
    assert tuned[0].strength == probe.strength


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_bytes(
    precision: str, corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path: Path
) -> None:
    same = arguments.model_copy(update={"precision": precision, "epochs": 1})
    finetune(corpus, base, same, tmp_path / "a")
    finetune(corpus, base, same.model_copy(update={"seed": 14}), tmp_path / "other")
    finetune(corpus, base, same, tmp_path / "b")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    weights = "adapter_model.safetensors"
    assert digests(tmp_path / "a")[weights] != digests(tmp_path / "other")[weights]


def test_a_bf16_tuning_does_not_change_a_later_fp32_one(
    adapter: Path, corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path: Path
) -> None:
    finetune(corpus, base, arguments.model_copy(update={"precision": "bf16", "epochs": 1}), tmp_path / "bf16")
    finetune(corpus, base, arguments, tmp_path / "fp32")
    assert digests(tmp_path / "fp32") == digests(adapter)


def test_the_best_epoch_is_kept_not_the_last(
    corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path: Path
) -> None:
    wild = arguments.model_copy(update={"learning_rate": 0.1, "head_learning_rate": 0.1, "epochs": 20, "patience": 2})
    result = finetune(corpus, base, wild, tmp_path / "adapter")
    last = result.epochs[-1]
    assert last.epoch == result.best.epoch + 2
    assert last.epoch < 20
    assert result.best.macro_f1 == max(epoch.macro_f1 for epoch in result.epochs)
    assert validation_f1(tmp_path / "adapter", base, corpus) == pytest.approx(result.best.macro_f1)
    assert last.macro_f1 != pytest.approx(result.best.macro_f1)


def validation_f1(adapter: Path, base: ResolvedBase, corpus: Path) -> float:
    """Macro-F1 of the merged adapter, computed apart from the training loop."""
    from sklearn.metrics import f1_score

    from training.corpus import read_corpus
    from training.features import load_tokenizer, pad, tokenize
    from training.merge import merge
    from training.model import load_merged

    merged = adapter.with_name("merged")
    merge(adapter, base, merged)
    rows, model = read_corpus(corpus), load_merged(merged)
    ids, mask = pad(tokenize(load_tokenizer(merged, 32), [row.text for row in rows.validation]), 0)
    predicted = model(input_ids=ids, attention_mask=mask).argmax(1).tolist()
    return float(f1_score(rows.classes(rows.validation), predicted, average="macro"))


def test_a_tuning_that_never_beats_the_probe_keeps_it_and_says_so(
    corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path: Path
) -> None:
    idle = arguments.model_copy(update={"learning_rate": 1e-12, "head_learning_rate": 1e-12, "patience": 1})
    result = finetune(corpus, base, idle, tmp_path / "adapter")
    assert result.best.epoch == 0
    assert len(result.epochs) == 2
    assert any("no epoch beat the linear probe" in note for note in result.notes)


def test_progress_rises_to_one(corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    finetune(corpus, base, arguments, tmp_path / "a", lambda share, what: told.append((share, what)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any("epoch 2 of 2" in what for _, what in told)


def test_two_classes_of_two_rows_and_many_classes(
    write_corpus: Callable[..., Path], base: ResolvedBase, arguments: TuneArguments, tmp_path: Path
) -> None:
    two = [{"text": f"{word} {n}", "label": word} for word in ("wet", "late") for n in range(2)]
    assert finetune(write_corpus(two), base, arguments, tmp_path / "two").labels == ("late", "wet")
    many = [{"text": f"item {n} {k}", "label": f"c{n:03d}"} for n in range(200) for k in range(2)]
    assert len(finetune(write_corpus(many), base, arguments, tmp_path / "many").labels) == 200


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ([], "found none"),
        ([{"text": "x", "label": "a"}] * 9 + [{"text": "y", "label": "b"}], "class 'b' has 1 row"),
        ([{"label": "a"}] * 2, "text: expected a non-empty string"),
    ],
)
def test_a_bad_corpus_is_refused_before_the_base_is_read(
    train: list[dict[str, str]],
    said: str,
    write_corpus: Callable[..., Path],
    base: ResolvedBase,
    arguments: TuneArguments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "load_encoder", lambda path: pytest.fail("the base must not be loaded"))
    with pytest.raises(DataError, match=said):
        finetune(write_corpus(train), base, arguments, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_many_tokens_for_the_base_leave_nothing(
    corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="max_tokens: expected at most 64"):
        finetune(corpus, base, arguments.model_copy(update={"max_tokens": 65}), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_base_is_refused(corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path: Path) -> None:
    folder = shutil.copytree(base.path, tmp_path / "base")
    (folder / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(IntegrityError, match="expected an encoder"):
        finetune(corpus, ResolvedBase(folder, base.ref), arguments, tmp_path / "out")


def test_of_equal_epochs_the_first_is_best() -> None:
    epochs = [Epoch(0, 0.5, 0, 0), Epoch(1, 0.7, 0, 0), Epoch(2, 0.7, 0, 0), Epoch(3, 0.6, 0, 0)]
    assert best_of(epochs).epoch == 1


def test_the_test_split_chooses_nothing(
    corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path: Path
) -> None:
    other = tmp_path / "corpus"
    shutil.copytree(corpus, other)
    shutil.copyfile(corpus / "validation.jsonl", other / "test.jsonl")
    assert (other / "test.jsonl").read_bytes() != (corpus / "test.jsonl").read_bytes()
    quick = arguments.model_copy(update={"epochs": 1})
    finetune(corpus, base, quick, tmp_path / "a")
    finetune(other, base, quick, tmp_path / "b")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
