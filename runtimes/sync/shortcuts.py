"""Having a blob for less: the deltas that a signed list offers, tried cheapest first, and nothing believed of them.

Only a result with the signed digest gets a name. Whatever else happens is written down and the blob itself is fetched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from fleet_manifests.bundle import Descriptor
from fleet_manifests.errors import IntegrityError, UnreachableError
from fleet_manifests.updates import Delta, Updates
from fleet_manifests.wire import MAX_DOCUMENT_BYTES, parse
from runtimes.sync.blobs import Blobs
from runtimes.sync.rebuild import METHODS, rebuild
from runtimes.sync.sources import Source

REBUILT = ".rebuilt"
"""Suffix of a blob that is being rebuilt; without meaning after a crash."""


@dataclass
class Shortcuts:
    """The deltas that a site may use in one sync."""

    blobs: Blobs
    source: Source
    rebuilt: int = 0
    """Blobs that were made from a delta."""
    fallbacks: list[str] = field(default_factory=list)
    """Why a delta that was tried did not do, each."""
    _deltas: dict[str, list[Delta]] = field(default_factory=dict)

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

    def cost(self, blob: Descriptor) -> int:
        """Bytes that have to come over the line for a blob that is not here, if all goes well."""
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
        """Make a blob from one of its deltas; whether that was done."""
        return any(self._attempt(delta, blob, moved) for delta in self.usable(blob))

    def _attempt(self, delta: Delta, blob: Descriptor, moved: Callable[[int], None]) -> bool:
        """Try one delta; what it leaves behind is removed, but for a payload that is not whole yet."""
        out = self.blobs.path(blob.digest + REBUILT)
        kept = self.blobs.holds(delta.payload.digest, delta.payload.size)
        try:
            payload = self.blobs.fetch(self.source, delta.payload, moved)
            try:
                self.blobs.clear(out)
                rebuild(delta, payload, None if delta.base is None else self.blobs.path(delta.base.digest), out)
                self.blobs.adopt(out, blob)
            finally:
                if not kept:
                    self.blobs.forget(delta.payload.digest)
        except (IntegrityError, UnreachableError, OSError) as exc:
            with contextlib.suppress(OSError):
                self.blobs.clear(out)
            self.fallbacks.append(f"{blob.digest}: a {delta.method} delta did not do: {exc}")
            return False
        self.rebuilt += 1
        return True
