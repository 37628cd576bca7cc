"""A linear model of TF-IDF as ONNX nodes: it counts sequences of ids in one text and scores the classes.

`TfIdfVectorizer` counts sequences (mode TF: plain counts), `NonZero` finds the few that occur, and only their rows of
idf and weights are gathered. What follows is scikit-learn's arithmetic: 1 + log(count), times idf, divided by the
length of the whole, times the weights. So the time depends on the text and hardly on the number of features or
classes. Every operator is of the standard opset.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


def shared_constants(prefix: str = "") -> dict[str, Any]:
    """Small constants that all blocks of a graph use, by name.

    Args:
        prefix: of their names.
    """
    import numpy as np

    constants = {
        "one": np.array(1, np.float32),
        "tiny": np.array(1e-12, np.float32),
        "first_axis": np.array([0], np.int64),
        "second_axis": np.array([1], np.int64),
        "flat": np.array([-1], np.int64),
    }
    return {f"{prefix}{name}": value for name, value in constants.items()}


def block(name: str, sequences: Sequence[Sequence[int]], ids: str = "ids", prefix: str = "") -> list[onnx.NodeProto]:
    """The scores of one text by one block of features, `NAME/scores` float32 [1, classes].

    The graph must have the initializers `NAME/idf` float32 [features] and `NAME/weight` float16 [features, classes].

    Args:
        name: of the block.
        sequences: the features, at least one, as sequences of ids.
        ids: what is counted, int64 [1, ids].
        prefix: of the shared constants.
    """
    from onnx import TensorProto, helper

    def node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, [f"{name}/{output}"], name=f"{name}/{output}", **attributes)

    def own(*names: str) -> list[str]:
        return [f"{name}/{one}" for one in names]

    one, tiny, first_axis, second_axis, flat = shared_constants(prefix)
    return [
        node("TfIdfVectorizer", [ids], "counts", **_pool(sequences)),
        node("Reshape", [*own("counts"), flat], "flat_counts"),
        node("NonZero", own("flat_counts"), "places"),
        node("Squeeze", [*own("places"), first_axis], "place"),
        node("Gather", own("flat_counts", "place"), "count"),
        node("Log", own("count"), "log"),
        node("Add", [*own("log"), one], "sublinear"),
        node("Gather", own("idf", "place"), "rareness"),
        node("Mul", own("sublinear", "rareness"), "weighed"),
        node("Unsqueeze", [*own("weighed"), first_axis], "row"),
        node("ReduceL2", [*own("row"), second_axis], "length", keepdims=1),
        node("Max", [*own("length"), tiny], "divisor"),
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
