"""What the generators of movements must know of the master data, read back from the ERP."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """An item as orders and notes speak of it."""

    item_id: str
    product: str
    """What people call it: the description without its size."""
    unit: str
    price: float
    cost: float


@dataclass(frozen=True)
class Customer:
    """A customer as orders and notes speak of it."""

    customer_id: str
    name: str
    branch_id: str
    warehouse_id: str
    city: str
    contact: str
    email: str
    phone: str
    discount: float


@dataclass(frozen=True)
class Supplier:
    """A supplier, its lead time and what it delivers."""

    supplier_id: str
    lead_time_days: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Master:
    """The master data, in the order of its keys."""

    items: tuple[Item, ...]
    customers: tuple[Customer, ...]
    suppliers: tuple[Supplier, ...]
    """Only those that deliver something."""
    bins: dict[str, tuple[str, ...]]
    """Bins of each warehouse."""


def read_master(erp: sqlite3.Connection) -> Master:
    """Read what orders, shipments and notes are made of."""
    by_supplier: dict[str, list[Item]] = {}
    for supplier_id, item_id, description, unit, price, cost in erp.execute(
        "SELECT supplier_id, item_id, description, pack_unit, list_price, standard_cost FROM items ORDER BY item_id"
    ):
        item = Item(item_id, description.rsplit(" ", 1)[0], unit, price, cost)
        by_supplier.setdefault(supplier_id, []).append(item)
    customers = erp.execute(
        "SELECT customer_id, c.name, branch_id, warehouse_id, c.city, contact_name, contact_email, contact_phone,"
        " discount_percent FROM customers c JOIN branches USING (branch_id) ORDER BY customer_id"
    )
    suppliers = erp.execute("SELECT supplier_id, lead_time_days FROM suppliers ORDER BY supplier_id")
    bins: dict[str, tuple[str, ...]] = {}
    for warehouse_id, bin_id in erp.execute("SELECT warehouse_id, bin_id FROM bins ORDER BY bin_id"):
        bins[warehouse_id] = (*bins.get(warehouse_id, ()), bin_id)
    return Master(
        items=tuple(sorted((item for some in by_supplier.values() for item in some), key=lambda item: item.item_id)),
        customers=tuple(Customer(*row) for row in customers),
        suppliers=tuple(Supplier(key, days, tuple(by_supplier[key])) for key, days in suppliers if key in by_supplier),
        bins=bins,
    )
