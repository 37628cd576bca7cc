"""A classical model as ONNX: it counts, weighs and adds up what `training.classical` fitted, inside one graph.

For each block of features: `TfIdfVectorizer` counts sequences of character ids (mode TF: plain counts), `NonZero`
finds the few that occur, and only their rows of idf and weights are gathered. What follows is scikit-learn's
arithmetic: 1 + log(count), times idf, divided by the length of the block, times the weights. So the time depends on
the text and hardly on the number of features or classes. Every operator is of the standard opset.

Characters that the mask leaves out become [PAD], which is in no feature.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import DataError
from fleet_manifests.bundle import CLASSICAL
from quantize.export import (
    ARGUMENTS,
    MODEL,
    OPSET,
    TOKENIZER,
    TOLERANCE,
    ExportResult,
    Parity,
    accept,
    exported,
    run_errors,
    tokenize,
)
from quantize.staging import staged

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

    constants: dict[str, Any] = {**_constants(), "bias": numbers["bias"][None, :]}
    nodes = [helper.make_node("Mul", ["input_ids", "attention_mask"], ["ids"])]
    for name, some in sequences.items():
        idf, weight = numbers[f"{name}_idf"], numbers[f"{name}_weight"]
        if idf.shape != (len(some),) or weight.shape != (len(some), numbers["bias"].size):
            raise ValueError(f"{name}: {len(some)} features, {idf.shape} idf and {weight.shape} weights")
        constants |= {f"{name}/idf": idf, f"{name}/weight": weight}
        nodes += _block(name, some)
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


def _constants() -> dict[str, Any]:
    """Small constants that all blocks use."""
    import numpy as np

    return {
        "one": np.array(1, np.float32),
        "tiny": np.array(1e-12, np.float32),
        "first_axis": np.array([0], np.int64),
        "second_axis": np.array([1], np.int64),
        "flat": np.array([-1], np.int64),
    }


def _block(name: str, sequences: Sequence[Sequence[int]]) -> list[onnx.NodeProto]:
    """The scores of one block, `NAME/scores` [1, classes], from `ids` [1, characters]."""
    from onnx import TensorProto, helper

    def node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, [f"{name}/{output}"], name=f"{name}/{output}", **attributes)

    def own(*names: str) -> list[str]:
        return [f"{name}/{one}" for one in names]

    return [
        node("TfIdfVectorizer", ["ids"], "counts", **_pool(sequences)),
        node("Reshape", [*own("counts"), "flat"], "flat_counts"),
        node("NonZero", own("flat_counts"), "places"),
        node("Squeeze", [*own("places"), "first_axis"], "place"),
        node("Gather", own("flat_counts", "place"), "count"),
        node("Log", own("count"), "log"),
        node("Add", [*own("log"), "one"], "sublinear"),
        node("Gather", own("idf", "place"), "rareness"),
        node("Mul", own("sublinear", "rareness"), "weighed"),
        node("Unsqueeze", [*own("weighed"), "first_axis"], "row"),
        node("ReduceL2", [*own("row"), "second_axis"], "length", keepdims=1),
        node("Max", [*own("length"), "tiny"], "divisor"),
        node("Gather", own("weight", "place"), "half"),
        node("Cast", own("half"), "full", to=TensorProto.FLOAT),
        node("MatMul", own("row", "full"), "sum"),
        node("Div", own("sum", "divisor"), "scores"),
    ]


def _pool(sequences: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Attributes of `TfIdfVectorizer`: sequences by length, and the place of each in the output."""
    by_length = sorted(range(len(sequences)), key=lambda place: len(sequences[place]))
    longest = len(sequences[by_length[-1]])
    starts, ids = [], list[int]()
    waiting = iter(by_length)
    place = next(waiting, None)
    for length in range(1, longest + 1):
        starts.append(len(ids))
        while place is not None and len(sequences[place]) == length:
            ids += sequences[place]
            place = next(waiting, None)
    return {
        "mode": "TF",
        "min_gram_length": len(sequences[by_length[0]]),
        "max_gram_length": longest,
        "max_skip_count": 0,
        "ngram_counts": starts,
        "ngram_indexes": by_length,
        "pool_int64s": ids,
    }


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
