"""What engines of every task have in common: the limits of a text, its tokens, one run of the graph."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fleet_manifests import BundleConfig, DataError, IntegrityError, RefusedError, Task, UsageError
from runtimes.engine.parts import file_of, open_tokenizer
from runtimes.engine.sessions import open_session

if TYPE_CHECKING:
    import numpy as np

PROBE_TOKENS = 512
"""The longest input of the trial run at load; longer limits are probed at this length."""


class Loaded(ABC):
    """One loaded bundle of the task that a subclass serves. Safe to share between threads."""

    TASK: ClassVar[Task]
    OUTPUT: ClassVar[str]
    """The graph's output that is read."""

    def __init__(self, folder: Path, config: BundleConfig, threads: int | None = None) -> None:
        """Open the files that `config` names and try them once.

        Raises:
            IntegrityError: a file is missing, damaged or not what `config` says.
            MissingExtraError: the engine that `config` names is not installed.
            RefusedError: the bundle is for another task.
            UsageError: `threads` is below 1.
        """
        if config.task is not self.TASK:
            raise RefusedError(f"{folder}: task: {self.TASK.value} expected, found {config.task.value}; use `load_any`")
        if threads is not None and threads < 1:
            raise UsageError(f"threads: at least 1 expected, found {threads}")
        self.config = config
        self.threads = threads or config.session.threads
        """Of one run of the graph."""
        self._where = folder
        self._tokenizer = open_tokenizer(file_of(folder, config.tokenizer, "tokenizer"), config.max_tokens)
        self._session = open_session(folder, config, self.OUTPUT, threads)
        self._try()

    def _encode(self, text: str) -> tuple[list[int], bool]:
        """Token ids, and whether the text was cut.

        Raises:
            DataError: the text is empty, too long or not valid Unicode.
        """
        if not text.strip():
            raise DataError("text: empty; send the words of the request")
        if len(text) > self.config.max_characters:
            raise DataError(f"text: {len(text)} characters; at most {self.config.max_characters} are accepted")
        try:
            return self._tokenizer.encode(text)
        except TypeError as exc:
            raise DataError("text: not valid Unicode (a lone surrogate); send UTF-8") from exc

    def _outputs(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """The output, float32 [n], of each text, in their order; as many at a time as there are cores for.

        Raises:
            DataError: a text is empty, too long or not valid Unicode.
            IntegrityError: the model fails, or gives something else than `config` says.
        """

        def output(text: str) -> np.ndarray:
            return self._run(self._encode(text)[0])

        at_once = len(os.sched_getaffinity(0)) // self.threads
        if at_once < 2:
            yield from map(output, texts)
            return
        with ThreadPoolExecutor(at_once) as pool:
            yield from pool.map(output, texts)

    def _run(self, ids: Sequence[int]) -> np.ndarray:
        """The output, float32 [n], of one unpadded input.

        Raises:
            IntegrityError: the model fails, or gives something else than `config` says.
        """
        import numpy as np

        batch = np.array([ids], dtype=np.int64)
        found = self._session.run({"input_ids": batch, "attention_mask": np.ones_like(batch)})
        self._check(found)
        row: np.ndarray = found[0]
        return row

    @abstractmethod
    def _check(self, found: np.ndarray) -> None:
        """Refuse an output [1, n] that `config` does not describe.

        Raises:
            IntegrityError: another shape, or a number that is not finite.
        """

    def _try(self) -> None:
        """Run a short and a long input, so that a bundle that cannot answer fails here and not later."""
        short, _ = self._encode("ready")
        if len(short) == 0:
            raise IntegrityError(f"{self._where}: tokenizer: gives no tokens for a word")
        self._run(short)
        self._run((short * PROBE_TOKENS)[: min(self.config.max_tokens, PROBE_TOKENS)])
