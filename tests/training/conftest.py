"""A tiny random BERT and tiny corpora: everything the tuning needs, made in a second, no network."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import Passage, dump
from training.arguments import RetrieveArguments, TuneArguments
from training.bases import BaseSpec, ResolvedBase, resolve
from training.retriever import RetrieverResult

TOPICS = {
    "damage": "wet broken crushed torn dented leaking pallet carton",
    "late": "late delayed waiting overdue carrier truck missed slot",
    "price": "price invoice discount charged wrong amount credit terms",
}
FILLER = "the a order from customer said is was please check again today for item part 4711 and but not"
_WORDS = [word for topic in TOPICS.values() for word in topic.split()]
ASKED = dict(zip(_WORDS[0::2], _WORDS[1::2], strict=True))
"""What passages say, and how people ask for it."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def make_base(folder: Path, seed: int = 0) -> Path:
    """A random BERT (hidden 32, 2 layers) with a word-piece vocabulary, saved as a base folder."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel

    words = sorted({*FILLER.split(), *(word for topic in TOPICS.values() for word in topic.split())})
    letters = [letter for c in "abcdefghijklmnopqrstuvwxyz0123456789" for letter in (c, f"##{c}")]
    vocabulary = list(dict.fromkeys([*SPECIAL, *letters, *words]))
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.02,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def make_rows(counts: dict[str, int], seed: int) -> list[dict[str, str]]:
    """Rows of a topic each: two words of the topic among filler, so that a probe is good but not perfect."""
    chance = random.Random(seed)
    rows = []
    for label, count in counts.items():
        for number in range(count):
            words = chance.choices(FILLER.split(), k=chance.randint(2, 14)) + chance.choices(TOPICS[label].split(), k=2)
            chance.shuffle(words)
            rows.append({"id": f"{label}-{seed}-{number}", "text": " ".join(words), "label": label})
    chance.shuffle(rows)
    return rows


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing here may try to reach another machine, not even where a failure to do so would be swallowed.

    Offline mode is off, so that a library that would ask the hub is caught asking.
    """
    from huggingface_hub import constants

    tried: list[object] = []
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def refuse(host: object, *_: object, **__: object) -> None:
        tried.append(host)
        raise OSError("the network is cut")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    yield
    assert tried == []


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    """The tiny base, by local path."""
    return resolve(BaseSpec(path=make_base(tmp_path_factory.mktemp("base")), name="tiny", licence="Apache-2.0"))


@pytest.fixture(scope="session")
def other_base(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    """A base of the same shape with other weights."""
    return resolve(BaseSpec(path=make_base(tmp_path_factory.mktemp("other"), seed=1), name="other"))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imbalanced corpus of three classes."""
    folder = tmp_path_factory.mktemp("corpus")
    write_rows(folder / "train.jsonl", make_rows({"damage": 120, "late": 60, "price": 12}, 1))
    write_rows(folder / "validation.jsonl", make_rows({"damage": 30, "late": 20, "price": 10}, 2))
    write_rows(folder / "test.jsonl", make_rows({"damage": 30, "late": 20, "price": 10}, 3))
    return folder


@pytest.fixture
def write_corpus(tmp_path: Path) -> Callable[..., Path]:
    """Write a corpus folder of given rows; a split left out gets one row of each label of `train`."""

    def write(train: Sequence[dict[str, Any]], **splits: Sequence[dict[str, Any]]) -> Path:
        folder = tmp_path / "corpus"
        folder.mkdir(exist_ok=True)
        labels = sorted({row["label"] for row in train if "label" in row})
        one_each = [{"id": label, "text": f"about {label}", "label": label} for label in labels]
        for name in ("train", "validation", "test"):
            write_rows(folder / f"{name}.jsonl", {"train": train, **splits}.get(name, one_each))
        return folder

    return write


@pytest.fixture(scope="session")
def arguments() -> TuneArguments:
    """Quick settings: one thread, one length."""
    return TuneArguments(epochs=2, batch_size=16, rank=4, alpha=8, max_tokens=32, threads=1, precision="fp32")


@pytest.fixture(scope="session")
def adapter(
    corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An adapter folder tuned on the corpus."""
    from training.finetune import finetune

    out = tmp_path_factory.mktemp("tuned") / "adapter"
    finetune(corpus, base, arguments, out)
    return out


def make_library(count: int, seed: int) -> list[Passage]:
    """Passages that are about two things each; who asks about them uses other words (`ASKED`)."""
    draw = random.Random(seed)
    pairs = draw.sample([(a, b) for a in ASKED for b in ASKED if a < b], count)
    return [
        Passage(
            id=f"sop-{number // 5}/{number:02d}",
            document=f"SOP-{number // 5}",
            title="the order",
            section=(f"about {one} and {other}",),
            text=" ".join([one, "item", other, *draw.choices(FILLER.split(), k=5)]) + ".",
        )
        for number, (one, other) in enumerate(pairs)
    ]


def ask(passages: Sequence[Passage], each: int, seed: int) -> list[dict[str, Any]]:
    """Questions about passages, in words that the passages do not have."""
    draw = random.Random(seed)
    rows = []
    for passage in passages:
        words = [ASKED[word] for word in passage.text.split() if word in ASKED]
        for number in range(each):
            text = [*words, *draw.choices(FILLER.split(), k=3)]
            draw.shuffle(text)
            rows.append({"id": f"{seed}-{passage.id}-{number}", "text": " ".join(text), "relevant": [passage.id]})
    return rows


def write_library(folder: Path, passages: Sequence[Passage], **splits: Sequence[dict[str, Any]]) -> Path:
    """The corpus folder of a retriever."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "passages.jsonl").write_bytes(b"".join(dump(passage) + b"\n" for passage in passages))
    for name, rows in splits.items():
        write_rows(folder / f"{name}.jsonl", rows)
    return folder


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty passages, three training questions to each of thirty of them, others for validation and test."""
    passages = make_library(40, 1)
    return write_library(
        tmp_path_factory.mktemp("library"),
        passages,
        train=ask(passages[:30], 3, 1),
        validation=ask(passages, 1, 2),
        test=ask(passages, 1, 3),
    )


@pytest.fixture(scope="session")
def retrieve_arguments() -> RetrieveArguments:
    """Quick settings that learn: one thread, few tokens."""
    return RetrieveArguments(
        epochs=12, learning_rate=2e-2, batch_size=16, rank=8, alpha=16, max_tokens=32, train_tokens=32, threads=1,
        precision="fp32",
    )  # fmt: skip


@pytest.fixture(scope="session")
def retriever(
    library: Path, base: ResolvedBase, retrieve_arguments: RetrieveArguments, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RetrieverResult, Path]:
    """An adapter folder tuned on the library, and what the tuning came to."""
    from training.retriever import finetune_retriever

    out = tmp_path_factory.mktemp("retriever") / "adapter"
    return finetune_retriever(library, base, retrieve_arguments, out), out
