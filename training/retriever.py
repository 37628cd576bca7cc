"""LoRA fine-tuning of a retriever, by contrast between what answers and what does not."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.adapters import LIBRARIES, save_adapter, with_lora
from training.arguments import RetrieveArguments
from training.bases import ResolvedBase
from training.batches import Tokens
from training.compute import Compute, choose, held
from training.contrast import Exam, RetrieverEpoch, run
from training.epochs import best_of
from training.features import Progress, between, fill_of, load_tokenizer, require_length, tokenize
from training.files import staged
from training.frozen import Reader
from training.lexical import Lexical
from training.library import Library, read_library
from training.model import build_embedder, load_encoder
from training.negatives import mine
from training.pairs import Pair, counts, make_pairs
from training.ranking import z_scores

if TYPE_CHECKING:
    import torch

PAIRS_SHARE = 0.05
"""Share of the work, for the progress report, that comes before the first exam."""
RETRIEVER_LIBRARIES = (*LIBRARIES, "bm25s", "ir-measures", "pystemmer")


@dataclass(frozen=True)
class RetrieverResult:
    """What a tuning came to. Figures are of the validation split."""

    epochs: tuple[RetrieverEpoch, ...]
    """Epoch 0 is the frozen base."""
    best: RetrieverEpoch
    pairs: dict[str, int]
    """Pairs learned from, by kind."""
    compute: Compute
    seconds: float
    notes: tuple[str, ...]
    """What a person should know: few questions, a tuning that did not beat the base."""


def finetune_retriever(
    corpus: Path,
    base: ResolvedBase,
    arguments: RetrieveArguments,
    out: Path,
    progress: Progress | None = None,
    *,
    frozen: Reader | None = None,
) -> RetrieverResult:
    """Tune a base on a library and its questions, and write the adapter folder `out`.

    The same corpus, base, arguments, machine and library versions give the same bytes.

    Args:
        frozen: the base as a reader of texts, for epoch 0; None: the encoder that is tuned reads them.

    Raises:
        DataError: nothing can be learned from the corpus.
        IntegrityError: the base cannot be loaded.
        UsageError: the base has fewer positions than `max_tokens` or `train_tokens`, or `out` is not empty.
        StorageError: `out` cannot be written.
    """
    started = time.monotonic()
    report: Progress = progress or (lambda share, what: None)
    library = read_library(corpus)
    pairs = make_pairs(library, arguments)
    compute = choose(arguments)
    with staged(out) as partial, held(compute):
        report(0.0, f"{len(pairs)} pairs; looking for hard negatives")
        model, epochs = _learn(library, pairs, base, arguments, compute, report, frozen)
        save_adapter(partial, model, base, arguments, _history(epochs, pairs, compute), RETRIEVER_LIBRARIES)
    best = best_of(epochs)
    report(1.0, f"tuned; nDCG@10 {best.ndcg_at_10:.4f} after epoch {best.epoch}")
    notes = library.notes() + (() if best.epoch else ("no epoch beat the frozen base on validation: it was kept",))
    return RetrieverResult(epochs, best, counts(pairs), compute, time.monotonic() - started, notes)


def _learn(
    library: Library,
    pairs: tuple[Pair, ...],
    base: ResolvedBase,
    arguments: RetrieveArguments,
    compute: Compute,
    report: Progress,
    frozen: Reader | None,
) -> tuple[torch.nn.Module, tuple[RetrieverEpoch, ...]]:
    """The PEFT model at its best epoch, and the figures of all."""
    from transformers import set_seed

    set_seed(arguments.seed)
    encoder = load_encoder(base.path)
    require_length(encoder, max(arguments.max_tokens, arguments.train_tokens))
    lexical = Lexical(library.contents)
    negatives = mine(pairs, library, lexical, arguments.negatives, arguments.seed)
    tokens = _tokens(library, pairs, negatives, base, arguments.train_tokens, fill_of(encoder))
    exam = _exam(library, lexical, base, arguments.max_tokens, frozen)
    model = with_lora(build_embedder(encoder), arguments)
    with tempfile.TemporaryDirectory() as workdir:
        epochs = run(model, tokens, exam, arguments, compute, Path(workdir), between(report, PAIRS_SHARE, 1.0))
    return model, epochs


def _tokens(
    library: Library,
    pairs: tuple[Pair, ...],
    negatives: list[tuple[int, ...]],
    base: ResolvedBase,
    max_tokens: int,
    fill: int,
) -> Tokens:
    """The texts of the pairs, at the length of training."""
    tokenizer = load_tokenizer(base.path, max_tokens)
    return Tokens(
        pairs=pairs,
        anchors=tokenize(tokenizer, [pair.anchor for pair in pairs]),
        positives=tokenize(tokenizer, [pair.positive for pair in pairs]),
        passages=tokenize(tokenizer, library.contents),
        negatives=negatives,
        fill=fill,
    )


def _exam(library: Library, lexical: Lexical, base: ResolvedBase, max_tokens: int, frozen: Reader | None) -> Exam:
    """The validation questions, at the length that sites read."""
    tokenizer = load_tokenizer(base.path, max_tokens)
    texts = [question.text for question in library.validation]
    return Exam(
        questions=library.validation,
        asked=tokenize(tokenizer, texts),
        passages=tokenize(tokenizer, library.contents),
        lexical=z_scores(lexical.scores(texts)),
        start=frozen(library.contents + texts) if frozen else None,
    )


def _history(epochs: tuple[RetrieverEpoch, ...], pairs: tuple[Pair, ...], compute: Compute) -> dict[str, Any]:
    """What happened."""
    return {
        "best_epoch": best_of(epochs).epoch,
        "compute": asdict(compute),
        "epochs": [asdict(epoch) for epoch in epochs],
        "pairs": counts(pairs),
    }
