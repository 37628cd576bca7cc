"""Embeddings in a pack: a coarse int8 code to score every passage, a fine one to score the best again.

A row x of unit length is kept as `scale * (code + correction / 254)`: `code` is x / scale
rounded, with `scale = max|x| / 127`, and `correction` is what the rounding left, in 254ths
of a step. Both are int8. The two together take the space of float16 and err five times
less (at most scale / 508 per component, about 4e-6), because the scale is the row's own;
and only the codes are read for every question. A row's bytes depend on that row alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fleet_manifests import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from runtimes.knowledge.store import Blob

STEPS = 127
FINE = 2 * STEPS
"""Parts of one step that a correction counts."""
UNIT = 0.01
"""How far a vector's length may be from 1: int8 embedders are not exact."""


@dataclass(frozen=True)
class Rows:
    """Encoded embeddings: codes and corrections int8 [n, dim], scales float32 [n]."""

    codes: NDArray[np.int8]
    corrections: NDArray[np.int8]
    scales: NDArray[np.float32]


def encode(embeddings: NDArray[np.float32]) -> Rows:
    """Encode unit vectors, float32 [n, dim].

    Raises:
        DataError: not two-dimensional, not finite or not of length 1.
    """
    if embeddings.ndim != 2 or embeddings.shape[1] == 0:
        raise DataError(f"embeddings: an array [passages, dimension] was expected, found {list(embeddings.shape)}")
    embeddings = embeddings.astype(np.float32, copy=False)
    lengths = np.linalg.norm(embeddings, axis=1)
    if not (np.abs(lengths - 1) <= UNIT).all():
        raise DataError("embeddings: rows of length 1 were expected, found others; normalize them first")
    scales = (np.abs(embeddings).max(axis=1) / np.float32(STEPS)).astype(np.float32)
    steps = embeddings / scales[:, None]
    codes = np.rint(steps)
    corrections = np.clip(np.rint((steps - codes) * FINE), -STEPS, STEPS)
    return Rows(codes.astype(np.int8), corrections.astype(np.int8), scales)


class Dense:
    """Cosines of a question with every passage, from memory-mapped codes. Safe to share between threads."""

    def __init__(self, codes: NDArray[np.int8], scales: NDArray[np.float32], corrections: Blob) -> None:
        """Take arrays that `open_pack` has checked: codes [n, dim], scales [n], corrections n * dim bytes."""
        self._codes = codes
        self._scales = scales
        self._corrections = corrections

    def scores(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Approximate cosines, float32 [n], within about 0.005: int8 dot products, exact integers on every CPU.

        Raises:
            DataError: `vector` has not the pack's dimension, is not finite or not of length 1.
        """
        import simsimd

        _check(vector, self._codes.shape[1])
        scale = float(np.abs(vector).max()) / STEPS
        code = np.rint(vector / scale).astype(np.int8)
        dots = np.asarray(simsimd.cdist(code[None], self._codes, "dot"))[0]
        found: NDArray[np.float32] = (dots * self._scales * scale).astype(np.float32)
        return found

    def exact(self, rows: NDArray[np.intp], vector: NDArray[np.float32]) -> NDArray[np.float64]:
        """Cosines of some rows, float64, from codes and corrections; equal rows get equal scores."""
        dimension = self._codes.shape[1]
        raw = b"".join(self._corrections.read(int(row) * dimension, dimension) for row in rows)
        fine = np.frombuffer(raw, np.int8).reshape(len(rows), dimension)
        steps = self._codes[rows] + fine / FINE
        # A sum row by row, not a matrix product: BLAS may round equal rows differently.
        found: NDArray[np.float64] = (steps * vector).sum(axis=1) * self._scales[rows]
        return found

    def close(self) -> None:
        """Let go of the corrections."""
        self._corrections.close()


def _check(vector: NDArray[np.float32], dimension: int) -> None:
    """Refuse what is not the embedding of a question."""
    if vector.shape != (dimension,):
        raise DataError(f"vector: {dimension} numbers were expected, found the shape {list(vector.shape)}")
    if not abs(float(np.linalg.norm(vector)) - 1) <= UNIT:
        raise DataError("vector: length 1 was expected, found another; embed the question with the pack's retriever")
