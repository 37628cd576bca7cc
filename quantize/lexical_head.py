"""A lexical head in the graph of a tuned classifier: what a linear model of word pieces says is added to its logits.

This is wide and deep (Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems"): the transformer
generalizes, the linear model remembers the very words. `training.lexical_head` fits it and writes `lexical_head.npz`;
here it becomes nodes that read the ids that the transformer reads. They go in last: a recipe takes them out of the
exported graph, does what it does to the transformer, and puts them back, so that no pass and no quantization sees
them. Their numbers belong to the head (`head.bin`).

A graph with a lexical head reads one text at a time, and refuses more. What the mask leaves out becomes id 0, which
is in no feature.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import DataError
from quantize.proof import IDS, MASK
from quantize.tfidf import block, shared_constants

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import NodeProto, ValueInfoProto

    Scores = Callable[[Sequence[Sequence[int]]], NDArray[np.float64]]

LEXICAL_HEAD = "lexical_head.npz"
"""The head beside a graph that has it."""
OUTPUT = "logits"
_OWN = "lexical.head."
"""What the names of its nodes and numbers begin with."""
_INNER, _TFIDF = f"{_OWN}inner", f"{_OWN}tfidf"
_BATCH = "batch"
"""What the exporter calls the number of texts."""


@dataclass(frozen=True)
class Lexical:
    """A head that an export is to have, and what it should give."""

    file: Path
    """A file of `training.lexical_head`."""
    scores: Scores
    """What scikit-learn gives for token ids: [texts, classes]."""


@dataclass(frozen=True)
class LexicalHead:
    """A linear model of word pieces, weighed by k already."""

    sequences: list[list[int]]
    """The features as ids of word pieces, one or more in a row."""
    idf: NDArray[np.float32]
    """[features]."""
    weight: NDArray[np.float16]
    """[features, classes]."""
    bias: NDArray[np.float32]
    """[classes]."""
    k: float
    """What the scores of the linear model were multiplied by."""
    strength: float
    """Its inverse regularisation strength."""

    @property
    def told(self) -> dict[str, Any]:
        """What a record says of it."""
        return {"features": len(self.sequences), "k": self.k, "strength": self.strength}


def read_head(path: Path) -> LexicalHead:
    """Read a head.

    Raises:
        DataError: the file is missing, or not a head.
    """
    import numpy as np

    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
            head = LexicalHead(
                sequences=[[piece for piece in row if piece >= 0] for row in found["pieces"].tolist()],
                idf=found["idf"],
                weight=found["weight"],
                bias=found["bias"],
                k=float(found["k"]),
                strength=float(found["strength"]),
            )
        _check(head)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as exc:
        raise DataError(f"{path}: a lexical head was expected: {exc}; fit it again") from exc
    return head


def _check(head: LexicalHead) -> None:
    """Refuse numbers that do not belong together.

    Raises:
        ValueError: they do not.
    """
    features, classes = len(head.sequences), head.bias.size
    shapes = [array.shape for array in (head.idf, head.weight, head.bias)]
    if not features or shapes != [(features,), (features, classes), (classes,)]:
        raise ValueError(f"{features} features, and idf, weight and bias of {shapes}")
    kinds = [array.dtype.name for array in (head.idf, head.weight, head.bias)]
    if kinds != ["float32", "float16", "float32"]:
        raise ValueError(f"idf, weight and bias of {kinds}")
    if not all(sequence and 0 not in sequence for sequence in head.sequences):
        raise ValueError("a feature is empty, or has id 0, which stands for what the mask leaves out")


def attach(path: Path, head: LexicalHead) -> None:
    """Add the scores of a head to the logits of a classifier's graph, in place.

    Args:
        path: a model whose output is `logits` [batch, classes]; it reads one text at a time afterwards.
        head: of the same classes.

    Raises:
        DataError: the model has no such output, has a head already, or other classes.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    graph = model.graph
    if {item.name for item in graph.output} != {OUTPUT}:
        raise DataError(f"{path}: one output `{OUTPUT}` expected for a lexical head; only a classifier has one")
    if any(node.name.startswith(_OWN) for node in graph.node):
        raise DataError(f"{path}: it has a lexical head already; take that out first")
    classes = graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    if classes not in (0, head.bias.size):
        raise DataError(f"{path}: a lexical head of {classes} classes expected, found {head.bias.size}; fit it again")
    _rename(graph, OUTPUT, _INNER)
    masked = any(item.name == MASK for item in graph.input)
    numbers = {
        **shared_constants(_OWN),
        f"{_OWN}bias": head.bias[None, :],
        f"{_TFIDF}/idf": head.idf,
        f"{_TFIDF}/weight": head.weight,
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in numbers.items())
    graph.node.extend(_nodes(head, masked))
    for item in (*graph.input, *graph.output):
        _first(item).dim_value = 1
    path.write_bytes(model.SerializeToString(deterministic=True))


