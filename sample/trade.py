"""What happens day by day: orders and their shipments, purchases and their receipts, returns.

Every order and purchase is played to its end; what lies beyond the end of the period is not
written down yet, and its order is still open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sample.clock import date_text, moment, stamp
from sample.dice import Dice
from sample.master import CARRIERS, CITIES, Row, Tables
from sample.records import Customer, Item, Master

_QUANTITIES = (2, 4, 5, 6, 8, 10, 12, 15, 20, 24, 25, 30, 36, 40, 48, 50, 60, 72, 96, 100, 120, 144, 200)
_RETURN_REASONS = ("not needed", "wrong article", "defective", "damaged", "over delivery")


@dataclass(frozen=True)
class Period:
    """Days from `start` to `end` (not included), counted from the first day of the sample."""

    start: float
    end: float


@dataclass(frozen=True)
class Shipped:
    """A shipped order, as a note may speak of it. Days; `until` is when it arrived, or would have."""

    order_id: str
    customer: Customer
    line_id: int
    item: Item
    quantity: int
    price: float
    customer_po: str
    carrier: str
    tracking: str
    ordered: float
    until: float


def trade(
    seed: int, master: Master, period: Period, orders: int, ids: Mapping[str, int]
) -> tuple[Tables, list[Shipped]]:
    """The movements of a period.

    Args:
        seed: of the period.
        master: what is traded.
        period: the days.
        orders: how many orders come in.
        ids: the number of the last row of each table so far.

    Returns:
        rows per table, and the shipped orders in the order of their number.
    """
    selling = _Selling(Dice(seed, "orders"), master, period, ids)
    for day in _order_days(selling.dice, period, orders):
        selling.order(day)
    buying = _purchases(Dice(seed, "purchases"), master, period, ids, count=max(1, orders // 8))
    return selling.tables | buying, selling.shipped


def _order_days(dice: Dice, period: Period, count: int) -> list[float]:
    """When orders come in: working days, office hours, more in autumn, growing."""
    days = [float(day) for day in range(int(period.start), int(period.end)) if moment(day).weekday() < 5]
    days = days or [period.start]
    weights = [(1 + day / 2000) * (1.25 if moment(day).month in (9, 10, 11) else 1.0) for day in days]
    total = sum(weights)
    drawn = dice.rng.choice(days, size=count, p=[weight / total for weight in weights])
    hours = 7 + 10 * dice.rng.random(count)
    return sorted(float(day) + float(hour) / 24 for day, hour in zip(drawn, hours, strict=True))


class _Selling:
    """Orders, lines, shipments, carrier events and returns, as they accumulate."""

    def __init__(self, dice: Dice, master: Master, period: Period, ids: Mapping[str, int]) -> None:
        self.dice = dice
        self.master = master
        self.period = period
        self.ids = ids
        names = ("orders", "order_lines", "shipments", "carrier_events", "returns")
        self.tables: Tables = {name: [] for name in names}
        self.shipped: list[Shipped] = []

    def _next(self, table: str) -> int:
        return self.ids[table] + len(self.tables[table]) + 1

    def order(self, day: float) -> None:
        """One order and all that follows from it before the period ends."""
        dice, end = self.dice, self.period.end
        customer = dice.pick(self.master.customers)
        order_id, po = f"SO-{104_000 + self._next('orders')}", f"4500{dice.between(100_000, 999_999)}"
        ready = day + 0.2 + 2.5 * float(dice.rng.random())
        until = ready + float(dice.rng.gamma(3.0, 0.7))
        gone, there = ready < end, until < end
        changed = until if there else ready if gone else day
        status = "delivered" if there else "shipped" if gone else "open"
        self.tables["orders"].append((order_id, customer.customer_id, customer.branch_id, customer.warehouse_id, po,
                                      stamp(day), date_text(day + 4), status, stamp(changed)))  # fmt: skip
        lines = [self._line(order_id, number, customer, stamp(changed), gone) for number in range(1, self._size() + 1)]
        if gone:
            carrier, tracking = self._shipment(order_id, customer, ready, until)
            line_id, item, quantity, price = lines[0]
            self.shipped.append(Shipped(order_id, customer, line_id, item, quantity, price, po, carrier, tracking,
                                        day, until))  # fmt: skip
        if there and dice.chance(0.05):
            self._return(*lines[-1], until)

    def _size(self) -> int:
        """Lines of an order: mostly one to four."""
        return 1 + min(int(self.dice.rng.geometric(0.36)), 12) if self.dice.chance(0.7) else 1

    def _line(
        self, order_id: str, number: int, customer: Customer, changed: str, gone: bool
    ) -> tuple[int, Item, int, float]:
        dice, key = self.dice, self._next("order_lines")
        item = dice.pick(self.master.items)
        quantity = dice.pick(_QUANTITIES)
        sent = 0 if not gone else quantity if dice.chance(0.97) else dice.between(1, quantity - 1)
        price = round(item.price * (1 - customer.discount / 100), 2)
        self.tables["order_lines"].append((key, order_id, number, item.item_id, quantity, sent, item.price,
                                           customer.discount, changed))  # fmt: skip
        return key, item, quantity, price

    def _shipment(self, order_id: str, customer: Customer, ready: float, until: float) -> tuple[str, str]:
        dice, end = self.dice, self.period.end
        number = self._next("shipments")
        shipment_id, carrier = f"SH-{500_000 + number}", dice.pick(CARRIERS)
        tracking = f"{carrier[:2].upper()}{dice.between(10**8, 10**9 - 1)}"
        delivered = stamp(until) if until < end else None
        freight = round(6 + float(dice.rng.gamma(2.0, 9.0)), 2)
        row = (shipment_id, order_id, carrier, tracking, dice.between(1, 14), stamp(ready), date_text(ready + 2),
               delivered, freight, delivered or stamp(ready))  # fmt: skip
        self.tables["shipments"].append(row)
        events = [("picked_up", ready + 0.1, customer.warehouse_id), ("hub", (ready + until) / 2, dice.pick(CITIES)),
                  ("out_for_delivery", until - 0.15, customer.city), ("delivered", until, customer.city)]  # fmt: skip
        if dice.chance(0.08):
            events.insert(2, ("exception", (ready + 2 * until) / 3, dice.pick(CITIES)))
        for code, when, place in events:
            if when < end:
                event = (self._next("carrier_events"), shipment_id, code, place, stamp(when), stamp(when))
                self.tables["carrier_events"].append(event)
        return carrier, tracking

    def _return(self, line_id: int, item: Item, quantity: int, price: float, until: float) -> None:
        dice = self.dice
        back = until + 2 + 12 * float(dice.rng.random())
        if back < self.period.end:
            some = dice.between(1, quantity)
            self.tables["returns"].append((self._next("returns"), line_id, dice.pick(_RETURN_REASONS), some,
                                           stamp(back), round(some * price, 2), stamp(back)))  # fmt: skip


def _purchases(dice: Dice, master: Master, period: Period, ids: Mapping[str, int], *, count: int) -> Tables:
    """Purchase orders of one to six lines, received after the supplier's lead time, not always in full."""
    orders: list[Row] = []
    lines: list[Row] = []
    receipts: list[Row] = []
    for day in _order_days(dice, period, count):
        supplier = dice.pick(master.suppliers)
        warehouse = dice.pick(tuple(master.bins))
        came = day + supplier.lead_time_days * (0.8 + 0.6 * float(dice.rng.random()))
        arrived = came < period.end
        key, changed = f"PO-{70_000 + ids['purchase_orders'] + len(orders) + 1}", stamp(came if arrived else day)
        orders.append((key, supplier.supplier_id, warehouse, stamp(day), date_text(day + supplier.lead_time_days),
                       "received" if arrived else "open", changed))  # fmt: skip
        for number in range(1, min(dice.between(1, 6), len(supplier.items)) + 1):
            item, quantity = dice.pick(supplier.items), 12 * dice.between(1, 60)
            line_id = ids["purchase_order_lines"] + len(lines) + 1
            lines.append((line_id, key, number, item.item_id, quantity, item.cost, changed))
            if arrived:
                got = quantity if dice.chance(0.94) else dice.between(1, quantity)
                bin_id = dice.pick(master.bins[warehouse])
                receipts.append((ids["receipts"] + len(receipts) + 1, line_id, bin_id, got, changed, changed))
    return {"purchase_orders": orders, "purchase_order_lines": lines, "receipts": receipts}
