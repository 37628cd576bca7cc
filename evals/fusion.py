"""The weight with which dense and lexical scores are added, chosen on validation questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from evals.questions import Question
from evals.ranking import per_question
from fleet_manifests import DataError, Fusion

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID = tuple(round(step * 0.05, 2) for step in range(21))
"""Weights of the dense score that are tried."""

DEPTH = 10
"""Places that the figure of merit, nDCG@10, looks at."""


class Scored(Protocol):
    """The z-scores of one question over the whole library."""

    @property
    def dense(self) -> NDArray[np.float32]:
        """[passages] of the embeddings."""

    @property
    def lexical(self) -> NDArray[np.float32]:
        """[passages] of BM25."""


def fit_fusion(questions: Sequence[Question], scored: Sequence[Scored], ids: Sequence[str]) -> Fusion:
    """The weight with the highest nDCG@10; of equal ones the nearest to an even mix, then the denser.

    Args:
        questions: that the library answers.
        scored: what each question scored, in the same order.
        ids: the passage of each score.

    Raises:
        DataError: no question.
    """
    if not questions or len(questions) != len(scored):
        raise DataError(f"fusion: expected a score of each of {len(questions)} questions, found {len(scored)}")
    relevant = {question.id: question.relevant for question in questions}
    found = []
    for weight in GRID:
        rankings = {
            question.id: _best(weight * one.dense + (1 - weight) * one.lexical, ids)
            for question, one in zip(questions, scored, strict=True)
        }
        figure = round(float(per_question(rankings, relevant)["ndcg_at_10"].mean()), 6)
        found.append((figure, -abs(weight - 0.5), weight))
    return Fusion(dense_weight=max(found)[2])


def _best(scores: NDArray[np.float32], ids: Sequence[str]) -> list[str]:
    """The passages with the highest scores, best first, ties by id."""
    few = min(DEPTH, len(scores))
    top = np.argpartition(-scores, few - 1)[:few]
    return [ids[place] for place in sorted(top, key=lambda place: (-scores[place], ids[place]))]
