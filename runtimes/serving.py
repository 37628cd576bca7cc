"""What a server holds of the active version: its policy and its engines, current at every request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from fleet_manifests import IntegrityError, Passage
from runtimes.deferrals import ProducedBy
from runtimes.problems import NotFoundError, TooLargeError, UnavailableError
from runtimes.sync.active import ACTIVE_FILE, CURRENT, Active, ActiveWorkflow, bundle_folder, load_active, pack_folder
from runtimes.sync.site import PACK_KEY_FILE

if TYPE_CHECKING:
    from runtimes.engine import Answer, Embedder, Engine
    from runtimes.knowledge import Found, Pack

Stamp = tuple[str, int, int] | None
Held = tuple["Engine | Embedder | Pack", threading.Lock]
"""What is in memory, and the lock that holds it to one inference at a time."""


class Serving:
    """The active version of a state folder, read again when sync has switched or changed it.

    Engines and packs are loaded when first asked, one inference at a time each, and kept by
    digest: a new version that changes one workflow leaves the others warm, and a new pack leaves
    its retriever warm.

    Args:
        state: the state folder that sync writes.
        load: makes an engine of a bundle's folder; None takes `runtimes.engine.load_any`.
    """

    def __init__(self, state: Path, load: Callable[[Path], Engine | Embedder] | None = None) -> None:
        """Nothing is read or loaded yet."""
        self.state = state
        self._load = load or _load
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._stamp: Stamp = None
        self._active: Active | None = None
        self._held: dict[str, Held] = {}

    def active(self) -> Active:
        """The active version.

        Raises:
            UnavailableError: nothing was activated yet.
            IntegrityError: what is active is damaged.
        """
        stamp = self._look()
        with self._lock:
            if stamp is None or stamp != self._stamp:
                self._stamp, self._active = None, None
                self._active = load_active(self.state)
                self._stamp = stamp
                kept = _digests(self._active) if self._active else set()
                self._held = {digest: held for digest, held in self._held.items() if digest in kept}
            if self._active is None:
                raise UnavailableError(f"no version is active; enroll and run `sync` (state folder {self.state.name})")
            return self._active

    def entry(self, active: Active, workflow: str) -> ActiveWorkflow:
        """The policy of a workflow.

        Raises:
            NotFoundError: it does not run here, with the reason or with what does.
        """
        if workflow in active.workflows:
            return active.workflows[workflow]
        if workflow in active.skipped:
            raise NotFoundError(f"workflow {workflow!r} does not run here: {active.absent[workflow]}")
        raise NotFoundError(f"workflow {workflow!r} is unknown; known here: {', '.join(sorted(active.workflows))}")

    def loaded(self) -> set[str]:
        """Digests of the bundles and packs that are in memory."""
        return set(self._held)

    def warm(self, active: Active, workflow: str) -> None:
        """Load what answers a workflow.

        Raises:
            IntegrityError: the bundle or the pack does not load.
            RefusedError: the pack is encrypted and the site has not its key.
        """
        self._engine(active, workflow)
        if active.workflows[workflow].pack is not None:
            self._pack(active, workflow)

    def classify(self, active: Active, workflow: str, text: str) -> Answer:
        """Run a workflow's bundle on a text.

        Raises:
            IntegrityError: the bundle does not load.
            TooLargeError: the text is longer than the manifest or the bundle allows.
        """
        engine, turn = self._asked(active, workflow, text)
        with turn:
            return cast("Engine", engine).classify(text)

    def find(self, active: Active, workflow: str, question: str, *, on: date, site_class: str | None = None) -> Found:
        """Search a workflow's knowledge pack.

        Args:
            on: the day on which passages must be in force.
            site_class: the class of sites that asks; None: every passage of the pack is for it.

        Raises:
            IntegrityError: the bundle or the pack does not load.
            RefusedError: the pack is encrypted and the site has not its key.
            TooLargeError: the question is longer than the manifest or the bundle allows.
        """
        embedder, turn = self._asked(active, workflow, question)
        with turn:
            vector = cast("Embedder", embedder).embed(question).vector
        return self._pack(active, workflow).search(vector, question, on=on, site_class=site_class)

    def threshold(self, active: Active, workflow: str) -> float:
        """The confidence below which a library does not answer: that of the pack, chosen for its passages."""
        return self._pack(active, workflow).config.defer_threshold

    def labels(self, active: Active, workflow: str) -> tuple[str, ...]:
        """The labels that a workflow can answer; none where it answers with passages."""
        return self._engine(active, workflow)[0].config.labels

    def passage(self, active: Active, workflow: str, passage: str) -> Passage | None:
        """A passage of a workflow's pack by its id, or None."""
        return self._pack(active, workflow).passage(passage)

    def _asked(self, active: Active, workflow: str, text: str) -> tuple[Engine | Embedder, threading.Lock]:
        """The engine of a workflow, for a text that it takes."""
        check_length(text, active.workflows[workflow].guardrails.max_characters)
        engine, turn = self._engine(active, workflow)
        check_length(text, engine.config.max_characters)
        return engine, turn

    def _engine(self, active: Active, workflow: str) -> tuple[Engine | Embedder, threading.Lock]:
        """The engine of a workflow and the lock that holds it to one inference at a time."""
        digest = active.workflows[workflow].bundle
        held, turn = self._get(digest, lambda: self._load(bundle_folder(self.state, active, workflow)))
        return cast("Engine | Embedder", held), turn

    def _pack(self, active: Active, workflow: str) -> Pack:
        """The knowledge pack of a workflow."""
        entry = active.workflows[workflow]
        if entry.pack is None:
            raise IntegrityError(f"workflow {workflow}: no knowledge pack is active; run `sync` again")
        digest, retriever = entry.pack.digest, entry.bundle
        return cast("Pack", self._get(digest, lambda: self._open(active, workflow, retriever))[0])

    def _open(self, active: Active, workflow: str, retriever: str) -> Pack:
        from runtimes.knowledge import open_pack

        key = self.state / PACK_KEY_FILE
        identity = key.read_bytes() if key.is_file() else None
        return open_pack(pack_folder(self.state, active, workflow), retriever=retriever, identity=identity)

    def _get(self, digest: str, load: Callable[[], Engine | Embedder | Pack]) -> Held:
        """What is in memory under a digest, loaded once."""
        if held := self._held.get(digest):
            return held
        with self._loading:
            if digest not in self._held:
                loaded = load()
                with self._lock:
                    self._held = self._held | {digest: (loaded, threading.Lock())}
            return self._held[digest]

    def _look(self) -> Stamp:
        """What changes when sync activates a version or touches its record; two system calls."""
        try:
            link = (self.state / CURRENT).readlink()
            found = (self.state / link / ACTIVE_FILE).stat()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise IntegrityError(f"{self.state / CURRENT}: {exc.strerror}; run `sync` again") from exc
        return str(link), found.st_ino, found.st_mtime_ns


