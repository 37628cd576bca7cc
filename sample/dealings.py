"""What papers speak of: deliveries to customers and supplies from suppliers, read back from the ERP."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from sample.clock import day_of, stamp
from sample.dice import taste
from sample.master import CARRIERS
from sample.trade import Period

Side = Literal["customer", "supplier"]

_MEMORY = 45.0
"""Days before a period from which its papers still speak of something."""

_DELIVERIES = """
    SELECT order_id, customer_id, c.name, c.city, customer_po, w.name, carrier, tracking_number, cartons, ordered_at,
        delivered_at
    FROM shipments JOIN orders o USING (order_id) JOIN customers c USING (customer_id)
        JOIN warehouses w USING (warehouse_id)
    WHERE delivered_at >= ? AND delivered_at < ? ORDER BY order_id"""
_DELIVERED = """
    SELECT order_id, item_id, description, pack_unit, shipped_quantity,
        round(unit_price * (1 - discount_percent / 100.0), 2)
    FROM order_lines JOIN items USING (item_id) WHERE shipped_quantity > 0 ORDER BY order_line_id"""
_SUPPLIES = """
    SELECT purchase_order_id, supplier_id, s.name, s.city, w.name, ordered_at,
        CASE o.status WHEN 'received' THEN o.updated_at ELSE o.expected_date END
    FROM purchase_orders o JOIN suppliers s USING (supplier_id) JOIN warehouses w USING (warehouse_id)
    WHERE ordered_at >= ? AND ordered_at < ? ORDER BY purchase_order_id"""
_SUPPLIED = """
    SELECT purchase_order_id, item_id, description, pack_unit, quantity, unit_cost
    FROM purchase_order_lines JOIN items USING (item_id) ORDER BY purchase_order_line_id"""


@dataclass(frozen=True)
class Line:
    """One line of an order; the price is that of one piece, discount taken off."""

    item_id: str
    product: str
    unit: str
    quantity: int
    price: float


@dataclass(frozen=True)
class Dealing:
    """A delivery or a supply. Days count from the first day of the sample."""

    side: Side
    partner_id: str
    partner: str
    city: str
    order: str
    """Our number: of the sales order or the purchase order."""
    reference: str
    """The partner's number for the same."""
    warehouse: str
    carrier: str
    tracking: str
    cartons: int
    ordered: float
    arrived: float
    """When the goods arrived, or should."""
    lines: tuple[Line, ...]


def deliveries(erp: sqlite3.Connection, period: Period) -> tuple[Dealing, ...]:
    """What reached customers in the period or shortly before, in the order of its number."""
    lines = _lines(erp, _DELIVERED)
    found = erp.execute(_DELIVERIES, (stamp(period.start - _MEMORY), stamp(period.end)))
    return tuple(
        Dealing("customer", customer_id, name, city, order, po, warehouse, carrier, tracking, cartons,
                day_of(ordered), day_of(delivered), lines[order])
        for order, customer_id, name, city, po, warehouse, carrier, tracking, cartons, ordered, delivered in found
        if order in lines
    )  # fmt: skip


def supplies(erp: sqlite3.Connection, period: Period) -> tuple[Dealing, ...]:
    """What was ordered from suppliers in the period or shortly before, arrived or not, in the order of its number."""
    lines = _lines(erp, _SUPPLIED)
    found = erp.execute(_SUPPLIES, (stamp(period.start - 2 * _MEMORY), stamp(period.end)))
    return tuple(
        Dealing("supplier", supplier_id, name, city, order, _number(order, 80_000), warehouse, _carrier(order),
                f"{_carrier(order)[:2].upper()}{_number(order, 10**9)}", 1 + int(14 * taste(order, "cartons")),
                day_of(ordered), day_of(arrived), lines[order])
        for order, supplier_id, name, city, warehouse, ordered, arrived in found
    )  # fmt: skip


def _lines(erp: sqlite3.Connection, query: str) -> dict[str, tuple[Line, ...]]:
    found: dict[str, list[Line]] = {}
    for order, item_id, description, unit, quantity, price in erp.execute(query):
        line = Line(item_id, description.rsplit(" ", 1)[0], unit, quantity, price)
        found.setdefault(order, []).append(line)
    return {order: tuple(lines) for order, lines in found.items()}


def _number(order: str, below: int) -> str:
    """A number that the partner gave; the ERP does not hold it."""
    return str(int(below * (0.2 + 0.8 * taste(order, "reference"))))


def _carrier(order: str) -> str:
    """Who carries it for the supplier; the ERP does not hold that either."""
    return CARRIERS[int(len(CARRIERS) * taste(order, "carrier"))]
