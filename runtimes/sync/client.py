"""One sync: refresh, decide, fetch, verify, stage, activate."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fleet_manifests.bundle import Descriptor, OciManifest
from fleet_manifests.errors import IntegrityError, LadingError, RefusedError
from fleet_manifests.profile import HostFacts
from fleet_manifests.program import version
from fleet_manifests.wire import dump
from runtimes.sync import stage
from runtimes.sync.accept import accept, signed_documents, signers
from runtimes.sync.active import Active, load_active
from runtimes.sync.blobs import Blobs
from runtimes.sync.fallback import Machine, bring_back, builds_before
from runtimes.sync.fetch import Fetch
from runtimes.sync.files import only_one, write_file
from runtimes.sync.floor import load_floor
from runtimes.sync.orders import load_orders, take_orders
from runtimes.sync.packs import is_encrypted, key_missing
from runtimes.sync.plan import Plan, Proofs, check_agent, make_plan, revoked, without_revoked
from runtimes.sync.report import LAST_SYNC_FILE, MOST_FALLBACKS, LastSync
from runtimes.sync.seam import storing
from runtimes.sync.site import BLOBS, LOCK_FILE, Enrolment, load_enrolment, pack_key
from runtimes.sync.smoke import run_smoke
from runtimes.sync.sources import Source, normal_address, open_source
from runtimes.sync.trust import SignedDocuments

Progress = Callable[[float, str], None]
"""Told how far a sync is, from 0 to 1, and what it does."""


def _facts() -> HostFacts:
    from runtimes.engine import host

    return host.facts()


@dataclass(frozen=True)
class Agent:
    """What sync takes from the machine and the program that it runs in."""

    version: str = field(default_factory=version)
    """Version of `lading`, held against a manifest's `minimum_agent`."""
    facts: Callable[[], HostFacts] = _facts
    """What the machine says of itself."""
    smoke: stage.Smoke = run_smoke
    """Runs the cases of a bundle, and those of the pack that it searches, and says what is wrong."""
    pause: Callable[[float], None] = time.sleep
    """Waits between two attempts, in seconds."""


@dataclass(frozen=True)
class SyncResult:
    """What a sync did."""

    changed: bool
    """Another version runs now than before."""
    active: Active
    fetched_bytes: int
    """Bytes moved from the source, metadata included."""
    reused_blobs: int
    """Blobs that were needed and here already."""
    rebuilt_blobs: int
    """Blobs that were made of a delta or derived."""
    seconds: float
    halted: str | None = None
    """Why nothing new of the channel is installed now."""


def sync(
    state: Path,
    *,
    progress: Progress | None = None,
    now: datetime | None = None,
    source: str | None = None,
    agent: Agent | None = None,
) -> SyncResult:
    """Bring a site to what the fleet wants of it, or leave it exactly as it is.

    Args:
        state: the state folder of an enrolled site.
        progress: told how far it is.
        now: the present moment; None asks the system.
        source: another copy of the same tree for this once (a USB stick), with the same checks; nothing else is asked.
        agent: the machine and program; None takes this one.

    Raises:
        UsageError: the folder is not enrolled.
        IntegrityError: what is offered is not signed, fresh, consistent or meant for this site.
        RefusedError: it is, but cannot run here: no profile fits, lading is too old, a smoke case fails.
        UnreachableError: the source cannot be read; what was fetched is kept for the next sync.
        StorageError: the disk is full, or another sync is running.
    """
    enrolment = load_enrolment(state)
    begun = time.monotonic()
    moment = now or datetime.now(UTC)
    with storing(state), only_one(state / LOCK_FILE):
        with contextlib.ExitStack() as closing:
            opened = closing.enter_context(contextlib.closing(open_source(normal_address(source or enrolment.source))))
            mirrors: list[Source] = []
            if enrolment.blobs is not None and source is None:
                mirrors.append(closing.enter_context(contextlib.closing(open_source(enrolment.blobs))))
            told = progress or (lambda part, what: None)
            run = _Sync(state, enrolment, opened, mirrors, moment, agent or Agent(), told)
            try:
                with storing(state):
                    changed, active = run.run()
            except LadingError as exc:
                with contextlib.suppress(OSError):
                    run.note(begun, changed=False, error=exc)
                raise
            run.note(begun, changed=changed, error=None)
        made = run.shortcuts.rebuilt
        seconds = time.monotonic() - begun
        return SyncResult(changed, active, run.fetched_bytes, run.blobs.reused, made, seconds, run.halted)


