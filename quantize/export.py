"""Export a merged model to ONNX with optimum, and prove that the two agree.

A classifier gives `logits` [batch, classes]; a retriever gives `embedding` [batch, hidden], the mean
of the token vectors divided by its length inside the graph, so that whatever runs the graph gets
vectors of length 1 and parity is about what is compared in the end.

optimum's TorchScript exporter is used: the attention fusion of ONNX Runtime recognizes the
graph that it writes, and misses others without a word (recipes count what was fused).
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import DataError, RefusedError, sha256_of
from fleet_manifests.bundle import CLASSICAL, TRANSFORMER
from quantize.lexical_head import LEXICAL_HEAD, Lexical, attach_proved
from quantize.staging import copy_present, staged

if TYPE_CHECKING:
    import numpy as np
    import torch

MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
ARGUMENTS = "arguments.json"
COMPANIONS = (TOKENIZER, "labels.json", ARGUMENTS)
"""Files that travel with the graph from the merged model to the build."""
OUTPUTS = {"classify": "logits", "retrieve": "embedding"}
"""What a graph gives, by the task that `arguments.json` of the merged model names; no name: classify."""
OPSET = 18
TOLERANCE = 1e-4
"""Largest difference of a logit, or of a component of a vector of length 1: 2e-7 was seen on all-MiniLM-L6-v2."""
BATCH = 8
"""Texts of the padded batch that proves the attention mask is obeyed."""


@dataclass(frozen=True)
class Parity:
    """How far the exported model's output is from torch's."""

    texts: int
    max_difference: float
    """Largest absolute difference of a number, each text alone and unpadded."""
    max_difference_padded: float
    """The same for half texts in one batch, padded in ONNX, alone in torch: the mask is obeyed."""
    tolerance: float
    same_label: float | None = None
    """Of a classifier: share of texts whose highest logit is the same."""
    least_cosine: float | None = None
    """Of a retriever: cosine between both vectors of the text where they differ most."""
    max_difference_lexical: float | None = None
    """Of a classifier with a lexical head: the whole graph against the logits without it plus scikit-learn's scores,
    each text alone and half of it padded."""


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
            parity = _compare(module, stage / MODEL, inputs, tolerance, output)
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


def kind_of(folder: Path) -> str:
    """What the model of a folder is, `transformer` or `classical`: the former where `arguments.json` does not say.

    Raises:
        DataError: it names another kind.
    """
    path = folder / ARGUMENTS
    try:
        kind = json.loads(path.read_bytes()).get("kind", TRANSFORMER) if path.is_file() else TRANSFORMER
    except (ValueError, AttributeError) as exc:
        raise DataError(f"{path}: a model's arguments expected: {exc}; make the model again") from exc
    if kind not in (TRANSFORMER, CLASSICAL):
        raise DataError(f"{path}: kind: {TRANSFORMER} or {CLASSICAL} expected, found {kind!r}; make the model again")
    return str(kind)


def output_of(folder: Path) -> str:
    """The output that the graph of a model folder has.

    Raises:
        DataError: `arguments.json` names a task that cannot be exported.
    """
    path = folder / ARGUMENTS
    try:
        task = json.loads(path.read_bytes()).get("task", "classify") if path.is_file() else "classify"
        return OUTPUTS[task]
    except (ValueError, AttributeError, KeyError, TypeError) as exc:
        known = " or ".join(OUTPUTS)
        raise DataError(f"{path}: task: {known} expected, found something else; merge the adapter again") from exc


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


def tokenize(path: Path, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token ids of each text, unpadded.

    Raises:
        DataError: the file is not a tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except ValueError as exc:
        raise DataError(f"{path}: not a tokenizer: {exc}; merge the adapter again") from exc
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def _compare(
    module: torch.nn.Module, path: Path, inputs: Sequence[Sequence[int]], tolerance: float, output: str
) -> Parity:
    """The output of both, each text alone; and of the first halves of some texts as one padded batch."""
    import numpy as np
    import onnxruntime as ort
    import torch

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        found: np.ndarray = session.run([output], {"input_ids": ids, "attention_mask": mask})[0]
        return found

    def run_torch(row: Sequence[int]) -> np.ndarray:
        ids = torch.tensor([row], dtype=torch.int64)
        with torch.inference_mode():
            found: np.ndarray = module(input_ids=ids, attention_mask=torch.ones_like(ids))[0].numpy()
        return found

    alone = [np.array([row], np.int64) for row in inputs]
    ours = np.concatenate([run(ids, np.ones_like(ids)) for ids in alone])
    theirs = np.stack([run_torch(row) for row in inputs])
    halves = [row[: (len(row) + 1) // 2] for row in inputs[:BATCH]]
    padded = run(*_padded(halves, max(map(len, inputs[:BATCH]))))
    unpadded = np.stack([run_torch(row) for row in halves])
    classifies = output == OUTPUTS["classify"]
    return Parity(
        texts=len(inputs),
        max_difference=float(np.abs(ours - theirs).max()),
        max_difference_padded=float(np.abs(padded - unpadded).max()),
        tolerance=tolerance,
        same_label=float((ours.argmax(1) == theirs.argmax(1)).mean()) if classifies else None,
        least_cosine=None if classifies else float((ours * theirs).sum(1).min()),
    )


def _padded(rows: Sequence[Sequence[int]], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask, int64 [rows, width], of rows that are all shorter."""
    import numpy as np

    ids = np.zeros((len(rows), width), np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask


def run_errors() -> tuple[type[Exception], ...]:
    """What torch and ONNX Runtime raise on an input; the latter's exceptions have no common root below Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    runtime = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.NotImplemented, state.RuntimeException)
    return (IndexError, RuntimeError, ValueError, *runtime)


def accept(parity: Parity, source: Path, stage: Path, alone: str, padded: str, look_at: str) -> None:
    """Put what belongs to a graph beside it, or refuse one that does not compute what it should.

    Args:
        parity: what was compared; NaN compares as too large.
        source: folder of the model that is exported.
        stage: folder of the graph; gets the tokenizer and so on, and `parity.json`.
        alone: what differs from what, each text by itself.
        padded: the same of padded texts.
        look_at: libraries whose versions may be the reason.

    Raises:
        RefusedError: a difference above the tolerance.
    """
    compared = [(alone, parity.max_difference), (padded, parity.max_difference_padded)]
    if parity.max_difference_lexical is not None:
        compared.append(("the logits with a lexical head differ from the sum", parity.max_difference_lexical))
    for differs, found in compared:
        if not found <= parity.tolerance:
            raise RefusedError(
                f"{source}: {differs} by {found:.3g}; at most {parity.tolerance:.3g} is accepted. "
                f"Look at the versions of {look_at}"
            )
    copy_present(COMPANIONS, source, stage)
    known = {name: value for name, value in asdict(parity).items() if value is not None}
    (stage / "parity.json").write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")


def exported(out: Path, parity: Parity) -> ExportResult:
    """What an export came to."""
    return ExportResult(out, sha256_of(out / MODEL), (out / MODEL).stat().st_size, parity)
