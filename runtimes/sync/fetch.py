"""Bringing here what a plan needs: first the small documents that say what there is, then all that is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fleet_manifests.bundle import BUNDLE_FILE, Descriptor, OciManifest
from fleet_manifests.errors import IntegrityError
from fleet_manifests.knowledge import PACK_FILE, PackConfig
from fleet_manifests.manifest import PackRef
from fleet_manifests.wire import MAX_DOCUMENT_BYTES, parse
from runtimes.sync.blobs import Blobs
from runtimes.sync.contents import check_layout
from runtimes.sync.packs import PackParts
from runtimes.sync.shortcuts import Shortcuts
from runtimes.sync.sources import Source


class Fetch:
    """The blobs of one sync. A blob that is here and whole is never asked for.

    Raises (every method):
        IntegrityError: the source gives other bytes than were signed, or a document does not say what it must.
        UnreachableError: the source does not have something, or breaks off.
        StorageError: the disk has no room.
        OSError: a blob cannot be written.
    """

    def __init__(self, blobs: Blobs, source: Source) -> None:
        """Use a site's blobs and a source, which is trusted with nothing."""
        self._blobs, self._source = blobs, source
        self.shortcuts = Shortcuts(blobs, source)
        """Deltas; none until `Shortcuts.read` was told of a list."""

    def bundle(self, workflow: str, manifest: Descriptor) -> OciManifest:
        """What the bundle of a workflow is made of."""
        raw = self._document(manifest, f"workflow {workflow}: its OCI manifest")
        layout = parse(OciManifest, raw, where=f"OCI manifest of {workflow}")
        check_layout(layout, workflow, BUNDLE_FILE)
        return layout

    def pack(self, ref: PackRef) -> PackParts:
        """What a knowledge pack is made of, and what its `pack.json` says: believed once the signature is verified."""
        raw = self._document(ref.blob, f"pack {ref.name}: its OCI manifest")
        layout = parse(OciManifest, raw, where=f"OCI manifest of {ref.name}")
        check_layout(layout, ref.name, PACK_FILE)
        (config,) = (layer for layer in layout.layers if layer.path == PACK_FILE)
        raw = self._document(config, f"pack {ref.name}: its {PACK_FILE}")
        return PackParts(layout, parse(PackConfig, raw, where=f"{ref.name}/{PACK_FILE}"))

    def all(self, wanted: Iterable[Descriptor], progress: Callable[[float, str], None]) -> None:
        """Bring every blob here that is not, for less where that can be done.

        `progress` is told the part from 0 to 1 and the megabytes.
        """
        missing = self._blobs.missing(wanted)
        self.shortcuts.choose(missing)
        total = self.shortcuts.total(missing) or 1
        done = 0

        def moved(count: int) -> None:
            nonlocal done
            done += count
            progress(min(1.0, done / total), f"fetching {done / 1e6:.1f} of {total / 1e6:.1f} MB")

        for blob in self.shortcuts.ordered(missing):
            if not self.shortcuts.take(blob, moved):
                self._blobs.fetch(self._source, blob, moved)

    def _document(self, blob: Descriptor, what: str) -> bytes:
        """The bytes of a small blob."""
        if blob.size > MAX_DOCUMENT_BYTES:
            raise IntegrityError(f"{what} has {blob.size} bytes; tell the publisher")
        return self._blobs.fetch(self._source, blob).read_bytes()
