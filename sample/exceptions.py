"""Exception records: a shipped order, and the note that somebody typed about it."""

from __future__ import annotations

from sample import notes
from sample.clock import DAYS, as_date, stamp
from sample.dice import Dice
from sample.master import CITIES, Row
from sample.records import Master
from sample.trade import Period, Shipped
from sample.writers import Writer

_CHANNELS = {"portal": "portal", "scn1": "scanner", "kbr": "scanner"}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def exception_rows(
    seed: int, master: Master, shipped: list[Shipped], period: Period, *, labelled: int, others: int, last_id: int
) -> list[Row]:
    """Rows of `order_exceptions` in the order in which they were reported.

    Args:
        seed: of the period.
        master: where other items, bins and towns in the notes come from.
        shipped: the orders that notes speak of; where there are none, nobody complains.
        period: rows are reported within it.
        labelled: records with an exception class.
        others: records that are no exception, `disposition = 'not_an_exception'`.
        last_id: the last number given so far.
    """
    if not shipped:
        return []
    dice = Dice(seed, "exceptions")
    plan = [True] * labelled + [False] * others
    dice.rng.shuffle(plan)
    cases = [(*_when(dice, dice.pick(shipped), period), real) for real in plan]
    cases.sort(key=lambda case: (case[0], case[1].order_id))
    return [
        _row(last_id + number, dice, master, case, reported, real, period)
        for number, (reported, case, real) in enumerate(cases, 1)
    ]


def _when(dice: Dice, case: Shipped, period: Period) -> tuple[float, Shipped]:
    """Some hours to days after the delivery was due, in the period."""
    reported = min(case.until + float(dice.rng.gamma(1.5, 1.2)), period.end - 0.02 - 0.5 * float(dice.rng.random()))
    return max(reported, period.start), case


def _row(number: int, dice: Dice, master: Master, case: Shipped, reported: float, real: bool, period: Period) -> Row:
    writer = notes.a_writer(dice)
    moment = notes.Moment(reported / DAYS)
    facts = _facts(dice, master, case, reported)
    label: str | None = None
    if real:
        cause = notes.a_class(dice)
        note = notes.exception_note(cause, facts, writer, moment, dice)
        label = notes.given_label(cause, dice)
    else:
        note = notes.other_note(facts, writer, moment, dice)
    triaged = min(reported + float(dice.rng.gamma(1.2, 0.4)), period.end - 0.001)
    disposition = "confirmed" if real else notes.NO_CLASS
    return (number, case.order_id, case.line_id, case.customer.customer_id, case.customer.branch_id,
            _channel(writer), writer.user, stamp(reported), note, label, disposition,
            stamp(max(triaged, reported)))  # fmt: skip


def _channel(writer: Writer) -> str:
    """Where this person types: the customer portal, a scanner's keyboard, or the desk."""
    return _CHANNELS.get(writer.user, "desk")


def _facts(dice: Dice, master: Master, case: Shipped, reported: float) -> dict[str, str]:
    """What a note about this case can mention: every slot of the phrase files."""
    other = dice.pick(master.items)
    less = dice.between(1, max(1, case.quantity // 3))
    wrong = case.price * dice.pick((1.05, 1.08, 1.1, 1.2, 1.5, 10.0))
    due = as_date(case.until - dice.between(1, 6))
    written = due.strftime(dice.pick(("%d/%m", "%d.%m.", "%d.%m.%y", "%d %b", "%Y-%m-%d")))
    return {
        "order": case.order_id if dice.chance(0.6) else case.order_id.removeprefix("SO-"),
        "order2": f"SO-{int(case.order_id.removeprefix('SO-')) + dice.between(1, 9)}",
        "po": f"PO {case.customer_po}" if dice.chance(0.3) else case.customer_po,
        "invoice": f"{dice.pick(('INV', 'RE', ''))}{dice.between(900_000, 999_999)}",
        "track": case.tracking,
        "item": case.item.item_id if dice.chance(0.7) else case.item.item_id.replace("-", ""),
        "other": other.item_id,
        "product": case.item.product,
        "otherproduct": other.product,
        "unit": dice.pick((case.item.unit, "pcs", "ctn", "boxes")),
        "ordered": str(case.quantity),
        "got": str(case.quantity - less),
        "less": str(less),
        "price": f"{case.price:.2f}",
        "wrongprice": f"{wrong:.2f}",
        "amount": dice.pick(("{:.0f}", "{:.2f}", "{:.0f} EUR")).format((wrong - case.price) * case.quantity + 11),
        "bin": dice.pick(master.bins[case.customer.warehouse_id]),
        "day": dice.pick((_WEEKDAYS[due.weekday()], _WEEKDAYS[due.weekday()][:3])),
        "days": str(dice.between(2, 9)),
        "date": written,
        "carrier": case.carrier,
        "customer": case.customer.name,
        "city": case.customer.city,
        "city2": dice.pick(CITIES),
        "name": case.customer.contact.split()[0],
        "contact": case.customer.contact,
        "email": case.customer.email,
        "phone": case.customer.phone,
    }
