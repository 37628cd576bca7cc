"""The same model in several engines: ours, optimum's default int8, OpenVINO with NNCF, and the exported fp32.

Each side takes a text, or token ids; all tokenize with the same `tokenizer.json`. A lexical head is left out on all
sides: optimum makes an invalid graph of it, and our recipe for OpenVINO refuses it.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fleet_manifests import BaseRef, BundleConfig, IsaClass, SessionConfig, Task
from quantize import RECIPES, apply
from quantize.build import RECORD
from quantize.folder import tokenize
from quantize.lexical_head import LEXICAL_HEAD, detach
from quantize.openvino import IR, width_of
from runtimes.engine import Embedder, Engine, host, load_embedder_parts, load_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_TOKENS = 256
NOWHERE = f"sha256:{'0' * 64}"


@dataclass(frozen=True)
class Side:
    """One engine with the model in it."""

    name: str
    call: Callable[[str], object]
    """Text to answer, tokenizer included."""
    graph: Callable[[NDArray[np.int64]], NDArray[np.float32]]
    """Token ids [1, tokens] to the model's output [1, n]."""


def bare(exported: Path, work: Path) -> Path:
    """An exported model without its lexical head, where it has one."""
    if not (exported / LEXICAL_HEAD).is_file():
        return exported
    copy = Path(shutil.copytree(exported, work / "bare", ignore=shutil.ignore_patterns(LEXICAL_HEAD)))
    detach(copy / "model.onnx")
    return copy


def ours(exported: Path, out: Path, texts: Sequence[str], recipe: str = "int8-lean") -> Side:
    """A build by one recipe in the site's engine; `texts` are what the recipe may look at."""
    samples = tokenize(exported / "tokenizer.json", texts, MAX_TOKENS)
    apply(RECIPES[recipe], exported, out, samples)
    return built(recipe, out)


def built(name: str, build: Path) -> Side:
    """A build in the site's engine."""
    engine = opened(build)
    session = engine._session

    def graph(ids: NDArray[np.int64]) -> NDArray[np.float32]:
        return session.run({"input_ids": ids, "attention_mask": np.ones_like(ids)})

    return Side(name, engine.query, graph)


def opened(build: Path) -> Engine | Embedder:
    """The site's engine with a build in it, one thread."""
    config = config_of(build)
    if config.task is Task.RETRIEVE:
        return load_embedder_parts(build, config, threads=1)
    return load_parts(build, config, threads=1)


def config_of(build: Path) -> BundleConfig:
    """What a bundle of that build would say of itself."""
    record = json.loads((build / RECORD).read_text())
    arguments = build / "arguments.json"
    task = json.loads(arguments.read_text()).get("task", "classify") if arguments.is_file() else "classify"
    labels = build / "labels.json"
    told: dict[str, Any] = (
        {"labels": json.loads(labels.read_text())} if task == "classify" else {"dimension": dimension_of(build)}
    )
    return BundleConfig(
        workflow="benchmark",
        task=Task(task),
        profile="benchmark",
        isa=host.facts().isa() or IsaClass.X86_64,
        recipe=record["recipe"],
        session=SessionConfig.model_validate(record["session"]),
        word_embeddings=record["word_embeddings"],
        engine=record["engine"],
        model=record["model"],
        weights=record["weights"] or None,
        base=BaseRef(name="all-MiniLM-L6-v2", revision="none", digest=NOWHERE, licence="Apache-2.0"),
        data_card=NOWHERE,
        max_tokens=MAX_TOKENS,
        **told,
    )


def dimension_of(build: Path) -> int:
    """Length of a retriever's vectors: the columns of its table of word embeddings."""
    table = json.loads((build / RECORD).read_text())["word_embeddings"]
    return int(table["shape"][1]) if table else width_of(build / IR)


def fp32(exported: Path) -> Side:
    """The exported model in a plain session."""
    return plain("fp32", exported / "model.onnx", exported)


def optimum(exported: Path, work: Path) -> Side:
    """Optimum's default for AVX-512 VNNI in a plain session."""
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    source = Path(shutil.copytree(exported, work / "optimum-source"))
    (source / "config.json").write_text('{"model_type": "bert"}')
    quantizer = ORTQuantizer.from_pretrained(source, file_name="model.onnx")
    settings = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
    quantizer.quantize(settings, save_dir=work / "optimum")
    return plain("optimum", work / "optimum/model_quantized.onnx", exported)


def plain(name: str, model: Path, exported: Path) -> Side:
    """A model in an onnxruntime session with default options, one thread."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def graph(ids: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
        return found

    return Side(name, _with_tokenizer(exported, graph), graph)


def openvino(exported: Path, texts: Sequence[str], precision: str | None = None) -> Side | None:
    """OpenVINO with NNCF's int8, calibrated on 300 texts; None where they are not installed.

    Args:
        exported: the exported model.
        texts: real texts.
        precision: of what is not int8, `f32`; None: OpenVINO chooses, 16 bits where the processor has them.
    """
    if importlib.util.find_spec("openvino") is None or importlib.util.find_spec("nncf") is None:
        return None
    import nncf
    import openvino as ov

    rows = tokenize(exported / "tokenizer.json", texts[:300], MAX_TOKENS)
    inputs = [np.array([row], np.int64) for row in rows]
    data = nncf.Dataset([{"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in inputs])
    whole = ov.convert_model(str(exported / "model.onnx"))
    quantized = nncf.quantize(whole, data, model_type=nncf.ModelType.TRANSFORMER)
    options = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    if precision:
        options["INFERENCE_PRECISION_HINT"] = precision
    request = ov.Core().compile_model(quantized, "CPU", options).create_infer_request()

    def graph(ids: NDArray[np.int64]) -> NDArray[np.float32]:
        request.infer({"input_ids": ids, "attention_mask": np.ones_like(ids)})
        found: NDArray[np.float32] = request.get_output_tensor(0).data.copy()
        return found

    return Side("openvino" if precision is None else f"openvino-{precision}", _with_tokenizer(exported, graph), graph)


def _with_tokenizer(
    exported: Path, graph: Callable[[NDArray[np.int64]], NDArray[np.float32]]
) -> Callable[[str], NDArray[np.float32]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(exported / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return lambda text: graph(np.array([tokenizer.encode(text).ids], np.int64))
