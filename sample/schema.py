"""The tables of the sample ERP, as SQLite creates them."""

from __future__ import annotations

TABLES = (
    """CREATE TABLE warehouses (
        warehouse_id TEXT PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL, updated_at DATETIME NOT NULL)""",
    """CREATE TABLE branches (
        branch_id TEXT PRIMARY KEY, warehouse_id TEXT NOT NULL REFERENCES warehouses, name TEXT NOT NULL,
        city TEXT NOT NULL, updated_at DATETIME NOT NULL)""",
    """CREATE TABLE bins (
        bin_id TEXT PRIMARY KEY, warehouse_id TEXT NOT NULL REFERENCES warehouses, aisle INTEGER NOT NULL,
        kind TEXT NOT NULL, updated_at DATETIME NOT NULL)""",
    """CREATE TABLE suppliers (
        supplier_id TEXT PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL, lead_time_days INTEGER NOT NULL,
        contact_name TEXT NOT NULL, contact_email TEXT NOT NULL, updated_at DATETIME NOT NULL)""",
    """CREATE TABLE items (
        item_id TEXT PRIMARY KEY, description TEXT NOT NULL, category TEXT NOT NULL, base_unit TEXT NOT NULL,
        pack_unit TEXT NOT NULL, pack_size INTEGER NOT NULL, hazard_class TEXT, un_number TEXT,
        weight_kg REAL NOT NULL, supplier_id TEXT NOT NULL REFERENCES suppliers, list_price NUMERIC(12, 2) NOT NULL,
        standard_cost NUMERIC(12, 2) NOT NULL, updated_at DATETIME NOT NULL)""",
    """CREATE TABLE item_substitutes (
        item_substitute_id INTEGER PRIMARY KEY, item_id TEXT NOT NULL REFERENCES items,
        substitute_item_id TEXT NOT NULL REFERENCES items, preference INTEGER NOT NULL,
        updated_at DATETIME NOT NULL)""",
    """CREATE TABLE customers (
        customer_id TEXT PRIMARY KEY, name TEXT NOT NULL, segment TEXT NOT NULL,
        branch_id TEXT NOT NULL REFERENCES branches, city TEXT NOT NULL, contact_name TEXT NOT NULL,
        contact_email TEXT NOT NULL, contact_phone TEXT NOT NULL, payment_terms_days INTEGER NOT NULL,
        credit_limit NUMERIC(12, 2) NOT NULL, discount_percent NUMERIC(5, 2) NOT NULL, updated_at DATETIME NOT NULL)""",
    """CREATE TABLE stock (
        stock_id INTEGER PRIMARY KEY, item_id TEXT NOT NULL REFERENCES items, bin_id TEXT NOT NULL REFERENCES bins,
        on_hand INTEGER NOT NULL, reserved INTEGER NOT NULL, updated_at DATETIME NOT NULL)""",
    """CREATE TABLE orders (
        order_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers,
        branch_id TEXT NOT NULL REFERENCES branches, warehouse_id TEXT NOT NULL REFERENCES warehouses,
        customer_po TEXT NOT NULL, ordered_at DATETIME NOT NULL, requested_date DATE NOT NULL, status TEXT NOT NULL,
        updated_at DATETIME NOT NULL)""",
    """CREATE TABLE order_lines (
        order_line_id INTEGER PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders, line_no INTEGER NOT NULL,
        item_id TEXT NOT NULL REFERENCES items, quantity INTEGER NOT NULL, shipped_quantity INTEGER NOT NULL,
        unit_price NUMERIC(12, 2) NOT NULL, discount_percent NUMERIC(5, 2) NOT NULL, updated_at DATETIME NOT NULL)""",
    """CREATE TABLE shipments (
        shipment_id TEXT PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders, carrier TEXT NOT NULL,
        tracking_number TEXT NOT NULL, cartons INTEGER NOT NULL, shipped_at DATETIME NOT NULL,
        promised_date DATE NOT NULL, delivered_at DATETIME, freight_cost NUMERIC(12, 2) NOT NULL,
        updated_at DATETIME NOT NULL)""",
    """CREATE TABLE carrier_events (
        carrier_event_id INTEGER PRIMARY KEY, shipment_id TEXT NOT NULL REFERENCES shipments, code TEXT NOT NULL,
        location TEXT NOT NULL, happened_at DATETIME NOT NULL, updated_at DATETIME NOT NULL)""",
    """CREATE TABLE purchase_orders (
        purchase_order_id TEXT PRIMARY KEY, supplier_id TEXT NOT NULL REFERENCES suppliers,
        warehouse_id TEXT NOT NULL REFERENCES warehouses, ordered_at DATETIME NOT NULL, expected_date DATE NOT NULL,
        status TEXT NOT NULL, updated_at DATETIME NOT NULL)""",
    """CREATE TABLE purchase_order_lines (
        purchase_order_line_id INTEGER PRIMARY KEY, purchase_order_id TEXT NOT NULL REFERENCES purchase_orders,
        line_no INTEGER NOT NULL, item_id TEXT NOT NULL REFERENCES items, quantity INTEGER NOT NULL,
        unit_cost NUMERIC(12, 2) NOT NULL, updated_at DATETIME NOT NULL)""",
    """CREATE TABLE receipts (
        receipt_id INTEGER PRIMARY KEY,
        purchase_order_line_id INTEGER NOT NULL REFERENCES purchase_order_lines,
        bin_id TEXT NOT NULL REFERENCES bins, quantity INTEGER NOT NULL, received_at DATETIME NOT NULL,
        updated_at DATETIME NOT NULL)""",
    """CREATE TABLE returns (
        return_id INTEGER PRIMARY KEY, order_line_id INTEGER NOT NULL REFERENCES order_lines,
        reason_code TEXT NOT NULL, quantity INTEGER NOT NULL, returned_at DATETIME NOT NULL,
        credit_amount NUMERIC(12, 2) NOT NULL, updated_at DATETIME NOT NULL)""",
    """CREATE TABLE order_exceptions (
        exception_id INTEGER PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders,
        order_line_id INTEGER NOT NULL REFERENCES order_lines, customer_id TEXT NOT NULL REFERENCES customers,
        branch_id TEXT NOT NULL REFERENCES branches, channel TEXT NOT NULL, reported_by TEXT NOT NULL,
        reported_at DATETIME NOT NULL, note TEXT NOT NULL, exception_class TEXT, disposition TEXT NOT NULL,
        updated_at DATETIME NOT NULL,
        CHECK ((disposition = 'confirmed') = (exception_class IS NOT NULL)))""",
    """CREATE TABLE inbound_documents (
        document_id TEXT PRIMARY KEY, received_at DATETIME NOT NULL, channel TEXT NOT NULL,
        partner_id TEXT NOT NULL, body TEXT NOT NULL, document_type TEXT, disposition TEXT NOT NULL,
        updated_at DATETIME NOT NULL,
        CHECK ((disposition = 'filed') = (document_type IS NOT NULL)))""",
)
"""One statement a table, referenced tables first."""

NAMES = tuple(statement.split()[2] for statement in TABLES)
"""Table names, in the order of `TABLES`."""
