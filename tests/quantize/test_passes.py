"""Passes that make a build smaller or surer: what they change, and how far the answers move."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from fleet_manifests import DataError
from fleet_manifests.profile import ONNXRUNTIME
from quantize import RECIPES, Recipe, apply
from quantize.build import prepare
from quantize.embeddings import in_blocks
from quantize.folder import tokenize
from quantize.passes import PASSES, run_passes
from quantize.recipes import ANY
from quantize.vocabulary import always_kept, places
from quantize.widen import sensitivities

pytestmark = pytest.mark.integration


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, attention fused."""
    folder = shutil.copytree(exported, tmp_path / "copy")
    run_passes(("fuse-attention", "drop-mask"), folder / "model.onnx", ())
    return folder / "model.onnx"


@pytest.fixture
def samples(exported: Path, texts: tuple[str, ...]) -> list[list[int]]:
    return tokenize(exported / "tokenizer.json", texts, 64)


def answers(path: Path, samples: list[list[int]]) -> np.ndarray:
    session = ort.InferenceSession(str(path))
    return np.concatenate([session.run(None, {"input_ids": np.array([row], np.int64)})[0] for row in samples])


def off(path: Path, pass_: str, samples: list[list[int]]) -> float:
    """How far a pass moves the answers, as a share of them."""
    before = answers(path, samples)
    assert run_passes((pass_,), path, samples)[pass_] > 0
    return float(np.linalg.norm(answers(path, samples) - before) / np.linalg.norm(before))


@pytest.mark.parametrize(
    ("pass_", "most"),
    [("embeddings-16bit", 1e-3), ("embeddings-8bit", 0.02), ("embeddings-4bit", 0.3), ("keep-sensitive", 0.03)],
)
def test_answers_move_as_little_as_the_bits_allow(copy: Path, samples, pass_: str, most: float) -> None:
    assert 0 < off(copy, pass_, samples) < most


def test_rows_in_blocks_are_the_table_within_half_a_step(copy: Path) -> None:
    table = numpy_helper.to_array(
        next(one for one in onnx.load(str(copy)).graph.initializer if list(one.dims) == [40, 32])
    )
    for bits, steps in ((8, 127), (4, 7)):
        path = copy.with_name(f"{bits}.onnx")
        shutil.copy(copy, path)
        assert in_blocks(path, bits) == 1
        model = onnx.load(str(path))
        (node,) = [node for node in model.graph.node if node.op_type == "GatherBlockQuantized"]
        whole = onnx.helper.make_graph(
            [node], "g", [model.graph.input[0]],
            [onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)],
            [one for one in model.graph.initializer if one.name in node.input],
        )  # fmt: skip
        alone = onnx.helper.make_model(whole, opset_imports=model.opset_import, ir_version=model.ir_version)
        session = ort.InferenceSession(alone.SerializeToString())
        found = session.run(None, {"input_ids": np.arange(40)[None]})[0][0]
        assert (np.abs(found - table) <= np.abs(table).max(axis=1, keepdims=True) / steps / 2 + 1e-6).all()


def test_ids_that_no_text_needs_lead_to_their_nearest(copy: Path, samples) -> None:
    seen = {id_ for row in samples for id_ in row} | always_kept(copy.with_name("tokenizer.json"))
    before = answers(copy, samples)
    dropped = run_passes(("trim-vocabulary",), copy, samples)["trim-vocabulary"]
    assert dropped == 40 - len(seen)
    np.testing.assert_array_equal(answers(copy, samples), before)
    unseen = next(id_ for id_ in range(40) if id_ not in seen)
    graph = {one.name: numpy_helper.to_array(one) for one in onnx.load(str(copy)).graph.initializer}
    nearest = sorted(seen)[graph["place_of_id"][unseen]]
    np.testing.assert_array_equal(answers(copy, [[2, unseen, 3]]), answers(copy, [[2, nearest, 3]]))
    assert np.isfinite(answers(copy, [list(range(40))])).all()


def test_a_kept_row_is_its_own_and_others_the_most_alike() -> None:
    rows = np.array([[1, 0], [0, 1], [0.9, 0.1], [1, 0], [0, 0]], np.float32)
    assert places(rows, np.array([0, 1, 3])).tolist()[:4] == [0, 1, 0, 2]


