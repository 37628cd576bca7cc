"""What every training loop shares: Trainer's settings, and which epoch is kept."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from training.arguments import Arguments
from training.compute import Compute
from training.features import Progress

if TYPE_CHECKING:
    import torch


class Judged(Protocol):
    """Scores on validation after an epoch; epoch 0 is before any training."""

    @property
    def epoch(self) -> int:
        """Which one."""

    @property
    def merit(self) -> float:
        """The figure that chooses, higher is better."""


E = TypeVar("E", bound=Judged)

Judge = Callable[[int, Mapping[str, float]], E]
"""Makes an epoch's scores of its number and of the metrics that Trainer evaluated."""


def best_of(epochs: Sequence[E]) -> E:
    """The first epoch with the highest merit."""
    return max(epochs, key=lambda e: (e.merit, -e.epoch))


def settings(arguments: Arguments, compute: Compute, workdir: Path, **more: Any) -> Any:
    """Trainer's settings: evaluate each epoch and before the first, save nothing, report to no one."""
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(workdir),
        num_train_epochs=arguments.epochs,
        per_device_train_batch_size=arguments.batch_size,
        per_device_eval_batch_size=2 * arguments.batch_size,
        learning_rate=arguments.learning_rate,
        warmup_ratio=arguments.warmup,
        eval_on_start=True,
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        bf16=compute.precision == "bf16",
        use_cpu=compute.device == "cpu",
        dataloader_pin_memory=compute.device == "cuda",
        seed=arguments.seed,
        data_seed=arguments.seed,
        **more,
    )


def train(trainer: Any, judge: Judge[E], arguments: Arguments, metric: str, progress: Progress) -> tuple[E, ...]:
    """Run a trainer and leave its model with the weights of the best epoch.

    Returns one entry per epoch run, epoch 0 first. The best is the first with the highest merit.

    Args:
        trainer: evaluates before the first epoch and after each.
        judge: reads an evaluation.
        arguments: how many epochs, and how patiently.
        metric: what the merit is called, for the progress report.
        progress: told how far it is.
    """
    from peft.helpers import disable_input_dtype_casting
    from transformers.trainer_callback import PrinterCallback

    keeper = _keeper_type()(trainer.model, judge, arguments, metric, progress)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(keeper)
    # The Trainer's autocast chooses the type of each operation; PEFT's own casts to float32 would be undone by it.
    with disable_input_dtype_casting(trainer.model):
        trainer.train()
    keeper.restore()
    return tuple(keeper.epochs)


@functools.cache
def _keeper_type() -> Any:
    """The callback that keeps the best epoch, made on first use so that importing this file stays light."""
    from transformers import TrainerCallback

    class BestEpoch(TrainerCallback):  # type: ignore[misc]
        """Keeps the trained weights of the best epoch in memory (an adapter is small) and ends when none improves.

        Trainer's own way needs a checkpoint per epoch on disk and cannot keep epoch 0.
        """

        def __init__(
            self, model: Any, judge: Judge[Any], arguments: Arguments, metric: str, progress: Progress
        ) -> None:
            self.model, self.judge, self.metric, self.progress = model, judge, metric, progress
            self.patience, self.planned = arguments.patience, arguments.epochs
            self.epochs: list[Any] = []
            self.best: dict[str, torch.Tensor] = {}

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
            """Record the scores; keep the weights where they are the best so far."""
            found = self.judge(len(self.epochs), metrics)
            self.epochs.append(found)
            best = best_of(self.epochs)
            if best is found:
                self.best = {n: p.detach().clone() for n, p in self.model.named_parameters() if p.requires_grad}
            if self.patience is not None and found.epoch - best.epoch >= self.patience:
                control.should_training_stop = True

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Tell how far it is."""
            best = f"; best {self.metric} {best_of(self.epochs).merit:.4f}" if self.epochs else ""
            self.progress(state.global_step / state.max_steps, f"epoch {len(self.epochs)} of {self.planned}{best}")

        def restore(self) -> None:
            """Put the best epoch's weights back."""
            self.model.load_state_dict(self.best, strict=False)

    return BestEpoch
