"""Less glue around the matrix products of an unpadded encoder: the same numbers from fewer and cheaper nodes.

What an encoder for one unpadded text at a time does not need: attention as one operator, which quantizes to twelve
small products a head (`QAttention`) and copies queries, keys and values into another order, where `FusedMatMul` reads
them where they lie; the look-up of positions and of a token type that are always the same; a mean over the middle of
three axes. The input becomes [1, tokens]: the runtime refuses anything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantize.graphs import MICROSOFT, replace_node
from quantize.proof import IDS, MASK, rewrite
from quantize.unpad import prune


def open_attention(path: Path, _: object = ()) -> int:
    """Replace fused attention without a mask by products that need no transposed copies, in place; how many.

    The factor of the scores goes into the queries' weights. What is added to the keys is the same for all keys of a
    query, so softmax takes it out again: it is left out.
    """
    return rewrite(path, _open_attention)


def _open_attention(graph: Any) -> int:
    found = [node for node in graph.node if node.op_type == "Attention" and not any(node.input[3:])]
    for node in found:
        replace_node(graph, node, *_products(graph, node))
    if found:
        prune(graph)
        _one_text(graph)
    return len(found)


def _products(graph: Any, node: Any) -> list[Any]:
    """The nodes that compute what an `Attention` node does."""
    import numpy as np
    from onnx import helper, numpy_helper

    told = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    known = {one.name: one for one in graph.initializer}
    weights, biases = (numpy_helper.to_array(known[name]) for name in node.input[1:3])
    heads, name = told["num_heads"], node.name
    hidden = weights.shape[1] // 3
    factor = np.float32(told.get("scale") or (hidden // heads) ** -0.5)
    constants = {f"{name}/heads": np.array([-1, heads, hidden // heads]), f"{name}/whole": np.array([1, -1, hidden])}
    nodes = []

    def add(kind: str, inputs: list[str], output: str, **how: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}/{kind}", **how))
        return output

    for place, part in enumerate(("query", "key", "value")):
        columns = slice(place * hidden, (place + 1) * hidden)
        scale = factor if part == "query" else np.float32(1)
        constants[f"{name}/{part}/weight"] = weights[:, columns] * scale
        found = add("MatMul", [node.input[0], f"{name}/{part}/weight"], f"{name}/{part}/product")
        if part != "key":
            constants[f"{name}/{part}/bias"] = biases[columns] * scale
            found = add("Add", [found, f"{name}/{part}/bias"], f"{name}/{part}/sum")
        add("Reshape", [found, f"{name}/heads"], f"{name}/{part}")
    turned = {"domain": MICROSOFT, "transBatchB": 1}
    add("FusedMatMul", [f"{name}/query", f"{name}/key"], f"{name}/scores", transB=1, transBatchA=1, **turned)
    add("Softmax", [f"{name}/scores"], f"{name}/shares", axis=-1)
    add("FusedMatMul", [f"{name}/shares", f"{name}/value"], f"{name}/mixed", **turned)
    add("Transpose", [f"{name}/mixed"], f"{name}/back", perm=[1, 0, 2])
    add("Reshape", [f"{name}/back", f"{name}/whole"], node.output[0])
    graph.initializer.extend(numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in constants.items())
    return nodes


def _one_text(graph: Any) -> None:
    """Let the graph accept one text at a time only."""
    for item in graph.input:
        if item.name in (IDS, MASK):
            item.type.tensor_type.shape.dim[0].ClearField("dim_param")
            item.type.tensor_type.shape.dim[0].dim_value = 1


def plain_positions(path: Path, _: object = ()) -> int:
    """Replace the look-ups of positions and token types by the first rows of one table, in place; 1 where done."""
    return rewrite(path, _plain_positions)


def _plain_positions(graph: Any) -> int:
    import numpy as np
    from onnx import helper, numpy_helper

    known = {one.name: one for one in graph.initializer if len(one.dims) == 2}
    looks = [node for node in graph.node if node.op_type == "Gather" and node.input[0] in known]
    words = [node for node in looks if node.input[1] == IDS]
    norm = next((node for node in graph.node if node.op_type == "LayerNormalization"), None)
    others = [numpy_helper.to_array(known[node.input[0]]) for node in looks if node not in words]
    if len(words) != 1 or len(others) > 2 or norm is None or not _from_ids(graph, looks, norm):
        return 0
    long = [table for table in others if len(table) > 2]
    if len(long) != 1:
        return 0
    rows = long[0] + sum(table[0] for table in others if len(table) <= 2)
    graph.initializer.append(numpy_helper.from_array(rows.astype(np.float32), "positions"))
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), "positions/first"))
    nodes = [
        helper.make_node("Shape", [IDS], ["positions/count"], name="positions/count", start=1, end=2),
        helper.make_node(
            "Slice",
            ["positions", "positions/first", "positions/count", "positions/first"],
            ["positions/rows"],
            name="positions/rows",
        ),
        helper.make_node("Add", [words[0].output[0], "positions/rows"], ["embedded"], name="embedded"),
    ]
    place = list(graph.node).index(norm)
    norm.input[0] = "embedded"
    for offset, node in enumerate(nodes):
        graph.node.insert(place + offset, node)
    prune(graph)
    return 1


def _from_ids(graph: Any, looks: list[Any], norm: Any) -> bool:
    """Whether the first norm reads nothing but the sum of the looked-up rows."""
    made = {name: node for node in graph.node for name in node.output}
    rows = {node.output[0] for node in looks}
    open_names, seen = [norm.input[0]], set()
    while open_names:
        name = open_names.pop()
        if name in rows:
            seen.add(name)
        elif name in made and made[name].op_type == "Add":
            open_names.extend(made[name].input)
        else:
            return False
    return seen == rows


def flat_mean(path: Path, _: object = ()) -> int:
    """Take the mean of the token vectors over the first of two axes, in place; how many means."""
    return rewrite(path, _flat_mean)


def _flat_mean(graph: Any) -> int:
    import numpy as np
    from onnx import helper, numpy_helper

    known = {one.name: one for one in graph.initializer}
    fixed = [item for item in graph.input if item.name == IDS and item.type.tensor_type.shape.dim[0].dim_value == 1]
    means = [node for node in graph.node if node.op_type == "ReduceMean" and len(node.input) == 2 and fixed]
    means = [node for node in means if numpy_helper.to_array(known[node.input[1]]).tolist() == [1]]
    for node in means:
        first, flat = f"{node.name}/first", f"{node.name}/flat"
        graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), first))
        squeeze = helper.make_node("Squeeze", [node.input[0], first], [flat], name=flat)
        mean = helper.make_node("ReduceMean", [flat, first], list(node.output), name=f"{node.name}/mean", keepdims=1)
        replace_node(graph, node, squeeze, mean)
    prune(graph)
    return len(means)
