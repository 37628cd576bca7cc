"""Embeddings of the frozen base that a tuning and a baseline share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fleet_manifests import IntegrityError, UsageError
from training.adapters import with_lora
from training.arguments import TuneArguments
from training.baselines import fit_baselines
from training.bases import ResolvedBase
from training.finetune import finetune
from training.frozen import EMBEDDINGS, embed_frozen
from training.model import build, load_encoder

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def frozen(
    corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("frozen") / "out"
    embed_frozen(corpus, base, arguments, out)
    return out


def test_there_is_a_row_for_every_text(frozen: Path, corpus: Path) -> None:
    lines = sum(len((corpus / f"{split}.jsonl").read_text().splitlines()) for split in ("train", "validation", "test"))
    found = np.load(frozen / EMBEDDINGS)
    assert found.shape == (lines, 32) and found.dtype == np.float32


def test_a_tuning_starts_from_the_same_probe_with_them(
    frozen: Path, corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path: Path
) -> None:
    given = finetune(corpus, base, arguments, tmp_path / "given", frozen=frozen)
    made = finetune(corpus, base, arguments, tmp_path / "made")
    assert given.strength == made.strength
    assert given.epochs[0].macro_f1 == pytest.approx(made.epochs[0].macro_f1)
    assert given.epochs[0].loss == pytest.approx(made.epochs[0].loss, abs=5e-3)


def test_the_baselines_are_the_same_with_them(
    frozen: Path, corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path: Path
) -> None:
    fit_baselines(corpus, base, tmp_path / "given", arguments, frozen=frozen)
    fit_baselines(corpus, base, tmp_path / "made", arguments)
    given, made = (json.loads((tmp_path / name / "scores.json").read_text()) for name in ("given", "made"))
    assert given == made


@pytest.mark.parametrize(
    ("content", "what"),
    [(np.zeros((3, 32), np.float32), "of another corpus"), (np.zeros((3, 32)), "expected float32"), (None, "embed it")],
)
def test_those_of_another_corpus_are_refused(
    content: np.ndarray | None, what: str, corpus: Path, base: ResolvedBase, arguments: TuneArguments, tmp_path: Path
) -> None:
    if content is None:
        (tmp_path / EMBEDDINGS).write_bytes(b"torn")
    else:
        np.save(tmp_path / EMBEDDINGS, content)
    with pytest.raises(IntegrityError, match=what):
        finetune(corpus, base, arguments, tmp_path / "out", frozen=tmp_path)
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(frozen: Path, corpus: Path, base: ResolvedBase, arguments: TuneArguments) -> None:
    with pytest.raises(UsageError):
        embed_frozen(corpus, base, arguments, frozen)


@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_the_dropout_of_the_encoder_is_the_one_asked_for(base: ResolvedBase, rate: float) -> None:
    from torch import nn

    model = with_lora(build(load_encoder(base.path), 3), TuneArguments(encoder_dropout=rate), whole=("head",))
    found = {module.p for module in model.modules() if isinstance(module, nn.Dropout)}
    assert found == {rate}
