"""The rule: how an update is merged into a weight, and how the result is quantized.

Every line is element by element, and numpy rounds each operation by IEEE 754 (no fused multiply-add across two
calls), so that AVX2, AVX-512 and Arm give the same bits. The quantization is ONNX Runtime's: symmetric, the largest
absolute value of each output channel, float32 scales, halves to even.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from runtimes.derive.adapter import Update


def merged(weight: np.ndarray, update: Update) -> np.ndarray:
    """A weight with its update, float32 [out, in].

    The terms are added in float64, one component of the update after the other.

    Args:
        weight: float32 [out, in].
        update: low-rank, as whole numbers and steps.
    """
    import numpy as np

    total = weight.astype(np.float64)
    for left, right, step in zip(update.left, update.right, update.steps, strict=True):
        term = np.multiply.outer(left.astype(np.float64), right.astype(np.float64))  # whole numbers: exact
        term *= np.float64(step[0]) * np.float64(step[1])
        total += term
    return total.astype(np.float32)


def quantized(weight: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes int8 [in, out] and scales float32 [out] of a weight as it is multiplied with, float32 [in, out].

    Args:
        weight: the weight.
        levels: the largest code: 127, or 64 where products of 8 bits saturate.
    """
    import numpy as np

    largest = np.abs(weight).max(axis=0)
    wide = (largest.astype(np.float64) + largest.astype(np.float64)) / np.float64(2 * levels)
    scales = np.where(wide < np.finfo(np.float32).tiny, 1.0, wide).astype(np.float32)
    codes = np.clip(np.rint(weight / scales), -levels, levels).astype(np.int8)
    return codes, scales
