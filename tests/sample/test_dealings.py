from __future__ import annotations

import sqlite3

import pytest

from sample.clock import DAYS, day_of
from sample.dealings import deliveries, supplies
from sample.trade import Period

pytestmark = pytest.mark.unit

WHOLE = Period(0.0, float(DAYS))


def test_a_delivery_is_what_the_erp_says(erp: sqlite3.Connection) -> None:
    found = deliveries(erp, WHOLE)
    assert [one.order for one in found] == sorted(one.order for one in found)
    query = (
        "SELECT order_id, customer_id, c.name, customer_po, w.name, tracking_number, cartons, ordered_at, delivered_at"
        " FROM orders JOIN customers c USING (customer_id) JOIN shipments USING (order_id)"
        " JOIN warehouses w USING (warehouse_id)"
    )
    heads = {row[0]: row for row in erp.execute(query)}
    lines: dict[str, list[tuple[str, int]]] = {}
    for order, item, quantity in erp.execute("SELECT order_id, item_id, shipped_quantity FROM order_lines"):
        lines.setdefault(order, []).append((item, quantity))
    for one in found:
        known = (one.order, one.partner_id, one.partner, one.reference, one.warehouse, one.tracking, one.cartons)
        assert heads[one.order][:7] == known
        assert (one.ordered, one.arrived) == (day_of(heads[one.order][7]), day_of(heads[one.order][8]))
        assert one.ordered < one.arrived
        assert [(line.item_id, line.quantity) for line in one.lines] == [line for line in lines[one.order] if line[1]]


def test_a_price_is_what_the_customer_pays(erp: sqlite3.Connection) -> None:
    query = "SELECT order_id, item_id, unit_price, discount_percent FROM order_lines"
    prices = {(order, item): price * (1 - less / 100) for order, item, price, less in erp.execute(query)}
    found = [(prices[one.order, line.item_id], line.price) for one in deliveries(erp, WHOLE) for line in one.lines]
    assert all(price == pytest.approx(exact, abs=0.011) for exact, price in found)


def test_a_supply_has_an_arrival_even_if_it_is_still_to_come(erp: sqlite3.Connection) -> None:
    found = {one.order: one for one in supplies(erp, WHOLE)}
    rows = erp.execute("SELECT purchase_order_id, supplier_id, status, updated_at, expected_date FROM purchase_orders")
    statuses = set()
    for order, supplier, status, updated, expected in rows:
        assert found[order].partner_id == supplier
        assert found[order].arrived == day_of(updated if status == "received" else expected)
        statuses.add(status)
    assert statuses == {"received", "open"} and len(found) > 2_000
    assert all(one.lines and one.side == "supplier" for one in found.values())


def test_what_the_erp_does_not_hold_never_changes(erp: sqlite3.Connection) -> None:
    first, again = supplies(erp, WHOLE), supplies(erp, WHOLE)
    assert first == again
    assert len({one.reference for one in first}) > 0.9 * len(first)


def test_only_what_the_period_may_speak_of(erp: sqlite3.Connection) -> None:
    period = Period(500.0, 514.0)
    some = deliveries(erp, period)
    assert some and all(500 - 45 <= one.arrived < 514 for one in some)
    assert all(one.ordered < 514 for one in supplies(erp, period))
    assert deliveries(erp, Period(-100.0, -60.0)) == ()
