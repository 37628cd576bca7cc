"""Smaller tables of word embeddings: 16 bits, or 4 and 8 bits with a scale for every block of a row.

The table is half of a compact model and no product: only the rows of the tokens at hand are read and widened again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantize.graphs import MICROSOFT, allow_microsoft, insert_after, replace_node

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IDS = "input_ids"
KEPT = "kept_ids"
"""What `quantize.vocabulary` makes of the token ids."""
BLOCK = 32


def table_of(graph: Any) -> tuple[Any, Any] | None:
    """The `Gather` that looks tokens up, and its float table; None where there is not exactly one."""
    tables = {one.name: one for one in graph.initializer}
    found = [node for node in graph.node if node.op_type == "Gather" and node.input[1] in (IDS, KEPT)]
    some = [(node, tables[node.input[0]]) for node in found if node.input[0] in tables]
    some = [(node, table) for node, table in some if len(table.dims) == 2]
    return some[0] if len(some) == 1 else None


def halve(path: Path, _: object = ()) -> int:
    """Store the table of a graph as float16, in place; 1 where that was done."""
    return _change(path, _halve)


def _halve(model: Any, node: Any, table: Any, rows: NDArray[np.float32]) -> int:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    if np.abs(rows).max() > np.finfo(np.float16).max:
        return 0
    table.CopyFrom(numpy_helper.from_array(rows.astype(np.float16), table.name))
    wide = node.output[0]
    node.output[0] = f"{wide}_half"
    cast = helper.make_node("Cast", [node.output[0]], [wide], name=f"{node.name}_widen", to=TensorProto.FLOAT)
    insert_after(model.graph, node, cast)
    return 1


def in_columns(path: Path, _: object = ()) -> int:
    """Store the table of a graph in 8-bit numbers with a scale for every column, in place; 1 where that was done.

    As small as one scale for the whole table, which the few largest columns make coarse for all others.
    """
    return _change(path, _in_columns)


def _in_columns(model: Any, node: Any, table: Any, rows: NDArray[np.float32]) -> int:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    scales = (np.maximum(np.abs(rows).max(axis=0), 1e-12) / 127).astype(np.float32)
    name = f"{table.name}_columns_scales"
    table.CopyFrom(numpy_helper.from_array(np.rint(rows / scales).astype(np.int8), f"{table.name}_columns"))
    model.graph.initializer.append(numpy_helper.from_array(scales, name))
    wide, coded, cast = node.output[0], f"{node.output[0]}_coded", f"{node.output[0]}_cast"
    node.input[0], node.output[0] = table.name, coded
    insert_after(
        model.graph,
        node,
        helper.make_node("Cast", [coded], [cast], name=cast, to=TensorProto.FLOAT),
        helper.make_node("Mul", [cast, name], [wide], name=f"{node.name}_scaled"),
    )
    return 1


def in_blocks(path: Path, bits: int) -> int:
    """Store the table of a graph in blocks of 4- or 8-bit numbers (`GatherBlockQuantized`), in place; 1 where done."""
    return _change(path, functools.partial(_in_blocks, bits=bits))


def _in_blocks(model: Any, node: Any, table: Any, rows: NDArray[np.float32], bits: int) -> int:
    import numpy as np
    from onnx import helper, numpy_helper

    if rows.shape[1] % BLOCK:
        return 0
    blocks = rows.reshape(len(rows), -1, BLOCK)
    zero, most = 2 ** (bits - 1), 2 ** (bits - 1) - 1
    scales = (np.maximum(np.abs(blocks).max(axis=2), 1e-12) / most).astype(np.float32)
    codes = (np.rint(blocks / scales[:, :, None]) + zero).astype(np.uint8).reshape(rows.shape)
    if bits == 4:  # two to a byte, the first in the lower half
        codes = codes[:, 0::2] | (codes[:, 1::2] << 4)
    table.CopyFrom(numpy_helper.from_array(codes, f"{table.name}_{bits}bit"))
    model.graph.initializer.append(numpy_helper.from_array(scales, f"{table.name}_scales"))
    wide = helper.make_node(
        "GatherBlockQuantized",
        [table.name, node.input[1], f"{table.name}_scales"],
        list(node.output),
        name=node.name,
        domain=MICROSOFT,
        bits=bits,
        block_size=BLOCK,
        gather_axis=0,
        quantize_axis=1,
    )
    replace_node(model.graph, node, wide)
    allow_microsoft(model)
    return 1


def _change(path: Path, change: Callable[[Any, Any, Any, NDArray[np.float32]], int]) -> int:
    """Change look-up and table of a model in place; 0 where there is no such table, or nothing was changed.

    Args:
        path: the model.
        change: gets model, look-up, table and its rows [tokens, dimension], and says whether it changed them.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    found = table_of(model.graph)
    if found is None or not change(model, *found, numpy_helper.to_array(found[1])):
        return 0
    onnx.save(model, str(path))
    return 1
