"""Texts to tokens, and tokens to frozen sentence embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import IntegrityError, UsageError
from training.compute import Compute
from training.files import read_json
from training.model import mean_pool

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

Progress = Callable[[float, str], None]
"""Told the share of the work that is done (0 to 1) and what is being done."""

BATCH = 32
"""Texts embedded at once; a larger batch is not faster on a CPU."""
LENGTHS = 8
"""Batches are padded to a multiple of this many tokens: batches of ever new lengths leave holes in the memory that the
C library cannot use again. The sample's document intake, one epoch on one thread: 2.4 GB without, 1.5 GB with it."""


def between(report: Progress, low: float, high: float) -> Progress:
    """A report of a part of the work as a share of the whole."""
    return lambda share, what: report(low + (high - low) * share, what)


def load_tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    """The tokenizer of a model folder, cutting at `max_tokens` and never padding: the same code a runtime uses.

    Raises:
        IntegrityError: `tokenizer.json` is missing or not a tokenizer.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("model"), dict):
        raise IntegrityError(f"{path}: expected a fast tokenizer with a model, found something else")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, special tokens included."""
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def require_length(encoder: Any, max_tokens: int) -> None:
    """Refuse texts that, padded, are longer than the encoder has positions for.

    Raises:
        UsageError: `max_tokens` is too large for this base.
    """
    positions = getattr(encoder.config, "max_position_embeddings", None)
    if positions is None:
        return
    most = positions // LENGTHS * LENGTHS
    if max_tokens > most:
        raise UsageError(f"max_tokens: expected at most {most} for this base, found {max_tokens}; lower it")


def fill_of(model: Any) -> int:
    """The id that stands for padding."""
    return getattr(model.config, "pad_token_id", None) or 0


def pad(sequences: Sequence[Sequence[int]], fill: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, both int64 [batch, longest], the longest rounded up to a multiple of `LENGTHS`."""
    import torch

    longest = max(len(ids) for ids in sequences)
    ids = torch.full((len(sequences), -(-longest // LENGTHS) * LENGTHS), fill, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence, dtype=torch.long)
        mask[row, : len(sequence)] = 1
    return ids, mask


def embed(
    encoder: torch.nn.Module, sequences: Sequence[Sequence[int]], compute: Compute, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Mean-pooled embeddings [n, hidden] in the order given; computed by length, so that little is padding.

    The encoder is left on `compute.device`, in evaluation mode.
    """

    def vectors(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return mean_pool(encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float(), mask)

    def report(share: float) -> None:
        if progress is not None:
            progress(share, "embedding with the frozen base")

    return outputs(encoder, vectors, encoder.config.hidden_size, sequences, compute, report)


def outputs(
    model: torch.nn.Module,
    forward: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    width: int,
    sequences: Sequence[Sequence[int]],
    compute: Compute,
    report: Callable[[float], None] = lambda share: None,
) -> NDArray[np.float32]:
    """What a model gives, [n, width], in the order given; computed by length, so that little is padding.

    Args:
        model: is left on `compute.device`, in evaluation mode.
        forward: runs it: ids and mask [batch, tokens] to float32 [batch, width].
        width: of what it gives.
        sequences: token ids of each text.
        compute: what it is computed with, held by the caller.
        report: told the share of the texts that are done.
    """
    import numpy as np
    import torch

    model.to(compute.device).eval()
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    fill = fill_of(model)
    found = np.empty((len(sequences), width), dtype=np.float32)
    with torch.inference_mode(), torch.autocast(compute.device, torch.bfloat16, enabled=compute.precision == "bf16"):
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            ids, mask = (t.to(compute.device) for t in pad([sequences[i] for i in rows], fill))
            found[rows] = forward(ids, mask).cpu().numpy()
            report((start + len(rows)) / len(order))
    return found
