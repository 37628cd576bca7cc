"""Learning by contrast: transformers' Trainer, the loss, and how an epoch is judged."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.arguments import RetrieveArguments
from training.batches import Dealer, Tokens
from training.compute import Compute
from training.epochs import settings, train
from training.features import Progress, embed
from training.library import Question
from training.ranking import best_weight, figures, fuse, rank, z_scores

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from training.ranking import Scores


@dataclass(frozen=True)
class RetrieverEpoch:
    """Figures on validation after an epoch; epoch 0 is before any training."""

    epoch: int
    ndcg_at_10: float
    """Of dense and BM25 together, as all others without `dense_`."""
    recall_at_5: float
    mrr: float
    dense_ndcg_at_10: float
    """Of the embeddings alone."""
    dense_weight: float
    """Share of the embeddings in the sum, chosen for this epoch."""

    @property
    def merit(self) -> float:
        """The fused figure chooses: it is what sites will see."""
        return self.ndcg_at_10


@dataclass(frozen=True)
class Exam:
    """What a retriever is judged by: validation questions over the whole library."""

    questions: tuple[Question, ...]
    asked: list[list[int]]
    """Token ids of the questions."""
    passages: list[list[int]]
    """Token ids of the contents, at the length that sites read."""
    lexical: Scores
    """z-scores of BM25."""
    start: NDArray[np.float32] | None = None
    """What the frozen base makes of passages and questions, float32 [passages + questions, hidden]; None: not known."""

    def take(self, encoder: torch.nn.Module, compute: Compute) -> dict[str, float]:
        """The figures of an encoder, which is left in evaluation mode; every passage is embedded once."""
        return self.mark(embed(encoder, self.passages + self.asked, compute))

    def mark(self, found: NDArray[np.float32]) -> dict[str, float]:
        """The figures of what an encoder makes of passages and questions, in that order."""
        scores = z_scores(cosines(found[len(self.passages) :], found[: len(self.passages)]))
        weight = best_weight(self.questions, scores, self.lexical)
        fused = figures(self.questions, rank(fuse(scores, self.lexical, weight), 100))
        dense = figures(self.questions, rank(scores, 10))["ndcg_at_10"]
        return {**fused, "dense_ndcg_at_10": dense, "dense_weight": weight}


def cosines(questions: Scores, passages: Scores) -> Scores:
    """Cosines [questions, passages] of mean vectors [n, hidden] of any length."""
    import numpy as np

    asked, found = (one / np.linalg.norm(one, axis=1, keepdims=True).clip(1e-12) for one in (questions, passages))
    result: Scores = asked @ found.T
    return result


def info_nce(anchors: torch.Tensor, passages: torch.Tensor, blocked: torch.Tensor, scale: float) -> torch.Tensor:
    """How far anchors are from their own passage, measured against the others of the batch.

    InfoNCE (van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding") on
    cosines, as sentence-transformers' MultipleNegativesRankingLoss.

    Args:
        anchors: float32 [n, hidden] of length 1.
        passages: float32 [m, hidden] of length 1; the first n are those of the anchors.
        blocked: bool [n, m], passages that are right too and count neither way.
        scale: what cosines are multiplied by.
    """
    import torch
    from torch.nn.functional import cross_entropy

    scores = (scale * anchors @ passages.T).masked_fill(blocked, float("-inf"))
    return cross_entropy(scores, torch.arange(len(anchors), device=scores.device))


def run(
    model: torch.nn.Module,
    tokens: Tokens,
    exam: Exam,
    arguments: RetrieveArguments,
    compute: Compute,
    workdir: Path,
    progress: Progress,
) -> tuple[RetrieverEpoch, ...]:
    """Train a PEFT model and leave it with the weights of its best epoch.

    Returns one entry per epoch run, epoch 0 first. The best is the first with the highest fused nDCG@10.
    """
    from torch.optim import AdamW

    trained = [p for p in model.parameters() if p.requires_grad]
    trainer = _trainer_type()(
        tokens=tokens,
        exam=exam,
        compute=compute,
        scale=arguments.scale,
        model=model,
        args=settings(arguments, compute, workdir),
        train_dataset=range(len(tokens.pairs)),
        eval_dataset=exam.questions,
        optimizers=(AdamW(trained, lr=arguments.learning_rate, weight_decay=arguments.weight_decay), None),
    )
    return train(trainer, _judge, arguments, "nDCG@10", progress)


def _judge(epoch: int, metrics: Mapping[str, float]) -> RetrieverEpoch:
    """The figures of an evaluation."""
    return RetrieverEpoch(epoch, **metrics)


@functools.cache
def _trainer_type() -> Any:
    """Trainer for a model that returns embeddings, made on first use so that importing this file stays light."""
    from torch import cat, empty_like
    from torch.utils.checkpoint import checkpoint
    from torch.utils.data import DataLoader
    from transformers import Trainer

    class ContrastTrainer(Trainer):  # type: ignore[misc]
        """Batches of pairs, InfoNCE, and an exam in place of an evaluation loop."""

        control: Any

        def __init__(self, *, tokens: Tokens, exam: Exam, compute: Compute, scale: float, **settings: Any) -> None:
            super().__init__(**settings)
            self.model_accepts_loss_kwargs = False
            self._tokens, self._exam, self._compute, self._scale = tokens, exam, compute, scale

        def get_train_dataloader(self) -> Any:
            """Every batch holds a passage at most once."""
            places = [pair.passage for pair in self._tokens.pairs]
            batches = Dealer(places, self.args.per_device_train_batch_size, self.args.seed)
            return DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=self._tokens.batch)

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            """The loss of a batch, in float32 whatever the encoder computed in."""
            # A chunk keeps nothing but its vectors and is read again for its gradients: a batch of any size fits.
            found = cat([checkpoint(model, *chunk, use_reentrant=False) for chunk in inputs["chunks"]])
            vectors = empty_like(found).index_copy(0, inputs["order"], found)
            count = len(inputs["blocked"])
            loss = info_nce(vectors[:count], vectors[count:], inputs["blocked"], self._scale)
            return (loss, {"vectors": vectors}) if return_outputs else loss

        def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
            """Take the exam."""
            exam = self._exam
            if self.state.global_step == 0 and exam.start is not None:
                metrics = exam.mark(exam.start)
            else:
                metrics = exam.take(self.model.base_model.model.encoder, self._compute)
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
            return metrics

    return ContrastTrainer
