"""The recipe for OpenVINO: equal bytes, answers near those of the float model, and a factory that has it not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fleet_manifests import (
    BaseRef,
    BundleConfig,
    DataError,
    IsaClass,
    MissingExtraError,
    SessionConfig,
    Task,
    Verdict,
    WordEmbeddings,
    sha256_of,
)
from quantize import RECIPES, Recipe, Score, apply, proof, search
from quantize.build import BuildRecord
from quantize.choice import Timing
from quantize.folder import tokenize
from quantize.openvino import width_of
from quantize.search import Outcome
from runtimes.engine import load_embedder_parts, load_parts
from runtimes.measure import abreast, process

needs_nncf = pytest.mark.skipif(
    find_spec("openvino") is None or find_spec("nncf") is None,
    reason="OpenVINO or NNCF is not installed; pip install 'lading[openvino-factory]'",
)
DIGEST = "sha256:" + "0" * 64
RECIPE = RECIPES["openvino-int8"]
REDUCED = RECIPES["openvino-int8-reduced-range"]


def samples(exported: Path, texts: tuple[str, ...]) -> list[list[int]]:
    return tokenize(exported / "tokenizer.json", texts, 64)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir())}


def config(record: BuildRecord, task: Task = Task.CLASSIFY) -> BundleConfig:
    told = {"labels": ("damaged", "late", "short")} if task is Task.CLASSIFY else {"dimension": 32}
    return BundleConfig(
        workflow="w",
        task=task,
        profile="p",
        isa=IsaClass.AVX512_VNNI,
        recipe=record.recipe,
        engine=record.engine,
        model=record.model,
        weights=record.weights or None,
        word_embeddings=WordEmbeddings.model_validate(record.word_embeddings) if record.word_embeddings else None,
        session=SessionConfig.model_validate(record.session),
        base=BaseRef(name="tiny", revision="1", digest=DIGEST, licence="x"),
        data_card=DIGEST,
        max_tokens=64,
        **told,
    )


@pytest.fixture(scope="module")
def built(exported: Path, texts, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildRecord]:
    out = tmp_path_factory.mktemp("openvino") / "out"
    return out, apply(RECIPE, exported, out, samples(exported, texts))


@pytest.mark.unit
def test_it_says_what_it_needs() -> None:
    for recipe in (RECIPE, REDUCED):
        assert recipe.needs_texts and not recipe.forgets
        assert recipe.libraries == ("openvino", "nncf")
    assert all(recipe.libraries == () for recipe in RECIPES.values() if recipe.engine == "onnxruntime")
    assert RECIPE.isa == {IsaClass.AVX512_VNNI}
    assert REDUCED.isa == {IsaClass.AVX512_VNNI, IsaClass.X86_64_V3}


@pytest.mark.integration
def test_without_texts_there_are_no_ranges(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the workflow's own texts expected"):
        apply(RECIPE, exported, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.integration
def test_without_the_library_nothing_is_left(
    exported: Path, texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"openvino is needed and not installed"):
        apply(RECIPE, exported, tmp_path / "out", samples(exported, texts))
    assert list(tmp_path.iterdir()) == []


@needs_nncf
@pytest.mark.integration
def test_the_record_says_what_was_made(built: tuple[Path, BuildRecord]) -> None:
    out, record = built
    assert (record.engine, record.model, record.weights) == ("openvino", "model.xml", ("model.bin",))
    assert record.quantized["FakeQuantize"] > 0
    assert {"openvino", "nncf"} <= record.versions.keys()
    names = {path.name for path in out.iterdir()}
    assert {"model.xml", "model.bin", "tokenizer.json", "labels.json", "recipe.json"} <= names
    assert "model.onnx" not in names
    assert width_of(out / "model.xml") == 3


@needs_nncf
@pytest.mark.integration
def test_equal_inputs_give_equal_bytes(built: tuple[Path, BuildRecord], exported: Path, texts, tmp_path: Path) -> None:
    """Again in this process, whose nodes have other numbers by now, and in another one, whose sets have another order."""
    out, _ = built
    ids = samples(exported, texts)
    apply(RECIPE, exported, tmp_path / "again", ids)
    assert digests(tmp_path / "again") == digests(out)
    program = (
        "import sys; from pathlib import Path; from quantize import RECIPES, apply; "
        f"apply(RECIPES['openvino-int8'], Path(sys.argv[1]), Path(sys.argv[2]), {ids!r})"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(exported), str(tmp_path / "other")],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "5"},
    )
    assert digests(tmp_path / "other") == digests(out)


@needs_nncf
@pytest.mark.integration
def test_it_answers_as_the_float_model_does(built: tuple[Path, BuildRecord], exported: Path, texts) -> None:
    out, record = built
    ids = samples(exported, texts)
    truth = np.concatenate(proof.run(exported / "model.onnx", ids))
    found = load_parts(out, config(record)).logits(texts)
    assert np.abs(found - truth).max() < 0.1 * np.abs(truth).max()
    assert np.abs(found - truth).max() > 0, "it has integers"


@needs_nncf
@pytest.mark.integration
def test_seven_bits_are_other_weights(built: tuple[Path, BuildRecord], exported: Path, texts, tmp_path: Path) -> None:
    record = apply(REDUCED, exported, tmp_path / "out", samples(exported, texts))
    assert digests(tmp_path / "out")["model.bin"] != digests(built[0])["model.bin"]
    load_parts(tmp_path / "out", config(record))


@needs_nncf
@pytest.mark.integration
def test_a_retriever_keeps_vectors_of_length_1(exported_retriever: Path, texts, tmp_path: Path) -> None:
    ids = samples(exported_retriever, texts)
    record = apply(RECIPE, exported_retriever, tmp_path / "out", ids)
    assert width_of(tmp_path / "out" / "model.xml") == 32
    truth = np.concatenate(proof.run(exported_retriever / "model.onnx", ids))
    found = load_embedder_parts(tmp_path / "out", config(record, Task.RETRIEVE)).embeddings(texts)
    assert (found * truth).sum(1).min() > 0.98


@needs_nncf
@pytest.mark.integration
def test_it_is_searched_beside_another_recipe(exported: Path, texts, tmp_path: Path) -> None:
    """Built, looked at, timed side by side with its memory, and one of both is taken for a reason."""
    ids, recipes = samples(exported, texts), (RECIPES["int8-lean"], RECIPE)
    truth = np.concatenate(proof.run(exported / "model.onnx", ids))
    configs: dict[str, BundleConfig] = {}

    def build(recipe: Recipe) -> Path:
        configs[recipe.name] = config(apply(recipe, exported, tmp_path / recipe.name, ids))
        return tmp_path / recipe.name

    def evaluate(recipe: Recipe, folder: Path) -> Score:
        found = load_parts(folder, configs[recipe.name]).logits(texts)
        same = float((found.argmax(1) == truth.argmax(1)).mean())
        return Score(Verdict.PASS, "looked at", {"agreement": same}, least=same - 1, rows=len(texts))

    def time(folders: Mapping[str, Path]) -> Timing:
        builds = tuple(
            abreast.Build(name=name, folder=str(folder), config=configs[name]) for name, folder in folders.items()
        )
        cpus = (min(os.sched_getaffinity(0)),)
        job = abreast.Job(builds=builds, texts=texts, rounds=9, cpus=cpus, memory_guard_mb=4096)
        memory = {
            one.name: process.side_by_side(job.model_copy(update={"builds": (one,), "rounds": 0})).peak_rss_mb
            for one in builds
        }
        return Timing(process.side_by_side(job).rounds, memory)

    result = search(recipes, build, evaluate, time)
    assert result.chosen in recipes
    for trial in result.trials:
        assert trial.outcome in (Outcome.CHOSEN, Outcome.PARETO, Outcome.BEATEN), trial.reason
        assert trial.latency_ms is not None and trial.latency_ms > 0
        assert trial.memory_mb is not None and trial.memory_mb > 30
        assert trial.size == sum(path.stat().st_size for path in (tmp_path / trial.recipe).iterdir())


@needs_nncf
@pytest.mark.integration
def test_what_is_no_model_is_refused(exported: Path, texts, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for path in exported.iterdir():
        (tmp_path / "source" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "source" / "model.onnx").write_bytes(_without_products())
    with pytest.raises(DataError, match=r"OpenVINO cannot take this model|could be quantized"):
        apply(RECIPE, tmp_path / "source", tmp_path / "out", samples(exported, texts))
    assert not (tmp_path / "out").exists()


def _without_products() -> bytes:
    """A graph that only looks up a table and takes a mean."""
    from onnx import TensorProto, helper, numpy_helper

    table = numpy_helper.from_array(np.eye(40, dtype=np.float32), "table")
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["ids"]),
        helper.make_node("Gather", ["table", "ids"], ["vectors"]),
        helper.make_node("ReduceMean", ["vectors", "axes"], ["logits"], keepdims=0),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, [1, "n"]) for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 40])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [table, axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())
