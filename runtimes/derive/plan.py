"""The plan of a derived file: its pieces in order. Two builds of one architecture and recipe have the same plan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from fleet_manifests.errors import IntegrityError
from fleet_manifests.wire import Wire
from runtimes.derive.adapter import Adapter, read_adapter
from runtimes.derive.rule import merged, quantized
from runtimes.derive.weights import Weights, read_weights

if TYPE_CHECKING:
    import numpy as np

CODES, SCALES, ZEROS = "codes", "scales", "zeros"


class Piece(Wire):
    """A run of bytes."""

    kind: Literal["codes", "scales", "zeros"]
    layers: tuple[str, ...] = ()
    """Whose codes (int8 [in, out]) or scales (float32 [out]); of several layers side by side."""
    levels: Annotated[int, Field(ge=1, le=127)] = 127
    count: Annotated[int, Field(ge=0)] = 0
    """Of zeros: how many."""


class Plan(Wire):
    """How a file is derived. `rule` names the arithmetic; a site that does not know it fetches the file."""

    schema_version: Literal[1] = 1
    rule: Literal["int8-channel-v1"] = "int8-channel-v1"
    pieces: Annotated[tuple[Piece, ...], Field(min_length=1, max_length=4096)]


def derive(plan: Plan, base: Path, adapter: Path, out: Path, limit: int) -> None:
    """Write a file by its plan; what `out` holds after an error is worth nothing.

    Memory: the layers of one piece at a time.

    Args:
        plan: the pieces.
        base: a file of `write_weights`.
        adapter: a file of `write_adapter`.
        out: the file to write.
        limit: bytes that it may have at most.

    Raises:
        IntegrityError: an input is damaged or belongs to another model, or the file would be longer than `limit`.
        OSError: it cannot be written.
    """
    weights, updates = read_weights(base), read_adapter(adapter)
    done, made = 0, _Layers(weights, updates)
    with out.open("wb") as stream:
        for piece in plan.pieces:
            raw = made.bytes_of(piece, limit - done)
            done += len(raw)
            if done > limit:
                raise IntegrityError(f"{out.name}: the plan makes more than the {limit} bytes that were signed")
            stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())


class _Layers:
    """Derives layers; the last ones are kept, since codes and scales follow each other."""

    def __init__(self, weights: Weights, adapter: Adapter) -> None:
        self._weights, self._adapter = weights, adapter
        self._last: tuple[tuple[tuple[str, ...], int], tuple[np.ndarray, np.ndarray]] | None = None

    def bytes_of(self, piece: Piece, room: int) -> bytes:
        """The bytes of a piece."""
        if piece.kind == ZEROS:
            return bytes(min(piece.count, room + 1))
        codes, scales = self._derived(piece)
        return codes.tobytes() if piece.kind == CODES else scales.astype("<f4").tobytes()

    def _derived(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        """Codes and scales of the layers of a piece."""
        import numpy as np

        key = piece.layers, piece.levels
        if self._last is None or self._last[0] != key:
            try:
                both = [merged(self._weights.layer(name), self._adapter.update(name)).T for name in piece.layers]
                self._last = key, quantized(np.concatenate(both, axis=1), piece.levels)
            except ValueError as exc:
                raise IntegrityError(f"layers {', '.join(piece.layers)}: base and adapter do not fit: {exc}") from exc
        return self._last[1]
