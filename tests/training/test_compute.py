"""How `auto` is resolved, and that a step leaves the process as it found it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from training import compute
from training.arguments import TuneArguments

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("fpu avx2 avx512f avx512_bf16", "bf16"),
        ("fpu avx2 amx_bf16", "bf16"),
        ("asimd bf16 i8mm", "bf16"),
        ("fpu avx2 avx512f avx512_vnni", "fp32"),
        ("", "fp32"),
    ],
)
def test_auto_takes_bf16_only_where_the_processor_has_it(
    flags: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "cpu_flags", lambda: frozenset(flags.split()))
    assert compute.choose(TuneArguments(device="cpu")).precision == precision


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_named_precision_is_obeyed(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "cpu_flags", lambda: frozenset())
    arguments = TuneArguments.model_validate({"device": "cpu", "precision": precision})
    assert compute.choose(arguments).precision == precision


def test_flags_are_read_from_x86_and_arm(tmp_path: Path) -> None:
    x86, arm = tmp_path / "x86", tmp_path / "arm"
    x86.write_text("processor\t: 0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t\t: other\n")
    arm.write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert compute.cpu_flags(x86) == {"fpu", "avx2"}
    assert compute.cpu_flags(arm) == {"fp", "asimd", "bf16"}
    assert compute.cpu_flags(tmp_path / "absent") == frozenset()


def test_threads_follow_the_argument_then_the_environment_then_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert compute.choose(TuneArguments(threads=5)).threads == 5
    assert compute.choose(TuneArguments()).threads == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert 1 <= compute.choose(TuneArguments()).threads <= len(os.sched_getaffinity(0))


def test_threads_and_environment_return_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), compute.held(compute.Compute("bf16", before + 1, "cpu")):
        assert torch.get_num_threads() == before + 1
        os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
        raise RuntimeError
    assert torch.get_num_threads() == before
    assert os.environ["ACCELERATE_MIXED_PRECISION"] == "no"


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"learning_rate": 0.0},
        {"rank": 0},
        {"max_tokens": 4},
        {"lr": 1.0},
        {"probe_grid": [1.0, 1.0]},
        {"probe_grid": []},
        {"class_weighting": "much"},
        {"seed": -1},
        {"learning_rate": float("nan")},
    ],
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        TuneArguments.model_validate(wrong)


def test_arguments_survive_json() -> None:
    arguments = TuneArguments(rank=4, threads=2)
    assert TuneArguments.model_validate_json(arguments.model_dump_json()) == arguments
