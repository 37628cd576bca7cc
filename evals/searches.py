"""Asking a pack many questions, as a site would, and how sure such a search may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from evals.policy import Policy
from evals.questions import Question
from evals.ranking import RankingMetric
from evals.relevance import Fitted, fit_relevance
from fleet_manifests import ConfigError, Relevance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from runtimes.engine import Embedder
    from runtimes.knowledge import Pack


@dataclass(frozen=True)
class RetrievalPolicy(Policy):
    """What a workflow asks of the rankings of its builds."""

    metric: RankingMetric = "ndcg_at_10"
    """The metric that floor and margin are about."""
    target_precision: float = 0.9
    """Share of the answered questions whose first passage must answer."""

    what: ClassVar[str] = "retrieval policy"

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        super().__post_init__()
        if self.metric not in ("ndcg_at_10", "recall_at_5", "mrr"):
            raise ConfigError(f"retrieval policy: metric: expected ndcg_at_10, recall_at_5 or mrr, found {self.metric}")
        if self.margin == 1:
            raise ConfigError(f"retrieval policy: margin: expected more than 0 and less than 1, found {self.margin}")


@dataclass(frozen=True)
class Searched:
    """What a search gave for each question, in their order."""

    questions: tuple[Question, ...]
    rankings: dict[str, tuple[str, ...]]
    """Passage ids, best first, by question id."""
    features: tuple[dict[str, float], ...]
    confidence: NDArray[np.float64]
    """[n] how sure the search is that its first passage answers."""
    lexical: dict[str, tuple[str, ...]]
    """Passage ids by BM25 alone, by question id."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """[n] whether the first passage answers."""
        firsts = [self.rankings[one.id][:1] for one in self.questions]
        hits = [bool(set(first) & set(one.relevant)) for first, one in zip(firsts, self.questions, strict=True)]
        return np.array(hits, dtype=bool)


def search_all(pack: Pack, embedder: Embedder, questions: Sequence[Question]) -> Searched:
    """Ask a pack every question, as a site would.

    Raises:
        IntegrityError: the retriever gives vectors that are not finite.
    """
    return search_vectors(pack, embedder.embeddings([question.text for question in questions]), questions)


def search_vectors(pack: Pack, vectors: NDArray[np.float32], questions: Sequence[Question]) -> Searched:
    """The same of embeddings that were made, [questions, dimension]."""
    rankings: dict[str, tuple[str, ...]] = {}
    lexical: dict[str, tuple[str, ...]] = {}
    features, confidence = [], []
    for vector, question in zip(vectors, questions, strict=True):
        found = pack.search(vector, question.text)
        ranked = pack.rankings(vector, question.text)
        rankings[question.id], lexical[question.id] = ranked.fused, ranked.lexical
        features.append(dict(found.features))
        confidence.append(found.confidence)
    return Searched(tuple(questions), rankings, tuple(features), np.array(confidence, dtype=np.float64), lexical)


def fit_searched(asked: Searched, outside: Searched, policy: RetrievalPolicy) -> Fitted:
    """How sure a search may be, as searches of validation questions say, answered ones and others."""
    right = np.concatenate([asked.right, np.zeros(len(outside.questions), dtype=bool)])
    return fit_relevance(
        [*asked.features, *outside.features],
        right,
        np.arange(len(right)) < len(asked.questions),
        policy.target_precision,
        confidence=policy.confidence,
        seed=policy.seed,
    )


def sure(found: Searched, relevance: Relevance) -> Searched:
    """The searches with the confidence of another relevance model."""
    return replace(found, confidence=np.array([relevance.confidence(one) for one in found.features]))
