"""Export a merged model to ONNX with optimum, and prove that the two agree.

A classifier gives `logits` [batch, classes]; a retriever gives `embedding` [batch, hidden], the mean
of the token vectors divided by its length inside the graph, so that whatever runs the graph gets
vectors of length 1 and parity is about what is compared in the end.

optimum's TorchScript exporter is used: the attention fusion of ONNX Runtime recognizes the
graph that it writes, and misses others without a word (recipes count what was fused).
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import DataError, sha256_of
from quantize.folder import MODEL, TOKENIZER, output_of, tokenize
from quantize.lexical_head import LEXICAL_HEAD, Lexical, attach_proved
from quantize.parity import TOLERANCE, Parity, accept, compare, run_errors
from quantize.staging import staged

if TYPE_CHECKING:
    import torch

OPSET = 18


@dataclass(frozen=True)
class ExportResult:
    """What was written."""

    folder: Path
    digest: str
    """Digest of `model.onnx`."""
    size: int
    """Bytes of `model.onnx`."""
    parity: Parity


def export_onnx(
    merged: Path,
    out: Path,
    *,
    load: Callable[[Path], torch.nn.Module],
    texts: Sequence[str],
    tolerance: float = TOLERANCE,
    max_tokens: int = 256,
    lexical: Lexical | None = None,
) -> ExportResult:
    """Write `model.onnx` with inputs `input_ids`, `attention_mask` (int64 [batch, sequence]) and one output.

    The output is `logits` [batch, classes] of a classifier or `embedding` [batch, hidden] of a retriever,
    as `arguments.json` of the merged model says. With a lexical head, which `lexical_head.npz` beside the graph
    holds too, the batch is one text.

    Args:
        merged: folder of the merged model, with `tokenizer.json`.
        out: a new or empty folder; it also gets the tokenizer, labels, arguments and `parity.json`.
        load: makes the module from `merged`; its forward takes the two inputs and returns the output.
        texts: real inputs on which torch and ONNX Runtime are compared.
        tolerance: largest difference of a number that is accepted.
        max_tokens: where the tokenizer cuts a text.
        lexical: the lexical head of a classifier.

    Raises:
        DataError: no texts, no tokenizer, an unknown task, a module that cannot be exported, or a head of another one.
        RefusedError: the exported model differs by more than the tolerance.
        StorageError: the disk is full or not writable.
        UsageError: `out` holds files already.
    """
    if not texts:
        raise DataError("texts: at least one is needed to compare the exported model with torch")
    if not (merged / TOKENIZER).is_file():
        raise DataError(f"{merged}: no {TOKENIZER}; merge the adapter again")
    output = output_of(merged)
    inputs = tokenize(merged / TOKENIZER, texts, max_tokens)
    module = load(merged).eval()
    with staged(out) as stage:
        _export(module, stage / MODEL, output)
        try:
            parity = compare(module, stage / MODEL, inputs, tolerance, output)
            if lexical is not None:
                parity = replace(parity, max_difference_lexical=attach_proved(stage / MODEL, lexical, inputs))
                shutil.copyfile(lexical.file, stage / LEXICAL_HEAD)
        except run_errors() as exc:
            raise DataError(
                f"{merged}: the model cannot be run on the given texts: {exc}; does it read {max_tokens} tokens?"
            ) from exc
        differs = f"the {output} of the exported model differs from torch's (texts {{}})"
        accept(parity, merged, stage, differs.format("alone"), differs.format("padded"), "torch and optimum")
    return exported(out, parity)


def _export(module: torch.nn.Module, path: Path, output: str) -> None:
    """Trace the module into an ONNX file.

    Raises:
        DataError: the module has no transformer encoder or does something that ONNX cannot express.
    """
    from optimum.exporters.onnx import export
    from torch.jit import TracerWarning
    from transformers import PreTrainedModel

    encoder = next((part for part in module.modules() if isinstance(part, PreTrainedModel)), None)
    if encoder is None:
        raise DataError("the merged model has no transformers encoder inside; only those can be exported")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TracerWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            shell, description = _with_config(module, encoder.config, output), _onnx_config(encoder.config, output)
            export(shell, description, path, opset=OPSET)
    except (RuntimeError, ValueError, TypeError) as exc:
        raise DataError(f"the merged model cannot be exported to ONNX: {exc}") from exc


def _with_config(module: torch.nn.Module, config: Any, output: str) -> torch.nn.Module:
    """The module in a shell that has what optimum looks for: a config, and an output with a name."""
    import torch

    class Named(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.module = module
            self.config = config

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
            found = self.module(input_ids=input_ids, attention_mask=attention_mask)
            if not isinstance(found, torch.Tensor):
                raise TypeError(f"forward must return the {output} as a tensor, it returns {type(found).__name__}")
            return {output: found}

    return Named()


def _onnx_config(config: Any, output: str) -> Any:
    """optimum's description of our graph: two inputs, dynamic batch and sequence, one output."""
    from optimum.exporters.onnx.config import TextEncoderOnnxConfig
    from optimum.utils import NormalizedTextConfig

    class Pooled(TextEncoderOnnxConfig):  # type: ignore[misc]
        NORMALIZED_CONFIG_CLASS = NormalizedTextConfig

        @property
        def inputs(self) -> dict[str, dict[int, str]]:
            axes = {0: "batch", 1: "sequence"}
            return {"input_ids": axes, "attention_mask": axes}

        @property
        def outputs(self) -> dict[str, dict[int, str]]:
            return {output: {0: "batch"}}

    return Pooled(config, task="text-classification")


def exported(out: Path, parity: Parity) -> ExportResult:
    """What an export came to."""
    return ExportResult(out, sha256_of(out / MODEL), (out / MODEL).stat().st_size, parity)
