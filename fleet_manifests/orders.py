"""Standing orders to all sites, signed by the online key: which channels are halted, which bundles and packs must stop.

They only ever take away: a halt keeps new versions of a channel from being installed, a revocation stops what runs. So
one person may give them, at once. What lets content run again is a manifest, which needs its own signatures.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, model_validator

from fleet_manifests.manifest import Channel
from fleet_manifests.wire import Digest, Name, Wire

ORDERS_TARGET = "sites/_orders.json"
"""The TUF target, of role `sites` itself; no site can have this name."""


class Halt(Wire):
    """A channel from which nothing new is installed. What runs goes on, and revocations are obeyed."""

    reason: str
    by: Name
    since: AwareDatetime


class Stop(Wire):
    """A bundle or knowledge pack that must stop wherever it runs; `bundle` is the digest of either."""

    bundle: Digest
    reason: str
    by: Name
    since: AwareDatetime


class Orders(Wire):
    """What holds for every site, whatever its channel's manifest says."""

    schema_version: Literal[1] = 1
    halted: dict[Channel, Halt] = {}
    revoked: tuple[Stop, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Orders:
        if len(self.stops) != len(self.revoked):
            raise ValueError("revoked: a digest appears twice")
        return self

    @property
    def stops(self) -> dict[str, str]:
        """The reason for each revoked digest."""
        return {one.bundle: one.reason for one in self.revoked}
