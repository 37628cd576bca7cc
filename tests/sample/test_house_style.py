from __future__ import annotations

import sqlite3
from collections import Counter

import pytest

from sample.dice import Dice
from sample.grammar import expand, sections
from sample.house_style import DIALECTS, ORDERS, TABLES, pairs, style_of

pytestmark = pytest.mark.unit


@pytest.fixture
def partners(erp: sqlite3.Connection) -> list[str]:
    rows = erp.execute("SELECT supplier_id FROM suppliers UNION SELECT customer_id FROM customers ORDER BY 1")
    return [name for (name,) in rows]


def test_layouts_vary_from_partner_to_partner(partners: list[str]) -> None:
    styles = [style_of(one) for one in partners]
    looks = {(s.dialect, s.order, s.table, s.dates, s.comma, s.shared_form, s.titled, s.shouts) for s in styles}
    assert len(looks) > 0.8 * len(partners)
    assert {s.order for s in styles} == set(ORDERS) and {s.table for s in styles} == set(TABLES)
    shares = Counter(s.dialect for s in styles)
    assert set(shares) == set(DIALECTS) and min(shares.values()) > 0.08 * len(partners)
    first = Counter(s.order.index("letterhead") < s.order.index("words") for s in styles)
    assert min(first.values()) > 0.2 * len(partners), "letterheads above and below"
    suppliers = [style_of(one) for one in partners if one.startswith("V")]
    assert len({(s.dialect, s.order, s.table) for s in suppliers}) > 30


def test_a_partner_keeps_its_style(partners: list[str]) -> None:
    assert style_of(partners[0]) is style_of(partners[0])
    style = style_of(partners[0])
    style_of.cache_clear()
    assert style_of(partners[0]) == style


def test_every_order_has_what_a_paper_needs() -> None:
    for order in ORDERS:
        assert len(set(order)) == len(order)
        assert {"letterhead", "title", "references", "words", "table", "totals"} <= set(order)


def test_amounts_and_dates_are_written_as_at_home(partners: list[str]) -> None:
    written = {style_of(one).money(1234.5) for one in partners}
    assert written == {"1,234.50", "1.234,50"}
    assert len({style_of(one).day(0.0) for one in partners}) == 6
    assert all(style_of(one).dialect in ("german", "dutch") for one in partners if style_of(one).comma)


def test_every_dialect_names_the_same_fields() -> None:
    fields = set(pairs("labels", "plain"))
    assert len(fields) == 18
    for dialect in DIALECTS:
        assert set(pairs("labels", dialect)) == fields
        words = [expand(value, Dice(1, "label"), "x") for value in pairs("labels", dialect).values()]
        assert all(words) and not any(set(word) & set("[]|{}") for word in words)
    assert len({pairs("labels", dialect)["quantity"] for dialect in DIALECTS}) == len(DIALECTS)


def test_pairs_are_pairs() -> None:
    for name, names in (("labels", DIALECTS), ("flavours", ("german", "dutch")), ("synonyms", ("words",))):
        for section in names:
            assert all(" = " in line for line in sections(name, "layouts")[section])
            assert len(pairs(name, section)) == len(sections(name, "layouts")[section]), "no word twice"
