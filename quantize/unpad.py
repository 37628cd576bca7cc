"""Leaving the attention mask out of a graph that reads one unpadded text at a time.

The engine never pads, so its mask is all ones. Then attention needs no mask, and the masked
mean of the token vectors is their plain mean. Without `attention_mask` among its inputs a
build cannot be given a padded batch by mistake.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quantize.graphs import replace_node
from quantize.proof import MASK, rewrite

MASK_OF_ATTENTION = 3
"""Position of the mask among the inputs of ONNX Runtime's `Attention`."""


def drop_mask(path: Path) -> bool:
    """Rewrite a float graph with fused attention in place; False leaves a graph that is not understood as it was.

    Raises:
        RefusedError: the rewritten graph gives something else on unpadded inputs.
    """
    return rewrite(path, _rewrite) > 0


def _rewrite(graph: Any) -> int:
    """Free attention and pooling from the mask; says whether nothing needs the mask any more."""
    for node in graph.node:
        if node.op_type == "Attention" and len(node.input) > MASK_OF_ATTENTION:
            node.input[MASK_OF_ATTENTION] = ""
    for divide in [node for node in graph.node if node.op_type == "Div"]:
        _plain_mean(graph, divide)
    prune(graph)
    if any(MASK in node.input for node in graph.node):
        return 0
    for found in [item for item in graph.input if item.name == MASK]:
        graph.input.remove(found)
    return 1


def _plain_mean(graph: Any, divide: Any) -> None:
    """Replace sum(x * mask) / max(sum(mask), tiny) by the mean of x, where that is what `divide` computes."""
    from onnx import TensorProto, helper

    made = {name: node for node in graph.node for name in node.output}
    total, count = (_past(made.get(name), made, ("Clip", "Max")) for name in divide.input)
    if total is None or count is None or {total.op_type, count.op_type} != {"ReduceSum"}:
        return
    product = made.get(total.input[0])
    if product is None or product.op_type != "Mul" or not _is_mask(count.input[0], made):
        return
    vectors = [name for name in product.input if not _is_mask(name, made)]
    if len(vectors) != 1:
        return
    axes = f"{divide.name}/axes"
    graph.initializer.append(helper.make_tensor(axes, TensorProto.INT64, [1], [1]))
    mean = helper.make_node(
        "ReduceMean", [vectors[0], axes], list(divide.output), name=f"{divide.name}/mean", keepdims=0
    )
    replace_node(graph, divide, mean)


def _past(node: Any, made: dict[str, Any], passing: Iterable[str]) -> Any:
    """The node before those of some types."""
    while node is not None and node.op_type in passing:
        node = made.get(node.input[0])
    return node


def _is_mask(name: str, made: dict[str, Any]) -> bool:
    """Whether a value is the mask in another shape or type."""
    while name != MASK:
        node = made.get(name)
        if node is None or node.op_type not in ("Cast", "Unsqueeze", "Reshape", "Expand"):
            return False
        name = node.input[0]
    return True


def prune(graph: Any) -> None:
    """Remove nodes and constants that nothing reads."""
    wanted = {item.name for item in graph.output}
    for node in reversed(list(graph.node)):
        if wanted.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            wanted.update(node.input)
    for constant in [item for item in graph.initializer if item.name not in wanted]:
        graph.initializer.remove(constant)
