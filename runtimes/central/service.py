"""The centre: answers what sites defer, or hands it to a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_manifests import DataError, RefusedError, Task, UsageError
from fleet_manifests.knowledge import OPEN_CLASSES
from fleet_manifests.program import version
from runtimes.central.receipts import Shelf
from runtimes.central.store import Store
from runtimes.deferrals import CentralAnswer, Deferral, ProducedBy
from runtimes.knowledge.answers import CitedPassage
from runtimes.problems import NotFoundError
from runtimes.serving import Serving, producer
from runtimes.sync.active import Active

if TYPE_CHECKING:
    from runtimes.engine import Engine

STORE_FILE = "central.db"


class Centre:
    """The centre's core, without HTTP.

    Args:
        state: the state folder that sync writes; the books live beside it.
        load: makes an engine of a bundle's folder; None takes `runtimes.engine.load`.

    Raises:
        StorageError: the books cannot be opened.
    """

    def __init__(self, state: Path, *, load: Callable[[Path], Engine] | None = None) -> None:
        """Open the books; engines are loaded when first asked."""
        self.serving = Serving(state, load)
        self.store = Store(state / STORE_FILE)
        self.receipts = Shelf(state)

    def close(self) -> None:
        """Close the books."""
        self.store.close()

    def take(self, deferral: Deferral) -> CentralAnswer:
        """Answer a deferral; the same one again gets the same answer.

        Raises:
            ConflictError: another deferral came under the same site and id.
            UnavailableError, IntegrityError: the centre serves nothing now; send it later.
            StorageError: it cannot be recorded; it is not answered then.
        """
        return self.store.known(deferral) or self.store.keep(deferral, self._consider(deferral))

    def answer(self, site: str, request_id: str, *, label: str, person: str, new: bool = False) -> CentralAnswer:
        """Answer a queued deferral in a person's name.

        Args:
            label: one of the workflow's; of a workflow that answers with passages, any words.
            new: accept a label that the workflow's bundle does not have.

        Raises:
            UsageError: the label is not one of the workflow's.
            NotFoundError, ConflictError: as `Store.answer`.
        """
        workflow = self.store.workflow_of(site, request_id)
        if not new and workflow is not None:
            active = self.serving.active()
            entry = active.workflows.get(workflow)
            labels = self.serving.labels(active, workflow) if entry else ()
            if label not in labels and (entry is None or entry.task is not Task.RETRIEVE):
                raise UsageError(f"label {label!r} is not one of {workflow}: {', '.join(labels) or 'it has none here'}")
        return self.store.answer(site, request_id, label=label, person=person)

    def report(self) -> dict[str, Any]:
        """What runs at the centre and how full its books are."""
        said: dict[str, Any] = {"agent": version(), "deferrals": self.store.counts()}
        active = self.serving.active()
        return said | {
            "channel": active.channel,
            "manifest_version": active.manifest_version,
            "profile": active.profile,
            "seen": active.seen.isoformat(),
            "workflows": {name: entry.bundle for name, entry in sorted(active.workflows.items())},
            "returned": {name: one.said for name, one in sorted(active.returned.items())},
        }

    def _consider(self, deferral: Deferral) -> CentralAnswer:
        """The centre's own answer, or why a person must give it."""
        if deferral.text is None:
            return _said(deferral, "recorded", "there is no text to answer: the site's export policy keeps it")
        active = self.serving.active()
        try:
            entry = self.serving.entry(active, deferral.workflow)
            if entry.task is Task.RETRIEVE:
                return self._look_up(active, deferral, deferral.text)
            answer = self.serving.classify(active, deferral.workflow, deferral.text)
        except (NotFoundError, DataError, RefusedError) as exc:
            return _said(deferral, "human", str(exc))
        from runtimes.engine.guard import decide

        decision = decide(answer, entry.defer_threshold, minimum_confidence=entry.guardrails.minimum_confidence)
        return CentralAnswer(
            site=deferral.site,
            id=deferral.id,
            status="answered" if decision.answered else "human",
            label=answer.label if decision.answered else None,
            confidence=round(float(answer.confidence), 6),
            reason=decision.reason,
            produced_by=producer(active, entry, "central"),
        )

    def _look_up(self, active: Active, deferral: Deferral, question: str) -> CentralAnswer:
        """What the library says to a question of a site of that class."""
        from runtimes.knowledge import answer

        entry, today = active.workflows[deferral.workflow], datetime.now(UTC).date()
        found = self.serving.find(active, deferral.workflow, question, on=today, site_class=deferral.site_class)
        threshold = self.serving.threshold(active, deferral.workflow)
        said = answer(found, today, threshold=threshold, guardrails=entry.guardrails)
        return CentralAnswer(
            site=deferral.site,
            id=deferral.id,
            status="answered" if said.answered else "human",
            passages=tuple(_open(one) for one in said.citations),
            confidence=round(said.confidence, 6),
            reason=said.reason,
            produced_by=producer(active, entry, "central"),
        )


def _open(cited: CitedPassage) -> CitedPassage:
    """A passage as it may leave the centre: of a class above `internal` only the place where it stands."""
    if cited.data_class in OPEN_CLASSES:
        return cited
    return cited.model_copy(update={"text": "The text stays at the centre; open the document at this section."})


def _said(deferral: Deferral, status: Any, reason: str) -> CentralAnswer:
    """An answer that no bundle gave."""
    return CentralAnswer(
        site=deferral.site, id=deferral.id, status=status, reason=reason, produced_by=ProducedBy(where="central")
    )
