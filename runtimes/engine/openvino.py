"""OpenVINO as the engine of a build, behind the same interface as ONNX Runtime's session.

Every exception of `openvino` becomes one of ours here.

A new length costs OpenVINO code made for it: about as much time as a run, and 5 MB that stay (1.2 GB for all lengths
to 256, of a model whose weights are 23 MB). So texts are padded to one of a few lengths and masked, which the export
has proven to give the same (`quantize.parity`): 16 lengths to 256, then four for each doubling.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import IntegrityError, SessionConfig
from fleet_manifests.extra import library
from fleet_manifests.memory import give_back
from fleet_manifests.profile import OPENVINO

if TYPE_CHECKING:
    import numpy as np

INPUTS = ("attention_mask", "input_ids")
LEAST_STEP = 8
"""Tokens between two lengths up to 64; then an eighth to a quarter of the length."""


class OpenVinoSession:
    """A compiled model, one inference at a time. Safe to share between threads."""

    def __init__(
        self, path: Path, config: SessionConfig, output: str, longest: int, threads: int | None = None
    ) -> None:
        """Open the model.

        Args:
            path: `model.xml`; its weights are beside it.
            config: the recipe's session options.
            output: the output that is wanted.
            longest: tokens that the model reads at most.
            threads: overrides `config.threads`.

        Raises:
            IntegrityError: a file is damaged or missing, or has not the inputs and outputs expected.
            MissingExtraError: OpenVINO is not installed.
        """
        openvino = library(OPENVINO)
        self._path, self._output, self._longest = path, output, longest
        self._turn = threading.Lock()
        try:
            model = openvino.Core().compile_model(str(path), "CPU", _options(threads or config.threads))
            self._check_contract(model)
            self._request = model.create_infer_request()
        except RuntimeError as exc:
            raise IntegrityError(f"{path}: not a model that can be run: {exc}; fetch the bundle again") from exc
        give_back()

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The output, float32 [batch, n], of int64 inputs [batch, tokens].

        Raises:
            IntegrityError: the model fails on this input.
        """
        padded = self._padded(inputs)
        try:
            with self._turn:
                self._request.infer(padded, share_inputs=True)
                found: np.ndarray = self._request.get_tensor(self._output).data.copy()
        except RuntimeError as exc:
            raise IntegrityError(f"{self._path}: the model fails when it is run: {exc}") from exc
        return found

    def _padded(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs at a length that the model is made ready for; what is added is masked."""
        import numpy as np

        tokens = inputs["input_ids"].shape[1]
        room = min(padded_length(tokens), max(self._longest, tokens)) - tokens
        return {name: np.pad(inputs[name], ((0, 0), (0, room))) for name in INPUTS}

    def _check_contract(self, model: Any) -> None:
        """Refuse a model whose inputs or outputs are not those of its task."""
        inputs = tuple(sorted(name for port in model.inputs for name in port.get_names()))
        if inputs != INPUTS:
            raise IntegrityError(f"{self._path}: inputs: {', '.join(INPUTS)} expected, found {', '.join(inputs)}")
        outputs = [name for port in model.outputs for name in port.get_names()]
        if self._output not in outputs:
            raise IntegrityError(f"{self._path}: outputs: {self._output} expected, found {', '.join(outputs)}")


def padded_length(tokens: int) -> int:
    """The next of the lengths: a multiple of 8 up to 64, then one of four in each doubling."""
    step = LEAST_STEP
    while tokens > 8 * step:
        step *= 2
    return -(-tokens // step) * step


def _options(threads: int) -> dict[str, Any]:
    """Properties of the compiled model: the same arithmetic on every processor of a class, and threads as asked."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,
    }
