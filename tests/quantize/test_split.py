"""Word embeddings in a file of their own: same answers, same bytes, and models that are left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from fleet_manifests.bundle import WORD_EMBEDDINGS as FILE
from quantize import RECIPES, apply
from quantize.split import split_word_embeddings

pytestmark = pytest.mark.unit
TABLE = np.arange(4096, dtype=np.float32).reshape(512, 8)


def write_model(
    path: Path, table: np.ndarray = TABLE, *, lookups: int = 1, ids: str = "input_ids", raw: bool = True
) -> Path:
    """A graph that looks ids up, `lookups` times in tables of the same content."""
    names = [f"table_{number}" for number in range(lookups)]
    tensors = [numpy_helper.from_array(table, name) for name in names]
    if not raw:
        tensors = [helper.make_tensor(name, TensorProto.FLOAT, table.shape, table.ravel().tolist()) for name in names]
    nodes = [helper.make_node("Gather", [name, ids], [f"out_{number}"]) for number, name in enumerate(names)]
    kind = tensors[0].data_type
    outputs = [helper.make_tensor_value_info(f"out_{number}", kind, None) for number in range(lookups)]
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info(ids, TensorProto.INT64, [1, "n"])], outputs, tensors
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path


def looked_up(path: Path, ids: list[int]) -> np.ndarray:
    found: np.ndarray = onnxruntime.InferenceSession(str(path)).run(None, {"input_ids": np.array([ids], np.int64)})[0]
    return found


@pytest.mark.parametrize(("dtype", "raw"), [("float32", True), ("float32", False), ("int8", True), ("uint8", True)])
def test_the_table_moves_and_the_model_answers_as_before(tmp_path: Path, dtype: str, raw: bool) -> None:
    table = TABLE.astype(dtype)
    path = write_model(tmp_path / "model.onnx", table, raw=raw)
    before = looked_up(path, [3, 0, 511])
    found = split_word_embeddings(path, least=0)
    assert found is not None
    assert (found.file, found.initializer, found.dtype, found.shape) == (FILE, "table_0", dtype, (512, 8))
    assert (tmp_path / FILE).read_bytes() == table.tobytes()
    assert path.stat().st_size < 600
    np.testing.assert_array_equal(looked_up(path, [3, 0, 511]), before)


def test_equal_tables_of_different_models_give_equal_files(tmp_path: Path) -> None:
    for name, ir in (("a", 10), ("b", 9)):
        (tmp_path / name).mkdir()
        path = write_model(tmp_path / name / "model.onnx")
        model = onnx.load(str(path))
        model.ir_version = ir
        onnx.save(model, str(path))
        assert split_word_embeddings(path, least=0)
    assert (tmp_path / "a" / FILE).read_bytes() == (tmp_path / "b" / FILE).read_bytes()
    assert (tmp_path / "a/model.onnx").read_bytes() != (tmp_path / "b/model.onnx").read_bytes()


@pytest.mark.parametrize(
    "made",
    [
        {"lookups": 2},
        {"ids": "positions"},
        {"table": TABLE.astype(np.float16)},
        {"table": TABLE.reshape(512, 2, 4)},
    ],
    ids=["two tables", "no token ids", "16 bits", "three dimensions"],
)
def test_a_model_that_is_not_understood_is_left_alone(tmp_path: Path, made: dict[str, object]) -> None:
    path = write_model(tmp_path / "model.onnx", **made)  # type: ignore[arg-type]
    before = path.read_bytes()
    assert split_word_embeddings(path, least=0) is None
    assert path.read_bytes() == before
    assert not (tmp_path / FILE).exists()


def test_a_small_table_stays(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx")
    assert split_word_embeddings(path, least=TABLE.nbytes + 1) is None
    assert split_word_embeddings(path, least=TABLE.nbytes) is not None


@pytest.mark.integration
@pytest.mark.parametrize("recipe", ["int8", "fp32"])
def test_every_recipe_splits(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str) -> None:
    from quantize import build

    whole = apply(RECIPES[recipe], exported, tmp_path / "whole")
    assert whole.word_embeddings is None
    monkeypatch.setattr(build, "split_word_embeddings", lambda path: split_word_embeddings(path, least=0))
    parted = apply(RECIPES[recipe], exported, tmp_path / "parted")
    assert parted.word_embeddings is not None
    assert parted.quantized == whole.quantized
    assert (tmp_path / "parted" / FILE).stat().st_size == np.prod(parted.word_embeddings["shape"]) * np.dtype(
        parted.word_embeddings["dtype"]
    ).itemsize
    batch = np.array([[2, 5, 6, 3]], np.int64)
    answers = []
    for name in ("whole", "parted"):
        session = onnxruntime.InferenceSession(str(tmp_path / name / "model.onnx"))
        inputs = {one.name: batch if one.name == "input_ids" else np.ones_like(batch) for one in session.get_inputs()}
        answers.append(session.run(None, inputs)[0])
    np.testing.assert_array_equal(*answers)
