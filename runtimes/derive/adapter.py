"""The adapter as it travels: low-rank updates as whole numbers, the components of all layers beside each other.

Component k of every layer lies in one array, strongest first: weak components have small numbers, and lie where a
compressor finds them together. A number n is stored as 2n or -2n-1, high and low bytes apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import rfc8785

from fleet_manifests.errors import IntegrityError
from runtimes.derive.container import Container, write

if TYPE_CHECKING:
    import numpy as np

LARGEST = 32767
"""Largest absolute number."""
MAX_RANK = 1024


@dataclass(frozen=True)
class Update:
    """A low-rank update of one layer: the sum over k of steps[k, 0] * steps[k, 1] * left[k] x right[k]."""

    left: np.ndarray
    """int16 [rank, out]"""
    right: np.ndarray
    """int16 [rank, in]"""
    steps: np.ndarray
    """float32 [rank, 2]"""


class Adapter:
    """The updates of an adapter file."""

    def __init__(self, updates: Mapping[str, Update]) -> None:
        """Hold the updates by layer."""
        self.updates = updates

    def update(self, layer: str) -> Update:
        """The update of a layer.

        Raises:
            IntegrityError: there is none.
        """
        if layer not in self.updates:
            raise IntegrityError(f"the adapter has no update for layer {layer}; it belongs to another model")
        return self.updates[layer]


def read_adapter(path: Path) -> Adapter:
    """Read an adapter file.

    Raises:
        IntegrityError: it is none.
    """
    import numpy as np

    container = Container(path)
    try:
        sides = [(str(name), int(out), int(into)) for name, out, into in json.loads(container.told["layers"])]
        rank = int(container.told["rank"])
    except (KeyError, ValueError, TypeError) as exc:
        raise IntegrityError(f"{path}: an adapter was expected: {exc}") from exc
    total = sum(out + into for _, out, into in sides)
    steps = container.array("steps")
    shapes = {container.shape(f"{part}/{k:04d}") for k in range(min(rank, MAX_RANK)) for part in ("high", "low")}
    if (
        steps.shape != (len(sides), rank, 2)
        or shapes != {(total,)}
        or min((min(side[1:]) for side in sides), default=0) < 1
    ):
        raise IntegrityError(f"{path}: the arrays of the adapter do not fit its layers; fetch it again")
    numbers = np.stack([_numbers(container, k) for k in range(rank)])
    updates, at = {}, 0
    for row, (name, out, into) in enumerate(sides):
        updates[name] = Update(numbers[:, at : at + out], numbers[:, at + out : at + out + into], steps[row])
        at += out + into
    return Adapter(updates)


def write_adapter(path: Path, updates: Mapping[str, Update]) -> None:
    """Write an adapter file. Equal inputs give equal bytes."""
    import numpy as np

    ordered = sorted(updates.items())
    sides = [[name, update.left.shape[1], update.right.shape[1]] for name, update in ordered]
    rank = ordered[0][1].left.shape[0]
    arrays = {"steps": np.stack([update.steps for _, update in ordered]).astype(np.float32)}
    for k in range(rank):
        numbers = np.concatenate([side for _, update in ordered for side in (update.left[k], update.right[k])])
        folded = ((numbers.astype(np.int32) << 1) ^ (numbers.astype(np.int32) >> 31)).astype(np.uint16)
        arrays[f"high/{k:04d}"] = (folded >> 8).astype(np.uint8)
        arrays[f"low/{k:04d}"] = (folded & 255).astype(np.uint8)
    write(path, arrays, {"kind": "adapter", "layers": rfc8785.dumps(sides).decode(), "rank": str(rank)})


def _numbers(container: Container, k: int) -> np.ndarray:
    """The numbers of a component, int16."""
    import numpy as np

    high, low = container.array(f"high/{k:04d}"), container.array(f"low/{k:04d}")
    folded = (high.astype(np.int32) << 8) | low.astype(np.int32)
    return ((folded >> 1) ^ -(folded & 1)).astype(np.int16)
