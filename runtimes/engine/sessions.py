"""From a bundle's configuration to what runs its graph: ONNX Runtime, or another engine that it names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fleet_manifests import BundleConfig
from fleet_manifests.profile import OPENVINO
from runtimes.engine.parts import Session, file_of, open_table

if TYPE_CHECKING:
    import numpy as np


class Runs(Protocol):
    """A loaded graph. Safe to share between threads."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The output, float32 [batch, n], of int64 inputs [batch, tokens].

        Raises:
            IntegrityError: the model fails on this input.
        """
        ...


def open_session(folder: Path, config: BundleConfig, output: str, threads: int | None) -> Runs:
    """Open the graph of a bundle.

    Args:
        folder: holds the files that `config` names.
        config: of the bundle.
        output: the output that is wanted.
        threads: overrides those of `config`.

    Raises:
        IntegrityError: a file is missing, damaged or not what `config` says.
        MissingExtraError: the engine that `config` names is not installed.
    """
    model = file_of(folder, config.model, "model")
    if config.engine == OPENVINO:
        from runtimes.engine.openvino import OpenVinoSession

        for name in config.weights or ():
            file_of(folder, name, "weights")
        return OpenVinoSession(model, config.session, output, config.max_tokens, threads)
    table = open_table(folder, config.word_embeddings) if config.word_embeddings else None
    return Session(model, config.session, output, threads, table)
