"""Quantization of the matrix products of a float graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fleet_manifests import DataError
from quantize.graphs import integer_operators, operators
from quantize.passes import Samples


@dataclass(frozen=True)
class Quantization:
    """How matrix products become integer ones: weights signed, 8 bits, one scale per output channel."""

    method: Literal["dynamic", "calibrated"] = "dynamic"
    """`dynamic`: the range of an activation is that of the text at hand. `calibrated`: NNCF fixes it on real texts."""
    reduce_range: bool = False
    """7-bit weights."""


def to_integers(path: Path, how: Quantization, samples: Samples) -> None:
    """Quantize a model in place.

    Raises:
        DataError: the graph cannot be quantized, or nothing in it was.
    """
    try:
        _dynamic(path, how.reduce_range)
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError, IndexError, KeyError) as exc:
        raise DataError(f"the model cannot be quantized: {exc}; use the recipe fp32") from exc
    if not integer_operators(operators(path)):
        raise DataError("the model has no matrix product that could be quantized; use the recipe fp32")


def _dynamic(path: Path, reduce_range: bool) -> None:
    """Quantize a model in place: dynamic, signed 8-bit weights per channel."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    raw = path.with_name("float.onnx")
    path.replace(raw)
    quantize_dynamic(
        raw,
        path,
        per_channel=True,
        reduce_range=reduce_range,
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": TensorProto.FLOAT},
    )
    raw.unlink()
