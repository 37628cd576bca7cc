"""The site: answers a request with the active bundle, or defers it and says why.

    >>> site = Site(state)
    >>> site.answer("exception_triage", "short 3 cs, seal broken").status
    'answered'

Every request is written to the outbox before its answer is given. A request that the site
defers is durable first, then offered to the centre for a moment, then delivered in the
background; `Site.request` tells what became of it.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from fleet_manifests import IntegrityError, LadingError, RefusedError, Task, UsageError
from runtimes import tokens
from runtimes.deferrals import MAX_CHARACTERS, MAX_REASON, RequestId
from runtimes.edge.flush import Courier
from runtimes.edge.line import HttpLine, Line
from runtimes.edge.outbox import Asked, Outbox, Waiting
from runtimes.edge.response import Response, told
from runtimes.knowledge.answers import CitedPassage, KnowledgeAnswer
from runtimes.ledger import Record
from runtimes.problems import ConflictError, ForbiddenError, NotFoundError
from runtimes.serving import Serving, check_length, producer
from runtimes.sync.active import Active, ActiveWorkflow

if TYPE_CHECKING:
    from runtimes.engine import Answer, Engine

log = logging.getLogger("lading.edge")

OUTBOX_FILE = "outbox.db"
TOKEN_FILE = "central-token"

_REQUEST_ID: TypeAdapter[str] = TypeAdapter(RequestId)


class Site:
    """One site's core, without HTTP.

    Args:
        state: the state folder that sync writes; the outbox lives beside it.
        load: makes an engine of a bundle's folder; None takes `runtimes.engine.load`.
        connect: makes the line to the centre of a base URL and a token.
        patience: seconds that a caller waits for the centre to answer in the site's place.
        clock: the present moment, UTC.

    Raises:
        StorageError: the outbox cannot be opened.
    """

    def __init__(
        self,
        state: Path,
        *,
        load: Callable[[Path], Engine] | None = None,
        connect: Callable[[str, str], Line] = HttpLine,
        patience: float = 2.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Open the outbox; engines are loaded when first asked."""
        self.state = state
        self.serving = Serving(state, load)
        self.outbox = Outbox(state / OUTBOX_FILE)
        self.courier = Courier(self.outbox, self._line)
        self._connect, self._patience, self._clock = connect, patience, clock
        self._connecting = threading.Lock()
        self._connected: tuple[tuple[str, str], Line] | None = None

    def close(self) -> None:
        """Close the line and the outbox."""
        if self._connected is not None:
            self._connected[1].close()
        self.outbox.close()

    def warm_up(self) -> None:
        """Load what is active, so that the first request does not wait; a failure shows when it is asked."""
        try:
            active = self.serving.active()
            for workflow in active.workflows:
                self.serving.warm(active, workflow)
        except LadingError as exc:
            log.warning("warm-up: %s", exc)

    def answer(self, workflow: str, text: str, *, role: str | None = None, request_id: str | None = None) -> Response:
        """Answer one request; the same id with the same request again tells what became of the first.

        Raises:
            UsageError, TooLargeError: the text or the id cannot be used.
            NotFoundError: the workflow does not run here.
            ForbiddenError: the role may not ask.
            ConflictError: the id was used for another request.
            UnavailableError: no version is active.
            StorageError: the request cannot be recorded; it is not answered then.
        """
        request_id = _checked_id(request_id)
        _check_text(text)
        _check_unicode("role", role or "")
        if request_id is not None and (earlier := self.outbox.find(request_id)):
            return self._again(earlier, workflow, text)
        active = self.serving.active()
        entry = active.stopped.get(workflow) or self.serving.entry(active, workflow)
        self._check_role(entry, workflow, role)
        check_length(text, min(entry.guardrails.max_characters, MAX_CHARACTERS))
        line = self._decide(active, workflow, entry, text) | {"role": role, "text": self.outbox.digest(text)}
        try:
            return self._keep(request_id, entry, text, line)
        except ConflictError:
            earlier = self.outbox.find(request_id)
            if earlier is None:
                raise
            return self._again(earlier, workflow, text)

    def request(self, request_id: str) -> Response:
        """What became of a request.

        Raises:
            NotFoundError: no request of that id was made here.
        """
        found = self.outbox.find(request_id)
        if found is None:
            raise NotFoundError(f"request {request_id!r} was not made at this site")
        return self._told(found)

    def offline(self, active: Active) -> str | None:
        """Why the active version is too old to answer by itself, or None."""
        age = self._clock() - active.seen
        if age <= timedelta(hours=active.max_offline_hours):
            return None
        hours = age.total_seconds() / 3600
        return f"the repository was not seen for {hours:.0f} hours; this version answers for {active.max_offline_hours}"

    def _check_role(self, entry: ActiveWorkflow, workflow: str, role: str | None) -> None:
        """Refuse a role that the manifest does not name, and write down that it asked."""
        if entry.roles and role not in entry.roles:
            found = "none was given" if role is None else f"found {role!r}"
            problem = f"role: workflow {workflow} answers to {', '.join(entry.roles)}; {found}"
            self.outbox.exception(uuid.uuid4().hex, {"workflow": workflow, "problem": problem})
            raise ForbiddenError(problem)

    def _decide(self, active: Active, workflow: str, entry: ActiveWorkflow, text: str) -> dict[str, Any]:
        """The audit line of a request, without role and text: what is said, how sure, and why."""
        line: dict[str, Any] = {
            "site": active.site,
            "site_class": active.site_class,
            "workflow": workflow,
            "status": "deferred",
            "produced_by": producer(active, entry, "edge").model_dump(exclude_none=True),
        }
        if workflow in active.stopped:
            return line | {"reason": active.absent[workflow][:MAX_REASON]}
        if reason := self.offline(active):
            return line | {"reason": reason}
        try:
            if entry.task is Task.RETRIEVE:
                return line | self._looked_up(active, workflow, text)
            answer = self.serving.classify(active, workflow, text)
        except (IntegrityError, RefusedError) as exc:
            log.error("workflow %s: %s", workflow, exc)
            self.outbox.exception(uuid.uuid4().hex, {"workflow": workflow, "bundle": entry.bundle, "problem": str(exc)})
            return line | {"reason": f"the bundle cannot be run here: {exc}"[:MAX_REASON]}
        return line | _judged(answer, entry)

    def _looked_up(self, active: Active, workflow: str, question: str) -> dict[str, Any]:
        """What a library says to a question, as a part of the audit line: ids and places, never the texts."""
        from runtimes.knowledge import answer

        entry, today = active.workflows[workflow], self._clock().date()
        found = self.serving.find(active, workflow, question, on=today)
        said = answer(found, today, threshold=self.serving.threshold(active, workflow), guardrails=entry.guardrails)
        return _cited(said) | {"pack": entry.pack.digest if entry.pack else None}

    def _keep(self, request_id: str, entry: ActiveWorkflow, text: str, line: dict[str, Any]) -> Response:
        """Write a request down, and offer it to the centre if the site does not answer it."""
        deferred = line["status"] == "deferred"
        export = None if entry.text_export == "never" else text
        body = {name: value for name, value in line.items() if value is not None}
        record = self.outbox.add(request_id, body, deferred=deferred, text=export)
        if deferred and self.courier.breaker.closed:
            self._offer(record, export)
        return self.request(request_id) if deferred else self._told(Asked(record))

    def _offer(self, record: Record, text: str | None) -> None:
        """Let the centre answer at once if it can; the request stays queued if not."""
        try:
            self.courier.deliver(Waiting(record, text, "queued"), seconds=self._patience)
        except LadingError as exc:
            log.info("request %s stays queued: %s", record.id, exc)

    def _again(self, earlier: Asked, workflow: str, text: str) -> Response:
        """The outcome of a request that was made before under the same id."""
        body = earlier.record.body
        if body["workflow"] != workflow or not tokens.same(body["text"], self.outbox.digest(text)):
            raise ConflictError(f"request {earlier.record.id}: the id was used for another request; choose a new one")
        return self._told(earlier)

    def _told(self, asked: Asked) -> Response:
        """A request and its outcome, with the passages that answered it, as far as they are still here."""
        body = asked.record.body
        if "passages" not in body:
            return told(asked)
        active, workflow = self.serving.active(), body["workflow"]
        entry = active.workflows.get(workflow)
        if entry is None or entry.pack is None or entry.pack.digest != body["pack"]:
            return told(asked)
        day = date.fromisoformat(asked.record.time[:10])
        cited = []
        for one in body["passages"]:
            passage = self.serving.passage(active, workflow, one["id"])
            if passage is not None:
                cited.append(CitedPassage.of(passage, day, disagrees=one["disagrees"]))
        return told(asked, tuple(cited))

    def _line(self) -> Line | None:
        """The line to the centre, made anew when its URL or the token changes; None where there is none."""
        url, path = self.serving.active().central, self.state / TOKEN_FILE
        if url is None or not path.exists():
            return None
        wanted = (url, tokens.read(path))
        with self._connecting:
            if self._connected is None or self._connected[0] != wanted:
                self._connected = (wanted, self._connect(*wanted))
            return self._connected[1]


