"""Blobs from an OCI registry (distribution specification 1.1). Signed metadata never comes from there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

from fleet_manifests.bundle import MANIFEST_TYPE
from runtimes.sync.seam import MissingError
from runtimes.sync.sources import REGISTRY, Stream
from runtimes.sync.web import HttpSource

BLOBS = "blobs/sha256/"


class RegistrySource:
    """One repository of a registry, asked for blobs by digest.

    It is a mirror: what it lacks, or gives otherwise than signed, is asked of the site's source.
    """

    def __init__(self, address: str) -> None:
        """Ask `oci+http(s)://host/repository`."""
        parts = urlsplit(address.removeprefix(REGISTRY))
        self._web = HttpSource(
            f"{parts.scheme}://{parts.netloc}/v2{parts.path}",
            headers={"Accept": f"{MANIFEST_TYPE}, application/octet-stream"},
            name=address,
        )

    @property
    def address(self) -> str:
        """The address as it was given."""
        return self._web.address

    @contextlib.contextmanager
    def open(self, path: str, offset: int = 0) -> Iterator[Stream]:
        """See `Source.open`. To a registry the manifest of a bundle is no blob: it is asked for in its own place."""
        if not path.startswith(BLOBS):
            raise MissingError(f"{self.address} gives blobs only, not {path}")
        digest = f"sha256:{path.removeprefix(BLOBS)}"
        with contextlib.ExitStack() as stack:
            try:
                stream = stack.enter_context(self._web.open(f"blobs/{digest}", offset))
            except MissingError:
                stream = stack.enter_context(self._web.open(f"manifests/{digest}", offset))
            yield stream

    def close(self) -> None:
        """Close the connections."""
        self._web.close()
