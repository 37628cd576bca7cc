"""What a paper can mention: every slot of the layout files, from one dealing."""

from __future__ import annotations

import re

from sample.clock import moment
from sample.dealings import Dealing, Line
from sample.dice import Dice, taste
from sample.house_style import Style
from sample.master import CITIES, PRODUCTS

_DESKS = ("accounts payable", "goods inwards", "returns desk", "purchasing", "customer service", "stores", "the office")
_PREFIXES = ("", "", "D-", "V", "24/", "X", "N.")
PARTIAL = ("claim", "return_authorization", "credit_note")
"""Kinds that are about some pieces of one line; others are about whole lines."""
_SUMS = ("supplier_invoice", "statement", "quotation")
"""Kinds that name the amount of all lines; others name that of some pieces."""


def facts_of(
    kind: str, deal: Dealing, shown: tuple[Line, ...], written: float, style: Style, dice: Dice
) -> dict[str, str]:
    """The facts by slot.

    Args:
        kind: of the paper; an announcement speaks of what is still to come.
        deal: what it speaks of.
        shown: the lines of the dealing that are on the paper; statements are about the first.
        written: the day.
        style: how the partner writes dates and amounts.
        dice: where numbers come from that the ERP does not hold.
    """
    line, other = shown[0], dice.pick(tuple(PRODUCTS))
    less = dice.between(1, max(1, line.quantity // 3))
    part = less * line.price
    net = part if kind in PARTIAL else sum(one.quantity * one.price for one in shown)
    announced = kind == "advance_shipping_notice"
    event = written + dice.between(0, 1) if announced else min(deal.arrived, written)
    deadline = max(deal.arrived, written + 1) if announced else written + dice.pick((7, 10, 14, 21, 30))
    minute = dice.between(6 * 60, 17 * 60)
    prefix = _PREFIXES[int(len(_PREFIXES) * taste(deal.partner_id, "prefix"))]
    return {
        "order": deal.order if dice.chance(0.85) else re.sub(r"\D", "", deal.order),
        "reference": deal.reference,
        "number": f"{prefix}{moment(written):%y%m}{dice.between(100, 9999)}",
        "invoice": f"{dice.pick(('INV', 'RE', 'F', ''))}{dice.between(10_000, 99_999)}",
        "credit": f"{dice.pick(('CN', 'GS', 'CR'))}{dice.between(1_000, 9_999)}",
        "rma": f"{dice.pick(('RMA', 'RMA ', 'R-'))}{dice.between(1_000, 99_999)}",
        "claim": f"{dice.pick(('CL', 'C-', ''))}{dice.between(1_000, 9_999)}",
        "dn": f"{dice.pick(('DN', 'LS', ''))}{dice.between(10_000, 99_999)}",
        "account": str(int(90_000 * taste(deal.partner_id, "account")) + 10_000),
        "item": line.item_id,
        "product": line.product,
        "otherproduct": dice.pick(PRODUCTS[other]),
        "category": other,
        "unit": line.unit,
        "qty": str(line.quantity),
        "less": str(less),
        "got": str(max(1, line.quantity - less)),
        "price": style.money(line.price),
        "amount": style.money(net if kind in _SUMS else part),
        "tax": style.money(0.2 * net),
        "total": style.money(1.2 * net),
        "percent": str(dice.pick((1, 2, 3, 5, 8, 10, 15))),
        "date": style.day(written),
        "event": style.day(event),
        "deadline": style.day(deadline),
        "ordered": style.day(deal.ordered),
        "time": f"{minute // 60:02}:{minute % 60:02}",
        "later": f"{(minute + 75) // 60:02}:{(minute + 75) % 60:02}",
        "days": str(dice.between(2, 9)),
        "nine": "9",
        "two": str(dice.between(10, 99)),
        "carrier": deal.carrier,
        "track": deal.tracking,
        "cartons": str(deal.cartons),
        "pallets": str(1 + deal.cartons // 5),
        "weight": str(12 * deal.cartons + dice.between(1, 11)),
        "warehouse": deal.warehouse,
        "city": deal.city if dice.chance(0.7) else dice.pick(CITIES),
        "partner": deal.partner,
        "desk": dice.pick(_DESKS),
    }  # fmt: skip
