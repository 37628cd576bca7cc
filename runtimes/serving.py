"""What a server holds of the active version: its policy and its engines, current at every request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import IntegrityError
from runtimes.problems import NotFoundError, TooLargeError, UnavailableError
from runtimes.sync.active import ACTIVE_FILE, CURRENT, Active, ActiveWorkflow, bundle_folder, load_active

if TYPE_CHECKING:
    from runtimes.engine import Answer, Engine

Stamp = tuple[str, int, int] | None


class Serving:
    """The active version of a state folder, read again when sync has switched or changed it.

    Engines are loaded when first asked, one inference at a time each, and kept by bundle
    digest: a new version that changes one workflow leaves the others warm.

    Args:
        state: the state folder that sync writes.
        load: makes an engine of a bundle's folder; None takes `runtimes.engine.load`.
    """

    def __init__(self, state: Path, load: Callable[[Path], Engine] | None = None) -> None:
        """Nothing is read or loaded yet."""
        self.state = state
        self._load = load or _load
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._stamp: Stamp = None
        self._active: Active | None = None
        self._engines: dict[str, tuple[Engine, threading.Lock]] = {}

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
                kept = {entry.bundle for entry in self._active.workflows.values()} if self._active else set()
                self._engines = {digest: held for digest, held in self._engines.items() if digest in kept}
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
            raise NotFoundError(f"workflow {workflow!r} does not run here: {active.skipped[workflow]}")
        raise NotFoundError(f"workflow {workflow!r} is unknown; known here: {', '.join(sorted(active.workflows))}")

    def loaded(self) -> set[str]:
        """Digests of the bundles that are in memory."""
        return set(self._engines)

    def classify(self, active: Active, workflow: str, text: str) -> Answer:
        """Run a workflow's bundle on a text.

        Raises:
            IntegrityError: the bundle does not load.
            TooLargeError: the text is longer than the manifest or the bundle allows.
        """
        entry = active.workflows[workflow]
        check_length(text, entry.guardrails.max_characters)
        engine, turn = self._engine(active, workflow)
        check_length(text, engine.config.max_characters)
        with turn:
            return engine.classify(text)

    def labels(self, active: Active, workflow: str) -> tuple[str, ...]:
        """The labels that a workflow can answer."""
        return self._engine(active, workflow)[0].config.labels

    def _engine(self, active: Active, workflow: str) -> tuple[Engine, threading.Lock]:
        """The engine of a workflow and the lock that holds it to one inference at a time."""
        digest = active.workflows[workflow].bundle
        if held := self._engines.get(digest):
            return held
        with self._loading:
            if digest not in self._engines:
                engine = self._load(bundle_folder(self.state, active, workflow))
                with self._lock:
                    self._engines = self._engines | {digest: (engine, threading.Lock())}
            return self._engines[digest]

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


def threshold(entry: ActiveWorkflow) -> float:
    """The confidence below which nothing is answered: the stricter of the build's and the manifest's."""
    return max(entry.defer_threshold, entry.guardrails.minimum_confidence)


def _load(folder: Path) -> Engine:
    """An engine of a bundle's folder; onnxruntime is imported here, when first needed."""
    from runtimes.engine import load

    return load(folder)
