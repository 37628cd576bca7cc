"""Having a blob for less: the deltas and derivations that a signed list offers, and nothing believed of them.

Only a result with the signed digest gets a name. Whatever else happens is written down and the blob itself is fetched.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fleet_manifests.bundle import Descriptor
from fleet_manifests.errors import IntegrityError, UnreachableError
from fleet_manifests.updates import Delta, Derivation, Updates
from fleet_manifests.wire import MAX_DOCUMENT_BYTES, parse
from runtimes.derive import Plan, derive
from runtimes.sync.blobs import Blobs
from runtimes.sync.rebuild import METHODS, rebuild
from runtimes.sync.sources import Source

REBUILT = ".rebuilt"
"""Suffix of a blob that is being rebuilt; without meaning after a crash."""
PATIENCE = 2
"""A base is fetched where all that is derived of it comes to at most so many times what it would cost otherwise: later
updates are an adapter then."""


@dataclass
class Shortcuts:
    """The deltas that a site may use in one sync."""

    blobs: Blobs
    source: Source
    rebuilt: int = 0
    """Blobs that were made of a delta or derived."""
    fallbacks: list[str] = field(default_factory=list)
    """Why what was tried did not do, each."""
    _deltas: dict[str, list[Delta]] = field(default_factory=dict)
    _derivations: dict[str, Derivation] = field(default_factory=dict)
    _chosen: set[str] = field(default_factory=set)

    def read(self, listed: Descriptor | None) -> None:
        """Take the list that a manifest pins; without it everything is fetched whole."""
        if listed is None:
            return
        try:
            if listed.size > MAX_DOCUMENT_BYTES:
                raise IntegrityError(f"the list of updates has {listed.size} bytes")
            raw = self.blobs.fetch(self.source, listed).read_bytes()
            updates = parse(Updates, raw, where="the list of updates")
        except (IntegrityError, UnreachableError) as exc:
            self.fallbacks.append(f"no deltas: {exc}")
            return
        self._deltas = {}
        for delta in updates.deltas:
            self._deltas.setdefault(delta.target.digest, []).append(delta)
        self._derivations = {one.target.digest: one for one in updates.derivations}

    def choose(self, missing: Iterable[Descriptor]) -> None:
        """Decide which of the missing blobs are derived: all of one base that has room here, or none of them."""
        missing = list(missing)
        room = self.blobs.room() - sum(blob.size for blob in missing)
        by_base: dict[str, list[Descriptor]] = defaultdict(list)
        for blob in missing:
            one = self._derivations.get(blob.digest)
            if one is not None and one.target.size == blob.size:
                by_base[one.base.digest].append(blob)
        for blobs in by_base.values():
            inputs = {part.digest: part for blob in blobs for part in self._derivations[blob.digest].inputs}
            price = sum(self.cost(part) for part in inputs.values())
            more = sum(part.size for part in inputs.values() if not self.blobs.holds(part.digest, part.size))
            if more <= room and price <= PATIENCE * sum(self.cost(blob) for blob in blobs):
                room -= more
                self._chosen |= {blob.digest for blob in blobs}

    def ordered(self, missing: Iterable[Descriptor]) -> list[Descriptor]:
        """The same, those first of which another one is made."""
        missing = list(missing)
        deltas = [delta for blob in missing for delta in self._deltas.get(blob.digest, ())]
        bases = {delta.base.digest for delta in deltas if delta.base is not None}
        return sorted(missing, key=lambda blob: blob.digest not in bases)

    def total(self, missing: Iterable[Descriptor]) -> int:
        """Bytes that have to come over the line for all of these, if all goes well."""
        wanted = {blob.digest: blob for blob in missing}
        for digest in self._chosen & wanted.keys():
            del wanted[digest]
            wanted |= {part.digest: part for part in self._derivations[digest].inputs}
        return sum(self.cost(blob) for blob in wanted.values())

    def inputs(self, needed: Iterable[str]) -> tuple[str, ...]:
        """Blobs that are here and that these are derived of, now or next time."""
        parts = [part for digest in needed if digest in self._derivations for part in self._derivations[digest].inputs]
        return tuple(sorted({part.digest for part in parts if self.blobs.holds(part.digest, part.size)}))

    def cost(self, blob: Descriptor) -> int:
        """Bytes that have to come over the line for a blob, whole or by a delta."""
        if self.blobs.holds(blob.digest, blob.size):
            return 0
        return min([delta.payload.size for delta in self.usable(blob)], default=self.blobs.left(blob))

    def usable(self, blob: Descriptor) -> list[Delta]:
        """The deltas of a blob whose base is here and that are smaller than what is left of the blob, least first."""
        found = [
            delta
            for delta in self._deltas.get(blob.digest, ())
            if delta.method in METHODS
            and delta.target.size == blob.size
            and delta.payload.size < self.blobs.left(blob)
            and (delta.base is None or self.blobs.holds(delta.base.digest, delta.base.size))
        ]
        return sorted(found, key=lambda delta: (delta.payload.size, delta.payload.digest))

    def take(self, blob: Descriptor, moved: Callable[[int], None]) -> bool:
        """Make a blob by its derivation or one of its deltas; whether that was done."""
        if blob.digest in self._chosen and self._derive(self._derivations[blob.digest], blob, moved):
            return True
        return any(self._attempt(delta, blob, moved) for delta in self.usable(blob))

    def _derive(self, one: Derivation, blob: Descriptor, moved: Callable[[int], None]) -> bool:
        """Try a derivation. Its inputs stay: the base is for the next one too."""

        def make(out: Path) -> None:
            for part in one.inputs:
                if not self.blobs.has(part) and not any(self._attempt(d, part, moved) for d in self.usable(part)):
                    self.blobs.fetch(self.source, part, moved)
            if one.plan.size > MAX_DOCUMENT_BYTES:
                raise IntegrityError(f"its plan has {one.plan.size} bytes")
            plan = parse(Plan, self.blobs.path(one.plan.digest).read_bytes(), where="its plan")
            base, adapter = self.blobs.path(one.base.digest), self.blobs.path(one.adapter.digest)
            self.blobs.clear(out)
            derive(plan, base, adapter, out, blob.size)
            self.blobs.adopt(out, blob)

        return self._made(blob, make, "it could not be derived")

    def _attempt(self, delta: Delta, blob: Descriptor, moved: Callable[[int], None]) -> bool:
        """Try one delta; what it leaves behind is removed, but for a payload that is not whole yet."""
        kept = self.blobs.holds(delta.payload.digest, delta.payload.size)

        def make(out: Path) -> None:
            payload = self.blobs.fetch(self.source, delta.payload, moved)
            try:
                self.blobs.clear(out)
                rebuild(delta, payload, None if delta.base is None else self.blobs.path(delta.base.digest), out)
                self.blobs.adopt(out, blob)
            finally:
                if not kept:
                    self.blobs.forget(delta.payload.digest)

        return self._made(blob, make, f"a {delta.method} delta did not do")

    def _made(self, blob: Descriptor, make: Callable[[Path], None], failed: str) -> bool:
        """Have a blob made in the file that `make` is given; a failure is written down, and nothing of it stays."""
        out = self.blobs.path(blob.digest + REBUILT)
        try:
            make(out)
        except (IntegrityError, UnreachableError, OSError) as exc:
            with contextlib.suppress(OSError):
                self.blobs.clear(out)
            self.fallbacks.append(f"{blob.digest}: {failed}: {exc}")
            return False
        self.rebuilt += 1
        return True
