"""OpenVINO as an engine: the same answers, few lengths, and a site that has it not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fleet_manifests import BundleConfig, IntegrityError, MissingExtraError, dump
from fleet_manifests.extra import library
from runtimes.engine import Engine, load, load_any, load_embedder
from runtimes.engine.openvino import padded_length
from runtimes.measure import abreast, process
from runtimes.sync.smoke import main as smoke
from runtimes.sync.smoke import run_smoke

pytestmark = pytest.mark.unit
needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None, reason="OpenVINO is not installed; pip install 'lading[openvino]'"
)
TEXTS = ("late", "late truck", "broken box", "box missing a pallet", "pallet " * 13)
IR = {"engine": "openvino", "model": "model.xml", "weights": ("model.bin",)}
Bundle = Callable[..., Path]


def converted(folder: Path) -> Path:
    """The same bundle for OpenVINO, in a folder beside."""
    out = folder.with_name("ir")
    out.mkdir()
    openvino = library("openvino")
    openvino.save_model(openvino.Core().read_model(str(folder / "model.onnx")), str(out / "model.xml"), False)
    (out / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    told = BundleConfig.model_validate_json((folder / "bundle.json").read_bytes()).model_copy(update=IR)
    (out / "bundle.json").write_bytes(dump(told))
    return out


@needs_openvino
def test_a_classifier_gives_what_onnxruntime_gives(bundle: Bundle) -> None:
    theirs = load(bundle())
    ours = load(converted(bundle()))
    np.testing.assert_allclose(ours.logits(TEXTS), theirs.logits(TEXTS), atol=1e-4)
    assert ours.classify("late truck").label == "late"
    assert ours.smoke() == []


@needs_openvino
def test_a_retriever_gives_what_onnxruntime_gives(retriever: Bundle) -> None:
    theirs = load_embedder(retriever())
    ours = load_embedder(converted(retriever()))
    np.testing.assert_allclose(ours.embeddings(TEXTS), theirs.embeddings(TEXTS), atol=1e-5)
    assert load_any(ours._where).smoke() == []


@needs_openvino
def test_it_gives_what_the_model_gives_that_is_run_directly(bundle: Bundle) -> None:
    folder = converted(bundle())
    engine = load(folder)
    float32 = {"INFERENCE_PRECISION_HINT": "f32"}  # else 16 bits on processors that have them
    model = library("openvino").Core().compile_model(str(folder / "model.xml"), "CPU", float32)
    for text in TEXTS:
        ids = np.array([engine._encode(text)[0]], np.int64)
        direct = model({"input_ids": ids, "attention_mask": np.ones_like(ids)})["logits"]
        np.testing.assert_allclose(engine.logits([text]), direct, atol=1e-4)


@needs_openvino
def test_an_engine_is_shared_by_threads_and_leaves_their_processors_alone(bundle: Bundle) -> None:
    allowed = os.sched_getaffinity(0)
    engine = load(converted(bundle()))
    alone = {text: engine.logits([text]) for text in TEXTS}
    with ThreadPoolExecutor(4) as pool:
        for text, found in zip(TEXTS * 20, pool.map(lambda one: engine.logits([one]), TEXTS * 20), strict=True):
            np.testing.assert_array_equal(found, alone[text])
    assert os.sched_getaffinity(0) == allowed


@pytest.mark.parametrize(("tokens", "padded"), [(1, 8), (8, 8), (9, 16), (64, 64), (65, 80), (129, 160), (256, 256)])
def test_a_text_is_padded_to_the_next_length(tokens: int, padded: int) -> None:
    assert padded_length(tokens) == padded


def test_there_are_few_lengths() -> None:
    lengths = {padded_length(tokens) for tokens in range(1, 257)}
    assert len(lengths) == 16
    assert all(tokens <= padded_length(tokens) <= max(tokens + 7, 1.25 * tokens) for tokens in range(1, 4097))


@needs_openvino
def test_padding_ends_where_the_model_ends(bundle: Bundle, config: BundleConfig) -> None:
    """15 positions: a text of 15 tokens must not become one of 16."""
    folder = bundle(config.model_copy(update={"max_tokens": 15}), positions=15)
    assert load(converted(folder)).classify("late " * 30).truncated


@needs_openvino
@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda out: (out / "model.xml").write_text("<net"), "not a model that can be run"),
        (lambda out: (out / "model.bin").write_bytes(b"x"), "not a model that can be run"),
        (lambda out: (out / "model.bin").unlink(), r"weights: no file 'model\.bin'; the bundle is incomplete"),
        (lambda out: (out / "model.xml").unlink(), r"model: no file 'model\.xml'; the bundle is incomplete"),
    ],
)
def test_a_damaged_build_is_refused(bundle: Bundle, break_it: Callable[[Path], object], said: str) -> None:
    out = converted(bundle())
    break_it(out)
    with pytest.raises(IntegrityError, match=said):
        load(out)


@needs_openvino
def test_a_model_of_other_inputs_or_outputs_is_refused(bundle: Bundle) -> None:
    out = converted(bundle(output="scores"))
    with pytest.raises(IntegrityError, match="outputs: logits expected, found scores"):
        load(out)


@needs_openvino
def test_inputs_are_checked(bundle: Bundle) -> None:
    folder = bundle(inputs=("ids", "attention_mask"))
    with pytest.raises(IntegrityError, match="inputs: attention_mask, input_ids expected, found attention_mask, ids"):
        load(converted(folder))


def test_a_site_without_it_refuses_such_a_bundle(
    bundle: Bundle, config: BundleConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan does not take it (tests/runtimes/sync); whoever loads it all the same gets one sentence."""
    folder = bundle(config.model_copy(update=IR))
    for name in ("model.xml", "model.bin"):
        (folder / name).write_bytes(b"")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lading\[openvino\]'"):
        load(folder)
    assert smoke(folder) == ["openvino is needed and not installed; run: pip install 'lading[openvino]'"]


