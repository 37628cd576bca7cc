"""Hyper-parameters: what they refuse, how they are written, and read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fleet_manifests import IntegrityError
from training.arguments import RetrieveArguments, TuneArguments, read_arguments

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("arguments", [TuneArguments(epochs=7), RetrieveArguments(negatives=0, seed=1)])
def test_what_is_written_is_read_again(arguments: TuneArguments | RetrieveArguments, tmp_path: Path) -> None:
    (tmp_path / "arguments.json").write_text(json.dumps(arguments.model_dump(mode="json")))
    found = read_arguments(tmp_path)
    assert found == arguments
    assert type(found) is type(arguments)


def test_a_classifiers_arguments_are_written_as_before_there_were_other_tasks() -> None:
    assert "task" not in TuneArguments().model_dump(mode="json")
    assert RetrieveArguments().model_dump(mode="json")["task"] == "retrieve"


@pytest.mark.parametrize(
    "given",
    [
        {"task": "classify", "negatives": 1},
        {"task": "retrieve", "head_learning_rate": 0.1},
        {"task": "generate"},
        {"task": 3},
        ["retrieve"],
        "retrieve",
    ],
)
def test_what_fits_no_task_is_refused(given: Any, tmp_path: Path) -> None:
    (tmp_path / "arguments.json").write_text(json.dumps(given))
    with pytest.raises(IntegrityError, match=r"arguments\.json: .*; tune it again"):
        read_arguments(tmp_path)


@pytest.mark.parametrize(
    "given",
    [{"batch_size": 1}, {"scale": 0}, {"withhold": 1.5}, {"negatives": -1}, {"learning_rate": float("nan")},
     {"pairs_per_passage": 65}, {"train_tokens": 4}, {"class_weighting": "sqrt"}],
)  # fmt: skip
def test_values_outside_their_range_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RetrieveArguments(**given)


def test_a_probe_strength_is_tried_once() -> None:
    with pytest.raises(ValidationError, match="names a strength twice"):
        TuneArguments(probe_grid=(0.1, 0.1))
