"""Publishing what a channel offers beside whole blobs: deltas, derivations, and the list that a manifest pins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from fleet_manifests import Descriptor, FleetManifest, parse
from fleet_manifests.bundle import FILEPATH, TUNED
from fleet_manifests.updates import Derivation, Updates
from release import deltas, layout
from release.candidates import Checked
from release.published import read_blob


class Sink(Protocol):
    """Where an act puts what it publishes: an edit of the repository, or the staging of a pending version."""

    def blob(self, source: Path | bytes, blob: Descriptor) -> None:
        """Store a blob."""

    def offer(self, entry: layout.IndexEntry) -> None:
        """List a manifest in `index.json`."""


def offer_updates(
    sink: Sink,
    public: Path,
    manifest: FleetManifest,
    current: FleetManifest | None,
    published: Iterable[FleetManifest | None],
    checked: Sequence[Checked],
) -> Descriptor:
    """Publish the deltas and derivations of a channel's next manifest, and the list of them.

    Args:
        sink: the blobs of the next release are in the tree already.
        public: the published tree.
        manifest: the next one.
        current: what the channel has now.
        published: what every channel has now; a delta of theirs may be found ready.
        checked: the candidates that enter, which may say how their weights are derived.

    Raises:
        IntegrityError: a blob of the tree is missing or damaged.
    """
    known = [updates for one in published if one and (updates := _updates(public, one))]
    before = (_updates(public, current) if current else None) or Updates()
    files = deltas.files_of(manifest, public)
    derivations = deltas.still_derived(files, known, [made for one in checked for made in _derived(sink, one)])
    inputs = deltas.inputs_of(files, derivations)
    found = deltas.offer([*files, *inputs], known, before, public, derivations)
    for delta in found.updates.deltas:
        if (raw := found.payloads.get(delta.payload.digest)) is not None:
            sink.blob(raw, delta.payload)
    sink.blob(found.raw, found.descriptor)
    return found.descriptor


def _derived(sink: Sink, checked: Checked) -> list[Derivation]:
    """How the tuned weights of an admitted candidate are derived, where it says so; publishes what that needs."""
    tuned = [blob for _, blob in checked.blobs if blob.annotations.get(FILEPATH) == TUNED]
    if checked.candidate.derivation is None or not tuned:
        return []
    made, files = deltas.derived(checked.candidate.derivation, tuned[0])
    for path, blob in files:
        sink.blob(path, blob)
    return [made]


def _updates(public: Path, manifest: FleetManifest) -> Updates | None:
    """The list of updates of a published manifest, or None where it has none."""
    if manifest.updates is None:
        return None
    return parse(Updates, read_blob(public, manifest.updates), where=f"updates of {manifest.channel}")
