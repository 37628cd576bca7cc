"""From what was found to what a site says: cited passages, or why the question is deferred. Pure: no clock, no disk.

The first hit decides. Where it is not in force, too old, or found with too little
confidence, the question is deferred; the next hit never takes its place, because the
confidence is about the first. Search with `on=today` and passages that are not in force are
passed over before that.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field

from fleet_manifests import DataClass, Guardrails, Passage, Wire
from runtimes.engine.guard import decide
from runtimes.knowledge.search import Found, in_force

Code = Literal["confident", "below_threshold", "below_minimum", "nothing_found", "not_in_force", "too_old"]


class CitedPassage(Wire):
    """A passage as it is given: verbatim, and where it stands."""

    id: str
    document: str
    title: str
    revision: str = ""
    section: tuple[str, ...] = ()
    page: int | None = None
    owner: str = ""
    effective_from: date | None = None
    review_by: date | None = None
    data_class: DataClass = DataClass.INTERNAL
    text: str
    stale: bool = False
    """Past `review_by`: it holds, but its owner should have looked at it."""
    disagrees: bool = False
    """Of another document than the answer, and states something else about the same matter."""

    @classmethod
    def of(cls, passage: Passage, today: date, *, disagrees: bool = False) -> Self:
        """Cite a passage."""
        shared = passage.model_dump(include=set(cls.model_fields))
        return cls(**shared, stale=days_overdue(passage, today) > 0, disagrees=disagrees)


class WithheldPassage(Wire):
    """A passage that answers but may no longer be given; its text stays out."""

    id: str
    document: str
    title: str
    revision: str = ""
    section: tuple[str, ...] = ()
    owner: str = ""
    review_by: date | None = None
    reason: str


class KnowledgeAnswer(Wire):
    """What a site says to a question."""

    answered: bool
    code: Code
    reason: str
    """A sentence for people."""
    confidence: Annotated[float, Field(ge=0, le=1)]
    citations: tuple[CitedPassage, ...] = ()
    """The answer, then the passages of other documents that disagree with it; empty when deferred."""
    further: tuple[CitedPassage, ...] = ()
    """What else was found, best first."""
    withheld: tuple[WithheldPassage, ...] = ()

    @property
    def outcome(self) -> Literal["answered", "deferred"]:
        """The word that the API and the audit trail use."""
        return "answered" if self.answered else "deferred"


def answer(found: Found, today: date, *, threshold: float, guardrails: Guardrails | None = None) -> KnowledgeAnswer:
    """Give the passages found, or defer.

    Args:
        found: what `Pack.search` returned, best with `on=today`.
        today: the day of the question.
        threshold: the pack's defer threshold, chosen on validation questions for a stated precision.
        guardrails: the workflow's, which hold whichever pack answers; None: no more than the threshold.

    Raises:
        ValueError: a confidence or threshold outside of 0 to 1.
    """
    rules = guardrails or Guardrails()
    if not found.hits:
        reason = f"all passages found are not in force on {today}: replaced, or not effective yet"
        return _deferred(found, "nothing_found", reason)
    decision = decide(found, threshold, minimum_confidence=rules.minimum_confidence)
    if not decision.answered:
        return _deferred(found, decision.code, f"the library does not seem to answer this: {decision.reason}")
    first, *rest = (hit.passage for hit in found.hits)
    if not in_force(first, today):
        return _deferred(
            found, "not_in_force", f"{cited(first)} is not in force on {today}; ask its owner{_who(first)}"
        )
    if why := too_old(first, today, rules.max_knowledge_age_days):
        return _deferred(found, "too_old", f"{cited(first)} answers but {why}", (_withheld(first, why),))
    return _given(found, first, rest, today, rules.max_knowledge_age_days)


def too_old(passage: Passage, today: date, max_age_days: int | None) -> str:
    """Why a passage may no longer be given, as the end of a sentence; empty: it may.

    Args:
        passage: a passage in force.
        today: the day of the question.
        max_age_days: days after `review_by` from which it is withheld; None: it never is.
    """
    overdue = days_overdue(passage, today)
    if max_age_days is None or overdue <= 0 or overdue < max_age_days:
        return ""
    return (
        f"its review was due on {passage.review_by}, {overdue} days ago, and passages are given until "
        f"{max_age_days} days after; ask its owner{_who(passage)}"
    )


def days_overdue(passage: Passage, today: date) -> int:
    """Days since the review was due; 0 or less: not due yet, or never."""
    return 0 if passage.review_by is None else (today - passage.review_by).days


def cited(passage: Passage) -> str:
    """A passage in a sentence: `WH-017 revision 4, Putaway > Before you start`."""
    revision = f" revision {passage.revision}" if passage.revision else ""
    return f"{passage.document}{revision}, {passage.heading}"


def _given(
    found: Found, first: Passage, rest: Iterable[Passage], today: date, max_age_days: int | None
) -> KnowledgeAnswer:
    """The answer, what disagrees with it, and what else was found."""
    rest = list(rest)
    others = {passage.id: passage for passage in (*found.disagreeing, *rest)}
    against = [others[name] for name in first.disagrees_with if name in others]
    against = [passage for passage in against if passage.document != first.document]
    further = [passage for passage in rest if passage not in against]
    withheld: list[WithheldPassage] = []

    def givable(passages: Iterable[Passage], *, disagrees: bool) -> Iterable[CitedPassage]:
        for passage in passages:
            if not in_force(passage, today):
                continue
            if why := too_old(passage, today, max_age_days):
                withheld.append(_withheld(passage, why))
            else:
                yield CitedPassage.of(passage, today, disagrees=disagrees)

    citations = (CitedPassage.of(first, today), *givable(against, disagrees=True))
    more = tuple(givable(further, disagrees=False))
    reason = f"{cited(first)} answers with confidence {found.confidence:.3f}"
    if len(citations) > 1:
        documents = sorted({one.document for one in citations[1:]})
        reason += f"; {' and '.join(documents)} {'states' if len(documents) == 1 else 'state'} something else"
    return KnowledgeAnswer(
        answered=True,
        code="confident",
        reason=reason,
        confidence=found.confidence,
        citations=citations,
        further=more,
        withheld=tuple(withheld),
    )


def _deferred(found: Found, code: Code, reason: str, withheld: tuple[WithheldPassage, ...] = ()) -> KnowledgeAnswer:
    """Nothing is given."""
    return KnowledgeAnswer(answered=False, code=code, reason=reason, confidence=found.confidence, withheld=withheld)


def _withheld(passage: Passage, why: str) -> WithheldPassage:
    """What may be said of a passage that is not given."""
    shared = passage.model_dump(include=set(WithheldPassage.model_fields))
    return WithheldPassage(**shared, reason=why)


def _who(passage: Passage) -> str:
    """The owner in brackets, where there is one."""
    return f" ({passage.owner})" if passage.owner else ""
