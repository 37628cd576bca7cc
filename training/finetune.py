"""LoRA fine-tuning of a classifier, started from a linear probe (LP-FT, Kumar et al. 2022)."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.adapters import save_adapter, with_lora
from training.arguments import TuneArguments
from training.bases import ResolvedBase
from training.compute import Compute, choose, held
from training.corpus import Corpus, read_corpus
from training.epochs import best_of
from training.features import Progress, between, load_tokenizer, require_length, tokenize
from training.files import staged, write_json
from training.frozen import frozen_embeddings
from training.loop import Epoch, Examples, run
from training.model import build, load_encoder
from training.probe import Probe, class_weights, fit_probe

if TYPE_CHECKING:
    import torch

PROBE_SHARE = 0.15
"""Share of the work, for the progress report, that comes before the first training step."""


@dataclass(frozen=True)
class TuneResult:
    """What a tuning came to. Scores are of the validation split."""

    labels: tuple[str, ...]
    epochs: tuple[Epoch, ...]
    """Epoch 0 is the linear probe, before any tuning."""
    best: Epoch
    strength: float
    """The probe's inverse regularisation strength."""
    compute: Compute
    seconds: float
    notes: tuple[str, ...]
    """What a person should know: classes with few rows, a tuning that did not beat the probe."""


def finetune(
    corpus: Path,
    base: ResolvedBase,
    arguments: TuneArguments,
    out: Path,
    progress: Progress | None = None,
    *,
    frozen: Path | None = None,
) -> TuneResult:
    """Tune a base on a corpus folder and write the adapter folder `out`.

    The same corpus, base, arguments, machine and library versions give the same bytes.

    Args:
        frozen: a folder of `training.frozen.embed_frozen` for this corpus and base; None: embedded here.

    Raises:
        DataError: nothing can be learned from the corpus.
        IntegrityError: the base cannot be loaded.
        UsageError: the base has fewer positions than `max_tokens`, or `out` is not empty.
        StorageError: `out` cannot be written.
    """
    started = time.monotonic()
    report: Progress = progress or (lambda share, what: None)
    rows = read_corpus(corpus)
    compute = choose(arguments)
    with staged(out) as partial, held(compute):
        model, strength, epochs = _learn(rows, base, arguments, compute, report, frozen)
        save_adapter(partial, model, base, arguments, _history(epochs, strength, compute))
        write_json(partial / "labels.json", list(rows.labels))
    best = best_of(epochs)
    report(1.0, f"tuned; macro-F1 {best.macro_f1:.4f} after epoch {best.epoch}")
    notes = rows.notes() + (() if best.epoch else ("no epoch beat the linear probe on validation: it was kept",))
    return TuneResult(rows.labels, epochs, best, strength, compute, time.monotonic() - started, notes)


def _learn(
    rows: Corpus,
    base: ResolvedBase,
    arguments: TuneArguments,
    compute: Compute,
    report: Progress,
    frozen: Path | None,
) -> tuple[torch.nn.Module, float, tuple[Epoch, ...]]:
    """Probe, then tune: the PEFT model at its best epoch, the probe's strength, the scores."""
    from transformers import set_seed

    set_seed(arguments.seed)
    encoder = load_encoder(base.path)
    require_length(encoder, arguments.max_tokens)
    tokenizer = load_tokenizer(base.path, arguments.max_tokens)
    train, validation = (
        Examples(tokenize(tokenizer, [row.text for row in split]), rows.classes(split))
        for split in (rows.train, rows.validation)
    )
    weights = class_weights(rows.counts(), arguments.class_weighting)
    found = frozen_embeddings(
        rows, base, arguments, compute, ("train", "validation"), made=frozen, progress=between(report, 0.0, PROBE_SHARE)
    )
    probe = fit_probe(
        (found["train"], train.classes), (found["validation"], validation.classes), weights, arguments.probe_grid
    )
    model = _with_adapter(encoder, probe, arguments)
    with tempfile.TemporaryDirectory() as workdir:
        tell = between(report, PROBE_SHARE, 1.0)
        epochs = run(model, train, validation, weights, arguments, compute, Path(workdir), tell)
    return model, probe.strength, epochs


def _with_adapter(encoder: torch.nn.Module, probe: Probe, arguments: TuneArguments) -> torch.nn.Module:
    """LoRA on every linear layer of the encoder; the head starts as the probe and is trained in full."""
    import torch

    model: Any = build(encoder, len(probe.bias))
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(probe.weight))
        model.head.bias.copy_(torch.from_numpy(probe.bias))
    return with_lora(model, arguments, whole=("head",))


def _history(epochs: tuple[Epoch, ...], strength: float, compute: Compute) -> dict[str, Any]:
    """What happened."""
    return {
        "best_epoch": best_of(epochs).epoch,
        "compute": asdict(compute),
        "epochs": [asdict(epoch) for epoch in epochs],
        "probe_strength": strength,
    }
