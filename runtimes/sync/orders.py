"""The fleet's standing orders at a site: read like every signed document, obeyed first, and never forgotten.

An order only takes away. It is obeyed before anything else is asked for, so that it holds where the manifest has
expired, the assignment is gone or the line is slow; and what was revoked once stays revoked here, whatever a later
document says. Only what was said under keys that were replaced since is forgotten: a thief of the online key may have
said it, and the new key repeats what stands (`runtimes.sync.authority`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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


def take_orders(state: Path, documents: SignedDocuments) -> Orders:
    """Read the published orders, and keep them with every revocation that was seen before.

    A fleet that was published before there were orders has none.

    Args:
        state: the site's state folder.
        documents: refreshed.

    Raises:
        IntegrityError: they are not what was signed, or cannot be understood.
    """
    try:
        raw, _ = documents.document(ORDERS_TARGET)
    except RefusedError:
        found = Orders()
    else:
        found = parse(Orders, raw, where=ORDERS_TARGET)
    known, by = load_orders(state), documents.authority("sites")
    rekeyed = known.by is not None and by.replaces(known.by)
    fresh = () if rekeyed else tuple(one for one in known.revoked if one.bundle not in found.stops)
    orders = KeptOrders(halted=found.halted, revoked=(*found.revoked, *fresh), by=by)
    if orders != known:
        write_file(state / ORDERS_FILE, dump(orders))
    return orders


def load_orders(state: Path) -> KeptOrders:
    """The orders as they were last seen.

    Raises:
        IntegrityError: the record is damaged.
    """
    path = state / ORDERS_FILE
    if not path.is_file():
        return KeptOrders()
    return parse(KeptOrders, path.read_bytes(), where=f"{path} (remove it, and sync again)")


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