class _Sync:
    """The steps of one sync, in order. Whatever a step raises, the running version stays."""

    def __init__(
        self,
        state: Path,
        enrolment: Enrolment,
        source: Source,
        mirrors: Sequence[Source],
        now: datetime,
        agent: Agent,
        progress: Progress,
    ) -> None:
        self._state, self._enrolment, self._source = state, enrolment, source
        self._now, self._agent, self._progress = now, agent, progress
        self._documents: SignedDocuments | None = None
        self.halted: str | None = None
        self.blobs = Blobs(state / BLOBS, mirrors=mirrors, pause=agent.pause)
        self._fetch = Fetch(self.blobs, source)
        self.shortcuts = self._fetch.shortcuts

    @property
    def fetched_bytes(self) -> int:
        """Bytes moved so far."""
        return self.blobs.fetched_bytes + (self._documents.fetched_bytes if self._documents else 0)

    def run(self) -> tuple[bool, Active]:
        """All of it: whether the version changed, and the version."""
        stage.clear_staging(self._state)
        running = self._running()
        load_floor(self._state, running, self._enrolment.floor_file).check_clock(self._now)
        outside = self._enrolment.orders_file
        running = self._stop(running, load_orders(self._state, outside).stops)
        self._progress(0.0, "refreshing signed metadata")
        documents = self._refresh()
        orders = take_orders(self._state, documents, outside)
        running = self._stop(running, orders.stops)
        if running is not None:
            running = self._bring_back(running, documents, orders.stops)
        found = accept(self._state, self._enrolment, documents, now=self._now, running=running, orders=orders)
        self.halted = found.halted
        reasons = revoked(found.manifest.revocations)
        running = self._stop(running, reasons, seen=self._now)
        check_agent(found.manifest, self._agent.version)
        plan = make_plan(found.manifest, found.digest, found.assignment, self._agent.facts())
        plan = self._openable(plan, running)
        if running is not None and plan.is_running(running):
            changed, active = False, running
        elif self.halted is not None:
            changed, active = False, _undisturbed(running, self.halted)
        else:
            changed, active = True, self._install(plan, documents, running)
            documents.forget_unused()
        active = self._bring_back(active, documents, reasons)
        stage.prune(self._state, self.blobs)
        self._progress(1.0, f"{active.channel} {active.manifest_version} runs")
        return changed, active

    def note(self, begun: float, *, changed: bool, error: LadingError | None) -> None:
        """Write down how it ended."""
        last = LastSync(
            when=self._now,
            ok=error is None,
            changed=changed,
            error=None if error is None else str(error),
            error_kind=None if error is None else type(error).__name__,
            seconds=round(time.monotonic() - begun, 3),
            fetched_bytes=self.fetched_bytes,
            rebuilt=self.shortcuts.rebuilt,
            fallbacks=tuple([*self.blobs.passed_over, *self.shortcuts.fallbacks][:MOST_FALLBACKS]),
        )
        write_file(self._state / LAST_SYNC_FILE, dump(last))

    def _running(self) -> Active | None:
        """The running version; one that is damaged is put right like one that is missing."""
        try:
            return load_active(self._state)
        except IntegrityError:
            return None

    def _refresh(self) -> SignedDocuments:
        """Fresh, verified metadata."""
        self._documents = signed_documents(self._state, self._enrolment, self._source, self._now)
        self._documents.refresh()
        return self._documents

    def _stop(
        self, running: Active | None, reasons: Mapping[str, str], *, seen: datetime | None = None
    ) -> Active | None:
        """Stop at once what was revoked, before any download; note when the repository was seen whole."""
        if running is None:
            return None
        now = without_revoked(running, reasons, seen or running.seen)
        if now != running:
            stage.rewrite(self._state, now)
        return now

    def _bring_back(self, running: Active, documents: SignedDocuments, reasons: Mapping[str, str]) -> Active:
        """Return what was stopped to the build before; nothing is fetched for it."""
        if not running.stopped.keys() & running.before.keys():
            return running
        agent = self._agent
        machine = Machine(agent.facts(), agent.version, signers(documents), agent.smoke, self._now)
        return bring_back(self._state, running, reasons, machine)

    def _openable(self, plan: Plan, running: Active | None) -> Plan:
        """The plan without the workflows whose pack is encrypted, where this site has no key."""
        if pack_key(self._state) is not None:
            return plan
        reason = key_missing(plan.assignment.site_class)
        sealed: dict[str, str] = {}
        for name, chosen in plan.chosen.items():
            if chosen.pack is not None:
                known = is_encrypted(name, chosen.pack, running, plan.manifest_digest, reason)
                if self._fetch.pack(chosen.pack).config.encrypted if known is None else known:
                    sealed[name] = reason
        return plan.without(sealed)

    def _install(self, plan: Plan, documents: SignedDocuments, running: Active | None) -> Active:
        """Fetch, stage and activate a plan."""
        trust = signers(documents)
        proofs = {name: chosen.proofs(trust.policy.require) for name, chosen in plan.chosen.items()}
        refs = {name: chosen.build.bundle for name, chosen in plan.chosen.items()}
        layouts = {name: self._fetch.bundle(name, ref.manifest) for name, ref in refs.items()}
        pack_refs = {name: chosen.pack for name, chosen in plan.chosen.items() if chosen.pack is not None}
        parts = {name: self._fetch.pack(ref) for name, ref in pack_refs.items()}
        bundles = {name: (layouts[name], ref.signature) for name, ref in refs.items()}
        packs = {name: (parts[name].layout, ref.signature) for name, ref in pack_refs.items() if ref.signature}
        both = [*bundles.values(), *packs.values()]
        self.shortcuts.read(plan.manifest.updates)
        self._fetch.all(
            [
                *(blob for layout, signature in both for blob in (signature, *layout.layers)),
                *(blob for found in proofs.values() for blobs in found.values() for blob in blobs),
            ],
            lambda part, what: self._progress(0.1 + 0.8 * part, what),
        )
        name = stage.next_version(self._state, plan.assignment.channel, plan.manifest.version)
        record = plan.record(layouts, parts, proofs, version=name, now=self._now)
        needed = [digest for entry in record.workflows.values() for digest in entry.needed]
        before = {} if running is None else builds_before(running, record, revoked(plan.manifest.revocations))
        record = record.model_copy(update={"inputs": self.shortcuts.inputs(needed), "before": before})
        if record.workflows:
            self.blobs.keep(documents.document(f"{plan.manifest.channel}/manifest.json")[0])
        self._progress(0.9, f"verifying and trying {len(bundles)} bundles and {len(packs)} packs")
        stage.stage(
            self._state,
            record,
            self._signed(bundles, proofs),
            self._signed(packs, {}),
            self.blobs,
            stage.Checks(trust, pack_key(self._state), plan.profile, self._agent.smoke),
        )
        stage.activate(self._state, name, running)
        return record

    def _signed(
        self, found: Mapping[str, tuple[OciManifest, Descriptor]], proofs: Mapping[str, Proofs]
    ) -> dict[str, stage.Signed]:
        """What is to be laid out, with the signature and what is attested of it as files."""
        return {
            name: stage.Signed(
                layout, self.blobs.path(signature.digest), stage.files_of(proofs.get(name, {}), self.blobs)
            )
            for name, (layout, signature) in found.items()
        }


def _undisturbed(running: Active | None, halted: str) -> Active:
    """What runs while its channel is halted.

    Raises:
        RefusedError: nothing runs here yet.
    """
    if running is None:
        raise RefusedError(f"{halted}; this site has nothing yet")
    return running
