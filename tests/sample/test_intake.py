from __future__ import annotations

import re
import sqlite3
from collections import Counter
from typing import Any

import pytest

from pipelines.sources.scrub import scrub
from sample.clock import DAYS, stamp
from sample.dice import Dice
from sample.intake import WRONG_LABELS, document_rows, given_label
from sample.papers import KINDS, LEAST, MOST, OTHERS
from sample.scans import CHANNELS
from sample.trade import Period

pytestmark = pytest.mark.unit


@pytest.fixture
def documents(erp: sqlite3.Connection) -> list[sqlite3.Row]:
    erp.row_factory = sqlite3.Row
    return erp.execute("SELECT * FROM inbound_documents ORDER BY document_id").fetchall()


def filed(documents: list[sqlite3.Row]) -> list[sqlite3.Row]:
    return [one for one in documents if one["disposition"] == "filed"]


def test_there_are_as_many_as_planned(documents: list[sqlite3.Row]) -> None:
    kinds = Counter(one["document_type"] for one in filed(documents))
    assert sum(kinds.values()) == 1_300 and len(documents) == 1_450
    assert set(kinds) == set(KINDS)
    for name, kind in KINDS.items():
        assert kinds[name] / 1_300 == pytest.approx(kind.share, abs=0.03), name
    assert all(one["document_type"] is None for one in documents if one["disposition"] == "unfiled")


def test_they_are_numbered_as_they_came(documents: list[sqlite3.Row]) -> None:
    assert [one["document_id"] for one in documents] == [f"IN-{200_001 + n}" for n in range(len(documents))]
    times = [one["received_at"] for one in documents]
    assert times == sorted(times) and times[0].startswith("2024-0") and times[-1].startswith("2025-12")
    assert all(one["received_at"] <= one["updated_at"] < "2026" for one in documents)


