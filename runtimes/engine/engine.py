"""Run a bundle: tokenize, run the graph, turn scores into a label with a calibrated confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import BundleConfig, DataError, IntegrityError, RefusedError, Task, UsageError, parse
from fleet_manifests.bundle import BUNDLE_FILE
from runtimes.engine.parts import Session, file_of, open_tokenizer

if TYPE_CHECKING:
    import numpy as np

PROBE_TOKENS = 512
"""The longest input of the trial run at load; longer limits are probed at this length."""


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


class Engine:
    """One loaded bundle. `classify` and `logits` may be called from several threads at once."""

    def __init__(self, folder: Path, config: BundleConfig, threads: int | None = None) -> None:
        """Open the files that `config` names and try them once.

        Raises:
            IntegrityError: a file is missing, damaged or not what `config` says.
            RefusedError: a task that this version cannot run.
            UsageError: `threads` is below 1.
        """
        if config.task is not Task.CLASSIFY:
            raise RefusedError(f"{folder}: task: {config.task.value} cannot be run by this version; update lading")
        if threads is not None and threads < 1:
            raise UsageError(f"threads: at least 1 expected, found {threads}")
        self.config = config
        self._where = folder
        self._tokenizer = open_tokenizer(file_of(folder, config.tokenizer, "tokenizer"), config.max_tokens)
        self._session = Session(file_of(folder, config.model, "model"), config.session, threads)
        self._try()

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

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Raw scores, float32 [texts, classes]; each text is run alone and unpadded.

        Raises:
            DataError: a text is empty, too long or not valid Unicode.
            IntegrityError: the model fails or its scores are not finite.
        """
        import numpy as np

        rows = [self._run(self._encode(text)[0]) for text in texts]
        return np.stack(rows) if rows else np.empty((0, len(self.config.labels)), np.float32)

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

    def _encode(self, text: str) -> tuple[list[int], bool]:
        """Token ids, and whether the text was cut."""
        if not text.strip():
            raise DataError("text: empty; send the words of the request")
        if len(text) > self.config.max_characters:
            raise DataError(f"text: {len(text)} characters; at most {self.config.max_characters} are accepted")
        try:
            encoding = self._tokenizer.encode(text)
        except TypeError as exc:
            raise DataError("text: not valid Unicode (a lone surrogate); send UTF-8") from exc
        return encoding.ids, bool(encoding.overflowing)

    def _run(self, ids: Sequence[int]) -> np.ndarray:
        """Scores, float32 [classes], of one unpadded input."""
        import numpy as np

        batch = np.array([ids], dtype=np.int64)
        logits = self._session.run({"input_ids": batch, "attention_mask": np.ones_like(batch)})
        if logits.shape != (1, len(self.config.labels)):
            raise IntegrityError(
                f"{self._where}: labels: the model gives scores of shape {list(logits.shape)}, "
                f"bundle.json has {len(self.config.labels)} labels; build the bundle again"
            )
        if not np.isfinite(logits).all():
            raise IntegrityError(f"{self._where}: model: a score is not finite; do not serve this bundle")
        row: np.ndarray = logits[0]
        return row

    def _try(self) -> None:
        """Run a short and a long input, so that a bundle that cannot answer fails here and not later."""
        short, _ = self._encode("ready")
        if len(short) == 0:
            raise IntegrityError(f"{self._where}: tokenizer: gives no tokens for a word")
        self._run(short)
        self._run((short * PROBE_TOKENS)[: min(self.config.max_tokens, PROBE_TOKENS)])


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities, float64, of logits [..., classes] at a temperature (Guo et al. 2017)."""
    import numpy as np

    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponentials = np.exp(scaled)
    result: np.ndarray = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def load(folder: Path, *, threads: int | None = None) -> Engine:
    """Load the bundle in a folder.

    Args:
        folder: holds `bundle.json` and the files that it names; its signature was verified before.
        threads: overrides the number of threads that the recipe chose.

    Raises:
        IntegrityError: `bundle.json` or a file is missing, damaged or not what it should be.
        RefusedError: a task that this version cannot run.
        UsageError: `threads` is below 1.
    """
    path = file_of(folder, BUNDLE_FILE, "bundle")
    return Engine(folder, parse(BundleConfig, path.read_bytes(), where=str(path)), threads)


def load_parts(folder: Path, config: BundleConfig, *, threads: int | None = None) -> Engine:
    """Load a build that has no `bundle.json` yet, in order to measure it.

    Raises:
        IntegrityError: a file is missing, damaged or not what `config` says.
        RefusedError: a task that this version cannot run.
        UsageError: `threads` is below 1.
    """
    return Engine(folder, config, threads)
