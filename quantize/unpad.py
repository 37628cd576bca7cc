"""Leaving the attention mask out of a graph that reads one unpadded text at a time.

The engine never pads, so its mask is all ones. Then attention needs no mask, and the masked
mean of the token vectors is their plain mean. Without `attention_mask` among its inputs a
build cannot be given a padded batch by mistake.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import RefusedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MASK = "attention_mask"
MASK_OF_ATTENTION = 3
"""Position of the mask among the inputs of ONNX Runtime's `Attention`."""
LENGTHS = (1, 7, 32)
"""Input lengths, in tokens, on which the rewritten graph is compared with the original."""
TOLERANCE = 1e-4


def drop_mask(path: Path) -> bool:
    """Rewrite a float graph with fused attention in place; False leaves a graph that is not understood as it was.

    Raises:
        RefusedError: the rewritten graph gives something else on unpadded inputs.
    """
    import onnx

    model = onnx.load(str(path))
    if not _rewrite(model.graph):
        return False
    rewritten = path.with_name("unpadded.onnx")
    onnx.save(model, str(rewritten))
    try:
        difference = _difference(path, rewritten)
        if not difference <= TOLERANCE:
            raise RefusedError(f"{path}: without its mask what the graph gives differs by {difference:.3g}")
        rewritten.replace(path)
    finally:
        rewritten.unlink(missing_ok=True)
    return True


def _rewrite(graph: Any) -> bool:
    """Free attention and pooling from the mask; says whether nothing needs the mask any more."""
    for node in graph.node:
        if node.op_type == "Attention" and len(node.input) > MASK_OF_ATTENTION:
            node.input[MASK_OF_ATTENTION] = ""
    for divide in [node for node in graph.node if node.op_type == "Div"]:
        _plain_mean(graph, divide)
    _prune(graph)
    if any(MASK in node.input for node in graph.node):
        return False
    for found in [item for item in graph.input if item.name == MASK]:
        graph.input.remove(found)
    return True


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
    place = list(graph.node).index(divide)
    graph.node.remove(divide)
    graph.node.insert(place, mean)


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


def _prune(graph: Any) -> None:
    """Remove nodes and constants that nothing reads."""
    wanted = {item.name for item in graph.output}
    for node in reversed(list(graph.node)):
        if wanted.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            wanted.update(node.input)
    for constant in [item for item in graph.initializer if item.name not in wanted]:
        graph.initializer.remove(constant)


def _difference(masked: Path, unmasked: Path) -> float:
    """The largest difference of a number over seeded inputs of several lengths."""
    import numpy as np
    import onnxruntime as ort

    sessions = [ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (masked, unmasked)]
    generator = np.random.default_rng(0)
    largest = 0.0
    for length in LENGTHS:
        ids = generator.integers(0, _vocabulary(masked), (1, length), dtype=np.int64)
        inputs: dict[str, NDArray[np.int64]] = {"input_ids": ids, MASK: np.ones_like(ids)}
        one, other = (
            session.run(None, {item.name: inputs[item.name] for item in session.get_inputs()})[0]
            for session in sessions
        )
        largest = max(largest, float(np.abs(one - other).max()))
    return largest


def _vocabulary(path: Path) -> int:
    """How many token ids the graph knows: the rows of the table that `input_ids` looks up."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    rows: dict[str, int] = {item.name: item.dims[0] for item in graph.initializer if item.dims}
    tables = [node.input[0] for node in graph.node if node.op_type == "Gather" and node.input[1] == "input_ids"]
    if len(tables) != 1:
        raise RefusedError(f"{path}: expected one embedding table that input_ids looks up, found {len(tables)}")
    return rows[tables[0]]
