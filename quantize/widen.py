"""Mixed precision: the matrix products that lose most by 8-bit activations keep 8-bit weights and float activations.

Which ones is measured, not assumed: on real texts, one product at a time is computed as dynamic int8 would, and the
model's output is compared with the float one. A few products carry most of the loss: one large value in what they
read makes the steps of all others coarse. They become `MatMulNBits`, whose 8-bit weights and activations have a scale
for every block of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantize.graphs import MICROSOFT, allow_microsoft, insert_after, replace_node
from quantize.proof import spread

SHARE = 0.2
"""Of the matrix products, the most sensitive first, that are kept wider."""
TEXTS = 12
WHICH = "which"
BLOCKS = (128, 64, 32)
"""Numbers that share a scale: the most that a row can be cut into. Longer blocks are faster, and hardly coarser."""
INT8_BLOCKS = 4
"""`accuracy_level` of `MatMulNBits`: activations as int8 by blocks."""


def keep_sensitive(path: Path, samples: Sequence[Sequence[int]]) -> int:
    """Turn the most sensitive products of a float graph into `MatMulNBits`, in place; how many.

    Args:
        path: the float graph; fused attention is left alone.
        samples: token ids of real texts.
    """
    import math

    import onnx

    model = onnx.load(str(path))
    products = _products(model.graph)
    if not products:
        return 0
    found = sensitivities(path, samples)
    most = sorted(found, key=lambda name: (-found[name], name))[: math.ceil(len(products) * SHARE)]
    for name in most:
        _widen(model.graph, products[name])
    allow_microsoft(model)
    onnx.save(model, str(path))
    return len(most)


def sensitivities(path: Path, samples: Sequence[Sequence[int]]) -> dict[str, float]:
    """By product: how far the model's output is off when this one alone is dynamic int8, as a share of the output.

    The graph gets both ways of every product and an input that says which one is to be the integer one, so that it
    is loaded once.
    """
    import numpy as np
    import onnx
    import onnxruntime as ort

    model = onnx.load(str(path))
    products = list(_products(model.graph).items())
    model.graph.input.append(onnx.helper.make_tensor_value_info(WHICH, onnx.TensorProto.INT64, []))
    for number, (_, node) in enumerate(products):
        _both_ways(model.graph, node, number)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = {one.name for one in session.get_inputs()}
    lost = {name: 0.0 for name, _ in products}
    texts = spread(samples, TEXTS)
    for row in texts:
        ids = np.array([row], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        inputs = {name: value for name, value in inputs.items() if name in wanted}
        (exact,) = session.run(None, {**inputs, WHICH: np.array(-1)})
        for number, (name, _) in enumerate(products):
            (found,) = session.run(None, {**inputs, WHICH: np.array(number)})
            lost[name] += float(np.linalg.norm(found - exact) / max(float(np.linalg.norm(exact)), 1e-12))
    return {name: total / len(texts) for name, total in lost.items()}


def _both_ways(graph: Any, node: Any, number: int) -> None:
    """Compute a product in float and as dynamic int8 (one scale for the activation, one per column), and choose."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    matrix = numpy_helper.to_array(next(one for one in graph.initializer if one.name == node.input[1]))
    scales = (np.maximum(np.abs(matrix).max(axis=0), 1e-12) / 127).astype(np.float32)
    output, own = node.output[0], f"both{number}/"
    graph.initializer.extend(
        numpy_helper.from_array(value, own + name)
        for name, value in (
            ("codes", np.rint(matrix / scales).astype(np.int8)),
            ("scales", scales),
            ("number", np.array(number, np.int64)),
        )
    )
    node.output[0] = f"{own}float"
    steps: tuple[tuple[str, list[str], list[str], dict[str, Any]], ...] = (
        ("DynamicQuantizeLinear", [node.input[0]], ["read", "step", "zero"], {}),
        ("MatMulInteger", [own + "read", own + "codes", own + "zero"], ["sums"], {}),
        ("Cast", [own + "sums"], ["cast"], {"to": TensorProto.FLOAT}),
        ("Mul", [own + "step", own + "scales"], ["both_scales"], {}),
        ("Mul", [own + "cast", own + "both_scales"], ["integer"], {}),
        ("Equal", [WHICH, own + "number"], ["chosen"], {}),
    )
    made = [helper.make_node(kind, ins, [own + one for one in outs], **more) for kind, ins, outs, more in steps]
    made.append(helper.make_node("Where", [own + "chosen", own + "integer", own + "float"], [output]))
    insert_after(graph, node, *made)


def _products(graph: Any) -> dict[str, Any]:
    """The products with a constant matrix that can be cut into blocks, by the name of their output."""
    matrices = {one.name for one in graph.initializer if len(one.dims) == 2 and one.dims[0] % BLOCKS[-1] == 0}
    return {node.output[0]: node for node in graph.node if node.op_type == "MatMul" and node.input[1] in matrices}


def _widen(graph: Any, node: Any) -> None:
    """Replace a product by `MatMulNBits` of the same matrix."""
    import numpy as np
    from onnx import helper, numpy_helper

    matrix = next(one for one in graph.initializer if one.name == node.input[1])
    weight = numpy_helper.to_array(matrix)
    inputs, outputs = weight.shape
    block = next(size for size in BLOCKS if inputs % size == 0)
    blocks = np.ascontiguousarray(weight.T).reshape(outputs, inputs // block, block)
    scales = np.maximum(np.abs(blocks).max(axis=2), 1e-12) / 127
    codes = (np.rint(blocks / scales[:, :, None]) + 128).astype(np.uint8)
    names = [f"{matrix.name}_blocks", f"{matrix.name}_block_scales"]
    graph.initializer.extend(
        numpy_helper.from_array(value, name) for value, name in zip((codes, scales.ravel()), names, strict=True)
    )
    wide = helper.make_node(
        "MatMulNBits",
        [node.input[0], *names],
        list(node.output),
        name=node.name,
        domain=MICROSOFT,
        K=inputs,
        N=outputs,
        bits=8,
        block_size=block,
        accuracy_level=INT8_BLOCKS,
    )
    replace_node(graph, node, wide)
    if all(matrix.name not in other.input for other in graph.node):
        graph.initializer.remove(matrix)
