"""The two parts of an engine, opened from files: a tokenizer and an ONNX Runtime session.

Every exception of `tokenizers` and `onnxruntime` becomes one of ours here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import IntegrityError, SessionConfig

if TYPE_CHECKING:
    import numpy as np

INPUTS = (("attention_mask", "input_ids"), ("input_ids",))
"""What a classifier may take: a build for one unpadded text at a time needs no mask."""
OUTPUT = "logits"


def file_of(folder: Path, name: str, field: str) -> Path:
    """The path of a bundle's file that a field of `bundle.json` names.

    Raises:
        IntegrityError: the name leaves the folder, or there is no such file.
    """
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise IntegrityError(f"{folder}: {field}: {name!r} is not a file name inside the bundle")
    if not path.is_file():
        raise IntegrityError(f"{folder}: {field}: no file {name!r}; the bundle is incomplete, fetch it again")
    return path


def open_tokenizer(path: Path, max_tokens: int) -> Any:
    """A tokenizer that cuts after `max_tokens` tokens and never pads.

    Raises:
        IntegrityError: the file is not a tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except ValueError as exc:
        raise IntegrityError(f"{path}: not a tokenizer: {exc}; fetch the bundle again") from exc
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


class Session:
    """An ONNX Runtime session with the options that the recipe chose. Safe to share between threads."""

    def __init__(self, path: Path, config: SessionConfig, threads: int | None = None) -> None:
        """Open the model.

        Args:
            path: the ONNX file.
            config: the recipe's session options.
            threads: overrides `config.threads`.

        Raises:
            IntegrityError: the file is damaged, or has not the inputs and outputs of a classifier.
        """
        import onnxruntime as ort
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        # The runtime's exceptions have no common root below Exception.
        self._errors = (
            state.Fail,
            state.InvalidArgument,
            state.InvalidGraph,
            state.InvalidProtobuf,
            state.NoSuchFile,
            state.NotImplemented,
            state.RuntimeException,
        )
        self._path = path
        try:
            self._session = ort.InferenceSession(
                str(path),
                _options(config, threads),
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(config.disabled_optimizers),
            )
        except self._errors as exc:
            raise IntegrityError(f"{path}: not a model that can be run: {exc}; fetch the bundle again") from exc
        self._check_contract()

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Logits, float32 [batch, classes], of int64 inputs [batch, tokens]; what the model does not take is left out.

        Raises:
            IntegrityError: the model fails on this input.
        """
        try:
            logits: np.ndarray = self._session.run([OUTPUT], {name: inputs[name] for name in self._inputs})[0]
        except self._errors as exc:
            raise IntegrityError(f"{self._path}: the model fails when it is run: {exc}") from exc
        return logits

    def _check_contract(self) -> None:
        """Refuse a model whose inputs or outputs are not those of a classifier."""
        self._inputs = tuple(sorted(node.name for node in self._session.get_inputs()))
        if self._inputs not in INPUTS:
            expected = " or ".join(", ".join(names) for names in INPUTS)
            raise IntegrityError(f"{self._path}: inputs: {expected} expected, found {', '.join(self._inputs)}")
        outputs = [node.name for node in self._session.get_outputs()]
        if OUTPUT not in outputs:
            raise IntegrityError(f"{self._path}: outputs: {OUTPUT} expected, found {', '.join(outputs)}")


def _options(config: SessionConfig, threads: int | None) -> Any:
    """The runtime's own options object."""
    import onnxruntime as ort

    levels = {
        "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
        "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    }
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or config.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = levels[config.graph_optimization]
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if config.allow_spinning else "0")
    return options
