"""How sure a classifier is: a score of its logits, and the curve that makes it a probability of being right.

Scores: `probability`, the highest softmax probability at a temperature (Guo et al. 2017); `energy`, the
log-sum-exp of the logits (Liu et al. 2020, "Energy-based out-of-distribution detection"); `neighbours`, the mean
cosine to the nearest logits of rows that the model was trained on (Sun et al. 2022, "Out-of-distribution detection
with deep nearest neighbors", who use the layer before). Which one a build uses was chosen on validation data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import BundleConfig, Calibration, IntegrityError
from runtimes.engine.parts import file_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Confidence:
    """The confidence of a build. Pure: safe to share between threads."""

    def __init__(self, calibration: Calibration, references: NDArray[np.floating] | None = None) -> None:
        """Take what was fitted.

        Args:
            calibration: score, temperature and curve.
            references: [rows, classes] of length 1, with the score `neighbours`.
        """
        import numpy as np

        self._calibration = calibration
        self._references = None if references is None else np.ascontiguousarray(references, dtype=np.float32).T
        self._curve = np.array(calibration.curve, dtype=np.float64)

    def of(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Confidence from 0 to 1, float64 [...], of finite logits [..., classes]."""
        import numpy as np

        found = self.score(logits)
        if not self._calibration.curve:
            return found
        return np.asarray(np.interp(found, self._curve[:, 0], self._curve[:, 1]))

    def score(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """What the curve is of: higher is surer."""
        import numpy as np

        rows = np.asarray(logits, dtype=np.float64)
        if self._calibration.score == "probability":
            return np.asarray(softmax(rows, self._calibration.temperature).max(axis=-1))
        if self._calibration.score == "energy":
            most = rows.max(axis=-1)
            return np.asarray(most + np.log(np.exp(rows - most[..., None]).sum(axis=-1)))
        assert self._references is not None
        near = unit(rows).astype(np.float32) @ self._references
        nearest = min(self._calibration.nearest, near.shape[-1])
        return np.asarray(np.partition(near, -nearest, axis=-1)[..., -nearest:].mean(axis=-1, dtype=np.float64))


def load_confidence(folder: Path, config: BundleConfig) -> Confidence:
    """The confidence of a bundle or build.

    Raises:
        IntegrityError: the file of neighbours is missing, or is not what it must be.
    """
    if config.neighbours is None:
        return Confidence(config.calibration)
    import numpy as np

    path = file_of(folder, config.neighbours, "neighbours")
    try:
        rows = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as exc:
        raise IntegrityError(f"{path}: expected an array of neighbours: {exc}; fetch the bundle again") from exc
    fits = rows.ndim == 2 and len(rows) > 0 and rows.shape[1] == len(config.labels) and rows.dtype == np.float16
    if not fits or not np.isfinite(rows).all():
        raise IntegrityError(
            f"{path}: expected finite float16 [rows, {len(config.labels)}], found {rows.dtype} of shape {rows.shape}; "
            "build the bundle again"
        )
    return Confidence(config.calibration, rows)


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows, each divided by its length."""
    import numpy as np

    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12))


def softmax(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Probabilities, float64, of logits [..., classes] at a temperature (Guo et al. 2017)."""
    import numpy as np

    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponentials = np.exp(scaled)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))