def _judged(answer: Answer, entry: ActiveWorkflow) -> dict[str, Any]:
    """Status, label, confidence and reason of what the engine says."""
    from runtimes.engine.guard import decide

    decision = decide(answer, entry.defer_threshold, minimum_confidence=entry.guardrails.minimum_confidence)
    return {
        "status": decision.outcome,
        "label": answer.label,
        "confidence": round(float(answer.confidence), 6),
        "reason": decision.reason,
    }


def _cited(said: KnowledgeAnswer) -> dict[str, Any]:
    """Status, passages, confidence and reason of what the library says."""
    passages = [
        {"id": one.id, "document": one.document, "revision": one.revision, "stale": one.stale,
         "disagrees": one.disagrees}
        for one in said.citations
    ]  # fmt: skip
    return {
        "status": said.outcome,
        "passages": passages or None,
        "confidence": round(said.confidence, 6),
        "reason": said.reason[:MAX_REASON],
    }


def _checked_id(request_id: str | None) -> str:
    """The caller's id, or a new one."""
    if request_id is None:
        return uuid.uuid4().hex
    try:
        return _REQUEST_ID.validate_python(request_id)
    except ValidationError as exc:
        raise UsageError("id: 1 to 64 letters, digits, '.', '_', ':' or '-' are expected") from exc


def _check_text(text: object) -> None:
    """Refuse what is not a text that says something."""
    if not isinstance(text, str):
        raise UsageError(f"text: a string is expected, found {type(text).__name__}")
    if not text.strip():
        raise UsageError("text: is empty; send what the note says")
    _check_unicode("text", text)


def _check_unicode(name: str, value: str) -> None:
    """Refuse what cannot be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise UsageError(f"{name}: holds half of a surrogate pair; send valid Unicode") from exc
