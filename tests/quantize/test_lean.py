"""Rewrites that leave the numbers as they are: less glue, outliers apart, smooth activations."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from fleet_manifests import DataError, RefusedError
from quantize import RECIPES, apply, proof
from quantize.folder import tokenize
from quantize.lean import flat_mean, open_attention, plain_positions
from quantize.outliers import _gelu, _splits, split_outliers
from quantize.passes import run_passes
from quantize.proof import difference, rewrite, run, some
from quantize.ranges import freeze_ranges
from quantize.recipes import LEAN, UNPADDED
from quantize.smoothing import smooth

pytestmark = pytest.mark.integration


@pytest.fixture
def fused(exported: Path, tmp_path: Path) -> Path:
    """The tiny model, attention fused, without its mask."""
    folder = shutil.copytree(exported, tmp_path / "copy")
    run_passes(UNPADDED, folder / "model.onnx", ())
    return folder / "model.onnx"


@pytest.fixture
def samples(exported: Path, texts: tuple[str, ...]) -> list[list[int]]:
    return tokenize(exported / "tokenizer.json", texts, 64)


def count(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(str(path)).graph.node)


def before(path: Path) -> Path:
    return Path(shutil.copy(path, path.with_name("before.onnx")))


def test_attention_becomes_products_without_copies_in_another_order(fused: Path) -> None:
    old = before(fused)
    assert open_attention(fused) == 2
    found = count(fused)
    assert (found["Attention"], found["FusedMatMul"], found["Softmax"], found["Transpose"]) == (0, 4, 2, 2)
    assert difference(old, fused) < 1e-5


def test_the_opened_graph_reads_one_text_only(fused: Path) -> None:
    open_attention(fused)
    session = ort.InferenceSession(str(fused))
    with pytest.raises(Exception, match="invalid dimensions"):
        session.run(None, {"input_ids": np.zeros((2, 3), np.int64)})


def test_attention_with_a_mask_is_left_alone(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "copy")
    run_passes(("fuse-attention",), folder / "model.onnx", ())
    raw = (folder / "model.onnx").read_bytes()
    assert open_attention(folder / "model.onnx") == 0
    assert (folder / "model.onnx").read_bytes() == raw


def test_positions_are_the_first_rows_of_one_table(fused: Path) -> None:
    old = before(fused)
    assert plain_positions(fused) == 1
    assert count(fused)["Gather"] == 1
    assert difference(old, fused) < 1e-5
    assert plain_positions(fused) == 0  # nothing to be found any more


def test_positions_that_depend_on_the_token_are_left_alone(fused: Path) -> None:
    model = onnx.load(str(fused))
    norm = next(node for node in model.graph.node if node.op_type == "LayerNormalization")
    model.graph.node.insert(
        list(model.graph.node).index(norm), helper.make_node("Relu", [norm.input[0]], ["squashed"], name="squashed")
    )
    norm.input[0] = "squashed"
    onnx.save(model, str(fused))
    assert plain_positions(fused) == 0


def test_the_mean_is_over_the_first_of_two_axes(fused: Path) -> None:
    assert flat_mean(fused) == 0  # as long as several texts may come
    open_attention(fused)
    old = before(fused)
    assert flat_mean(fused) == 1
    assert difference(old, fused) < 1e-5


def test_smoothing_moves_factors_and_no_answers(fused: Path, samples: list[list[int]]) -> None:
    old = before(fused)
    open_attention(fused)
    known = {one.name: numpy_helper.to_array(one) for one in onnx.load(str(fused)).graph.initializer}
    assert smooth(fused, samples) == 4
    assert difference(old, fused) < 1e-5
    graph = onnx.load(str(fused)).graph
    moved = {one.name: numpy_helper.to_array(one) for one in graph.initializer if one.name.endswith("/smooth")}
    assert len(moved) == 8  # three products read the norms before attention, one those before the hidden units
    factors = {name: values / known[name.removesuffix("/smooth")] for name, values in moved.items()}
    for rows in factors.values():
        assert np.allclose(rows, rows[:, :1], rtol=1e-5)
        assert np.prod(rows[:, 0]) == pytest.approx(1, rel=1e-3)


def test_smoothing_makes_the_range_of_a_rough_channel_smaller(fused: Path, samples: list[list[int]]) -> None:
    open_attention(fused)
    model = onnx.load(str(fused))
    norm = [node for node in model.graph.node if node.op_type == "LayerNormalization"][1]
    gain = next(one for one in model.graph.initializer if one.name == norm.input[1])
    values = numpy_helper.to_array(gain).copy()
    values[5] *= 30
    gain.CopyFrom(numpy_helper.from_array(values, gain.name))
    onnx.save(model, str(fused))
    largest = [max(np.abs(one[0]).max() for one in run(fused, samples, [norm.output[0]]))]
    old = before(fused)
    smooth(fused, samples)
    largest.append(max(np.abs(one[0]).max() for one in run(fused, samples, [norm.output[0]])))
    assert largest[1] < largest[0] / 2
    assert difference(old, fused, samples) < 1e-4


def with_outlier(path: Path, unit: int = 3) -> None:
    """Make one hidden unit of the first block give about 30 on [CLS] and nothing on other tokens."""
    model = onnx.load(str(path))
    known = {one.name: one for one in model.graph.initializer}
    rows = [[2, 5, 6, 3], [2, 9, 3]]
    (up,) = [name for name in known if list(known[name].dims) == [32, 64]][:1]
    product = next(node for node in model.graph.node if up in node.input)
    seen = np.concatenate([one[0][0] for one in run(path, rows, [product.input[0]])])
    first = np.array([True, False, False, False, True, False, False])
    target = np.where(first, 30.0, -8.0)
    weights = numpy_helper.to_array(known[up]).copy()
    add = next(node for node in model.graph.node if product.output[0] in node.input)
    (name,) = [one for one in add.input if one in known]
    bias = numpy_helper.to_array(known[name]).copy()
    weights[:, unit], bias[unit] = np.linalg.lstsq(seen, target, rcond=None)[0], 0
    known[up].CopyFrom(numpy_helper.from_array(weights, up))
    known[name].CopyFrom(numpy_helper.from_array(bias, name))
    onnx.save(model, str(path))


OUTLIER_TEXTS = [[2, 5, 6, 3], [2, 9, 3]]


def test_a_huge_unit_is_cut_off_and_rebuilt(fused: Path) -> None:
    with_outlier(fused)
    scale_up(fused)
    old = before(fused)
    assert split_outliers(fused, OUTLIER_TEXTS) == 1
    model = onnx.load(str(fused))
    (limit,) = [one for one in model.graph.initializer if one.name.endswith("/limit")]
    (cut,) = [node for node in model.graph.node if node.op_type == "Min"]
    assert max(one[0].max() for one in run(fused, OUTLIER_TEXTS, [cut.output[0]])) <= float(
        numpy_helper.to_array(limit)
    )
    assert difference(old, fused, OUTLIER_TEXTS) < 0.02
    sizes = [list(one.dims) for one in model.graph.initializer if list(one.dims) == [32, 64]]
    assert len(sizes) == 2  # both blocks are as large as before


def scale_up(path: Path) -> None:
    """Let the other hidden units reach a few, as in a trained model."""
    model = onnx.load(str(path))
    for one in model.graph.initializer:
        if list(one.dims) == [32, 64]:
            values = numpy_helper.to_array(one).copy()
            values[:, 4:] *= 30
            one.CopyFrom(numpy_helper.from_array(values, one.name))
    onnx.save(model, str(path))


def test_without_outliers_nothing_is_split(fused: Path, samples: list[list[int]]) -> None:
    raw = fused.read_bytes()
    assert split_outliers(fused, samples) == 0
    assert fused.read_bytes() == raw


def test_a_unit_that_is_huge_everywhere_is_not_rebuilt() -> None:
    sums = np.zeros((20, 30), np.float32)
    sums[:, 4] = np.linspace(1, 30, 20)  # no gap between what is huge and what is not
    sums[:, 5:12] = 4
    assert _splits(sums, 4.0) == []
    sums[:, 4] = [30] * 2 + [-3] * 18
    (split,) = _splits(sums, 4.0)
    rebuilt = np.minimum(_gelu(sums[:, 4]), 4) + split.copies * _gelu(split.slope * sums[:, 4] + split.shift)
    assert np.abs(rebuilt - _gelu(sums[:, 4])).max() < 0.01
    assert _gelu(split.slope * sums[:, 4] + split.shift).max() <= 4


def test_fixed_ranges_swallow_limits_biases_and_reorderings(fused: Path, samples: list[list[int]]) -> None:
    with_outlier(fused)
    scale_up(fused)
    run_passes(("open-attention", "split-outliers"), fused, OUTLIER_TEXTS)
    from quantize.integers import Quantization, to_integers

    to_integers(fused, Quantization(), ())
    assert freeze_ranges(fused, OUTLIER_TEXTS) > 0
    graph = onnx.load(str(fused)).graph
    found = Counter(node.op_type for node in graph.node)
    assert found["Min"] == 0
    assert found["MatMulIntegerToFloat"] >= 12 and found["MatMulInteger"] == 0
    made = {name: node for node in graph.node for name in node.output}
    coded = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert not any(made[node.input[0]].op_type in ("Reshape", "Transpose") for node in coded if node.input[0] in made)
    with_bias = [node for node in graph.node if node.op_type == "MatMulIntegerToFloat" and len(node.input) == 7]
    assert len(with_bias) >= 10  # all but the keys, which need none


def test_a_lean_build_answers_like_the_float_model(exported: Path, tmp_path: Path, samples: list[list[int]]) -> None:
    for name in ("int8-lean", "int8-reduced-range-lean"):
        record = apply(RECIPES[name], exported, tmp_path / name, samples)
        assert set(record.passes) == {*UNPADDED, *LEAN, "freeze-ranges"}
        assert record.passes["open-attention"] == 2
        assert difference(exported / "model.onnx", tmp_path / name / "model.onnx", samples) < 0.1


def test_equal_texts_give_equal_bytes(exported: Path, tmp_path: Path, samples: list[list[int]]) -> None:
    for name in ("one", "other"):
        apply(RECIPES["int8-lean"], exported, tmp_path / name, samples)
    assert (tmp_path / "one" / "model.onnx").read_bytes() == (tmp_path / "other" / "model.onnx").read_bytes()


def test_a_lean_build_needs_texts(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="texts"):
        apply(RECIPES["int8-lean"], exported, tmp_path / "out", ())


def test_a_change_of_the_answers_is_refused_and_leaves_nothing(fused: Path) -> None:
    def worse(graph: onnx.GraphProto) -> int:
        table = next(one for one in graph.initializer if list(one.dims) == [40, 32])
        table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table) + np.float32(np.eye(40, 32)), table.name))
        return 1

    raw = fused.read_bytes()
    with pytest.raises(RefusedError, match="differs by"):
        rewrite(fused, worse)
    assert fused.read_bytes() == raw
    assert not (fused.parent / "rewritten.onnx").exists()
    assert rewrite(fused, lambda graph: 0) == 0


def test_a_graph_that_gives_nan_is_refused(fused: Path) -> None:
    def poison(graph: onnx.GraphProto) -> int:
        table = next(one for one in graph.initializer if list(one.dims) == [40, 32])
        table.CopyFrom(numpy_helper.from_array(np.full((40, 32), np.nan, np.float32), table.name))
        return 1

    with pytest.raises(RefusedError, match="nan"):
        rewrite(fused, poison)


def test_a_proof_without_one_table_is_refused(tmp_path: Path) -> None:
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, None])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, None])
    graph = helper.make_graph([helper.make_node("Cast", ["input_ids"], ["y"], to=1)], "g", [ids], [out])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(RefusedError, match="one embedding table"):
        proof.vocabulary(tmp_path / "m.onnx")


def test_some_texts_have_about_as_many_tokens_as_asked() -> None:
    texts = [[1] * 10 for _ in range(100)]
    assert len(some(texts, 200)) == 20
    assert len(some(texts, 10**6)) == 100
