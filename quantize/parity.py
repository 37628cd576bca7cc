"""The proof that an exported graph gives what the model gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import RefusedError
from quantize.folder import COMPANIONS, OUTPUTS
from quantize.staging import copy_present

if TYPE_CHECKING:
    import numpy as np
    import torch

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


def compare(
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
