"""Smoother activations: what makes some channels of a norm's output large moves into the weights that read it.

SmoothQuant (Xiao et al. 2022): channel j of an activation is divided by s_j = max|x_j|^a / max|w_j|^(1-a) and row j of
the weights multiplied by it. Float results stay the same; the activation's 8-bit steps become finer where it counts.
The division goes into gain and offset of the norm. In an encoder that norms after the residual sum the residual needs
the undivided channels: one multiplication more there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantize.graphs import insert_after
from quantize.proof import rewrite, run, some

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKENS = 4096
"""Tokens of real texts that are looked at, about."""
STRENGTH = 0.5
"""The exponent a: 0.5 to 0.85 were tried and hardly differ."""


def smooth(path: Path, samples: Sequence[Sequence[int]]) -> int:
    """Smooth every norm's output that matrix products read, in place; how many norms.

    Args:
        path: the float graph.
        samples: token ids of real texts.

    Raises:
        RefusedError: what the graph gives is something else afterwards.
    """
    import numpy as np
    import onnx

    sites = _sites(onnx.load(str(path)).graph)
    texts = some(samples, TOKENS)
    if not sites or not texts:
        return 0
    found = run(path, texts, [norm.output[0] for norm, _, _ in sites])
    largest = [np.max([np.abs(values).max((0, 1)) for values in norm], 0) for norm in zip(*found, strict=True)]

    def change(graph: Any) -> int:
        for (norm, products, rest), most in zip(_sites(graph), largest, strict=True):
            _smooth(graph, norm, products, rest, most)
        return len(largest)

    return rewrite(path, change)


def _sites(graph: Any) -> list[tuple[Any, list[Any], list[Any]]]:
    """Norms that products with constant weights read; those products, and what else reads the norm."""
    known = {one.name for one in graph.initializer}
    found = []
    for norm in [node for node in graph.node if node.op_type == "LayerNormalization" and len(node.input) == 3]:
        readers = [node for node in graph.node if norm.output[0] in node.input]
        products = [
            node
            for node in readers
            if node.op_type == "MatMul" and node.input[0] == norm.output[0] and node.input[1] in known
        ]
        if products:
            found.append((norm, products, [node for node in readers if node not in products]))
    return found


def _smooth(graph: Any, norm: Any, products: list[Any], rest: list[Any], largest: NDArray[np.float32]) -> None:
    """Move the factors of one norm into the products that read it."""
    import numpy as np
    from onnx import helper, numpy_helper

    known = {one.name: one for one in graph.initializer}

    def scaled(name: str, new: str, by: NDArray[np.float64]) -> str:
        values = numpy_helper.to_array(known[name]).astype(np.float64) * by
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), new))
        return new

    weights = np.max([np.abs(numpy_helper.to_array(known[node.input[1]])).max(1) for node in products], 0)
    factors = np.maximum(largest, 1e-5).astype(np.float64) ** STRENGTH / np.maximum(weights, 1e-5) ** (1 - STRENGTH)
    factors /= np.exp(np.log(factors).mean())
    output = norm.output[0]
    for node in products:
        node.input[1] = scaled(node.input[1], f"{node.input[1]}/smooth", factors[:, None])
    for place in (1, 2):
        norm.input[place] = scaled(norm.input[place], f"{norm.input[place]}/smooth/{output}", 1 / factors)
    if not rest:
        return
    graph.initializer.append(numpy_helper.from_array(factors.astype(np.float32), f"{output}/factors"))
    whole = f"{output}/whole"
    insert_after(graph, norm, helper.make_node("Mul", [output, f"{output}/factors"], [whole], name=whole))
    for node in rest:
        for index, name in enumerate(node.input):
            if name == output:
                node.input[index] = whole
