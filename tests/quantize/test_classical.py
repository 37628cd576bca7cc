"""The graph of a classical model: the counting that scikit-learn does, refused where it is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fleet_manifests import DataError, HardwareProfile, IsaClass, LatencyObjective, RefusedError, UsageError
from quantize import apply
from quantize.classical import export_classical
from quantize.folder import kind_of
from quantize.recipes import AS_IS, RECIPES, candidates, session_of
from training.arguments import TuneArguments
from training.classical import fit_classical, load_classical

pytestmark = pytest.mark.unit

WORDS = {
    "damaged": "wet box broken, pallet crushed; \u00e9cras\u00e9",
    "late": "truck late - slot missed (again) \u03c3\u03b1\u03c2",
    "short": "two cartons short! \u6570\u91cf \u4e0d\u8db3 count",
}
ODD = (
    "\N{GRINNING FACE}", " \t ", "", "a", "aa aa aa", "wet wet wet wet", "late\x1clate\u2028late", "wet, wet,wet ,wet",
    "\u6570\u91cf\u6570\u91cf", "\u0130STANBUL \u03a3\u0391\u03a3", "zzz qqq", "e\u0301cras\u00e9 \u00c9CRAS\u00c9", "box " * 900, "[UNK] [PAD] [END]",
    "\ufeff\u200bwet\u00adbox", "...---...",
)  # fmt: skip


def rows(seed: int, each: int) -> list[dict[str, str]]:
    draw = np.random.default_rng(seed)
    found = []
    for label, words in WORDS.items():
        for number in range(each):
            some = draw.permutation([*words.split(), "order", "4711", "the", "at", "dock"])[:6]
            found.append({"id": f"{label}{seed}{number}", "text": " ".join(some), "label": label})
    return found


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classical")
    (folder / "corpus").mkdir()
    for seed, split in enumerate(("train", "validation", "test")):
        lines = [json.dumps(row) for row in rows(seed, 30 if split == "train" else 8)]
        (folder / "corpus" / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    fit_classical(folder / "corpus", folder / "model", TuneArguments(max_tokens=16))
    return folder / "model"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [row["text"] for row in rows(1, 8)]


@pytest.fixture(scope="module")
def classical(fitted: Path, texts: Sequence[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("onnx") / "out"
    return export_classical(fitted, out, reference=load_classical(fitted).scores, texts=texts).folder


def run(folder: Path, text: str) -> np.ndarray:
    import onnxruntime as ort
    from tokenizers import Tokenizer

    ids = np.array([Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids], np.int64)
    session = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
    return found


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_get_scikit_learns_scores(fitted: Path, classical: Path, text: str) -> None:
    found = run(classical, text)
    assert found.dtype == np.float32 and found.shape == (1, 3)
    assert np.abs(found - load_classical(fitted).scores([text])).max() < 1e-5


def test_real_texts_do_and_the_record_says_so(fitted: Path, classical: Path, texts: Sequence[str]) -> None:
    model = load_classical(fitted)
    assert [int(run(classical, text).argmax()) for text in texts] == model.predict(texts)
    parity = json.loads((classical / "parity.json").read_text())
    assert parity["texts"] > len(texts) and parity["same_label"] == 1.0
    assert parity["max_difference"] <= parity["tolerance"] == 1e-4
    assert parity["max_difference_padded"] <= parity["tolerance"]


def test_the_contract_is_that_of_every_classifier(classical: Path) -> None:
    import onnx

    graph = onnx.load(str(classical / "model.onnx")).graph
    assert [one.name for one in graph.input] == ["input_ids", "attention_mask"]
    assert [one.name for one in graph.output] == ["logits"]
    assert {node.domain for node in graph.node} == {""}
    assert kind_of(classical) == "classical"


def test_equal_models_give_equal_bytes(fitted: Path, classical: Path, texts: Sequence[str], tmp_path: Path) -> None:
    export_classical(fitted, tmp_path / "out", reference=load_classical(fitted).scores, texts=texts)
    for path in classical.iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("error", [2e-4, float("nan")])
def test_a_graph_that_says_something_else_is_refused(fitted: Path, tmp_path: Path, error: float) -> None:
    model = load_classical(fitted)
    with pytest.raises(RefusedError, match="differ from scikit-learn's"):
        export_classical(fitted, tmp_path / "out", reference=lambda some: model.scores(some) + error, texts=["wet"])
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_normalizes_otherwise_is_refused(fitted: Path, tmp_path: Path) -> None:
    shutil.copytree(fitted, tmp_path / "model")
    tokenizer = json.loads((tmp_path / "model" / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Lowercase"}
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(RefusedError, match="differ from scikit-learn's"):
        export_classical(
            tmp_path / "model", tmp_path / "out", reference=load_classical(fitted).scores, texts=["wet, box"]
        )


@pytest.mark.parametrize("name", ["grams.json", "numbers.npz", "arguments.json", "tokenizer.json"])
def test_a_folder_that_is_no_classical_model_is_refused(fitted: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(fitted, tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(DataError, match="a classical model was expected"):
        export_classical(tmp_path / "model", tmp_path / "out", reference=load_classical(fitted).scores, texts=["wet"])


def test_features_and_numbers_that_do_not_fit_are_refused(fitted: Path, tmp_path: Path) -> None:
    shutil.copytree(fitted, tmp_path / "model")
    grams = json.loads((fitted / "grams.json").read_text())
    grams["words"].pop()
    (tmp_path / "model" / "grams.json").write_text(json.dumps(grams))
    with pytest.raises(DataError, match="words: .* features"):
        export_classical(tmp_path / "model", tmp_path / "out", reference=load_classical(fitted).scores, texts=["wet"])


def test_no_texts_and_a_full_folder_are_refused(fitted: Path, classical: Path) -> None:
    reference = load_classical(fitted).scores
    with pytest.raises(DataError, match="at least one"):
        export_classical(fitted, classical, reference=reference, texts=[])
    with pytest.raises(UsageError, match="holds files"):
        export_classical(fitted, classical, reference=reference, texts=["wet"])


def profile(isa: IsaClass) -> HardwareProfile:
    objective = LatencyObjective(milliseconds=10)
    return HardwareProfile(name="edge", isa=isa, cores=2, latency=objective, recipes=("int8-reduced-range",))


@pytest.mark.parametrize("isa", [isa for isa in IsaClass if isa is not IsaClass.HOST])
def test_it_has_one_recipe_on_every_isa(isa: IsaClass) -> None:
    assert candidates(profile(isa), "classical") == (AS_IS,)
    assert session_of("as-is", profile(isa)).threads == 2


def test_that_recipe_is_for_no_profile_to_name() -> None:
    assert AS_IS.name not in RECIPES
    with pytest.raises(RefusedError, match="resolve the profile first"):
        candidates(profile(IsaClass.HOST), "classical")


def test_the_recipe_leaves_the_model_as_it_is(classical: Path, tmp_path: Path) -> None:
    record = apply(AS_IS, classical, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == (classical / "model.onnx").read_bytes()
    assert (record.recipe, record.word_embeddings, record.quantized) == ("as-is", None, {})


@pytest.mark.parametrize(("content", "said"), [("[", "arguments expected"), ('{"kind": "oracle"}', "'oracle'")])
def test_a_kind_that_nobody_knows_is_refused(tmp_path: Path, content: str, said: str) -> None:
    assert kind_of(tmp_path) == "transformer"
    (tmp_path / "arguments.json").write_text(content)
    with pytest.raises(DataError, match=said):
        kind_of(tmp_path)
