"""From logits to answers: labels, confidence, and what a site would defer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evals.engines import Engine
from fleet_manifests import BundleConfig, DataError, IntegrityError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from runtimes.engine.confidence import Confidence

NO_ANSWER = -1
"""Code of a row whose logits are not finite numbers, or of a label that no class has."""


@dataclass(frozen=True)
class Predictions:
    """What a model answers to some texts."""

    labels: tuple[str, ...]
    codes: NDArray[np.intp]
    """[n] index of the predicted label, `NO_ANSWER` where the logits are not finite."""
    confidence: NDArray[np.float64]
    """[n] calibrated probability that the predicted label is right, 0 where there is none."""
    threshold: float
    """The defer threshold."""

    @property
    def answered(self) -> NDArray[np.bool_]:
        """[n] whether a site answers the row itself."""
        return answered(self.confidence, self.threshold)

    @property
    def names(self) -> list[str]:
        """The predicted labels, an empty one where there is no answer."""
        return [self.labels[code] if code != NO_ANSWER else "" for code in self.codes]


def predict(engine: Engine, texts: Sequence[str]) -> Predictions:
    """Run the engine over texts, as a site would.

    Raises:
        IntegrityError: the model's output does not fit the labels of its bundle.
    """
    logits = engine.logits(texts) if texts else np.empty((0, len(engine.config.labels)))
    return predictions_of(logits, engine.config, engine.confidence)


def predictions_of(logits: NDArray[np.floating], config: BundleConfig, confidence: Confidence) -> Predictions:
    """What a site would make of logits [n, classes].

    Raises:
        IntegrityError: they do not fit the labels of the bundle.
    """
    if logits.ndim != 2 or logits.shape[1] != len(config.labels):
        raise IntegrityError(
            f"{config.workflow}: expected logits of {len(config.labels)} labels, found shape {logits.shape}; "
            "the model and the labels of the bundle do not belong together"
        )
    finite = np.isfinite(logits).all(axis=1)
    usable = np.where(finite[:, None], logits, 0.0).astype(np.float64)
    codes = np.where(finite, usable.argmax(axis=1), NO_ANSWER)
    sure = np.where(finite, confidence.of(usable), 0.0) if len(usable) else np.empty(0)
    return Predictions(tuple(config.labels), codes, sure, config.calibration.defer_threshold)


def answered(confidence: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Which rows are answered: those at or above the threshold, none at all at a threshold of 1."""
    kept: NDArray[np.bool_] = confidence >= threshold
    return kept if threshold < 1.0 else np.zeros_like(kept)


def encode(names: Sequence[str], labels: Sequence[str], *, strict: str | None = None) -> NDArray[np.intp]:
    """Index of each name in `labels`, `NO_ANSWER` for a name that is not there.

    Args:
        names: labels by name.
        labels: the classes.
        strict: what the names are, to refuse an unknown one; None lets it through.

    Raises:
        DataError: a name is unknown and `strict` is given.
    """
    index = {label: code for code, label in enumerate(labels)}
    codes = np.fromiter((index.get(name, NO_ANSWER) for name in names), dtype=np.intp, count=len(names))
    if strict is not None and (unknown := sorted({name for name in names if name not in index})):
        raise DataError(
            f"{strict}: label {unknown[0]!r} is none of the {len(index)} that the model was trained on"
            f"{f' (nor are {len(unknown) - 1} others)' if len(unknown) > 1 else ''}; rebuild the model or the split"
        )
    return codes


def aligned(name: str, given: Sequence[str], truth: NDArray[np.intp], labels: Sequence[str]) -> NDArray[np.intp]:
    """The answers of another model as codes; a label that this build does not have is wrong.

    Args:
        name: the other model.
        given: its labels, one per row.
        truth: the rows.
        labels: the classes of this build.

    Raises:
        DataError: it answered other rows.
    """
    if len(given) != len(truth):
        raise DataError(
            f"reference {name}: expected {len(truth)} predictions, one per row, found {len(given)}; "
            "predict the same split again"
        )
    return encode(given, labels)
