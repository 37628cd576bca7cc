"""What a delta between two builds' tuned weights can cost at least, by the entropy of what differs.

A coder that knows how often each value occurs needs the entropy (Shannon 1948); one that may tell groups of values
apart needs the mean of theirs, so a group is only as good as what the site knows of it. Groups come for free here:
no coder does better with the same knowledge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes.derive import Adapter, Plan, merged, read_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GROUPS = 32


@dataclass(frozen=True)
class Limits:
    """Bytes that the codes of a file cost at least, and those of its scales as they are."""

    difference: float
    """Codes minus the earlier ones."""
    spread: float
    """The same, by how much rows and columns of a layer differ on the whole."""
    predicted: float
    """Codes minus those that the earlier ones and both adapters predict, by how near to a step the prediction is."""
    scales: int


@dataclass(frozen=True)
class _Codes:
    """One matrix of codes with its scales."""

    layers: tuple[str, ...]
    levels: int
    codes: NDArray[np.int8]
    """[in, out]."""
    scales: NDArray[np.float32]
    """[out]."""


def limits(new: Path, old: Path, plan: Plan, base: Path, adapters: tuple[Adapter, Adapter]) -> Limits:
    """What differs between two files of tuned weights.

    Args:
        new: the file that is wanted.
        old: the earlier one, of the same layout.
        plan: of both.
        base: a file of `runtimes.derive.write_weights`, of which the shapes are read.
        adapters: of the new one and of the earlier one.
    """
    import numpy as np

    shapes = {name: read_weights(base).layer(name).shape for name in read_weights(base).layers}
    total, scales = np.zeros(3), 0
    for now, before in zip(_matrices(new, plan, shapes), _matrices(old, plan, shapes), strict=True):
        differs = now.codes.astype(np.int64) - before.codes
        spread = np.abs(differs).mean(1)[:, None] * np.abs(differs).mean(0)[None, :]
        shift = np.concatenate([_shift(name, shapes[name], adapters) for name in now.layers], axis=1)
        place = (before.codes * before.scales.astype(np.float64) + shift) / now.scales
        guess = np.rint(place)
        found = now.codes - guess.astype(np.int64)
        total += [_entropy(differs), _grouped(differs, spread), _grouped(found, place - guess)]
        scales += now.scales.nbytes
    difference, spreads, predicted = total.tolist()
    return Limits(difference, spreads, predicted, scales)


def _shift(name: str, shape: tuple[int, ...], adapters: tuple[Adapter, Adapter]) -> NDArray[np.float64]:
    """How far a layer's weights moved, [in, out]."""
    import numpy as np

    new, old = (merged(np.zeros(shape, np.float32), adapter.update(name)).astype(np.float64) for adapter in adapters)
    return (new - old).T


def _matrices(path: Path, plan: Plan, shapes: dict[str, tuple[int, ...]]) -> Iterator[_Codes]:
    """The codes of a file, each with the scales of the same layers."""
    import numpy as np

    raw, at = path.read_bytes(), 0
    codes: dict[tuple[tuple[str, ...], int], NDArray[np.int8]] = {}
    scales: dict[tuple[tuple[str, ...], int], NDArray[np.float32]] = {}
    for piece in plan.pieces:
        out, key = sum(shapes[name][0] for name in piece.layers), (piece.layers, piece.levels)
        if piece.kind == "codes":
            into = shapes[piece.layers[0]][1]
            codes[key] = np.frombuffer(raw, np.int8, out * into, at).reshape(into, out)
            at += out * into
        elif piece.kind == "scales":
            scales[key] = np.frombuffer(raw, "<f4", out, at)
            at += 4 * out
        else:
            at += piece.count
    for key, matrix in codes.items():
        yield _Codes(*key, matrix, scales[key])


def _entropy(values: NDArray[np.int64]) -> float:
    """Bytes that values cost, each on its own."""
    import numpy as np

    _, counts = np.unique(values, return_counts=True)
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


def _grouped(values: NDArray[np.int64], by: NDArray[np.float64]) -> float:
    """Bytes that values cost where those of a group, one of `GROUPS` equal ones by another figure, are told apart."""
    import numpy as np

    order = np.argsort(by, axis=None, kind="stable")
    return sum(_entropy(some) for some in np.array_split(values.ravel()[order], GROUPS))
