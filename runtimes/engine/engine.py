"""Classify: scores of the graph become a label with a calibrated confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_manifests import IntegrityError, Task
from runtimes.engine.loaded import Loaded

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Answer:
    """What the model says of one text, and what said it."""

    label: str
    confidence: float
    """Calibrated probability of `label`."""
    scores: tuple[tuple[str, float], ...]
    """Every label with its probability, highest first; equal ones in the order of the bundle's labels."""
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

    def classify(self, text: str) -> Answer:
        """Label one text.

        Raises:
            DataError: the text is empty, too long or not valid Unicode.
            IntegrityError: the model fails or its scores are not finite.
        """
        ids, truncated = self._encode(text)
        found = softmax(self._run(ids), self.config.calibration.temperature)
        ranked = sorted(zip(self.config.labels, found.tolist(), strict=True), key=lambda pair: -pair[1])
        return Answer(
            label=ranked[0][0],
            confidence=ranked[0][1],
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

        rows = [self._run(self._encode(text)[0]) for text in texts]
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


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities, float64, of logits [..., classes] at a temperature (Guo et al. 2017)."""
    import numpy as np

    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponentials = np.exp(scaled)
    result: np.ndarray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result
