"""A retriever through export and recipes: vectors of length 1 all the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from fleet_manifests import DataError, RefusedError
from quantize import RECIPES, apply, export_onnx
from quantize.unpad import drop_mask

pytestmark = pytest.mark.integration


def run(folder: Path, ids: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    session = ort.InferenceSession(str(folder / "model.onnx"), disabled_optimizers=["SkipLayerNormFusion"])
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids) if mask is None else mask}
    found: np.ndarray = session.run(["embedding"], {one.name: inputs[one.name] for one in session.get_inputs()})[0]
    return found


def some_ids(length: int, rows: int = 1) -> np.ndarray:
    return np.random.default_rng(length).integers(4, 20, (rows, length))


def test_the_graph_gives_an_embedding_and_nothing_of_a_classifier(exported_retriever: Path) -> None:
    assert sorted(path.name for path in exported_retriever.iterdir()) == [
        "arguments.json", "model.onnx", "parity.json", "tokenizer.json",
    ]  # fmt: skip
    session = ort.InferenceSession(str(exported_retriever / "model.onnx"))
    assert [node.name for node in session.get_inputs()] == ["input_ids", "attention_mask"]
    (output,) = session.get_outputs()
    assert (output.name, output.type, output.shape) == ("embedding", "tensor(float)", ["batch", 32])


@pytest.mark.parametrize("shape", [(1, 1), (1, 64), (5, 7)])
def test_vectors_are_torchs_and_have_length_one(exported_retriever: Path, tiny_retriever, shape) -> None:
    import torch

    ids = some_ids(shape[1], shape[0])
    found = run(exported_retriever, ids)
    with torch.inference_mode():
        expected = tiny_retriever()(Path()).eval()(torch.from_numpy(ids), torch.ones(shape, dtype=torch.int64)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_padding_does_not_move_a_vector(exported_retriever: Path) -> None:
    ids = some_ids(9)
    padded, mask = np.pad(ids, ((0, 0), (0, 20))), np.pad(np.ones_like(ids), ((0, 0), (0, 20)))
    np.testing.assert_allclose(run(exported_retriever, padded, mask), run(exported_retriever, ids), atol=1e-5)


def test_parity_is_about_cosines_and_not_labels(exported_retriever: Path) -> None:
    parity = json.loads((exported_retriever / "parity.json").read_text())
    assert parity["least_cosine"] == pytest.approx(1.0, abs=1e-5)
    assert 0 <= parity["max_difference"] <= parity["tolerance"]
    assert "same_label" not in parity


@pytest.mark.parametrize(
    ("fault", "said"),
    [({"branch": True}, "texts alone"), ({"ignore_mask": True}, "texts padded")],
    ids=["a branch that tracing bakes in", "a pool that ignores the mask"],
)
def test_a_graph_that_differs_from_torch_is_refused(
    merged_retriever: Path, tiny_retriever, texts, tmp_path: Path, fault, said: str
) -> None:
    with pytest.raises(RefusedError, match=f"the embedding of the exported model differs .*{said}"):
        export_onnx(merged_retriever, tmp_path / "out", load=tiny_retriever(**fault), texts=texts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", ['{"task": "generate"}', '{"task": ["retrieve"]}', "[]", "{"])
def test_a_task_that_cannot_be_exported_is_refused(
    merged_retriever: Path, tiny_retriever, texts, tmp_path: Path, given: str
) -> None:
    folder = shutil.copytree(merged_retriever, tmp_path / "merged")
    (folder / "arguments.json").write_text(given)
    with pytest.raises(DataError, match=r"arguments\.json: task: classify or retrieve expected"):
        export_onnx(folder, tmp_path / "out", load=tiny_retriever(), texts=texts)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["int8", "int8-reduced-range"])
def test_int8_fuses_frees_and_quantizes_it(exported_retriever: Path, tmp_path: Path, name: str) -> None:
    record = apply(RECIPES[name], exported_retriever, tmp_path / "out")
    assert (record.attention_blocks, record.passes) == (2, {"fuse-attention": 2, "drop-mask": 1})
    # per layer: attention output, feed-forward up and down; there is no head
    assert record.quantized == {"MatMulInteger": 6, "QAttention": 2}
    graph = onnx.load(str(tmp_path / "out" / "model.onnx")).graph
    assert [one.name for one in graph.input] == ["input_ids"]
    assert [one.name for one in graph.output] == ["embedding"]
    assert graph.output[0].type.tensor_type.shape.dim[1].dim_value == 32
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "arguments.json", "model.onnx", "recipe.json", "tokenizer.json",
    ]  # fmt: skip
    for length in (1, 5, 40):
        ids = some_ids(length)
        found, expected = run(tmp_path / "out", ids), run(exported_retriever, ids)
        assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
        assert float((found * expected).sum()) > 0.99


def test_fp32_is_the_exported_model(exported_retriever: Path, tmp_path: Path) -> None:
    apply(RECIPES["fp32"], exported_retriever, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == (exported_retriever / "model.onnx").read_bytes()


def test_the_length_of_one_is_kept_when_the_mask_is_dropped(exported_retriever: Path, tmp_path: Path) -> None:
    """The mean loses its mask; the division by the length looks alike and stays."""
    from quantize.passes import fuse_attention

    folder = shutil.copytree(exported_retriever, tmp_path / "copy")
    assert fuse_attention(folder / "model.onnx") == 2
    assert drop_mask(folder / "model.onnx")
    graph = onnx.load(str(folder / "model.onnx")).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("ReduceMean") == 1
    assert kinds.count("Sqrt") == 1
    ids = some_ids(11)
    np.testing.assert_allclose(run(folder, ids), run(exported_retriever, ids), atol=1e-5)
