"""The rule, its files and its plan: the same bits everywhere, ONNX Runtime's own codes, and no trust in a file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleet_manifests import IntegrityError
from runtimes.derive import (
    Piece,
    Plan,
    Update,
    derive,
    merged,
    quantized,
    read_adapter,
    read_weights,
    rounded,
    write_adapter,
    write_weights,
)
from runtimes.derive.container import write

pytestmark = pytest.mark.unit

SHAPES = {"block.key": (24, 16), "block.query": (24, 16), "block.value": (24, 16), "down": (16, 40)}


def whole_numbers(seed: int, shape: tuple[int, ...], most: int) -> np.ndarray:
    """Numbers from -most to most by arithmetic alone, so that no library can change them."""
    count = int(np.prod(shape))
    mixed = [(seed * 2654435761 + at * 40503 + at * at * 97) % (2 * most + 1) - most for at in range(count)]
    return np.array(mixed, np.int16).reshape(shape)


def weight(seed: int, shape: tuple[int, int]) -> np.ndarray:
    return (whole_numbers(seed, shape, 3000) / np.float32(7001)).astype(np.float32)


def update(seed: int, shape: tuple[int, int], rank: int = 3) -> Update:
    steps = np.array([[0.013 / (k + 1), 0.007] for k in range(rank)], np.float32)
    out, into = shape
    return Update(whole_numbers(seed, (rank, out), 300), whole_numbers(seed + 1, (rank, into), 300), steps)


@pytest.fixture
def files(tmp_path: Path) -> Any:
    base, adapter = tmp_path / "base.bin", tmp_path / "adapter.bin"
    write_weights(base, {name: weight(at, shape) for at, (name, shape) in enumerate(SHAPES.items())})
    write_adapter(adapter, {name: update(at + 50, shape) for at, (name, shape) in enumerate(SHAPES.items())})
    return base, adapter


PLAN = Plan(
    pieces=(
        Piece(kind="codes", layers=("block.query", "block.key", "block.value")),
        Piece(kind="scales", layers=("block.query", "block.key", "block.value")),
        Piece(kind="zeros", count=72),
        Piece(kind="codes", layers=("down",), levels=64),
        Piece(kind="scales", layers=("down",), levels=64),
    )
)
SIZE = 16 * 72 + 72 * 4 + 72 + 40 * 16 + 16 * 4


def test_the_same_inputs_give_the_bytes_of_the_first_day(files: Any, tmp_path: Path) -> None:
    derive(PLAN, *files, tmp_path / "out", SIZE)
    raw = (tmp_path / "out").read_bytes()
    assert len(raw) == SIZE
    assert hashlib.sha256(raw).hexdigest() == "19e94384e06f559fddce9a793d0fa44668e1a46065faf3f550a8510e17883461"


def test_a_file_that_is_written_is_read_again(files: Any) -> None:
    base, adapter = read_weights(files[0]), read_adapter(files[1])
    assert base.layers == sorted(SHAPES) == sorted(adapter.updates)
    for at, (name, shape) in enumerate(SHAPES.items()):
        np.testing.assert_array_equal(base.layer(name), rounded(weight(at, shape)))
        expected, found = update(at + 50, shape), adapter.update(name)
        np.testing.assert_array_equal(found.left, expected.left)
        np.testing.assert_array_equal(found.right, expected.right)
        np.testing.assert_array_equal(found.steps, expected.steps)


@pytest.mark.parametrize("most", [32767, 1, 0])
def test_every_number_survives_its_folding(tmp_path: Path, most: int) -> None:
    numbers = np.array([[-most, most, 0, -1 if most else 0]], np.int16)
    write_adapter(tmp_path / "a", {"one": Update(numbers, numbers[:, ::-1], np.ones((1, 2), np.float32))})
    np.testing.assert_array_equal(read_adapter(tmp_path / "a").update("one").left, numbers)


def test_a_merge_is_base_plus_update() -> None:
    base, change = weight(1, (24, 16)), update(9, (24, 16))
    exact = base.astype(np.float64)
    for left, right, (one, other) in zip(change.left, change.right, change.steps.astype(np.float64), strict=True):
        exact = exact + one * other * np.outer(left.astype(np.float64), right)
    np.testing.assert_allclose(merged(base, change), exact, rtol=1e-6)
    assert merged(base, change).dtype == np.float32


@pytest.mark.parametrize(("levels", "reduce_range"), [(127, False), (64, True)])
def test_the_codes_are_those_of_onnx_runtime(levels: int, reduce_range: bool) -> None:
    from onnx import TensorProto
    from onnxruntime.quantization.quant_utils import quantize_data

    rng = np.random.default_rng(7)
    values = rng.normal(size=(64, 8)).astype(np.float32)
    values[:, 3] = 0
    codes, scales = quantized(values, levels)
    for channel in range(8):
        _, scale, found = quantize_data(values[:, channel], TensorProto.INT8, True, reduce_range)[-3:]
        np.testing.assert_array_equal(codes[:, channel], found)
        assert scales[channel] == scale


@pytest.mark.parametrize("name", ["base", "adapter"])
@pytest.mark.parametrize("cut", [0, 7, 8, 40, 400, -1])
def test_a_file_that_is_cut_is_refused(files: Any, tmp_path: Path, name: str, cut: int) -> None:
    path = files[0] if name == "base" else files[1]
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(IntegrityError):
        derive(PLAN, *files, tmp_path / "out", SIZE)


HEADERS = [
    b"[]", b"{", b'{"a":1}', b'{"high/down":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}',
    b'{"high/down":{"dtype":"U8","shape":[-1],"data_offsets":[0,8]}}',
    b'{"high/down":{"dtype":"U8","shape":[99999999999],"data_offsets":[0,8]}}',
    b'{"high/down":{"dtype":"U8","shape":[4],"data_offsets":[-9,8]}}',
    b'{"high/down":{"dtype":"U8","shape":["x"],"data_offsets":[0,8]}}',
    b"[" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_a_header_that_lies_is_refused(files: Any, tmp_path: Path, header: bytes) -> None:
    files[0].write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    plan = Plan(pieces=(Piece(kind="codes", layers=("down",)),))
    with pytest.raises(IntegrityError):
        derive(plan, *files, tmp_path / "out", SIZE)


def test_a_plan_that_makes_too_much_is_stopped(files: Any, tmp_path: Path) -> None:
    for pieces in ([Piece(kind="zeros", count=1 << 60)], list(PLAN.pieces) * 800):
        with pytest.raises(IntegrityError, match="more than"):
            derive(Plan(pieces=tuple(pieces)), *files, tmp_path / "out", SIZE)
        assert (tmp_path / "out").stat().st_size <= SIZE


@pytest.mark.parametrize("layers", [("unknown",), ("down", "block.key"), ()])
def test_layers_that_do_not_fit_are_refused(files: Any, tmp_path: Path, layers: tuple[str, ...]) -> None:
    plan = Plan(pieces=(Piece(kind="codes", layers=layers),))
    with pytest.raises(IntegrityError):
        derive(plan, *files, tmp_path / "out", 1 << 20)


@pytest.mark.parametrize("told", [{}, {"layers": "[]", "rank": "1"}, {"layers": "[[1]]", "rank": "1"}, {"rank": "x"}])
def test_an_adapter_that_names_no_layers_is_refused(tmp_path: Path, told: dict[str, str]) -> None:
    empty = np.zeros(0, np.uint8)
    write(tmp_path / "a", {"high/0000": empty, "low/0000": empty, "steps": np.zeros((0, 1, 2), np.float32)}, told)
    with pytest.raises(IntegrityError):
        read_adapter(tmp_path / "a")


def test_an_adapter_of_another_base_is_refused(files: Any, tmp_path: Path) -> None:
    write_adapter(files[1], {"down": update(1, (16, 39))})
    with pytest.raises(IntegrityError, match="do not fit"):
        derive(Plan(pieces=(Piece(kind="codes", layers=("down",)),)), *files, tmp_path / "out", SIZE)
