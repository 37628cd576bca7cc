"""The fleet's standing orders at a site: read like every signed document, obeyed first, and never forgotten.

An order only takes away. It is obeyed before anything else is asked for, so that it holds where the manifest has
expired, the assignment is gone or the line is slow; and what was revoked once stays revoked here, whatever a later
document says. Only what was said under keys that were replaced since is forgotten: a thief of the online key may have
said it, and the new key repeats what stands (`runtimes.sync.authority`).

A site that keeps a second copy of its floor keeps one of the orders beside it: an image of the disk that is restored
brings back neither what was revoked since, nor a channel as it was before it was halted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from fleet_manifests.errors import RefusedError
from fleet_manifests.manifest import FleetManifest, Revocation
from fleet_manifests.orders import ORDERS_TARGET, Halt, Orders
from fleet_manifests.wire import dump, parse
from runtimes.sync.authority import Authority
from runtimes.sync.files import write_file

if TYPE_CHECKING:
    from runtimes.sync.trust import SignedDocuments

ORDERS_FILE = "orders.json"
"""In the state folder: the orders as they were last seen."""


class KeptOrders(Orders):
    """The orders as a site keeps them."""

    by: Authority | None = None
    """Under whose keys they were given; None: kept before sites noted that."""
    version: Annotated[int, Field(ge=0)] = 0
    """Of the metadata that named them."""

    def joined(self, other: KeptOrders) -> KeptOrders:
        """The later of two copies, with every revocation of both that was not made under keys replaced since."""
        if self.by is not None and other.by is not None and other.by.replaces(self.by):
            return other
        if self.by is not None and other.by is not None and self.by.replaces(other.by):
            return self
        later, earlier = (other, self) if other.version > self.version else (self, other)
        return later.with_revoked(earlier)

    def with_revoked(self, earlier: Orders) -> KeptOrders:
        """These, with what was revoked earlier."""
        fresh = tuple(one for one in earlier.revoked if one.bundle not in self.stops)
        return self.model_copy(update={"revoked": (*self.revoked, *fresh)}) if fresh else self


def take_orders(state: Path, documents: SignedDocuments, outside: Path | None = None) -> Orders:
    """Read the published orders, and keep them with every revocation that was seen before; older ones change nothing.

    A fleet that was published before there were orders has none.

    Args:
        state: the site's state folder.
        documents: refreshed.
        outside: the second copy, where the site has one.

    Raises:
        IntegrityError: they are not what was signed, or cannot be understood.
    """
    try:
        published, _ = documents.document(ORDERS_TARGET)
    except RefusedError:
        found = Orders()
    else:
        found = parse(Orders, published, where=ORDERS_TARGET)
    offered = KeptOrders(
        halted=found.halted,
        revoked=found.revoked,
        by=documents.authority("sites"),
        version=documents.version("sites"),
    )
    orders = load_orders(state, outside).joined(offered)
    raw = dump(orders)
    for path in (outside, state / ORDERS_FILE):
        if path is not None and not (path.is_file() and path.read_bytes() == raw):
            write_file(path, raw)
    return orders


def load_orders(state: Path, outside: Path | None = None) -> KeptOrders:
    """The orders as they were last seen.

    Args:
        state: the site's state folder.
        outside: the second copy, where the site has one.

    Raises:
        IntegrityError: a copy is damaged.
    """
    found = KeptOrders()
    for path in (state / ORDERS_FILE, outside):
        if path is not None and path.is_file():
            kept = parse(KeptOrders, path.read_bytes(), where=f"{path} (remove it, and sync again)")
            found = found.joined(kept)
    return found


def with_orders(manifest: FleetManifest, orders: Orders) -> FleetManifest:
    """A manifest as a site has to read it: what the orders revoke is revoked in it."""
    known = {one.bundle for one in manifest.revocations}
    more = [Revocation(bundle=one.bundle, reason=one.reason) for one in orders.revoked if one.bundle not in known]
    return manifest.model_copy(update={"revocations": (*manifest.revocations, *more)}) if more else manifest


def halt_of(orders: Orders, channel: str) -> Halt | None:
    """The halt of a channel, or None."""
    return next((halt for name, halt in orders.halted.items() if name == channel), None)


def why_halted(state: Path, channel: str) -> str | None:
    """Why nothing new of a channel is installed, as of the last sync; None where it is not halted.

    Raises:
        IntegrityError: the record of the orders is damaged.
    """
    halt = halt_of(load_orders(state), channel)
    return None if halt is None else halted(channel, halt)


def halted(channel: str, halt: Halt) -> str:
    """A halt in a sentence."""
    return (
        f"{channel} is halted since {halt.since:%Y-%m-%d %H:%M} UTC by {halt.by}: {halt.reason}; nothing new is "
        "installed until it is resumed"
    )
