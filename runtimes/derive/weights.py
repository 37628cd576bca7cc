"""The base as it travels: linear layers in bfloat16, high and low bytes apart, which compresses better."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests.errors import IntegrityError
from runtimes.derive.container import Container, write

if TYPE_CHECKING:
    import numpy as np

HIGH, LOW = "high/", "low/"


class Weights:
    """The layers of a base file."""

    def __init__(self, container: Container) -> None:
        """Refer to an open container."""
        self._container = container

    @property
    def layers(self) -> list[str]:
        """Names of the layers, sorted."""
        return [name.removeprefix(HIGH) for name in self._container.names if name.startswith(HIGH)]

    def layer(self, name: str) -> np.ndarray:
        """The weight of a layer, float32 [out, in].

        Raises:
            IntegrityError: there is none, or it is not a matrix.
        """
        import numpy as np

        high, low = self._container.array(HIGH + name), self._container.array(LOW + name)
        if high.ndim != 2 or high.shape != low.shape:
            raise IntegrityError(f"layer {name}: a matrix was expected, found {list(high.shape)} {list(low.shape)}")
        bits = (high.astype(np.uint32) << 24) | (low.astype(np.uint32) << 16)
        return bits.view(np.float32)


def read_weights(path: Path) -> Weights:
    """Open a base file.

    Raises:
        IntegrityError: it is none.
    """
    return Weights(Container(path))


def write_weights(path: Path, layers: Mapping[str, np.ndarray]) -> None:
    """Write a base file of float32 weights [out, in], rounded to bfloat16. Equal inputs give equal bytes."""
    import numpy as np

    arrays: dict[str, np.ndarray] = {}
    for name, weight in layers.items():
        bits = rounded(weight).view(np.uint32)
        arrays[HIGH + name], arrays[LOW + name] = (bits >> 24).astype(np.uint8), (bits >> 16).astype(np.uint8)
    write(path, arrays, {"kind": "base"})


def rounded(weight: np.ndarray) -> np.ndarray:
    """Float32 values rounded to the nearest bfloat16, halves to even."""
    import numpy as np

    bits = np.ascontiguousarray(weight, np.float32).view(np.uint32)
    halves = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return ((bits + halves) & np.uint32(0xFFFF0000)).view(np.float32)