def test_a_site_of_before_the_field_fails_its_smoke_cases(bundle: Bundle, config: BundleConfig) -> None:
    """It reads no `engine`, so it gives `model.xml` to ONNX Runtime."""
    folder = bundle(config.model_copy(update=IR))
    (folder / "model.onnx").unlink()
    (folder / "model.xml").write_text('<?xml version="1.0"?>\n<net name="model" version="11"></net>\n')
    (folder / "model.bin").write_bytes(b"\0" * 64)
    said = json.loads((folder / "bundle.json").read_bytes())
    del said["engine"]
    (folder / "bundle.json").write_text(json.dumps(said))
    (failure,) = run_smoke(folder)
    assert "not a model that can be run" in failure


@needs_openvino
@pytest.mark.integration
def test_it_is_timed_and_its_memory_taken_beside_others(bundle: Bundle) -> None:
    folder = bundle()
    both = {"onnxruntime": folder, "openvino": converted(folder)}
    builds = tuple(abreast.Build(name=name, folder=str(one), config=load(one).config) for name, one in both.items())
    job = abreast.Job(builds=builds, texts=TEXTS, rounds=2, cpus=(min(os.sched_getaffinity(0)),), memory_guard_mb=4096)
    assert {name: len(rounds) for name, rounds in process.side_by_side(job).rounds.items()} == {
        "onnxruntime": 2,
        "openvino": 2,
    }
    alone = process.side_by_side(job.model_copy(update={"builds": builds[1:], "rounds": 0}))
    assert alone.peak_rss_mb > 30


@needs_openvino
def test_the_machine_says_that_it_has_it(bundle: Bundle) -> None:
    from runtimes.engine import host

    assert host.facts().engines == ("openvino",)
    assert host.machine().openvino == host.openvino_version()
    assert isinstance(load(converted(bundle())), Engine)
