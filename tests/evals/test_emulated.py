"""A tiny 8-bit bundle, really run on emulated processors. Skipped where QEMU, or the Arm folder, is not there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from evals import accuracy, emulation
from evals.emulation import Emulator, Missing
from evals.observed import Observed
from fleet_manifests import BundleConfig, HardwareProfile, IsaClass, Measurement, Verdict, dump
from runtimes.engine import Confidence
from runtimes.measure.outputs import outputs

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LABELS = ("even", "odd")
WORDS = ("[UNK]", "[CLS]", "[SEP]", *(f"w{n}" for n in range(13)))
DEEP = 64


def write_model(path: Path, full: int) -> None:
    """Word vectors quantized as they come, times 8-bit weights up to `full`; the class is the parity of the word.

    Where bytes are multiplied and added in pairs of 16 bits (AVX2), two products of full-range weights saturate:
    2 * 255 * 127 > 32767. Up to 64 they cannot.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(5)
    table = rng.uniform(0, 1, (len(WORDS), DEEP)).astype(np.float32)
    table[3::2] *= 0.5
    weights = np.stack([np.full(DEEP, full // 2), np.full(DEEP, full)], axis=1).astype(np.int8)
    weights[::3, 0] = -full // 3
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("ReduceMax", ["rows"], ["pooled"], axes=[1], keepdims=0),
        helper.make_node("DynamicQuantizeLinear", ["pooled"], ["bytes", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["bytes", "weights", "zero", "no_zero"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wide", "scale"], ["scaled"]),
        helper.make_node("ReduceSum", ["attention_mask"], ["seen"], keepdims=0),
        helper.make_node("Cast", ["seen"], ["seen_wide"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["scaled", "seen_wide"], ["logits"]),
    ]
    constants = {"table": table, "weights": weights, "no_zero": np.zeros((), np.int8)}
    ids = ("input_ids", "attention_mask")
    graph = helper.make_graph(
        nodes,
        "parity",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "seq"]) for name in ids],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_tokenizer(path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(path))


def tiny(folder: Path, config: BundleConfig, isa: IsaClass, full: int) -> Path:
    folder.mkdir()
    changes = {"labels": LABELS, "isa": isa, "recipe": "int8", "max_tokens": 16}
    (folder / "bundle.json").write_bytes(dump(config.model_copy(update=changes)))
    write_model(folder / "model.onnx", full)
    write_tokenizer(folder / "tokenizer.json")
    return folder


def emulator(isa: IsaClass) -> Emulator:
    found = emulation.find(isa)
    if isinstance(found, Missing):
        pytest.skip(found.reason)
    return found


@pytest.fixture(params=[IsaClass.X86_64_V3, IsaClass.ARM64_DOTPROD], ids=lambda isa: isa.value)
def there(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    yield emulator(request.param)


TEXTS = [f"w{n} w{(n * 5) % 13}" for n in range(13)]


def test_the_processor_is_of_the_class_and_not_this_one(there: Emulator) -> None:
    found = emulation.machine(there)
    assert found.host.isa() is there.isa
    assert found.host.cpu_model == there.model
    assert not {"avx512f", "avx_vnni", "i8mm", "sve"} & set(found.host.features)


def test_a_bundle_answers_the_same_each_time_and_however_shared_out(
    there: Emulator, tmp_path: Path, config: BundleConfig, profile: HardwareProfile
) -> None:
    bundle = tiny(tmp_path / "triage--edge-test", config, there.isa, full=64)
    here = outputs(bundle, {"test": TEXTS})["test"]
    found = [emulation.outputs(there, bundle, {"test": TEXTS}, workers=workers)["test"] for workers in (1, 2)]
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], here, rtol=0.05)

    corpus = tmp_path / "corpus"
    corpus.mkdir()
    truth = [LABELS[row.argmax()] for row in here]
    lines = (f'{{"text": "{text}", "label": "{label}"}}\n' for text, label in zip(TEXTS, truth, strict=True))
    (corpus / "test.jsonl").write_text("".join(lines))
    report = accuracy.judge(
        config.model_copy(update={"labels": LABELS, "isa": there.isa}),
        Confidence(config.calibration),
        corpus,
        Observed({"test": found[0]}, emulation.machine(there), datetime(2026, 1, 2, tzinfo=UTC), emulated=True),
        profile=profile.model_copy(update={"isa": there.isa}),
        bundle_digest="sha256:" + "cd" * 32,
        references={"unquantized": truth},
        policy=accuracy.AccuracyPolicy(metric="accuracy"),
    )
    assert report.measurement is Measurement.EMULATED
    assert report.verdict is not Verdict.PASS


def test_sums_saturate_as_they_do_on_that_processor(tmp_path: Path, config: BundleConfig) -> None:
    """What makes 8-bit answers differ: the exact sums are known, AVX2 gives less, and the reduced range avoids it."""
    there = emulator(IsaClass.X86_64_V3)
    off = []
    for full in (127, 64):
        bundle = tiny(tmp_path / f"full-{full}", config, there.isa, full)
        exact = exact_logits(bundle, TEXTS)
        off.append(
            np.abs(emulation.outputs(there, bundle, {"test": TEXTS})["test"] - exact).max() / np.abs(exact).max()
        )
    assert off[0] > 0.05 > 0.001 > off[1]


def exact_logits(bundle: Path, texts: list[str]) -> np.ndarray:
    """The tiny model by hand, in whole numbers."""
    import onnx
    from onnx import numpy_helper

    constants = {one.name: numpy_helper.to_array(one) for one in onnx.load(bundle / "model.onnx").graph.initializer}
    found = []
    for text in texts:
        ids = [1, *(WORDS.index(word) for word in text.split()), 2]
        pooled = constants["table"][ids].max(axis=0)
        scale = np.float32(pooled.max()) / np.float32(255)  # all are positive: the zero point is 0
        raw = np.clip(np.rint(pooled / scale), 0, 255).astype(np.int64)
        found.append((raw @ constants["weights"].astype(np.int64)) * scale / len(ids))
    return np.array(found, np.float32)
