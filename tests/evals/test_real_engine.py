"""The measurements through the engine that sites run, on a tiny model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from evals import accuracy, evaluate, latency
from evals.engines import load_engine, this_machine
from evals.predictions import predict
from evals.rows import read_split
from fleet_manifests import BundleConfig, HardwareProfile, IntegrityError, Measurement, dump

pytestmark = pytest.mark.integration

WORDS = {"damaged": ["broken", "crushed"], "late": ["delayed", "slow"], "missing": ["lost", "absent"]}
VOCABULARY = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "a", "pallet", *(word for pair in WORDS.values() for word in pair)]


def write_model(path: Path, weights: np.ndarray) -> None:
    """Mean of rows of `weights` [words, classes]: a bag of words."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gather", ["weights", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["rows", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["logits"], keepdims=0),
    ]
    constants = {
        "weights": weights.astype(np.float32),
        "last": np.array([2], dtype=np.int64),
        "tokens": np.array([1], dtype=np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "bag",
        [
            helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "seq"])
            for n in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", weights.shape[1]])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_tokenizer(path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(path))


def weights(value: float = 3.0) -> np.ndarray:
    table = np.zeros((len(VOCABULARY), 3))
    for code, words in enumerate(WORDS.values()):
        for word in words:
            table[VOCABULARY.index(word), code] = value
    return table


@pytest.fixture
def tiny(tmp_path: Path, config: BundleConfig) -> Path:
    folder = tmp_path / "triage--edge-test"
    folder.mkdir()
    (folder / "bundle.json").write_bytes(dump(config.model_copy(update={"max_tokens": 64})))
    write_model(folder / "model.onnx", weights())
    write_tokenizer(folder / "tokenizer.json")
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    lines = [
        f'{{"id": "{label}{n}", "text": "a pallet {words[n % 2]}", "label": "{label}"}}\n'
        for n in range(100)
        for label, words in WORDS.items()
    ]
    (folder / "test.jsonl").write_text("".join(lines))
    (folder / "oos_test.jsonl").write_text('{"id": "x", "text": "a pallet"}\n')
    return folder


def test_accuracy_through_the_real_engine(tiny: Path, corpus: Path, profile: HardwareProfile) -> None:
    truth = [row.label or "" for row in read_split(corpus, "test").rows]
    report = accuracy.measure(
        tiny,
        corpus,
        profile=profile,
        bundle_digest="sha256:" + "cd" * 32,
        references={"unquantized": truth},
        policy=accuracy.AccuracyPolicy(metric="accuracy", floor=0.9, margin=0.03),
        taken=datetime(2026, 1, 2, tzinfo=UTC),
    )
    assert report.metric("accuracy").value == 1.0
    assert report.out_of_scope is not None and report.out_of_scope.auroc == 1.0 and report.out_of_scope.deferred == 1.0
    mismatch = profile.mismatch(this_machine().host)
    assert report.measurement is (Measurement.MEASURED if mismatch is None else Measurement.ABSENT)


def test_the_figures_are_those_of_the_engine(tiny: Path) -> None:
    engine = load_engine(tiny, 1)
    texts = ["a pallet lost", "crushed", "a pallet"]
    found = predict(engine, texts)
    for text, name, confidence in zip(texts, found.names, found.confidence, strict=True):
        answer = engine.classify(text)
        assert (answer.label, answer.confidence) == (name, pytest.approx(confidence, abs=1e-6))  # type: ignore[attr-defined]


def test_latency_through_the_real_engine(tiny: Path, profile: HardwareProfile) -> None:
    host = this_machine()
    fitting = profile.model_copy(update={"isa": host.host.isa() or profile.isa})
    report = latency.measure(
        tiny,
        profile=fitting,
        bundle_digest="sha256:" + "cd" * 32,
        texts=["a pallet lost", "crushed"],
        taken=datetime(2026, 1, 2, tzinfo=UTC),
        seconds=0.2,
    )
    assert report.measurement is Measurement.MEASURED and report.queries >= 662
    assert 0 < report.metric("p50").value < 50
    assert 30 < report.metric("peak_rss_mb").value < 300, "the process holds the engine and nothing of the factory"


def test_rows_of_ones_own_through_the_real_engine(tiny: Path, corpus: Path) -> None:
    rows = read_split(corpus, "test").rows
    assert evaluate.evaluate(tiny, rows).metric("macro_f1") == 1.0


def test_a_broken_model_is_refused(tiny: Path, corpus: Path, profile: HardwareProfile) -> None:
    write_model(tiny / "model.onnx", weights(float("nan")))
    with pytest.raises(IntegrityError):
        evaluate.evaluate(tiny, read_split(corpus, "test").rows)
    (tiny / "model.onnx").write_bytes(b"not a model")
    host = this_machine()
    fitting = profile.model_copy(update={"isa": host.host.isa() or profile.isa})
    with pytest.raises(IntegrityError, match="cannot be measured"):
        latency.measure(
            tiny,
            profile=fitting,
            bundle_digest="sha256:" + "cd" * 32,
            texts=["lost"],
            taken=datetime(2026, 1, 2, tzinfo=UTC),
        )
