"""An exported model as OpenVINO IR: `model.xml` and `model.bin` in place of `model.onnx`.

NNCF finds the ranges of activations on the workflow's own training texts and quantizes weights and activations after
training, as its authors advise for transformers (`ModelType.TRANSFORMER`: SmoothQuant, attention scores in float,
symmetric weights and asymmetric activations). Weights have the whole 8 bits where the processor sums products in 32
bits, else seven (its "overflow fix").

OpenVINO numbers nodes without a name as a process makes them. Here they are named by their place in the model, so that
equal inputs give equal bytes.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleet_manifests import DataError
from fleet_manifests.extra import library
from fleet_manifests.profile import OPENVINO
from quantize.proof import IDS, MASK, spread

IR, IR_WEIGHTS = "model.xml", "model.bin"
CALIBRATION_TEXTS = 300
"""As many as NNCF takes unless it is told otherwise."""
INTEGERS = "FakeQuantize"
"""The operator by which IR says that an activation has integers."""


def to_ir(onnx: Path, reduce_range: bool, samples: Sequence[Sequence[int]]) -> dict[str, int]:
    """Write the quantized IR of a model beside it.

    Args:
        onnx: the exported model, float32.
        reduce_range: weights of 7 bits.
        samples: token ids of training texts.

    Returns:
        How many activations are quantized, by the operator that does it.

    Raises:
        DataError: there are no samples, or the model cannot be read or has nothing to quantize.
        MissingExtraError: OpenVINO or NNCF is not installed.
    """
    if not samples:
        raise DataError("OpenVINO's int8: the workflow's own texts expected, to find ranges on; found none")
    openvino = library(OPENVINO)
    try:
        model = _quantized(openvino.Core().read_model(str(onnx)), reduce_range, spread(samples, CALIBRATION_TEXTS))
        _name_by_place(model)
        openvino.save_model(model, str(onnx.with_name(IR)), compress_to_fp16=False)
    except RuntimeError as exc:
        raise DataError(f"{onnx}: OpenVINO cannot take this model: {exc}; use another recipe") from exc
    found = Counter(node.get_type_name() for node in model.get_ops())[INTEGERS]
    if not found:
        raise DataError("the model has no matrix product that could be quantized; use the recipe fp32")
    return {INTEGERS: found}


def width_of(ir: Path) -> int:
    """The length of what a model gives for one text.

    Raises:
        DataError: it cannot be read.
        MissingExtraError: OpenVINO is not installed.
    """
    openvino = library(OPENVINO)
    try:
        return int(openvino.Core().read_model(str(ir)).output(0).partial_shape[1].get_length())
    except RuntimeError as exc:
        raise DataError(f"{ir}: OpenVINO cannot read this model: {exc}; build it again") from exc


def _quantized(model: Any, reduce_range: bool, samples: Sequence[Sequence[int]]) -> Any:
    """The model with integer products."""
    import numpy as np

    nncf = library("nncf")
    rows = [np.array([ids], np.int64) for ids in samples]
    data = nncf.Dataset([{IDS: row, MASK: np.ones_like(row)} for row in rows])
    fix = nncf.OverflowFix.ENABLE if reduce_range else nncf.OverflowFix.DISABLE
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        return nncf.quantize(
            model,
            data,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(rows),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
        )


def _name_by_place(model: Any) -> None:
    """Name the model, and every node by its place in it."""
    model.set_friendly_name("model")
    for place, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{place}")
