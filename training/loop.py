"""The training loop: transformers' Trainer, the loss, and which epoch is kept."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.arguments import TuneArguments
from training.compute import Compute
from training.features import Progress, pad
from training.probe import macro_f1

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Epoch:
    """Scores on validation after an epoch; epoch 0 is before any training."""

    epoch: int
    macro_f1: float
    accuracy: float
    loss: float


@dataclass(frozen=True)
class Examples:
    """Token ids and class of each row of a split."""

    sequences: list[list[int]]
    classes: list[int]

    def dataset(self) -> Any:
        """As a `datasets.Dataset` in memory, with the column that groups rows by length."""
        from datasets import Dataset

        lengths = [len(ids) for ids in self.sequences]
        return Dataset.from_dict({"input_ids": self.sequences, "labels": self.classes, "length": lengths})


def run(
    model: torch.nn.Module,
    train: Examples,
    validation: Examples,
    weights: Sequence[float],
    arguments: TuneArguments,
    compute: Compute,
    workdir: Path,
    progress: Progress,
) -> tuple[Epoch, ...]:
    """Train a PEFT model and leave it with the weights of its best epoch.

    Returns one entry per epoch run, epoch 0 first. The best is the first with the highest macro-F1.
    """
    from transformers.trainer_callback import PrinterCallback

    keeper = _keeper_type()(model, arguments.patience, arguments.epochs, progress)
    trainer = _trainer_type()(
        class_weights=weights,
        model=model,
        args=_settings(arguments, compute, workdir),
        train_dataset=train.dataset(),
        eval_dataset=validation.dataset(),
        data_collator=functools.partial(_collate, fill=_fill(model)),
        compute_metrics=_metrics,
        callbacks=[keeper],
        optimizers=(_optimizer(model, arguments), None),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    keeper.restore()
    return tuple(keeper.epochs)


def _settings(arguments: TuneArguments, compute: Compute, workdir: Path) -> Any:
    """Trainer's settings: evaluate each epoch and before the first, save nothing, report to no one."""
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(workdir),
        num_train_epochs=arguments.epochs,
        per_device_train_batch_size=arguments.batch_size,
        per_device_eval_batch_size=2 * arguments.batch_size,
        learning_rate=arguments.learning_rate,
        warmup_ratio=arguments.warmup,
        group_by_length=True,
        eval_on_start=True,
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        bf16=compute.precision == "bf16",
        use_cpu=compute.device == "cpu",
        dataloader_pin_memory=compute.device == "cuda",
        seed=arguments.seed,
        data_seed=arguments.seed,
    )


def _optimizer(model: torch.nn.Module, arguments: TuneArguments) -> torch.optim.Optimizer:
    """AdamW with a rate of its own for the head, which starts fitted."""
    from torch.optim import AdamW

    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    head = [p for name, p in named if ".head." in name]
    body = [p for name, p in named if ".head." not in name]
    groups = [{"params": body}, {"params": head, "lr": arguments.head_learning_rate}]
    return AdamW(groups, lr=arguments.learning_rate, weight_decay=arguments.weight_decay)


def _collate(rows: Sequence[dict[str, Any]], fill: int) -> dict[str, torch.Tensor]:
    """Rows to one batch, padded to its own longest."""
    import torch

    ids, mask = pad([row["input_ids"] for row in rows], fill)
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([row["labels"] for row in rows])}


def _fill(model: Any) -> int:
    """The id that stands for padding."""
    return getattr(model.config, "pad_token_id", None) or 0


def _metrics(outcome: Any) -> dict[str, float]:
    """Macro-F1 and accuracy of an evaluation."""
    truth: NDArray[np.int64] = outcome.label_ids
    predicted = outcome.predictions.argmax(-1)
    return {"macro_f1": macro_f1(truth.tolist(), predicted.tolist()), "accuracy": float((truth == predicted).mean())}


@functools.cache
def _trainer_type() -> Any:
    """Trainer for a model that returns logits, made on first use so that importing this file stays light."""
    from torch import nn, tensor
    from transformers import Trainer

    class ClassWeightedTrainer(Trainer):  # type: ignore[misc]
        """Cross-entropy with a weight per class."""

        def __init__(self, *, class_weights: Sequence[float], **settings: Any) -> None:
            super().__init__(**settings)
            self.model_accepts_loss_kwargs = False
            self._loss = nn.CrossEntropyLoss(weight=tensor(list(class_weights))).to(self.args.device)

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            """The loss of a batch, in float32 whatever the encoder computed in."""
            logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).float()
            loss = self._loss(logits, inputs["labels"])
            return (loss, {"logits": logits}) if return_outputs else loss

    return ClassWeightedTrainer


@functools.cache
def _keeper_type() -> Any:
    """The callback that keeps the best epoch; made on first use like the trainer."""
    from transformers import TrainerCallback

    class BestEpoch(TrainerCallback):  # type: ignore[misc]
        """Keeps the trained weights of the best epoch in memory (an adapter is small) and ends when none improves.

        Trainer's own way needs a checkpoint per epoch on disk and cannot keep epoch 0.
        """

        def __init__(self, model: Any, patience: int | None, epochs: int, progress: Progress) -> None:
            self.model, self.patience, self.planned, self.progress = model, patience, epochs, progress
            self.epochs: list[Epoch] = []
            self.best: dict[str, torch.Tensor] = {}

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
            """Record the scores; keep the weights where they are the best so far."""
            found = Epoch(len(self.epochs), metrics["eval_macro_f1"], metrics["eval_accuracy"], metrics["eval_loss"])
            self.epochs.append(found)
            best = best_of(self.epochs)
            if best is found:
                self.best = {n: p.detach().clone() for n, p in self.model.named_parameters() if p.requires_grad}
            if self.patience is not None and found.epoch - best.epoch >= self.patience:
                control.should_training_stop = True

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Tell how far it is."""
            best = f"; best macro-F1 {best_of(self.epochs).macro_f1:.4f}" if self.epochs else ""
            self.progress(state.global_step / state.max_steps, f"epoch {len(self.epochs)} of {self.planned}{best}")

        def restore(self) -> None:
            """Put the best epoch's weights back."""
            self.model.load_state_dict(self.best, strict=False)

    return BestEpoch


def best_of(epochs: Sequence[Epoch]) -> Epoch:
    """The first epoch with the highest macro-F1."""
    return max(epochs, key=lambda e: (e.macro_f1, -e.epoch))
