"""Small looks into an ONNX file that several modules take."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from fleet_manifests import DataError

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
