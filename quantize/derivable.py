"""Whether the tuned weights of a build can be derived of base and adapter, and how: found by comparing bytes.

Nothing is assumed of the graph: what the rule of `runtimes.derive` gives for each layer is looked for in `tuned.bin`.
A recipe whose codes come out otherwise simply has no plan, and its updates are deltas.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from fleet_manifests import digest_of
from fleet_manifests.bundle import TUNED
from runtimes.derive import Piece, Plan, merged, quantized, read_adapter, read_weights

LEVELS = (127, 64)
"""The largest codes that recipes use: 8 bits, and 7 where 8 would saturate."""
MOST_BESIDE = 3
"""Layers that may lie beside each other in one matrix: query, key and value."""


def describe(build: Path, base: Path, adapter: Path) -> Plan | None:
    """The plan by which `tuned.bin` of a build is derived; None where it is not what the rule gives.

    Args:
        build: a folder with `model.onnx` and `tuned.bin`.
        base: a file of `runtimes.derive.write_weights`.
        adapter: a file of `runtimes.derive.write_adapter`.

    Raises:
        IntegrityError: base and adapter are not what they should be.
    """
    raw = (build / TUNED).read_bytes()
    known = _known(base, adapter)
    pieces: list[Piece] = []
    at = 0
    for offset, length in _spots(build / "model.onnx"):
        if offset > at:
            pieces.append(Piece(kind="zeros", count=offset - at))
        found = raw[offset : offset + length]
        piece = known.get(digest_of(found))
        if piece is None and any(found):
            return None
        pieces.append(piece or Piece(kind="zeros", count=length))
        at = offset + length
    return Plan(pieces=tuple(pieces)) if at == len(raw) and any(piece.layers for piece in pieces) else None


def _spots(model: Path) -> list[tuple[int, int]]:
    """Where the tensors of `tuned.bin` lie in it: offset and length, in order."""
    import onnx

    graph = onnx.load(str(model), load_external_data=False).graph
    told = [{entry.key: entry.value for entry in tensor.external_data} for tensor in graph.initializer]
    return sorted((int(one["offset"]), int(one["length"])) for one in told if one.get("location") == TUNED)


def _known(base: Path, adapter: Path) -> dict[str, Piece]:
    """What the rule gives: for every layer, and for those of one block beside each other, in any order."""
    import numpy as np

    weights, updates = read_weights(base), read_adapter(adapter)
    known: dict[str, Piece] = {}
    for names in _blocks(weights.layers):
        floats = {name: merged(weights.layer(name), updates.update(name)).T for name in names}
        for levels in LEVELS:
            made = {name: quantized(weight, levels) for name, weight in floats.items()}
            for order in _orders(names):
                codes = np.concatenate([made[name][0] for name in order], axis=1)
                scales = np.concatenate([made[name][1] for name in order])
                known[digest_of(codes.tobytes())] = Piece(kind="codes", layers=order, levels=levels)
                known[digest_of(scales.astype("<f4").tobytes())] = Piece(kind="scales", layers=order, levels=levels)
    return known


def _blocks(layers: list[str]) -> Iterator[list[str]]:
    """Layers by the module that they are in."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in layers:
        found[name.rpartition(".")[0]].append(name)
    yield from found.values()


def _orders(names: list[str]) -> Iterator[tuple[str, ...]]:
    """Each layer alone, and all of a small block in every order."""
    yield from ((name,) for name in names)
    if 1 < len(names) <= MOST_BESIDE:
        yield from itertools.permutations(names)
