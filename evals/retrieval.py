"""What a retriever finds in a library, through the very search that sites run, against references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evals.accuracy import require_profile
from evals.disturbances import disturbed
from evals.figures import figures, robustness
from evals.observed import Observed
from evals.questions import Question, read_questions, read_unanswered
from evals.ranking import Rankings
from evals.robustness import DISTURBED, Robustness
from evals.searches import RetrievalPolicy, Searched, fit_searched, search_vectors, sure
from fleet_manifests import (
    AccuracyReport,
    BundleConfig,
    Gate,
    HardwareProfile,
    Machine,
)

if TYPE_CHECKING:
    from runtimes.knowledge import Pack


def cases(corpus: Path) -> dict[str, list[str]]:
    """The texts that a measurement embeds, by split: validation and test questions, answered ones, disturbed, others.

    Raises:
        DataError: a split cannot be read.
    """
    found = {split: read_questions(corpus, split).questions for split in ("validation", "test")}
    found |= {split: read_unanswered(corpus, split) for split in ("oos_validation", "oos_test")}
    texts = {split: [one.text for one in questions] for split, questions in found.items() if questions}
    return texts | {DISTURBED: list(disturbed(texts["test"]).texts)}


def disturbed_questions(questions: Sequence[Question]) -> tuple[Question, ...]:
    """The same questions with disturbed texts; those of `cases`, in their order."""
    changed = disturbed([question.text for question in questions])
    return tuple(
        questions[place].model_copy(update={"text": text, "slices": {"disturbance": kind}})
        for place, kind, text in zip(changed.places, changed.kinds, changed.texts, strict=True)
    )


def measure(
    bundle: Path,
    corpus: Path,
    *,
    pack: Pack,
    documents: Mapping[str, str],
    profile: HardwareProfile,
    bundle_digest: str,
    references: Mapping[str, Rankings],
    policy: RetrievalPolicy,
    taken: datetime,
    machine: Machine,
    on_disturbed: Rankings | None = None,
    more: Sequence[Gate] = (),
) -> AccuracyReport:
    """Embed the questions of `cases` in this process, and judge what is found with them; see `judge`.

    Raises:
        UsageError: the bundle is for another profile.
        DataError: a split cannot be used.
        IntegrityError: the bundle does not load.
    """
    from runtimes.engine import load_embedder

    embedder = load_embedder(bundle)
    require_profile(embedder.config.profile, profile)
    outputs = {split: embedder.embeddings(texts) for split, texts in cases(corpus).items()}
    return judge(
        embedder.config,
        corpus,
        Observed(outputs, machine, taken),
        pack=pack,
        documents=documents,
        profile=profile,
        bundle_digest=bundle_digest,
        references=references,
        policy=policy,
        on_disturbed=on_disturbed,
        more=more,
    )


def judge(
    config: BundleConfig,
    corpus: Path,
    observed: Observed,
    *,
    pack: Pack,
    documents: Mapping[str, str],
    profile: HardwareProfile,
    bundle_digest: str,
    references: Mapping[str, Rankings],
    policy: RetrievalPolicy,
    on_disturbed: Rankings | None = None,
    more: Sequence[Gate] = (),
) -> AccuracyReport:
    """The report of the embeddings that a retriever gave for the questions of `cases`, wherever it ran.

    Confidence and threshold are those that validation questions choose for this bundle in this library;
    in the packs that sites get they are chosen anew.

    Args:
        config: what the bundle says of itself.
        corpus: folder of the corpus.
        observed: embeddings of the questions.
        pack: the frozen library, indexed.
        documents: the document of each passage, for the slices.
        profile: what the bundle was built for.
        bundle_digest: what the report is about.
        references: rankings of the test questions per reference model.
        policy: metric, floor, margin and statistics.
        on_disturbed: what the unquantized model finds for the disturbed questions; None: it was not asked.
        more: gates that were decided elsewhere.

    Raises:
        UsageError: the bundle is for another profile.
        DataError: a split cannot be used.
        IntegrityError: the observations are not of this corpus.
    """
    require_profile(config.profile, profile)

    def asked(questions: Sequence[Question], split: str) -> Searched:
        vectors = observed.of(split, len(questions)) if questions else np.empty((0, config.dimension or 0), np.float32)
        return search_vectors(pack, vectors, questions)

    chosen_on = read_questions(corpus, "validation").questions
    outside = read_unanswered(corpus, "oos_validation")
    fitted = fit_searched(asked(chosen_on, "validation"), asked(outside, "oos_validation"), policy)
    split, unanswered = read_questions(corpus, "test"), read_unanswered(corpus, "oos_test")
    found = figures(
        sure(asked(split.questions, "test"), fitted.relevance),
        sure(asked(unanswered, "oos_test"), fitted.relevance) if unanswered else None,
        references=references,
        documents=documents,
        threshold=fitted.threshold,
        policy=policy,
    )
    robust = Robustness()
    if DISTURBED in observed.outputs:
        changed = disturbed_questions(split.questions)
        robust = robustness(asked(changed, DISTURBED), on_disturbed, policy)
    return AccuracyReport(
        **observed.heading(config, profile, bundle_digest, [*found.gates, *robust.gates, *more]),
        metrics=(*found.metrics, *robust.metrics),
        split=split.ref,
        comparisons=found.comparisons,
        out_of_scope=found.out_of_scope,
        reliability=found.reliability,
        risk=found.risk,
        slices=found.slices,
        flips=found.flips,
        robustness=robust.slices,
    )
