from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from evals.fusion import fit_fusion
from evals.questions import Question
from fleet_manifests import DataError

pytestmark = pytest.mark.unit
IDS = [f"p{n}" for n in range(30)]


@dataclass(frozen=True)
class Scores:
    dense: np.ndarray
    lexical: np.ndarray


def scored(signal: float, noise: float, answer: int, rng: np.random.Generator) -> np.ndarray:
    values = rng.normal(size=30) * noise
    values[answer] += signal
    return values.astype(np.float32)


@pytest.mark.parametrize(("dense", "lexical", "low", "high"), [(4, 0, 0.7, 1.0), (0, 4, 0.0, 0.3), (2, 2, 0.3, 0.7)])
def test_the_better_side_gets_the_weight(dense: float, lexical: float, low: float, high: float) -> None:
    rng = np.random.default_rng(5)
    answers = rng.integers(0, 30, 120)
    questions = [Question(id=f"q{n}", text="?", relevant=(IDS[a],)) for n, a in enumerate(answers)]
    found = [Scores(scored(dense, 1, a, rng), scored(lexical, 1, a, rng)) for a in answers]
    assert low <= fit_fusion(questions, found, IDS).dense_weight <= high


def test_where_all_weights_are_as_good_the_mix_is_even() -> None:
    scores = np.arange(30, dtype=np.float32)
    question = Question(id="q", text="?", relevant=("p29",))
    assert fit_fusion([question], [Scores(scores, scores)], IDS).dense_weight == 0.5


def test_without_questions_nothing_is_chosen() -> None:
    with pytest.raises(DataError, match="fusion"):
        fit_fusion([], [], IDS)
