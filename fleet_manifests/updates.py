"""How a blob can be had for less than its own bytes: the list of updates that a fleet manifest pins.

Nothing here is needed. A site that cannot use an entry, or whose result is not the blob that was signed, fetches the
blob itself.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fleet_manifests.bundle import Descriptor
from fleet_manifests.wire import Digest, Name, Wire

PLAN_TYPE = "application/vnd.lading.plan.v1+json"
ADAPTER_TYPE = "application/vnd.lading.adapter.v1.raw"
BASE_TYPE = "application/vnd.lading.base.v1.raw"
UPDATES_TYPE = "application/vnd.lading.updates.v1+json"
DELTA_TYPE = "application/vnd.lading.delta.v1+zstd"
PLAN_FILE, BASE_FILE, ADAPTER_FILE = "plan.json", "base.bin", "adapter.bin"

WHOLE = "whole"
"""The payload is the blob, compressed with zstd."""
SUBTRACT = "subtract"
"""The payload is the blob minus the base, byte by byte modulo 256, compressed with zstd. A base that is shorter goes on
with zeros."""
PATCH = "patch"
"""The payload is the blob compressed with zstd, with the base as raw dictionary: where things moved."""
INDEX = "index"
"""The base is the passages of a knowledge pack, and the payload the name of that file of its word index: the site makes
it itself."""
INDEX_TYPE = "application/vnd.lading.index.v1+text"


class Content(Wire):
    """Bytes by digest and size."""

    digest: Digest
    size: Annotated[int, Field(ge=0)]


class Delta(Wire):
    """One way to a blob: a payload, and perhaps a blob that the site has."""

    target: Content
    method: Name
    """`whole`, `subtract`, `patch` or `index`; an older site passes over what it does not know."""
    base: Content | None = None
    """What the payload refers to; None for `whole`."""
    payload: Descriptor


class Derivation(Wire):
    """One way to tuned weights: computed of the base, which a site fetches once, and an adapter."""

    target: Content
    plan: Descriptor
    """What lies where (`runtimes.derive.Plan`)."""
    base: Descriptor
    adapter: Descriptor

    @property
    def inputs(self) -> tuple[Descriptor, ...]:
        """What it is computed of."""
        return self.plan, self.base, self.adapter


class Updates(Wire):
    """All that a channel offers beside whole blobs."""

    schema_version: Literal[1] = 1
    deltas: tuple[Delta, ...] = ()
    derivations: tuple[Derivation, ...] = ()
    recent: dict[str, tuple[Content, ...]] = {}
    """The last contents of each file of each bundle and pack, and of each input of a derivation, newest first: what
    the next deltas may refer to.
    For the publisher; a site does not read it."""