def test_they_have_the_length_of_a_page(documents: list[sqlite3.Row]) -> None:
    lengths = sorted(len(one["body"].split()) for one in filed(documents))
    assert LEAST == 60 <= lengths[0] and lengths[-1] <= MOST == 220
    assert 70 <= lengths[len(lengths) // 2] <= 120
    assert all(one["body"].strip() for one in documents)


def test_every_channel_is_used_for_every_kind(documents: list[sqlite3.Row]) -> None:
    found = Counter((one["document_type"], one["channel"]) for one in filed(documents))
    assert {channel for _, channel in found} == set(CHANNELS)
    assert len(found) == len(KINDS) * len(CHANNELS)


def test_partners_are_partners_and_their_orders_exist(erp: sqlite3.Connection, documents: list[sqlite3.Row]) -> None:
    partners = {
        str(row[0]) for row in erp.execute("SELECT supplier_id FROM suppliers UNION SELECT customer_id FROM customers")
    }
    assert {one["partner_id"] for one in documents} <= partners
    owners = dict(erp.execute("SELECT order_id, customer_id FROM orders UNION SELECT purchase_order_id, supplier_id FROM purchase_orders").fetchall())  # fmt: skip
    named = 0
    for one in documents:
        if one["channel"] == "mail":
            for order in re.findall(r"\b[SP]O-\d{5,6}\b", one["body"]):
                assert owners[order] == one["partner_id"]
                named += 1
    assert named > 200


def test_items_are_those_of_the_order_and_never_more_of_them(
    erp: sqlite3.Connection, documents: list[sqlite3.Row]
) -> None:
    ordered = {
        (order, item): quantity
        for order, item, quantity in erp.execute(
            "SELECT purchase_order_id, item_id, max(quantity) FROM purchase_order_lines GROUP BY 1, 2"
            " UNION ALL SELECT order_id, item_id, max(shipped_quantity) FROM order_lines GROUP BY 1, 2"
        )
    }
    checked = Counter[bool]()
    for one in documents:
        orders = set(re.findall(r"\b[SP]O-\d{5,6}\b", one["body"]))
        if one["channel"] == "mail" and len(orders) == 1:
            for item, quantity in re.findall(r"(?m)^([A-Z]{2}-\d{5})(?:  | \| )\D+?(?:  | \| )(\d+)\b", one["body"]):
                there = ordered[next(iter(orders)), item]
                assert 1 <= int(quantity) <= there
                checked[int(quantity) == there] += 1
    assert min(checked.values()) > 20, "whole lines, and some pieces of one"


@pytest.mark.parametrize(
    ("trait", "pattern", "share"),
    [
        ("item number", r"\b[A-Z]{2}-?\d{5}\b", 0.6),
        ("zero for O or O for zero", r"[A-Z]0[A-Z]|\d[O]\d", 0.03),
        ("stamp", r"(?i)received|entered|scanned|goods in|2nd copy", 0.1),
        ("another page", r"(?i)page \d of 9|^- \d -|continued from|carried forward|blatt \d|see next page", 0.04),
        ("mail", r"(?m)^(Subj|Subject|Betreff|Onderwerp): ", 0.1),
        ("in capitals", r"(?m)^[A-Z0-9 .:,/-]{25,}$", 0.08),
        ("German", r"(?i)\b(menge|beleg-nr|summe|ihre|und)\b", 0.05),
        ("Dutch", r"(?i)\b(aantal|bedrag|gelieve|uw|onze)\b", 0.04),
        ("signature line", r"\.{8,}|__", 0.2),
    ],
)
def test_papers_are_as_messy_as_real_ones(documents: list[sqlite3.Row], trait: str, pattern: str, share: float) -> None:
    found = sum(bool(re.search(pattern, one["body"])) for one in filed(documents))
    assert found / len(filed(documents)) >= share, trait


def test_papers_do_not_repeat_each_other(documents: list[sqlite3.Row]) -> None:
    skeletons = Counter(re.sub(r"[\W\d_]+", " ", one["body"].casefold()) for one in filed(documents))
    assert max(skeletons.values()) == 1


def test_few_labels_are_wrong_and_those_look_alike() -> None:
    dice = Dice(1, "labels")
    drawn = [(kind, given_label(kind, dice)) for kind in KINDS for _ in range(3000)]
    wrong = [(kind, label) for kind, label in drawn if kind != label]
    assert len(wrong) / len(drawn) == pytest.approx(WRONG_LABELS, abs=0.004)
    assert all(label in KINDS[kind].kin for kind, label in wrong)


def test_nothing_about_a_person_is_left_once_it_is_scrubbed(
    erp: sqlite3.Connection, documents: list[sqlite3.Row]
) -> None:
    people = {
        str(value)
        for row in erp.execute("SELECT contact_name, contact_email FROM suppliers UNION SELECT contact_name, contact_email FROM customers")
        for value in row
    } | {str(phone) for (phone,) in erp.execute("SELECT contact_phone FROM customers")}  # fmt: skip
    found: Counter[str] = Counter()
    for one in documents:
        left, counts = scrub(one["body"], ("GB",))
        found += counts
        assert not re.search(r"[\w.]+@[\w.]+\.\w|\b(0|\+44 ?)\d{2,3} \d{3,4} \d{4}\b|\.example", left), left
        assert not any(value in left for value in people)
    assert found["<email>"] > 500 and found["<phone>"] > 500


def rows(erp: sqlite3.Connection, seed: int = 3, period: Period | None = None, **sizes: Any) -> list[Any]:
    given = {"labelled": 40, "others": 8, "last_id": 0, **sizes}
    return document_rows(seed, erp, period or Period(0.0, float(DAYS)), **given)


def test_the_same_seed_gives_the_same_papers_and_another_others(erp: sqlite3.Connection) -> None:
    assert rows(erp) == rows(erp) != rows(erp, seed=4)


def test_they_arrive_within_the_period_with_new_numbers(erp: sqlite3.Connection) -> None:
    found = rows(erp, period=Period(400.0, 401.0), last_id=77)
    assert len(found) == 48
    assert [row[0] for row in found][:2] == ["IN-200078", "IN-200079"]
    assert all(stamp(400.0) <= row[1] <= row[7] < stamp(401.0) for row in found)


def test_none_are_made_where_none_are_asked_for(erp: sqlite3.Connection) -> None:
    assert rows(erp, labelled=0, others=0) == []
    assert {row[6] for row in rows(erp, labelled=5, others=0)} == {"filed"}


def test_suppliers_write_where_no_customer_has_received_anything(erp: sqlite3.Connection) -> None:
    lonely = sqlite3.connect(":memory:")
    erp.backup(lonely)
    lonely.execute("UPDATE shipments SET delivered_at = NULL")
    found = rows(lonely)
    assert len(found) == 48 and all(row[3].startswith("V") for row in found)
    assert {row[5] for row in found} - {None} == set(KINDS)


def test_other_papers_are_of_every_other_kind(erp: sqlite3.Connection) -> None:
    texts = "\n".join(row[4] for row in rows(erp, labelled=0, others=150)).casefold()
    for word in ("quote", "news", "fax", "statement", "overtime"):
        assert word in texts
    blank = [row for row in rows(erp, labelled=0, others=150) if len(re.findall(r"[a-z]{4}", row[4])) < 4]
    assert len(OTHERS) == 6 and 3 <= len(blank) <= 40
