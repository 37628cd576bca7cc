"""Classify: scores of the graph become a label with a calibrated confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import BundleConfig, IntegrityError, Task
from runtimes.engine.confidence import load_confidence, softmax
from runtimes.engine.loaded import Loaded

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Answer:
    """What the model says of one text, and what said it."""

    label: str
    confidence: float
    """Calibrated probability that `label` is right."""
    scores: tuple[tuple[str, float], ...]
    """Every label with its softmax probability, highest first; equal ones in the order of the bundle's labels."""
    tokens: int
    """Tokens that the model read, special ones included."""
    truncated: bool
    """The text was longer than the model reads; its end was ignored."""
    workflow: str
    profile: str
    recipe: str


class Engine(Loaded):
    """One loaded classifier. `classify` and `logits` may be called from several threads at once."""

    TASK = Task.CLASSIFY
    OUTPUT = "logits"

    def __init__(self, folder: Path, config: BundleConfig, threads: int | None = None) -> None:
        """Open the files that `config` names and try them once; errors as of `Loaded`."""
        self.confidence = load_confidence(folder, config)
        super().__init__(folder, config, threads)

    def classify(self, text: str) -> Answer:
        """Label one text.

        Raises:
            DataError: the text is empty, too long or not valid Unicode.
            IntegrityError: the model fails or its scores are not finite.
        """
        ids, truncated = self._encode(text)
        logits = self._run(ids)
        found = softmax(logits, self.config.calibration.temperature)
        ranked = sorted(zip(self.config.labels, found.tolist(), strict=True), key=lambda pair: -pair[1])
        return Answer(
            label=ranked[0][0],
            confidence=float(self.confidence.of(logits)),
            scores=tuple(ranked),
            tokens=len(ids),
            truncated=truncated,
            workflow=self.config.workflow,
            profile=self.config.profile,
            recipe=self.config.recipe,
        )

    query = classify
    """One request, whatever the task."""

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Raw scores, float32 [texts, classes]; each text is run alone and unpadded.

        Raises:
            DataError: a text is empty, too long or not valid Unicode.
            IntegrityError: the model fails or its scores are not finite.
        """
        import numpy as np

        rows = list(self._outputs(texts))
        return np.stack(rows) if rows else np.empty((0, len(self.config.labels)), np.float32)

    outputs = logits
    """What the graph gives for each text, whatever the task."""

    def smoke(self) -> list[str]:
        """Run the bundle's own cases; what differs, one sentence each, without their texts. Empty when all is well.

        Raises:
            IntegrityError: the model fails or its scores are not finite.
        """
        failures = []
        for number, case in enumerate(self.config.smoke, 1):
            answer = self.classify(case.text)
            off = abs(answer.confidence - case.confidence)
            if answer.label != case.label or off > case.tolerance:
                failures.append(
                    f"smoke case {number}: {case.label} at {case.confidence:.3f} (within {case.tolerance:.3f}) "
                    f"expected, found {answer.label} at {answer.confidence:.3f}"
                )
        return failures

    def _check(self, found: np.ndarray) -> None:
        import numpy as np

        if found.shape != (1, len(self.config.labels)):
            raise IntegrityError(
                f"{self._where}: labels: the model gives scores of shape {list(found.shape)}, "
                f"bundle.json has {len(self.config.labels)} labels; build the bundle again"
            )
        if not np.isfinite(found).all():
            raise IntegrityError(f"{self._where}: model: a score is not finite; do not serve this bundle")
