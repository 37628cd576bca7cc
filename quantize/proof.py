"""A rewrite of a graph that is kept only where both graphs give the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fleet_manifests import RefusedError
from quantize.graphs import allow_microsoft

MASK = "attention_mask"
IDS = "input_ids"
LENGTHS = (1, 7, 32)
"""Lengths of the seeded inputs, in tokens."""
TOLERANCE = 1e-4
"""Largest difference of a number of the output, as a share of the output's largest."""


def rewrite(
    path: Path,
    change: Callable[[Any], int],
    samples: Sequence[Sequence[int]] = (),
    tolerance: float | None = None,
) -> int:
    """Change a graph in place and prove it; how many things were changed, 0 leaves the file as it was.

    Args:
        path: the model.
        change: changes a graph and says how many things it changed.
        samples: token ids on which both are compared; none: seeded ones of several lengths.
        tolerance: largest difference, as a share of the output's largest number; None: `TOLERANCE`.

    Raises:
        RefusedError: what the graph gives is something else afterwards.
    """
    import onnx

    model = onnx.load(str(path))
    changed = change(model.graph)
    if not changed:
        return 0
    allow_microsoft(model)
    del model.graph.value_info[:]
    candidate = path.with_name("rewritten.onnx")
    try:
        onnx.save(model, str(candidate))
        found = difference(path, candidate, samples)
        if not found <= (TOLERANCE if tolerance is None else tolerance):  # NaN compares as too large
            raise RefusedError(f"{path}: what the rewritten graph gives differs by {found:.3g} of its largest number")
        candidate.replace(path)
    finally:
        candidate.unlink(missing_ok=True)
    return changed


def difference(one: Path, other: Path, samples: Sequence[Sequence[int]] = ()) -> float:
    """The largest difference of a number of the output, as a share of the largest number."""
    import numpy as np

    texts = samples or _seeded(one)
    before, after = run(one, texts), run(other, texts)
    largest = max(float(np.abs(a).max()) for a in before)
    return max(float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True)) / max(largest, 1e-12)


def run(path: Path, texts: Sequence[Sequence[int]], names: Sequence[str] = ()) -> list[Any]:
    """The first output for the token ids of each text; with `names`, a list of those tensors instead."""
    import numpy as np
    import onnx
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # the same sums in the same order, however many cores there are
    graph: str | bytes = str(path)
    if names:
        model = onnx.load(graph)
        there = {item.name for item in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in there)
        graph = model.SerializeToString()
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    wanted = [item.name for item in session.get_inputs()]
    found = []
    for text in texts:
        ids = np.array([text], np.int64)
        inputs = {IDS: ids, MASK: np.ones_like(ids)}
        got = session.run(list(names) or None, {name: inputs[name] for name in wanted})
        found.append(got if names else got[0])
    return found


def some(samples: Sequence[Sequence[int]], tokens: int) -> list[Sequence[int]]:
    """About every n-th text, so many that they have `tokens` tokens together."""
    total = sum(map(len, samples))
    step = max(total // tokens, 1)
    return list(samples[::step])


def spread(samples: Sequence[Sequence[int]], most: int) -> Sequence[Sequence[int]]:
    """At most so many texts, from all over."""
    return samples[:: max(len(samples) // most, 1)][:most]


def _seeded(path: Path) -> list[list[int]]:
    import numpy as np

    generator = np.random.default_rng(0)
    return [generator.integers(0, vocabulary(path), length, dtype=np.int64).tolist() for length in LENGTHS]


def vocabulary(path: Path) -> int:
    """How many token ids the graph knows: the rows of the table that `input_ids` looks up.

    Raises:
        RefusedError: there is not exactly one table.
    """
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    rows: dict[str, int] = {item.name: item.dims[0] for item in graph.initializer if item.dims}
    tables = [node.input[0] for node in graph.node if node.op_type == "Gather" and node.input[1] == IDS]
    if len(tables) != 1:
        raise RefusedError(f"{path}: expected one embedding table that input_ids looks up, found {len(tables)}")
    return rows[tables[0]]
