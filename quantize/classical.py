"""A classical model as ONNX: it counts, weighs and adds up what `training.classical` fitted, inside one graph.

Each block of features is what `quantize.tfidf` makes of sequences of character ids. Characters that the mask leaves
out become [PAD], which is in no feature.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import DataError
from fleet_manifests.bundle import CLASSICAL
from quantize.export import OPSET, ExportResult, exported
from quantize.folder import ARGUMENTS, MODEL, TOKENIZER, tokenize
from quantize.parity import TOLERANCE, Parity, accept, run_errors
from quantize.staging import staged
from quantize.tfidf import block, shared_constants

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    Numbers = Mapping[str, NDArray[np.generic]]

GRAMS, NUMBERS = "grams.json", "numbers.npz"
FRAMES = {"words": " ", "characters": ""}
"""Blocks, and what stands at either end of their features in a text."""
IR_VERSION = 9
"""Of opset 18's time, so that older runtimes read the file."""
ODD = (
    "?",
    "x",
    "\N{GRINNING FACE}\N{GRINNING FACE} ok",
    "\u65e5\u672c\u8a9e \u30c6\u30b9\u30c8",
    "A\tB\x1cC\u3000D",
    "-" * 9,
)
"""Texts that real ones seldom hold; parity must hold on them too."""


def export_classical(
    fitted: Path,
    out: Path,
    *,
    reference: Callable[[Sequence[str]], NDArray[np.float64]],
    texts: Sequence[str],
    tolerance: float = TOLERANCE,
) -> ExportResult:
    """Write `model.onnx` with inputs `input_ids`, `attention_mask` (int64 [1, characters]) and output `logits`.

    `logits` is float32 [1, classes]. The other files are those of `export_onnx`.

    Args:
        fitted: folder of the model, with `grams.json`, `numbers.npz`, `tokenizer.json`, labels and arguments.
        out: a new or empty folder.
        reference: the scores [texts, classes] that scikit-learn gives.
        texts: real inputs on which both are compared; some odd ones, and one that is cut, are added.
        tolerance: largest difference of a score that is accepted.

    Raises:
        DataError: no texts, or the folder is not a classical model.
        RefusedError: the graph gives something else than scikit-learn.
        StorageError: the disk is full or not writable.
        UsageError: `out` holds files already.
    """
    if not texts:
        raise DataError("texts: at least one is needed to compare the graph with scikit-learn")
    max_tokens, model = _read(fitted)
    long = " ".join(texts) * (max_tokens // len(" ".join(texts)) + 1)
    tried = [*texts, *ODD, long]
    with staged(out) as stage:
        (stage / MODEL).write_bytes(model.SerializeToString(deterministic=True))
        try:
            parity = _compare(
                stage / MODEL, tokenize(fitted / TOKENIZER, tried, max_tokens), reference(tried), tolerance
            )
        except run_errors() as exc:
            raise DataError(
                f"{fitted}: the graph cannot be run on the given texts: {exc}; fit the model again"
            ) from exc
        differs = "the logits of the graph differ from"
        accept(
            parity,
            fitted,
            stage,
            f"{differs} scikit-learn's",
            f"{differs} its own, padded,",
            "scikit-learn, tokenizers and onnxruntime",
        )
    return exported(out, parity)


def _read(folder: Path) -> tuple[int, onnx.ModelProto]:
    """How many characters the model of a folder reads, and its graph.

    Raises:
        DataError: it is not a classical model.
    """
    import numpy as np

    try:
        grams, arguments, tokenizer = (
            json.loads((folder / name).read_bytes()) for name in (GRAMS, ARGUMENTS, TOKENIZER)
        )
        with np.load(folder / NUMBERS, allow_pickle=False) as found:
            numbers = dict(found)
        if arguments["kind"] != CLASSICAL:
            raise ValueError(f"kind is {arguments['kind']!r}")
        ids = tokenizer["model"]["vocab"]
        sequences = {
            name: [[ids[character] for character in f"{frame}{gram}{frame}"] for gram in grams[name]]
            for name, frame in FRAMES.items()
        }
        return int(arguments["max_tokens"]), _model(sequences, numbers)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise DataError(f"{folder}: a classical model was expected: {exc}; fit it again") from exc


def _model(sequences: Mapping[str, Sequence[Sequence[int]]], numbers: Numbers) -> onnx.ModelProto:
    """The graph: the scores of every block and the bias, added up."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants: dict[str, Any] = {**shared_constants(), "bias": numbers["bias"][None, :]}
    nodes = [helper.make_node("Mul", ["input_ids", "attention_mask"], ["ids"])]
    for name, some in sequences.items():
        idf, weight = numbers[f"{name}_idf"], numbers[f"{name}_weight"]
        if idf.shape != (len(some),) or weight.shape != (len(some), numbers["bias"].size):
            raise ValueError(f"{name}: {len(some)} features, {idf.shape} idf and {weight.shape} weights")
        constants |= {f"{name}/idf": idf, f"{name}/weight": weight}
        nodes += block(name, some)
    nodes.append(helper.make_node("Sum", [*(f"{name}/scores" for name in sequences), "bias"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "classical",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, [1, "sequence"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, numbers["bias"].size])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="lading"
    )
    checker.check_model(model)
    return model


def _compare(path: Path, inputs: Sequence[Sequence[int]], theirs: NDArray[np.float64], tolerance: float) -> Parity:
    """Graph and scikit-learn, each text alone; and half texts with and without padding, both by the graph."""
    import numpy as np
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(row: Sequence[int], padding: int = 0) -> NDArray[np.float32]:
        ids = np.array([[*row, *row[:padding]]], np.int64)
        mask = np.array([[1] * len(row) + [0] * (ids.shape[1] - len(row))], np.int64)
        found: NDArray[np.float32] = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0][0]
        return found

    ours = np.stack([run(row) for row in inputs])
    halves = [row[: (len(row) + 1) // 2] for row in inputs]
    padded = max(float(np.abs(run(half) - run(half, len(half))).max()) for half in halves)
    return Parity(
        texts=len(inputs),
        max_difference=float(np.abs(ours - theirs).max()),
        max_difference_padded=padded,
        tolerance=tolerance,
        same_label=float((ours.argmax(1) == theirs.argmax(1)).mean()),
    )