def _nodes(head: LexicalHead, masked: bool) -> list[NodeProto]:
    """The head's nodes, from the ids to the logits."""
    from onnx import helper

    ids = f"{_OWN}ids" if masked else IDS
    given = [helper.make_node("Mul", [IDS, MASK], [ids], name=ids)] if masked else []
    total = helper.make_node("Sum", [_INNER, f"{_TFIDF}/scores", f"{_OWN}bias"], [OUTPUT], name=f"{_OWN}sum")
    return [*given, *block(_TFIDF, head.sequences, ids, _OWN), total]


def detach(path: Path) -> None:
    """Take the lexical head out of an exported graph, in place: the graph is what it was before `attach`."""
    import onnx

    model = onnx.load(str(path))
    graph = model.graph
    for some in (graph.node, graph.initializer):
        for place in reversed([place for place, one in enumerate(some) if one.name.startswith(_OWN)]):
            del some[place]
    _rename(graph, _INNER, OUTPUT)
    for item in (*graph.input, *graph.output):
        _first(item).dim_param = _BATCH
    path.write_bytes(model.SerializeToString(deterministic=True))


def _rename(graph: Any, old: str, new: str) -> None:
    """Give a value that nodes make another name."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def _first(item: ValueInfoProto) -> Any:
    """The first dimension of an input or output."""
    return item.type.tensor_type.shape.dim[0]


def attach_proved(path: Path, lexical: Lexical, rows: Sequence[Sequence[int]]) -> float:
    """Add a head to an exported graph in place; how far what it gives is from the graph's own and scikit-learn's sum.

    Args:
        path: the graph.
        lexical: the head.
        rows: token ids of real texts, special tokens included; each is tried alone and, its first half, padded, and so
            are the special tokens without a text.

    Returns:
        The largest difference of a logit.

    Raises:
        DataError: the file is not a head, or not one of this graph.
    """
    import numpy as np

    tried = [*rows, [rows[0][0], rows[0][-1]]]
    halves = [row[: (len(row) + 1) // 2] for row in tried]
    expected = np.stack([*_logits(path, tried), *_logits(path, halves)]) + lexical.scores([*tried, *halves])
    attach(path, read_head(lexical.file))
    padding = [len(row) - len(half) for row, half in zip(tried, halves, strict=True)]
    found = np.stack([*_logits(path, tried), *_logits(path, halves, padding)])
    return float(np.abs(found - expected).max())


def _logits(path: Path, rows: Sequence[Sequence[int]], padding: Sequence[int] = ()) -> list[NDArray[np.float32]]:
    """The logits [classes] of each row alone, with so many masked ids behind it, which repeat its own."""
    import numpy as np
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = []
    for row, more in zip(rows, padding or [0] * len(rows), strict=True):
        ids = np.array([[*row, *row[:more]]], np.int64)
        mask = np.array([[1] * len(row) + [0] * (ids.shape[1] - len(row))], np.int64)
        found.append(session.run([OUTPUT], {IDS: ids, MASK: mask})[0][0])
    return found
