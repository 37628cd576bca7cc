"""Rounding an adapter to what travels, and that a build of it can be derived bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fleet_manifests import sha256_of
from fleet_manifests.updates import ADAPTER_FILE
from runtimes.derive import derive, read_adapter, rounded
from runtimes.derive.adapter import LARGEST
from training.bases import ResolvedBase
from training.compact import compact, write_base

pytestmark = pytest.mark.unit


def product(update: object) -> np.ndarray:
    left, right, steps = update.left, update.right, update.steps.astype(np.float64)  # type: ignore[attr-defined]
    return np.einsum("ko,ki,k->oi", left.astype(np.float64), right.astype(np.float64), steps.prod(axis=1))


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_the_error_is_a_fifth_of_a_percent_of_the_weights_spread(rank: int) -> None:
    rng = np.random.default_rng(rank)
    strengths = 2.0 ** -np.arange(rank)
    left, right = rng.normal(size=(96, rank)) * strengths, rng.normal(size=(rank, 64)) * 0.01
    found = compact(left, right, spread=0.05)
    error = product(found) - left @ right
    assert np.sqrt((error**2).mean()) < 0.0025 * 0.05 * np.sqrt(rank / 16) + 1e-9
    assert found.left.shape == (rank, 96) and found.right.shape == (rank, 64)


def test_weak_components_have_small_numbers() -> None:
    rng = np.random.default_rng(1)
    found = compact(rng.normal(size=(96, 3)) * [1, 0.1, 0.01], rng.normal(size=(3, 64)) * 0.02, spread=0.05)
    largest = np.abs(found.left).max(axis=1)
    assert largest[0] > 4 * largest[1] > 16 * largest[2]


def test_no_update_is_zeros_and_a_strong_one_still_fits() -> None:
    nothing = compact(np.zeros((8, 2)), np.ones((2, 6)), spread=1.0)
    assert not nothing.left.any() and not product(nothing).any()
    strong = compact(np.ones((8, 1)) * 1e6, np.ones((1, 6)), spread=1e-3)
    assert np.abs(strong.left).max() <= LARGEST
    np.testing.assert_allclose(product(strong), 1e6, rtol=1e-3)


def test_bfloat16_is_rounded_as_torch_does() -> None:
    import torch

    values = np.random.default_rng(2).normal(size=10_000).astype(np.float32) * 3
    values[:4] = [1.00390625, 1.01171875, -1.00390625, 0]  # halves: to even
    expected = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(rounded(values), expected)


@pytest.mark.integration
@pytest.mark.parametrize("recipe", ["int8", "int8-reduced-range"])
def test_a_build_is_derived_of_base_and_adapter(
    recipe: str, adapter: Path, base: ResolvedBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quantize import RECIPES, apply, build, export_onnx
    from quantize.derivable import describe
    from quantize.split import split_weights, split_word_embeddings
    from training.merge import merge
    from training.model import load_merged

    monkeypatch.setattr(build, "split_word_embeddings", lambda path: split_word_embeddings(path, least=0))
    monkeypatch.setattr(build, "split_weights", lambda path: split_weights(path, least=1))
    merge(adapter, base, tmp_path / "merged")
    export_onnx(tmp_path / "merged", tmp_path / "onnx", load=load_merged, texts=["pallet wet"], max_tokens=32)
    apply(RECIPES[recipe], tmp_path / "onnx", tmp_path / "build")
    assert (tmp_path / "merged" / ADAPTER_FILE).read_bytes() == (adapter / ADAPTER_FILE).read_bytes()

    write_base(base.path, sorted(read_adapter(adapter / ADAPTER_FILE).updates), tmp_path / "base.bin")
    plan = describe(tmp_path / "build", tmp_path / "base.bin", adapter / ADAPTER_FILE)
    assert plan is not None
    assert {piece.levels for piece in plan.pieces if piece.layers} == {64 if "reduced" in recipe else 127}
    tuned = tmp_path / "build/tuned.bin"
    derive(plan, tmp_path / "base.bin", adapter / ADAPTER_FILE, tmp_path / "out", tuned.stat().st_size)
    assert sha256_of(tmp_path / "out") == sha256_of(tuned)

    raw = bytearray(tuned.read_bytes())
    raw[5] ^= 1
    tuned.write_bytes(raw)
    assert describe(tmp_path / "build", tmp_path / "base.bin", adapter / ADAPTER_FILE) is None
