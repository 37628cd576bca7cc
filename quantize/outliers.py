"""Hidden units whose few huge values make the 8-bit steps of all others coarse: cut off, and what is cut off rebuilt.

In the feed-forward blocks of BERT-like encoders one or two units give about 20 where the others give at most 6, and
only on one token, `[CLS]` (the "massive activations" of Sun et al. 2024). A range that holds them leaves a quarter of
the steps to everything else. Here every unit is cut off at the largest value of the ordinary ones, and what such a unit
gives beyond it comes from a few units more that read the same sum, stretched and moved so that they give nothing on the
other tokens. In float the outputs stay what they were (a proof on real texts); an equal number of units that hardly
matter makes room, so that the products keep their size. A quantizer cuts off by itself: with a fixed range the cut
costs nothing (`quantize.ranges`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantize.graphs import insert_after
from quantize.proof import rewrite, run, some

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKENS = 4096
"""Tokens of real texts that are looked at, about."""
TOLERANCE = 0.02
"""Largest change of an output, as a share of the largest number."""
HUGE = 1.5
"""A unit is an outlier from this multiple of the limit."""
MOST = 4
"""Units of a block that may be outliers; the limit is the largest value of the unit after them."""
OFF = -4.0
"""What a rebuilding unit reads at most where it has nothing to give: Gelu makes 0.0001 of it."""
HIGH = 0.8
"""Values from this share of the largest one are the huge ones."""


@dataclass(frozen=True)
class Block:
    """Names of a feed-forward block: Gelu(x @ up + up_bias) @ down + down_bias."""

    gelu: Any
    up: str
    up_bias: str
    down: str
    down_bias: str


def split_outliers(path: Path, samples: Sequence[Sequence[int]]) -> int:
    """Cut off the hidden units of a float graph and rebuild what is cut off, in place; how many units are rebuilt.

    Args:
        path: the float graph.
        samples: token ids of real texts.

    Raises:
        RefusedError: what the graph gives is something else afterwards.
    """
    import onnx

    texts = some(samples, TOKENS)
    blocks = _blocks(onnx.load(str(path)).graph)
    if not blocks or not texts:
        return 0
    sums = _gathered(run(path, texts, [block.gelu.input[0] for block in blocks]))

    def change(graph: Any) -> int:
        return sum(_split(graph, block, found) for block, found in zip(_blocks(graph), sums, strict=True))

    return rewrite(path, change, texts, TOLERANCE)


def _gathered(found: Sequence[Sequence[NDArray[np.float32]]]) -> list[NDArray[np.float32]]:
    """[tokens, units] of each block, from what each text gives."""
    import numpy as np

    return [np.concatenate([values[0] for values in block]) for block in zip(*found, strict=True)]


def _blocks(graph: Any) -> list[Block]:
    """The feed-forward blocks of a graph that consist of what is expected."""
    made = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    known = {one.name for one in graph.initializer}
    blocks = []
    for gelu in [node for node in graph.node if node.op_type == "Gelu"]:
        up = _linear(made.get(gelu.input[0]), made, known)
        down = readers.get(gelu.output[0], [])
        after = readers.get(down[0].output[0], []) if len(down) == 1 else []
        lower = _linear(after[0], made, known) if len(after) == 1 else None
        if up and lower and lower[2] == gelu.output[0]:
            blocks.append(Block(gelu, up[0], up[1], lower[0], lower[1]))
    return blocks


def _linear(add: Any, made: dict[str, Any], known: set[str]) -> tuple[str, str, str] | None:
    """Weight, bias and input of a product with a bias that ends in `add`; None where it is something else."""
    if add is None or add.op_type != "Add":
        return None
    biases, products = ([name for name in add.input if (name in known) is there] for there in (True, False))
    product = made.get(products[0]) if len(products) == 1 else None
    if len(biases) != 1 or product is None or product.op_type != "MatMul" or product.input[1] not in known:
        return None
    return product.input[1], biases[0], product.input[0]


@dataclass(frozen=True)
class Split:
    """How one unit's values beyond the limit are rebuilt."""

    unit: int
    copies: int
    slope: float
    """A copy reads slope * sum + shift."""
    shift: float


def _splits(sums: NDArray[np.float32], limit: float) -> list[Split]:
    """The units that can be rebuilt: huge on some tokens, and far below on all others."""
    import numpy as np

    found = []
    for unit in np.argsort(-sums.max(0), kind="stable")[:MOST].tolist():
        column = sums[:, unit].astype(np.float64)
        high = column > HIGH * column.max()
        if column.max() < HUGE * limit or high.all():
            continue
        top, rest = float(column[high].mean()), float(column[~high].max())
        copies = math.ceil((top - limit) / limit)
        share = (top - limit) / copies
        if rest >= 1 or column[high].min() < limit:  # a copy would have to tell apart what lies close together
            continue
        slope = (share - OFF) / (top - rest)
        found.append(Split(unit, copies, slope, share - slope * top))
    return found


def _split(graph: Any, block: Block, sums: NDArray[np.float32]) -> int:
    """Rebuild the outliers of one block; how many."""
    import numpy as np
    from onnx import helper, numpy_helper

    limit = float(np.sort(sums.max(0))[-MOST - 1])
    splits = _splits(sums, limit) if limit > 1 else []
    if not splits:
        return 0
    known = {one.name: one for one in graph.initializer}
    names = block.up, block.up_bias, block.down, block.down_bias
    up, up_bias, down, down_bias = (numpy_helper.to_array(known[name]).astype(np.float64) for name in names)
    more = [one for one in splits for _ in range(one.copies)]
    given = _gelu(sums)
    weight = given.var(0) * (down**2).sum(1)
    weight[[one.unit for one in splits]] = np.inf
    idle = np.argsort(weight, kind="stable")[: len(more)]
    down_bias += given.mean(0)[idle] @ down[idle]
    for place, one in zip(idle.tolist(), more, strict=True):
        up[:, place], up_bias[place] = one.slope * up[:, one.unit], one.slope * up_bias[one.unit] + one.shift
        down[place] = down[one.unit]
    for name, values in zip(names, (up, up_bias, down, down_bias), strict=True):
        known[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
    cut, whole = block.gelu.output[0], f"{block.gelu.output[0]}/whole"
    block.gelu.output[0] = whole
    graph.initializer.append(numpy_helper.from_array(np.float32(limit).reshape(()), f"{cut}/limit"))
    insert_after(graph, block.gelu, helper.make_node("Min", [whole, f"{cut}/limit"], [cut], name=f"{cut}/cut"))
    return len(splits)


def _gelu(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """x * Phi(x)."""
    import numpy as np
    from scipy.special import ndtr

    exact = values.astype(np.float64)
    return np.asarray(exact * ndtr(exact))
