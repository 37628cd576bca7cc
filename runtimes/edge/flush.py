"""Delivery of what waits in the outbox, by hand or in the background of the server."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from fleet_manifests import LadingError, RefusedError, UnreachableError
from runtimes.deferrals import CentralAnswer, Deferral, Opinion, ProducedBy
from runtimes.edge.line import Breaker, Line
from runtimes.edge.outbox import Outbox, Waiting
from runtimes.problems import ForbiddenError, UnauthorizedError

log = logging.getLogger("lading.edge")

NO_CENTRE = "no centre: the assignment names none, or this site has no token for it"


@dataclass(frozen=True)
class Flushed:
    """What one pass over the outbox did."""

    delivered: int = 0
    """Deferrals that the centre has now."""
    answered: int = 0
    """Deferrals a person at the centre has answered since."""
    refused: int = 0
    """Deferrals the centre will never take."""
    left: int = 0
    """Deferrals that still wait."""
    problem: str | None = None
    """Why it stopped early."""


class Courier:
    """Carries deferrals to the centre and answers back into the outbox.

    Args:
        outbox: where they wait.
        line: the line as it is configured now, or None where there is no centre.
    """

    def __init__(self, outbox: Outbox, line: Callable[[], Line | None], breaker: Breaker | None = None) -> None:
        """Nothing is sent yet."""
        self.outbox = outbox
        self.breaker = breaker or Breaker()
        self._line = line

    def deliver(self, waiting: Waiting, *, seconds: float) -> CentralAnswer:
        """Deliver one deferral and keep the answer.

        Raises:
            UnreachableError, UnauthorizedError, ForbiddenError: it stays queued.
            RefusedError: the centre will never take it; it is kept aside.
        """
        line = self._line()
        if line is None:
            raise UnreachableError(NO_CENTRE)
        request_id = waiting.record.id
        try:
            answer = line.send(deferral_of(waiting), seconds=seconds)
        except (UnreachableError, UnauthorizedError, ForbiddenError) as exc:
            self.outbox.postpone(request_id, str(exc))
            self.breaker.failed(str(exc))
            raise
        except RefusedError as exc:
            self.outbox.refuse(request_id, str(exc))
            raise
        self.outbox.settle(answer)
        self.breaker.worked()
        return answer

    def flush(self, *, seconds: float = 10.0) -> Flushed:
        """Deliver all that waits and fetch the answers that people gave meanwhile."""
        delivered = refused = 0
        problem = None
        while problem is None and (batch := self.outbox.waiting("queued")):
            for waiting in batch:
                try:
                    self.deliver(waiting, seconds=seconds)
                    delivered += 1
                except (UnreachableError, UnauthorizedError, ForbiddenError) as exc:
                    problem = str(exc)
                    break
                except RefusedError as exc:
                    log.warning("request %s: %s", waiting.record.id, exc)
                    refused += 1
        answered, problem = self._fetch(seconds) if problem is None else (0, problem)
        return Flushed(delivered, answered, refused, self.outbox.counts()["queued"], problem)

    def _fetch(self, seconds: float) -> tuple[int, str | None]:
        """Ask for the answers of people; how many came, and why it stopped early."""
        pending, answered = self.outbox.waiting("pending"), 0
        line = self._line() if pending else None
        if line is None:
            return 0, NO_CENTRE if pending else None
        for waiting in pending:
            site, request_id = waiting.record.body["site"], waiting.record.id
            try:
                answer = line.answer(site, request_id, seconds=seconds)
            except UnreachableError as exc:
                return answered, str(exc)
            except RefusedError as exc:
                self.outbox.postpone(request_id, str(exc))
                continue
            if answer.status == "human":
                self.outbox.postpone(request_id, "a person at the centre has not answered yet")
                continue
            self.outbox.settle(answer)
            answered += 1
        return answered, None


class Background(threading.Thread):
    """Flushes while the server runs: soon after a deferral, and ever more rarely while the line is down.

    Args:
        courier: what delivers.
        idle: seconds between two passes when all is well.
        longest: seconds between two passes when the line stays down.
    """

    def __init__(self, courier: Courier, *, idle: float = 15.0, longest: float = 300.0) -> None:
        """Not started yet."""
        super().__init__(name="outbox", daemon=True)
        self._courier, self._idle, self._longest = courier, idle, longest
        self._stopped = threading.Event()

    def run(self) -> None:
        """Flush until stopped."""
        failures = 0
        while not self._stopped.wait(self.delay(failures)):
            failures = failures + 1 if self._once() else 0

    def stop(self) -> None:
        """End after the delivery under way; what is not delivered stays queued."""
        self._stopped.set()
        self.join(timeout=15)

    def delay(self, failures: int) -> float:
        """Seconds to wait: doubled with every failure in a row, spread so that sites do not come all at once."""
        longest: float = min(self._longest, self._idle * 2.0 ** min(failures, 16))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311

    def _once(self) -> str | None:
        """One pass; the problem if there was one."""
        try:
            flushed = self._courier.flush()
        except LadingError as exc:
            log.warning("outbox: %s", exc)
            return str(exc)
        if flushed.problem and flushed.left:
            log.warning("outbox: %d wait for the centre: %s", flushed.left, flushed.problem)
        return flushed.problem


def deferral_of(waiting: Waiting) -> Deferral:
    """What is sent of a deferred request: its audit line, and the text where it may leave."""
    record, body = waiting.record, waiting.record.body
    return Deferral(
        site=body["site"],
        site_class=body.get("site_class"),
        id=record.id,
        workflow=body["workflow"],
        asked=record.time,
        text=waiting.text,
        role=body.get("role"),
        reason=body["reason"],
        opinion=Opinion(label=body.get("label"), confidence=body.get("confidence")),
        produced_by=ProducedBy.model_validate(body["produced_by"]),
        seq=record.seq,
        chain=record.hash,
    )
