"""The hyper-parameters of a tuning; they are saved beside the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fleet_manifests import IntegrityError
from training.files import read_json

CandidateName = Literal["tuned", "classical"]
ClassWeighting = Literal["none", "sqrt", "balanced"]
ARGUMENTS = "arguments.json"


class Arguments(BaseModel):
    """What every tuning is told, whatever its task. `docs/benchmarks.md` says what the defaults give."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: Annotated[int, Field(ge=1, le=100)] = 3
    """Passes over the training rows at most; `patience` may end it earlier."""
    learning_rate: Annotated[float, Field(gt=0, le=0.1)] = 1e-3
    """Peak learning rate of the LoRA matrices; linear warm-up, then linear decay."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.06
    """Share of the steps in which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 32
    rank: Annotated[int, Field(ge=1, le=256)] = 16
    """Rank of the LoRA matrices (Hu et al. 2021)."""
    alpha: Annotated[int, Field(ge=1, le=1024)] = 32
    """LoRA scale; an update counts alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout inside LoRA."""
    encoder_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout of the encoder itself, in place of the base's 0.1: drawing it takes a third of a step on a CPU for texts
    of 140 tokens. The sample's triage, macro-F1 on validation after three epochs: .928 with it
    (attention weights apart), .923 without."""
    max_tokens: Annotated[int, Field(ge=8, le=8192)] = 256
    """Longer texts are cut; the runtime cuts at the same length."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 13
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 autocast where the processor multiplies bf16 natively, else fp32."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Epochs without a better figure on validation after which tuning ends. None runs them all: the best epoch is
    kept either way, and with few rows the first epochs are short and often no better than the start."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Threads of torch; None: OMP_NUM_THREADS, else the physical cores this process may use."""
    device: Literal["auto", "cpu"] = "auto"
    """`auto` uses a CUDA device where torch sees one."""


class TuneArguments(Arguments):
    """Every choice that changes the weights of a classifier."""

    task: Annotated[Literal["classify"], Field(exclude=True)] = "classify"
    """Not written: a folder that names no task is a classifier's."""
    head_learning_rate: Annotated[float, Field(gt=0, le=0.1)] = 1e-3
    """Peak learning rate of the head, which starts from a fitted logistic regression."""
    class_weighting: ClassWeighting = "sqrt"
    """Weight of a class in the loss: inverse frequency (balanced), its root, or one."""
    candidates: Annotated[tuple[CandidateName, ...], Field(min_length=1, exclude=True)] = ("tuned", "classical")
    """What may ship; the best on validation does. `tuned` is the frozen base with a light head where no epoch beats it.
    Not written: it changes no weights."""
    lexical_head: Annotated[bool, Field(exclude=True)] = True
    """Whether a linear model of word pieces may stand beside the tuned model (`training.lexical_head`); validation says
    whether it does. Not written, for the same reason."""
    probe_grid: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (0.03, 0.1, 0.3, 1.0)
    """Inverse regularisation strengths tried for the logistic regression; validation chooses."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.probe_grid)) != len(self.probe_grid):
            raise ValueError("probe_grid names a strength twice")
        if len(set(self.candidates)) != len(self.candidates):
            raise ValueError("candidates names one twice")
        return self


class RetrieveArguments(Arguments):
    """Every choice that changes the weights of a retriever."""

    task: Literal["retrieve"] = "retrieve"
    epochs: Annotated[int, Field(ge=1, le=100)] = 2
    learning_rate: Annotated[float, Field(gt=0, le=0.1)] = 1e-3
    """On 1,000 questions to 500 passages of FeedbackQA, nDCG@10 with BM25 of 300 others, before: .786, after one epoch
    with 2e-4: .820, 5e-4: .826, 1e-3: .841; after two 2e-4: .830, 1e-3: .847."""
    batch_size: Annotated[int, Field(ge=2, le=1024)] = 64
    """Pairs whose passages are told apart from each other."""
    train_tokens: Annotated[int, Field(ge=8, le=8192)] = 128
    """Longer texts are cut in training: most of the time goes into passages. `max_tokens` is for everything else."""
    negatives: Annotated[int, Field(ge=0, le=16)] = 1
    """Passages for each pair that BM25 takes for its answer and that are not."""
    pairs_per_passage: Annotated[int, Field(ge=0, le=64)] = 4
    """Headings and sentences that stand for the questions of a passage about which nobody asked."""
    withhold: Annotated[float, Field(ge=0, le=1)] = 0.9
    """How often a heading or sentence is taken out of the passage that it must find (Lee et al. 2019)."""
    scale: Annotated[float, Field(gt=0, le=1000)] = 20.0
    """What cosines are multiplied by before the softmax: the inverse of InfoNCE's temperature."""


def read_arguments(folder: Path) -> TuneArguments | RetrieveArguments:
    """The hyper-parameters of an adapter or merged model folder; a folder that names no task is a classifier's.

    Raises:
        IntegrityError: there are none, or they do not fit this version.
    """
    path = folder / ARGUMENTS
    data = read_json(path)
    retrieves = isinstance(data, dict) and data.get("task") == "retrieve"
    try:
        return (RetrieveArguments if retrieves else TuneArguments).model_validate(data)
    except ValidationError as exc:
        raise IntegrityError(f"{path}: {exc.errors()[0]['msg']}; tune it again") from exc