def test_a_tokenizer_without_a_vocabulary_is_refused(copy: Path, samples) -> None:
    copy.with_name("tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="a vocabulary expected"):
        run_passes(("trim-vocabulary",), copy, samples)


def test_what_is_kept_wider_is_what_harms_most(copy: Path, samples) -> None:
    found = sensitivities(copy, samples)
    most = max(found, key=lambda name: found[name])
    assert len(found) == 6 and all(value > 0 for value in found.values())  # the head's 3 columns need no block
    assert run_passes(("keep-sensitive",), copy, samples) == {"keep-sensitive": 2}
    wide = {node.output[0] for node in onnx.load(str(copy)).graph.node if node.op_type == "MatMulNBits"}
    assert most in wide and len(wide) == 2


@pytest.mark.parametrize(
    "name",
    [name for name, one in RECIPES.items() if one.engine == ONNXRUNTIME and not name.startswith("int8-reduced-range-")],
)
def test_every_recipe_builds_runs_and_stays_near_the_exported_model(
    exported: Path, samples, tmp_path: Path, name: str
) -> None:
    record = apply(RECIPES[name], exported, tmp_path / "out", samples)
    options = RECIPES[name].session
    session = ort.InferenceSession(
        str(tmp_path / "out" / "model.onnx"), disabled_optimizers=list(options.disabled_optimizers)
    )
    float_ = ort.InferenceSession(str(exported / "model.onnx"))
    for row in samples:
        ids = np.array([row], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        found = session.run(None, {one.name: inputs[one.name] for one in session.get_inputs()})[0]
        exact = float_.run(None, inputs)[0]
        assert np.abs(found - exact).max() < 0.3 * np.abs(exact).max() + 0.02
    assert list(record.passes) == [*RECIPES[name].passes, *RECIPES[name].after]
    again = apply(RECIPES[name], exported, tmp_path / "again", samples)
    assert again == record
    assert (tmp_path / "again" / "model.onnx").read_bytes() == (tmp_path / "out" / "model.onnx").read_bytes()


def test_a_recipe_that_needs_texts_says_so_without_them(exported: Path, tmp_path: Path) -> None:
    assert RECIPES["int8-mixed"].needs_texts and RECIPES["int8-trimmed"].forgets and not RECIPES["int8"].needs_texts
    with pytest.raises(DataError, match="pass keep-sensitive: the workflow's own texts expected, found none"):
        apply(RECIPES["int8-mixed"], exported, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pass_that_finds_nothing_is_no_build(exported: Path, tmp_path: Path, samples) -> None:
    recipe = Recipe("odd", "ranges of a float graph", ANY, after=("freeze-ranges",))
    with pytest.raises(DataError, match="pass freeze-ranges: nothing in this model that it could change"):
        apply(recipe, exported, tmp_path / "out", samples)


def test_a_pass_that_crashes_is_a_reason(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples
) -> None:
    def crash(*_: object) -> int:
        raise KeyError("scale")

    passes: dict[str, object] = {**PASSES, "crash": type(PASSES["drop-mask"])(crash)}
    monkeypatch.setattr("quantize.passes.PASSES", passes)
    with pytest.raises(DataError, match="recipe odd cannot be applied: 'scale'; use the recipe fp32"):
        apply(Recipe("odd", "", ANY, passes=("crash",)), exported, tmp_path / "out", samples)
    assert not (tmp_path / "out").exists()


def test_static_ranges_hold_what_the_texts_gave(exported: Path, tmp_path: Path, samples) -> None:
    build: Callable[[str], object] = lambda name: apply(RECIPES[name], exported, tmp_path / name, samples)  # noqa: E731
    build("int8-static")
    kinds = [node.op_type for node in onnx.load(str(tmp_path / "int8-static" / "model.onnx")).graph.node]
    assert "DynamicQuantizeLinear" not in kinds and "MatMulInteger" not in kinds
    assert kinds.count("MatMulIntegerToFloat") == 7 and kinds.count("QAttention") == 2


def test_a_prepared_graph_gives_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    prepare(exported, tmp_path / "prepared")
    for name in ("int8", "fp32-fused"):
        first = apply(RECIPES[name], exported, tmp_path / name)
        second = apply(RECIPES[name], exported, tmp_path / f"{name}-2", prepared=tmp_path / "prepared")
        assert first == second
        assert (tmp_path / name / "model.onnx").read_bytes() == (tmp_path / f"{name}-2" / "model.onnx").read_bytes()