def check_length(text: str, limit: int) -> None:
    """Refuse a text that is too long.

    Raises:
        TooLargeError: more than `limit` characters.
    """
    if len(text) > limit:
        raise TooLargeError(f"text: at most {limit} characters are allowed, found {len(text)}; send the relevant part")


def producer(active: Active, entry: ActiveWorkflow, where: Literal["edge", "central"]) -> ProducedBy:
    """What an answer of a workflow comes from."""
    returned = entry.returned
    return ProducedBy(
        where=where,
        bundle=entry.bundle,
        manifest_version=active.manifest_version if returned is None else returned.before.manifest_version,
        channel=active.channel,
        profile=active.profile,
        instead_of=None if returned is None else returned.instead,
    )


def threshold(entry: ActiveWorkflow) -> float:
    """The confidence below which nothing is answered: the stricter of the build's and the manifest's."""
    return max(entry.defer_threshold, entry.guardrails.minimum_confidence)


def _digests(active: Active) -> set[str]:
    """Everything that a version holds in memory at most."""
    entries = active.workflows.values()
    return {entry.bundle for entry in entries} | {entry.pack.digest for entry in entries if entry.pack is not None}


def _load(folder: Path) -> Engine | Embedder:
    """An engine of a bundle's folder; onnxruntime is imported here, when first needed."""
    from runtimes.engine import load_any

    return load_any(folder)
