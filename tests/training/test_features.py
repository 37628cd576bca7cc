"""Tokens and embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fleet_manifests import IntegrityError, UsageError
from training.bases import ResolvedBase
from training.compute import Compute
from training.features import embed, load_tokenizer, pad, require_length, tokenize
from training.model import load_encoder

pytestmark = pytest.mark.unit

FP32 = Compute("fp32", 1, "cpu")


def test_the_tokenizer_cuts_and_never_pads(base: ResolvedBase) -> None:
    short, long = tokenize(load_tokenizer(base.path, 8), ["pallet", "pallet " * 50])
    assert len(short) == 3
    assert len(long) == 8


@pytest.mark.parametrize("content", ["{", "[]", '{"model": 3}'])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path, 8)


@pytest.mark.parametrize(("longest", "width"), [(3, 8), (8, 8), (9, 16)])
def test_a_batch_is_padded_to_its_longest_in_steps_of_8(longest: int, width: int) -> None:
    ids, mask = pad([[5] * longest, [6]], 0)
    assert ids.tolist() == [[5] * longest + [0] * (width - longest), [6] + [0] * (width - 1)]
    assert mask.tolist() == [[1] * longest + [0] * (width - longest), [1] + [0] * (width - 1)]


def test_more_tokens_than_positions_are_refused(base: ResolvedBase) -> None:
    encoder = load_encoder(base.path)
    require_length(encoder, 64)
    with pytest.raises(UsageError, match="at most 64 for this base, found 65"):
        require_length(encoder, 65)
    encoder.config.max_position_embeddings = 63
    with pytest.raises(UsageError, match="at most 56 for this base, found 57"):
        require_length(encoder, 57)


def test_embeddings_keep_the_order_and_do_not_depend_on_the_batch(base: ResolvedBase) -> None:
    import torch

    encoder = load_encoder(base.path)
    texts = [("pallet wet " * (1 + n % 9)) + "late" * (n % 2) for n in range(70)]
    sequences = tokenize(load_tokenizer(base.path, 32), texts)
    told: list[float] = []
    together = embed(encoder, sequences, FP32, lambda share, what: told.append(share))
    with torch.inference_mode():
        for row in (0, 33, 69):
            ids = torch.tensor([sequences[row]])
            alone = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.mean(1)[0].numpy()
            np.testing.assert_allclose(together[row], alone, atol=1e-5)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_bf16_embeddings_are_close(base: ResolvedBase) -> None:
    encoder = load_encoder(base.path)
    sequences = tokenize(load_tokenizer(base.path, 32), ["pallet wet", "carrier late today"])
    exact, near = embed(encoder, sequences, FP32), embed(encoder, sequences, Compute("bf16", 1, "cpu"))
    assert near.dtype == np.float32
    assert not np.array_equal(exact, near)
    np.testing.assert_allclose(near, exact, atol=0.05)


def test_a_folder_that_is_no_encoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no-such-architecture"}')
    with pytest.raises(IntegrityError, match="expected an encoder that transformers can load"):
        load_encoder(tmp_path)
