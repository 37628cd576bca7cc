"""The models: an encoder and the mean over its tokens, then one linear layer or a length of 1.

A merged model folder holds:

- `config.json`: the encoder's configuration; of a classifier also `num_labels`, `id2label`, `label2id`;
- `model.safetensors`: `encoder.*` as transformers' `AutoModel` names them (no pooler); of a classifier
  also `head.weight` [classes, hidden], `head.bias` [classes]; all float32;
- `tokenizer.json`: no padding, truncation at `max_tokens`;
- `arguments.json`: the hyper-parameters, and with `task` which of the two it is; none: a classifier;
- `labels.json` of a classifier: list of labels, in class order.

mean = sum(hidden * mask) / sum(mask); token types are zero. A classifier gives logits = head(mean), a
retriever embedding = mean / |mean|.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import IntegrityError
from training.arguments import RetrieveArguments, read_arguments
from training.files import save_weights, write_json

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

ATTENTION = "eager"
"""Plain attention: on a CPU the backward pass of the fused one costs ten times as much in bf16 (torch 2.13),
and graph fusion of an exported model knows only this form."""
ATTENTION_WITHOUT_GRADIENTS = "sdpa"
"""Fused attention: nothing of the size tokens x tokens is written, which over long texts is a third of the time."""


def load_encoder(folder: Path, *, attention: str = ATTENTION) -> torch.nn.Module:
    """The float32 encoder of a base folder, without its pooler, in evaluation mode.

    Args:
        folder: of the base.
        attention: transformers' name of how it is computed; `ATTENTION_WITHOUT_GRADIENTS` where nothing is trained.

    Raises:
        IntegrityError: transformers cannot make an encoder of the folder.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel

    try:
        encoder = AutoModel.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=attention, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as exc:
        raise IntegrityError(f"{folder}: expected an encoder that transformers can load: {exc}") from exc
    return _bare(encoder)


def build(encoder: torch.nn.Module, classes: int) -> torch.nn.Module:
    """Put a head on an encoder; `forward(input_ids, attention_mask)`, both [batch, tokens], gives [batch, classes]."""
    model: torch.nn.Module = _classifier_type()(encoder, classes)
    return model


def build_embedder(encoder: torch.nn.Module) -> torch.nn.Module:
    """A retriever of an encoder; `forward(input_ids, attention_mask)`, both [batch, tokens], gives [batch, hidden]."""
    model: torch.nn.Module = _embedder_type()(encoder)
    return model


def save_merged(model: Any, folder: Path, labels: tuple[str, ...] | None = None) -> None:
    """Write `config.json` and `model.safetensors` of a model without adapter; without labels it is a retriever."""
    config = {key: value for key, value in model.config.to_dict().items() if not key.startswith("_")}
    config["architectures"] = [type(model).__name__]
    if labels is not None:
        config["num_labels"] = len(labels)
        config["id2label"] = {str(number): label for number, label in enumerate(labels)}
        config["label2id"] = {label: number for number, label in enumerate(labels)}
    write_json(folder / "config.json", config)
    save_weights(model.state_dict(), folder / "model.safetensors")


def load_merged(path: Path) -> torch.nn.Module:
    """Load a merged model folder, in evaluation mode.

    Raises:
        IntegrityError: a file is missing, or weights and configuration do not belong together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    retrieves = isinstance(read_arguments(path), RetrieveArguments)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(path, local_files_only=True)
        encoder = _bare(AutoModel.from_config(config, attn_implementation=ATTENTION))
        model = build_embedder(encoder) if retrieves else build(encoder, config.num_labels)
        model.load_state_dict(load_file(path / "model.safetensors"), strict=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as exc:
        raise IntegrityError(f"{path}: expected a merged model folder: {exc}; merge the adapter again") from exc
    return model.eval()


def _bare(encoder: Any) -> Any:
    """Drop the pooler: its output is not used, and an unused weight would travel to every site."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder.eval()


@functools.cache
def _classifier_type() -> Any:
    """The classifier's class, made on first use so that importing this file does not import torch."""
    from torch import Tensor, nn

    class MeanPoolClassifier(nn.Module):  # type: ignore[misc]
        """`encoder`, mean over the attended tokens, `head`."""

        def __init__(self, encoder: Any, classes: int) -> None:
            super().__init__()
            self.config = encoder.config
            self.encoder = encoder
            self.head = nn.Linear(encoder.config.hidden_size, classes)

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            """Token ids and mask [batch, tokens] to logits [batch, classes]."""
            hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            logits: Tensor = self.head(mean_pool(hidden, attention_mask))
            return logits

    return MeanPoolClassifier


@functools.cache
def _embedder_type() -> Any:
    """The retriever's class, made on first use likewise."""
    from torch import Tensor, nn

    class MeanPoolEmbedder(nn.Module):  # type: ignore[misc]
        """`encoder`, mean over the attended tokens, divided by its length."""

        def __init__(self, encoder: Any) -> None:
            super().__init__()
            self.config = encoder.config
            self.encoder = encoder

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            """Token ids and mask [batch, tokens] to embeddings [batch, hidden] of length 1, in float32."""
            hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            mean = mean_pool(hidden.float(), attention_mask)
            # Not norm(): ONNX Runtime's symbolic shape inference does not know the operator that it becomes.
            return mean / (mean * mean).sum(dim=1, keepdim=True).clamp(min=1e-24).sqrt()

    return MeanPoolEmbedder


def mean_pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the attended tokens, [batch, tokens, hidden] to [batch, hidden], as all-MiniLM-L6-v2 was trained."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
