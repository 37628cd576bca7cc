"""The hyper-parameters of a tuning; they are saved beside the weights."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ClassWeighting = Literal["none", "sqrt", "balanced"]


class TuneArguments(BaseModel):
    """Every choice that changes the weights. `docs/benchmarks.md` says what the defaults give."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: Annotated[int, Field(ge=1, le=100)] = 3
    """Passes over the training rows at most; `patience` may end it earlier."""
    learning_rate: Annotated[float, Field(gt=0, le=0.1)] = 1e-3
    """Peak learning rate of the LoRA matrices; linear warm-up, then linear decay."""
    head_learning_rate: Annotated[float, Field(gt=0, le=0.1)] = 1e-3
    """Peak learning rate of the head, which starts from a fitted logistic regression."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.06
    """Share of the steps in which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 32
    rank: Annotated[int, Field(ge=1, le=256)] = 16
    """Rank of the LoRA matrices (Hu et al. 2021)."""
    alpha: Annotated[int, Field(ge=1, le=1024)] = 32
    """LoRA scale; an update counts alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout inside LoRA. The encoder's own dropout stays on; more costs 20 % of the time on a CPU."""
    max_tokens: Annotated[int, Field(ge=8, le=8192)] = 256
    """Longer texts are cut; the runtime cuts at the same length."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 13
    class_weighting: ClassWeighting = "sqrt"
    """Weight of a class in the loss: inverse frequency (balanced), its root, or one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 autocast where the processor multiplies bf16 natively, else fp32."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Epochs without a better macro-F1 on validation after which tuning ends. None runs them all: the best epoch is
    kept either way, and with few rows the first epochs are short and often no better than the probe."""
    probe_grid: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (0.03, 0.1, 0.3, 1.0)
    """Inverse regularisation strengths tried for the logistic regression; validation chooses."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Threads of torch; None: OMP_NUM_THREADS, else the physical cores this process may use."""
    device: Literal["auto", "cpu"] = "auto"
    """`auto` uses a CUDA device where torch sees one."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.probe_grid)) != len(self.probe_grid):
            raise ValueError("probe_grid names a strength twice")
        return self
