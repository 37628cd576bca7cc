"""Recipes: which are legal where, and what they make of a model."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from fleet_manifests import (
    DataError,
    HardwareProfile,
    IsaClass,
    LatencyObjective,
    RefusedError,
    StorageError,
    UsageError,
    sha256_of,
)
from quantize import RECIPES, apply, candidates, proof, recipe_named
from quantize.integers import Quantization, to_integers
from quantize.passes import fuse_attention
from quantize.unpad import drop_mask


def profile(isa: IsaClass, *recipes: str, cores: int = 1) -> HardwareProfile:
    objective = LatencyObjective(milliseconds=40)
    return HardwareProfile(name="edge", isa=isa, cores=cores, latency=objective, recipes=recipes)


PLAIN = ("openvino-int8-reduced-range", "openvino-int8", "int8-reduced-range", "int8", "fp32")
"""Recipes, the longest name of those that begin alike first."""


@pytest.mark.unit
@pytest.mark.parametrize(
    ("isa", "legal"),
    [
        (IsaClass.AVX512_VNNI, list(PLAIN)),
        (IsaClass.ARM64_DOTPROD, ["int8", "int8-reduced-range", "fp32"]),
        (IsaClass.X86_64_V3, ["int8-reduced-range", "openvino-int8-reduced-range", "fp32"]),
        (IsaClass.X86_64, ["fp32"]),
        (IsaClass.HOST, []),
    ],
)
def test_what_is_legal_where(isa: IsaClass, legal: list[str]) -> None:
    """Every variant is legal where the plain recipe is that its name begins with."""
    found = []
    for name in RECIPES:
        try:
            found.append(recipe_named(name, isa).name)
        except RefusedError as refused:
            assert f"isa {isa.value}" in str(refused)
            assert (", ".join(expected(legal)) or "resolve the profile") in str(refused)
    assert found == expected(legal)


def expected(legal: list[str]) -> list[str]:
    def plain(name: str) -> str:
        return next(one for one in PLAIN if name.startswith(one))

    return [name for name in RECIPES if plain(name) in legal]


@pytest.mark.unit
def test_full_range_without_vnni_names_what_to_use() -> None:
    with pytest.raises(
        RefusedError,
        match=r"int8 is not legal for isa x86-64-v3; legal there: int8-reduced-range-lean, int8-reduced-range, .*fp32$",
    ):
        recipe_named("int8", IsaClass.X86_64_V3)


@pytest.mark.unit
def test_unknown_recipe_names_those_that_exist() -> None:
    with pytest.raises(
        UsageError, match="'int4' is unknown; there are int8-lean, int8, int8-8bit-embeddings, .*, fp32$"
    ):
        recipe_named("int4", IsaClass.AVX512_VNNI)


@pytest.mark.unit
def test_reduced_range_is_all_that_sets_a_variant_apart() -> None:
    for name, recipe in RECIPES.items():
        if name.startswith("int8") and not name.startswith("int8-reduced-range"):
            other = RECIPES[name.replace("int8", "int8-reduced-range", 1)]
            assert (other.passes, other.after, other.session) == (recipe.passes, recipe.after, recipe.session)
            assert other.quantization.reduce_range and not recipe.quantization.reduce_range
            assert IsaClass.X86_64_V3 in other.isa and IsaClass.X86_64_V3 not in recipe.isa


@pytest.mark.unit
def test_candidates_keep_the_profiles_order() -> None:
    names = [recipe.name for recipe in candidates(profile(IsaClass.AVX512_VNNI, "fp32", "int8"))]
    assert names == ["fp32", "int8"]


@pytest.mark.unit
@pytest.mark.parametrize(("name", "error"), [("int8", RefusedError), ("int2", UsageError)])
def test_candidates_name_the_profile(name: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"profile edge: recipes: recipe '?{name}"):
        candidates(profile(IsaClass.X86_64_V3, "fp32", name))


@pytest.mark.unit
def test_session_takes_the_cores_of_the_profile() -> None:
    session = RECIPES["int8"].session_for(profile(IsaClass.AVX512_VNNI, "int8", cores=4))
    assert session.threads == 4
    assert session.disabled_optimizers == ("SkipLayerNormFusion",)
    assert not session.allow_spinning


@pytest.mark.integration
def test_fp32_is_the_exported_model(exported: Path, tmp_path: Path) -> None:
    record = apply(RECIPES["fp32"], exported, tmp_path / "out")
    assert sha256_of(tmp_path / "out" / "model.onnx") == sha256_of(exported / "model.onnx") == record.source
    assert record.quantized == {}
    assert (record.attention_blocks, record.passes) == (2, {})


@pytest.mark.integration
def test_int8_fuses_and_quantizes_everything(exported: Path, tmp_path: Path) -> None:
    record = apply(RECIPES["int8"], exported, tmp_path / "out")
    assert (record.attention_blocks, record.passes) == (2, {"fuse-attention": 2, "drop-mask": 1})
    # per layer: attention output, feed-forward up and down; and the head
    assert record.quantized == {"MatMulInteger": 7, "QAttention": 2}
    assert json.loads((tmp_path / "out" / "recipe.json").read_text())["quantized"] == record.quantized
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "arguments.json", "labels.json", "model.onnx", "recipe.json", "tokenizer.json",
    ]  # fmt: skip


def weights(folder: Path) -> dict[str, np.ndarray]:
    """The 8-bit matrices of a build, the embedding (one scale for all) aside."""
    graph = onnx.load(str(folder / "model.onnx")).graph
    used = {node.input[1] for node in graph.node if node.op_type in ("MatMulInteger", "QAttention")}
    return {one.name: numpy_helper.to_array(one) for one in graph.initializer if one.name in used}


@pytest.mark.integration
def test_weights_are_signed_and_per_channel(exported: Path, tmp_path: Path) -> None:
    apply(RECIPES["int8"], exported, tmp_path / "out")
    matrices = weights(tmp_path / "out")
    graph = onnx.load(str(tmp_path / "out" / "model.onnx")).graph
    scales = {one.name: numpy_helper.to_array(one) for one in graph.initializer if one.name.endswith("_scale")}
    assert len(matrices) == 9
    for name, matrix in matrices.items():
        assert matrix.dtype == np.int8
        scale = scales[name.removesuffix("_quantized") + "_scale"]
        assert scale.shape == (matrix.shape[1],)
        assert len(set(scale.tolist())) > 1


@pytest.mark.integration
def test_range_is_full_or_reduced(exported: Path, tmp_path: Path) -> None:
    for name, largest in (("int8", 127), ("int8-reduced-range", 64)):
        apply(RECIPES[name], exported, tmp_path / name)
        found = max(int(np.abs(matrix.astype(int)).max()) for matrix in weights(tmp_path / name).values())
        assert found in (largest, largest - 1)


def run(path: Path, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, disabled_optimizers=["SkipLayerNormFusion"])
    inputs = {"input_ids": ids, "attention_mask": mask}
    return session.run(["logits"], {item.name: inputs[item.name] for item in session.get_inputs()})[0]


@pytest.mark.integration
def test_what_is_rewritten_does_not_change_an_answer(exported: Path, tmp_path: Path) -> None:
    record = apply(RECIPES["int8"], exported, tmp_path / "fused")
    assert record.passes["drop-mask"] == 1
    assert [item.name for item in onnx.load(str(tmp_path / "fused" / "model.onnx")).graph.input] == ["input_ids"]
    shutil.copytree(exported, tmp_path / "plain")
    to_integers(tmp_path / "plain" / "model.onnx", Quantization(), ())
    for length in (1, 5, 11, 40):
        ids = np.random.default_rng(length).integers(4, 20, (1, length))
        mask = np.ones_like(ids)
        fused = run(tmp_path / "fused" / "model.onnx", ids, mask)
        np.testing.assert_allclose(fused, run(tmp_path / "plain" / "model.onnx", ids, mask), atol=2e-3)
        full = run(exported / "model.onnx", ids, mask)
        assert np.abs(fused - full).max() < 0.05 * np.abs(full).max() + 0.02


@pytest.mark.integration
def test_a_mask_that_is_needed_elsewhere_stays(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "other")
    path = tmp_path / "other" / "model.onnx"
    model = onnx.load(str(path))
    model.graph.node.append(onnx.helper.make_node("Cast", ["attention_mask"], ["seen"], to=onnx.TensorProto.FLOAT))
    model.graph.output.append(onnx.helper.make_tensor_value_info("seen", onnx.TensorProto.FLOAT, None))
    onnx.save(model, str(path))
    before = path.read_bytes()
    assert not drop_mask(path)
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.glob("*.onnx")) == ["model.onnx"]


@pytest.mark.integration
def test_a_rewrite_that_changes_answers_is_refused(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(exported, tmp_path / "other")
    path = tmp_path / "other" / "model.onnx"
    assert fuse_attention(path) == 2
    before = path.read_bytes()
    monkeypatch.setattr(proof, "TOLERANCE", -1.0)
    with pytest.raises(RefusedError, match="rewritten graph"):
        drop_mask(path)
    assert path.read_bytes() == before
    assert not (path.parent / "rewritten.onnx").exists()


@pytest.mark.integration
def test_equal_input_gives_equal_bytes_in_every_process(exported: Path, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from quantize import RECIPES, apply; "
    code += "apply(RECIPES['int8'], Path(sys.argv[1]), Path(sys.argv[2]))"
    digests = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        out = tmp_path / seed
        subprocess.run([sys.executable, "-c", code, exported, out], env=environment, check=True, capture_output=True)
        digests.add((sha256_of(out / "model.onnx"), sha256_of(out / "recipe.json")))
    assert len(digests) == 1


def write_graph(folder: Path, nodes: list[onnx.NodeProto]) -> Path:
    """An exported folder whose model has these nodes from `input_ids` [batch, 4] to `logits` [batch, 4]."""
    folder.mkdir()
    constants = [numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")]
    graph = helper.make_graph(
        [helper.make_node("Cast", ["input_ids"], ["x"], to=TensorProto.FLOAT), *nodes],
        "g",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(folder / "model.onnx"))
    return folder


@pytest.mark.integration
def test_a_graph_that_fusion_does_not_know_is_quantized_as_it_is(tmp_path: Path) -> None:
    nodes = [helper.make_node("Softmax", ["x"], ["s"]), helper.make_node("MatMul", ["s", "w"], ["logits"])]
    record = apply(RECIPES["int8"], write_graph(tmp_path / "in", nodes), tmp_path / "out")
    assert (record.attention_blocks, record.passes) == (1, {"fuse-attention": 0, "drop-mask": 0})
    assert record.quantized == {"MatMulInteger": 1}


@pytest.mark.integration
def test_a_graph_with_nothing_to_quantize_is_refused(tmp_path: Path) -> None:
    folder = write_graph(tmp_path / "in", [helper.make_node("Relu", ["x"], ["logits"])])
    with pytest.raises(DataError, match="no matrix product that could be quantized; use the recipe fp32"):
        apply(RECIPES["int8"], folder, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.integration
@pytest.mark.parametrize("name", ["int8", "fp32"])
def test_damaged_and_missing_model(exported: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    shutil.copytree(exported, folder)
    raw = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match=r"model\.onnx: not an ONNX model"):
        apply(RECIPES[name], folder, tmp_path / "out")
    (folder / "model.onnx").unlink()
    with pytest.raises(DataError, match=r"no model\.onnx; export the model first"):
        apply(RECIPES[name], folder, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.integration
@pytest.mark.parametrize("name", ["int8", "fp32"])
def test_full_disk_leaves_nothing(exported: Path, tmp_path: Path, name: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        with pytest.raises(StorageError, match="cannot be written"):
            apply(RECIPES[name], exported, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_a_full_folder_is_left_alone(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(UsageError, match="it holds files"):
        apply(RECIPES["int8"], exported, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]


@pytest.mark.integration
def test_an_empty_folder_is_taken_and_the_source_untouched(exported: Path, tmp_path: Path) -> None:
    before = {path.name: sha256_of(path) for path in exported.iterdir()}
    (tmp_path / "out").mkdir()
    apply(RECIPES["int8"], exported, tmp_path / "out")
    assert (tmp_path / "out" / "model.onnx").is_file()
    assert {path.name: sha256_of(path) for path in exported.iterdir()} == before
