from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fleet_manifests import BundleConfig, Calibration, IntegrityError
from fleet_manifests.bundle import NEIGHBOURS
from runtimes.engine import Confidence, load, load_confidence
from runtimes.engine.confidence import softmax, unit

pytestmark = pytest.mark.unit
LINE = ((0.0, 0.0), (1.0, 1.0))
ROWS = np.array([[4.0, 0.0, 0.0], [0.0, 3.0, 3.0], [-9.0, -9.0, -8.0]])


def test_the_probability_is_the_softmax_at_a_temperature() -> None:
    found = Confidence(Calibration(temperature=2.0)).of(ROWS)
    np.testing.assert_allclose(found, softmax(ROWS, 2.0).max(axis=1))
    assert Confidence(Calibration()).of(ROWS[0]).shape == ()


def test_a_curve_maps_the_score_and_is_level_beyond_its_ends() -> None:
    curve = ((0.5, 0.2), (0.9, 0.6))
    found = Confidence(Calibration(curve=curve)).of(np.array([[0.0, 0.0], [9.0, 0.0], [np.log(7 / 3), 0.0]]))
    np.testing.assert_allclose(found, [0.2, 0.6, 0.4])


def test_energy_is_the_log_of_the_sum_and_does_not_overflow() -> None:
    confidence = Confidence(Calibration(score="energy", curve=LINE))
    np.testing.assert_allclose(confidence.score(ROWS), np.log(np.exp(ROWS).sum(axis=1)))
    assert confidence.score(np.array([1000.0, 0.0])) == 1000.0


def test_neighbours_are_the_nearest_by_direction() -> None:
    known = unit(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])).astype(np.float16)
    two = Confidence(Calibration(score="neighbours", nearest=2, curve=LINE), known)
    np.testing.assert_allclose(two.score(np.array([5.0, 0.0])), (1 + 2**-0.5) / 2, atol=1e-3)
    every = Confidence(Calibration(score="neighbours", nearest=200, curve=LINE), known)
    np.testing.assert_allclose(every.score(np.array([5.0, 0.0])), (1 + 2**-0.5) / 3, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"score": "energy"}, "score energy needs a curve"),
        ({"score": "odds"}, "score"),
        ({"curve": ((0.5, 0.1), (0.5, 0.2))}, "must rise"),
        ({"curve": ((0.5, 0.3), (0.6, 0.2))}, "must rise"),
        ({"curve": ((0.5, 1.2),)}, "less than or equal to 1"),
        ({"nearest": 0}, "nearest"),
    ],
)
def test_what_is_no_calibration(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Calibration(**changes)


@pytest.fixture
def near(config: BundleConfig) -> BundleConfig:
    calibration = Calibration(score="neighbours", curve=((-1.0, 0.1), (1.0, 0.9)), nearest=2)
    return config.model_copy(update={"calibration": calibration, "neighbours": NEIGHBOURS})


def test_a_bundle_with_neighbours_answers_with_their_confidence(bundle: Any, near: BundleConfig) -> None:
    folder: Path = bundle(near)
    known = np.eye(3, dtype=np.float16)
    np.save(folder / NEIGHBOURS, known)
    engine = load(folder)
    answer = engine.classify("late truck")
    expected = Confidence(near.calibration, known).of(engine.logits(["late truck"])[0])
    assert answer.confidence == pytest.approx(float(expected)) and 0.1 < answer.confidence < 0.9
    assert dict(answer.scores)[answer.label] != answer.confidence
    assert NEIGHBOURS in near.files


def test_neighbours_and_their_score_come_together(config: BundleConfig, near: BundleConfig) -> None:
    for wrong in (near.model_copy(update={"neighbours": None}), config.model_copy(update={"neighbours": NEIGHBOURS})):
        with pytest.raises(ValidationError, match="come together"):
            BundleConfig.model_validate(wrong.model_dump())


@pytest.mark.parametrize(
    "rows",
    [
        np.eye(4, dtype=np.float16),
        np.eye(3, dtype=np.float32),
        np.eye(3, dtype=np.float16) * np.float16(np.nan),
        np.empty((0, 3), np.float16),
        np.ones(3, np.float16),
    ],
)
def test_neighbours_of_another_model_are_refused(bundle: Any, near: BundleConfig, rows: np.ndarray) -> None:
    folder: Path = bundle(near)
    np.save(folder / NEIGHBOURS, rows)
    with pytest.raises(IntegrityError, match=r"expected finite float16 \[rows, 3\]"):
        load_confidence(folder, near)


def test_a_file_of_neighbours_that_is_none_is_refused(bundle: Any, near: BundleConfig) -> None:
    folder: Path = bundle(near)
    with pytest.raises(IntegrityError, match=r"no file 'neighbours.npy'"):
        load(folder)
    np.save(folder / NEIGHBOURS, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(IntegrityError, match="expected an array of neighbours"):
        load(folder)
