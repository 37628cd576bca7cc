"""Tiny bundles made with onnx and tokenizers alone: an embedding, a masked mean, a linear head or a length of 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from fleet_manifests import BaseRef, BundleConfig, Calibration, IsaClass, SimilarityCase, SmokeCase, Task, dump

LABELS = ("damaged", "late", "short")
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "ready", "late", "truck", "broken", "box", "missing", "pallet")
DIGEST = "sha256:" + "0" * 64


def write_model(
    path: Path,
    weights: np.ndarray | None = None,
    *,
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
    output: str = "logits",
    positions: int | None = None,
    unit: bool = False,
) -> None:
    """A graph: logits = mean(words_table[ids] * mask) @ weights; `positions` bounds the length as a real encoder does.

    With `unit` the output is divided by its length.
    """
    width = len(WORDS)
    weights = default_weights() if weights is None else weights
    ids, mask = inputs
    constants = [
        numpy_helper.from_array(np.eye(width, dtype=np.float32), "words_table"),
        numpy_helper.from_array(weights.astype(np.float32), "weights"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        numpy_helper.from_array(np.array([2], np.int64), "two"),
    ]
    nodes = [
        helper.make_node("Gather", ["words_table", ids], ["vectors"]),
        helper.make_node("Cast", [mask], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "two"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "one"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "one"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("MatMul", ["mean", "weights"], [output]),
    ]
    if positions is not None:
        constants.append(numpy_helper.from_array(np.zeros((positions, width), np.float32), "table"))
        constants.append(numpy_helper.from_array(np.array([0], np.int64), "zero"))
        nodes[0] = helper.make_node("Gather", ["words_table", ids], ["words"])
        nodes[1:1] = [
            helper.make_node("Shape", [ids], ["length"], start=1),
            helper.make_node("Sub", ["length", "one"], ["last"]),
            helper.make_node("Gather", ["table", "last"], ["position"]),
            helper.make_node("Add", ["words", "position"], ["vectors"]),
        ]
    if unit:
        nodes[-1].output[0] = "long"
        nodes.append(helper.make_node("ReduceL2", ["long", "one"], ["norm"], keepdims=1))
        nodes.append(helper.make_node("Div", ["long", "norm"], [output]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", weights.shape[1]])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))


def default_weights() -> np.ndarray:
    """`late` and `truck` speak for late, `broken` and `box` for damaged, `missing` and `pallet` for short."""
    weights = np.zeros((len(WORDS), len(LABELS)), np.float32)
    for word, label in (("late", 1), ("truck", 1), ("broken", 0), ("box", 0), ("missing", 2), ("pallet", 2)):
        weights[WORDS.index(word), label] = 8.0
    return weights


def write_tokenizer(path: Path) -> None:
    """A word tokenizer that pads to 32 and cuts at 4, as published ones do; the engine must undo both."""
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=32)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(path))


def dimension_weights() -> np.ndarray:
    """[words, 3]: every word is somewhere, words of one matter in the same place."""
    return np.where(default_weights() > 0, 8.0, 0.5).astype(np.float32)


Bundle = Callable[..., Path]


@pytest.fixture
def config() -> BundleConfig:
    """What `bundle.json` of the tiny bundle says."""
    return BundleConfig(
        workflow="exception_triage",
        task=Task.CLASSIFY,
        profile="edge-x86-vnni",
        isa=IsaClass.AVX512_VNNI,
        recipe="int8",
        max_tokens=16,
        max_characters=200,
        labels=LABELS,
        calibration=Calibration(temperature=2.0, defer_threshold=0.6),
        base=BaseRef(name="tiny", revision="1", digest=DIGEST, licence="Apache-2.0"),
        data_card=DIGEST,
        smoke=(SmokeCase(text="late truck", label="late", confidence=0.787, tolerance=0.02),),
    )


@pytest.fixture
def bundle(tmp_path: Path, config: BundleConfig) -> Bundle:
    """Writes a bundle; keywords go to `write_model`, `config` replaces the configuration."""

    def write(config: BundleConfig = config, **model: object) -> Path:
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        write_model(folder / "model.onnx", **model)  # type: ignore[arg-type]
        write_tokenizer(folder / "tokenizer.json")
        (folder / "bundle.json").write_bytes(dump(config))
        return folder

    return write


@pytest.fixture
def retriever_config(config: BundleConfig) -> BundleConfig:
    """What `bundle.json` of the tiny retriever says."""
    similar = (SimilarityCase(text="late truck", other="truck late", cosine=1.0, tolerance=0.01),)
    changes = {"workflow": "sop_assistant", "task": Task.RETRIEVE, "dimension": 3, "labels": (), "smoke": ()}
    return config.model_copy(update={**changes, "similar": similar, "calibration": Calibration()})


@pytest.fixture
def retriever(tmp_path: Path, retriever_config: BundleConfig) -> Bundle:
    """Writes a retriever's bundle; keywords go to `write_model`, `config` replaces the configuration."""

    def write(config: BundleConfig = retriever_config, **model: object) -> Path:
        folder = tmp_path / "retriever"
        folder.mkdir(exist_ok=True)
        settings = {"weights": dimension_weights(), "output": "embedding", "unit": True, **model}
        write_model(folder / "model.onnx", **settings)  # type: ignore[arg-type]
        write_tokenizer(folder / "tokenizer.json")
        (folder / "bundle.json").write_bytes(dump(config))
        return folder

    return write
