"""Moving the weights of a model into files by what they mean.

The table that turns token ids into vectors is half of a compact model, and LoRA on the linear layers does not
touch it: every build of one base by one recipe has the same bytes there. In a file of its own (ONNX external
data) it is one blob for all of them: a site fetches and keeps it once, and its engines share it in memory. Of
all-MiniLM-L6-v2 it is 11.7 of the 22.8 MB of an int8 build, 46.9 of 91 MB in float32.

What is left is parted alike: `frozen.bin` has what LoRA on the linear layers leaves as the base has it (0.3 MB of
int8), `tuned.bin` the linear layers (10.6 MB), `head.bin` the classes; `model.onnx` is the graph. A version or a
workflow differs from another in tuned weights and head.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import WordEmbeddings
from fleet_manifests.bundle import FROZEN, HEAD, TUNED, WORD_EMBEDDINGS

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

LEAST_BYTES = 64 * 1024
"""A smaller table stays in the model: a file more costs more than it saves."""
IDS = "input_ids"
LOOKS = ("Gather", "GatherBlockQuantized")
"""Operators that read rows of a table."""
LEAST_TENSOR = 1024
"""A smaller tensor stays in the model."""
ALIGNMENT = 64
"""Bytes; a tensor starts at a multiple, so that it can be mapped."""


def split_word_embeddings(path: Path, least: int = LEAST_BYTES) -> WordEmbeddings | None:
    """Move the table of a model into `word_embeddings.bin` beside it, in place.

    Equal tables give equal bytes. A model whose ids do not look up exactly one table, or a small one, stays as it is.

    Returns:
        How the file holds the table; None: the model was left alone.
    """
    import onnx
    from onnx import numpy_helper
    from onnx.external_data_helper import set_external_data

    model = onnx.load(str(path))
    looks = [node for node in model.graph.node if node.op_type in LOOKS]
    tables = {node.input[0] for node in looks if node.input[1] == IDS}
    found = [tensor for tensor in model.graph.initializer if tensor.name in tables]
    if len(tables) != 1 or not found:
        return None
    (tensor,) = found
    table = numpy_helper.to_array(tensor)
    if table.ndim != 2 or table.dtype.name not in ("float32", "int8", "uint8") or table.nbytes < least:
        return None
    raw = table.astype(table.dtype.newbyteorder("<")).tobytes()
    (path.parent / WORD_EMBEDDINGS).write_bytes(raw)
    for field in ("raw_data", "float_data", "int32_data"):
        tensor.ClearField(field)
    tensor.raw_data = b""  # set_external_data refuses a tensor that never had any
    set_external_data(tensor, WORD_EMBEDDINGS, 0, len(raw))
    tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString(deterministic=True))
    return WordEmbeddings.model_validate({"initializer": tensor.name, "dtype": table.dtype.name, "shape": table.shape})


def split_weights(path: Path, least: int = LEAST_TENSOR) -> tuple[str, ...]:
    """Move the tensors of a model into `frozen.bin`, `tuned.bin` and `head.bin` beside it, in place.

    Equal tensors in the same order give equal bytes. Tensors of other types than float32 and 8-bit integers stay
    (shapes and axes are needed to read the graph), but for a head's in half precision.

    Returns:
        The files that were written, sorted.
    """
    import onnx
    from onnx import numpy_helper
    from onnx.external_data_helper import set_external_data, uses_external_data

    model = onnx.load(str(path), load_external_data=False)
    tuned = _tuned(model)
    contents: dict[str, bytearray] = {}
    for tensor in model.graph.initializer:
        if uses_external_data(tensor) or (file := _file_of(tensor, tuned)) is None:
            continue
        raw = numpy_helper.to_array(tensor).tobytes()  # little-endian, as ONNX stores it
        if len(raw) < least:
            continue
        content = contents.setdefault(file, bytearray())
        content.extend(bytes(-len(content) % ALIGNMENT))
        for field in ("raw_data", "float_data", "int32_data"):
            tensor.ClearField(field)
        tensor.raw_data = b""
        set_external_data(tensor, file, len(content), len(raw))
        tensor.ClearField("raw_data")
        content.extend(raw)
    for file, content in contents.items():
        (path.parent / file).write_bytes(content)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return tuple(sorted(contents))


def _tuned(model: ModelProto) -> frozenset[str]:
    """Names of the matrices that something is multiplied with, and of their scales and zero points."""
    looked_up = {name for node in model.graph.node if node.op_type in LOOKS for name in node.input[:1]}
    matrices = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) > 1} - looked_up
    stems = {name.removesuffix("_quantized") for name in matrices if name.endswith("_quantized")}
    return frozenset(matrices | {stem + ending for stem in stems for ending in ("_scale", "_zero_point")})


def _file_of(tensor: TensorProto, tuned: frozenset[str]) -> str | None:
    """The file that a tensor belongs into; None: it stays."""
    from onnx import TensorProto as Types

    head = ".head." in tensor.name
    if tensor.data_type not in (Types.FLOAT, Types.INT8, Types.UINT8, *((Types.FLOAT16,) if head else ())):
        return None
    if head:
        return HEAD
    return TUNED if tensor.name in tuned else FROZEN
