"""A tiny BERT with a mean pool, random but seeded, as merged model folders of a classifier and a retriever."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

LABELS = ["damaged", "late", "short"]
TEXTS = ("pallet missing", "late truck at dock", "box broken box wet", "late", "short by two cartons of the order")


@pytest.fixture(scope="session")
def texts() -> tuple[str, ...]:
    return TEXTS


@pytest.fixture(scope="session")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that merging an adapter leaves, without weights: `load_tiny` seeds them."""
    folder = tmp_path_factory.mktemp("merged")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({word for text in TEXTS for word in text.split()})]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "labels.json").write_text(json.dumps(LABELS))
    (folder / "arguments.json").write_text('{"seed": 0}')
    return folder


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Callable[[Path], object]]:
    """Makes loaders of the tiny model; keywords make it misbehave."""
    import torch
    from transformers import BertConfig, BertModel

    class Tiny(torch.nn.Module):
        def __init__(self, *, ignore_mask: bool, branch: bool, as_dict: bool, poison: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            config = BertConfig(
                vocab_size=40,
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
                max_position_embeddings=64,
                attn_implementation="eager",
            )
            self.encoder = BertModel(config, add_pooling_layer=False)
            self.head = torch.nn.Linear(32, len(LABELS))
            self.ignore_mask, self.branch, self.as_dict = ignore_mask, branch, as_dict
            if poison:
                torch.nn.init.constant_(self.head.weight, float("nan"))

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
            hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            mask = torch.ones_like(attention_mask) if self.ignore_mask else attention_mask
            weight = mask.unsqueeze(-1).to(hidden.dtype)
            logits = self.head((hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9))
            if self.branch and input_ids.shape[1] < 6:
                logits = logits + 1
            return {"logits": logits} if self.as_dict else logits

    def loader(
        *, ignore_mask: bool = False, branch: bool = False, as_dict: bool = False, poison: bool = False
    ) -> Callable[[Path], object]:
        return lambda _: Tiny(ignore_mask=ignore_mask, branch=branch, as_dict=as_dict, poison=poison)

    return loader


@pytest.fixture(scope="session")
def exported(merged: Path, tiny, texts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, exported once."""
    from quantize import export_onnx

    return export_onnx(merged, tmp_path_factory.mktemp("onnx") / "tiny", load=tiny(), texts=texts).folder


@pytest.fixture(scope="session")
def merged_retriever(merged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a retriever."""
    folder = tmp_path_factory.mktemp("merged") / "retriever"
    shutil.copytree(merged, folder, ignore=shutil.ignore_patterns("labels.json"))
    (folder / "arguments.json").write_text('{"seed": 0, "task": "retrieve"}')
    return folder


@pytest.fixture(scope="session")
def tiny_retriever(tiny) -> Callable[..., Callable[[Path], object]]:
    """Makes loaders of a tiny retriever around the tiny encoder; keywords make it misbehave."""
    import torch

    class TinyRetriever(torch.nn.Module):
        def __init__(self, **faults: bool) -> None:
            super().__init__()
            self.whole = tiny(**faults)(Path())
            self.whole.head = torch.nn.Identity()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            mean = self.whole(input_ids, attention_mask)
            return mean / (mean * mean).sum(dim=1, keepdim=True).clamp(min=1e-24).sqrt()

    return lambda **faults: lambda _: TinyRetriever(**faults)


@pytest.fixture(scope="session")
def exported_retriever(merged_retriever: Path, tiny_retriever, texts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny retriever, exported once."""
    from quantize import export_onnx

    out = tmp_path_factory.mktemp("onnx") / "retriever"
    return export_onnx(merged_retriever, out, load=tiny_retriever(), texts=texts).folder
