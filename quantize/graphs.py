"""Small looks into an ONNX file, and small changes of a graph, that several modules need."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from fleet_manifests import DataError

MICROSOFT = "com.microsoft"
"""Domain of ONNX Runtime's own operators."""
INTEGER_OPERATORS = ("MatMulInteger", "MatMulNBits", "QAttention", "QuantizeLinear")
"""Those that compute with integers."""


def operators(path: Path) -> Counter[str]:
    """How often each operator occurs in a model.

    Raises:
        DataError: the file is not an ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]

    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError as exc:
        raise DataError(f"{path.name}: not an ONNX model: {exc}; export it again") from exc
    return Counter(node.op_type for node in model.graph.node)


def integer_operators(found: Counter[str]) -> dict[str, int]:
    """Those of a graph's operators that compute with integers."""
    return {name: found[name] for name in INTEGER_OPERATORS if found[name]}


def replace_node(graph: Any, node: Any, *others: Any) -> None:
    """Put other nodes in the place of one."""
    place = list(graph.node).index(node)
    graph.node.remove(node)
    for offset, other in enumerate(others):
        graph.node.insert(place + offset, other)


def insert_after(graph: Any, node: Any, *others: Any) -> None:
    """Put nodes behind one, in their order."""
    place = list(graph.node).index(node)
    for offset, other in enumerate(others, 1):
        graph.node.insert(place + offset, other)


def allow_microsoft(model: Any) -> None:
    """Let a model have ONNX Runtime's own operators."""
    from onnx import helper

    if all(one.domain != MICROSOFT for one in model.opset_import):
        model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
