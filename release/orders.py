"""Giving orders to all sites at once: halt a channel, stop a bundle or pack. One person may; the online key signs.

What lets content run again is never given here: a halt ends with a manifest that its channel's signers sign
(`release.acts.Resumption`), and a revocation never ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import cast

from fleet_manifests import Halt, Orders, RefusedError, Stop, UsageError, dump, parse
from fleet_manifests.manifest import Channel
from fleet_manifests.orders import ORDERS_TARGET
from release import roles
from release.edit import Edit
from release.log import LogEntry
from release.state import State

HALT, RESUME, REVOKE = "halt", "resume", "revoke"
"""Actions of the log."""


def published_orders(state: State) -> Orders:
    """The standing orders of a release; none of one that was made before there were any."""
    raw = state.target(ORDERS_TARGET)
    return Orders() if raw is None else parse(Orders, raw, where=ORDERS_TARGET)


def give(edit: Edit, orders: Orders) -> None:
    """Publish orders, unless they are the published ones."""
    if orders != published_orders(edit.state):
        edit.target(ORDERS_TARGET, dump(orders))


def halted(orders: Orders, channel: str, reason: str, by: str, since: datetime) -> Orders:
    """The orders with a channel halted.

    Raises:
        UsageError: there is no such channel.
        RefusedError: it is halted already.
    """
    if channel not in roles.CHANNELS:
        raise UsageError(f"channel {channel!r}: expected {', '.join(roles.CHANNELS)}")
    if (known := orders.halted.get(cast(Channel, channel))) is not None:
        raise RefusedError(f"{channel} is halted since {known.since:%Y-%m-%d %H:%M} UTC by {known.by}: {known.reason}")
    return orders.model_copy(update={"halted": {**orders.halted, channel: Halt(reason=reason, by=by, since=since)}})


def resumed(orders: Orders, channel: str) -> Orders:
    """The orders without the halt of a channel."""
    left = {name: one for name, one in orders.halted.items() if name != channel}
    return orders.model_copy(update={"halted": left})


def stopped(orders: Orders, digest: str, reason: str, by: str, since: datetime) -> Orders:
    """The orders with a bundle or pack revoked; one that is revoked already keeps its first reason."""
    if digest in orders.stops:
        return orders
    stop = Stop(bundle=digest, reason=reason, by=by, since=since)
    return orders.model_copy(
        update={"revoked": tuple(sorted((*orders.revoked, stop), key=lambda one: (one.since, one.bundle)))}
    )


def replayed(entries: Iterable[LogEntry]) -> Orders:
    """The orders that stand by the log: for a tree that was lost and is made anew."""
    orders = Orders()
    for one in entries:
        if one.action == HALT and one.channel and one.channel not in orders.halted:
            orders = halted(orders, one.channel, one.reason, one.actor, one.when)
        elif one.action == RESUME and one.channel:
            orders = resumed(orders, one.channel)
        elif one.action == REVOKE and one.digest:
            orders = stopped(orders, one.digest, one.reason, one.actor, one.when)
    return orders
