"""What a caller gets, at once or when asking again."""

from __future__ import annotations

from typing import Literal

from fleet_manifests import Wire
from runtimes.deferrals import CentralAnswer, ProducedBy
from runtimes.edge.outbox import Asked
from runtimes.knowledge.answers import CitedPassage


class Response(Wire):
    """What a caller gets. `deferred`: the centre does not have it yet. `pending`: a person there has it."""

    id: str
    workflow: str
    status: Literal["answered", "deferred", "pending"]
    label: str | None = None
    passages: tuple[CitedPassage, ...] = ()
    """Of a library, verbatim: the answer first, then what disagrees with it."""
    confidence: float | None = None
    reason: str
    produced_by: ProducedBy


def told(asked: Asked, passages: tuple[CitedPassage, ...] = ()) -> Response:
    """A request and its outcome as its caller hears of it.

    Args:
        asked: the request.
        passages: those that it was answered with, as far as they are still here.
    """
    body, answer = asked.record.body, asked.answer
    if answer is not None and asked.state in ("answered", "pending"):
        return _by_centre(asked, answer)
    answered = body["status"] == "answered"
    reason = body["reason"]
    if asked.state == "recorded":
        reason += "; the text may not leave this site, so the centre has a record only: ask a person here"
    elif asked.state == "refused":
        reason += f"; the centre does not take it: {asked.problem}"
    elif asked.state == "queued":
        reason += "; it waits for the centre"
    elif missing := len(body.get("passages", ())) - len(passages):
        reason += f"; the library has changed since and {missing} of its passages cannot be shown again: ask anew"
    return Response(
        id=asked.record.id,
        workflow=body["workflow"],
        status="answered" if answered else "deferred",
        label=body.get("label") if answered else None,
        passages=passages,
        confidence=body.get("confidence"),
        reason=reason,
        produced_by=ProducedBy.model_validate(body["produced_by"]),
    )


def _by_centre(asked: Asked, answer: CentralAnswer) -> Response:
    """What the centre made of a deferred request."""
    return Response(
        id=asked.record.id,
        workflow=asked.record.body["workflow"],
        status="answered" if answer.status == "answered" else "pending",
        label=answer.label,
        passages=answer.passages,
        confidence=answer.confidence,
        reason=f"the site deferred: {asked.record.body['reason']}; the centre: {answer.reason}",
        produced_by=answer.produced_by,
    )
