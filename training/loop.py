"""The training loop of a classifier: transformers' Trainer and the loss."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.arguments import TuneArguments
from training.compute import Compute
from training.epochs import settings, train
from training.features import Progress, fill_of, pad
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

    @property
    def merit(self) -> float:
        """Macro-F1 chooses."""
        return self.macro_f1


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
    rows: Examples,
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
    trainer = _trainer_type()(
        class_weights=weights,
        model=model,
        args=settings(arguments, compute, workdir, group_by_length=True, label_names=["labels"]),
        train_dataset=rows.dataset(),
        eval_dataset=validation.dataset(),
        data_collator=functools.partial(_collate, fill=fill_of(model)),
        compute_metrics=_metrics,
        optimizers=(_optimizer(model, arguments), None),
    )
    return train(trainer, _judge, arguments, "macro-F1", progress)


def _judge(epoch: int, metrics: Mapping[str, float]) -> Epoch:
    """The scores of an evaluation."""
    return Epoch(epoch, metrics["eval_macro_f1"], metrics["eval_accuracy"], metrics["eval_loss"])


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
