"""Rows of `inbound_documents`: the papers of a period, in the order in which they came."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from sample.clock import stamp
from sample.dealings import Dealing, deliveries, supplies
from sample.dice import Dice
from sample.master import Row
from sample.papers import KINDS, LEAST, OTHERS, write_paper
from sample.scans import CHANNELS, pass_through
from sample.trade import Period

WRONG_LABELS = 0.015
_CHANNEL_SHARES = (0.32, 0.2, 0.12, 0.36)
_OTHER_SHARES = (0.24, 0.18, 0.16, 0.18, 0.12, 0.12)
_OTHER_DELAY = (-10.0, 20.0)
_TRIES = 30
_BEFORE_THE_END = 0.02
"""Days that filing takes at least."""


def document_rows(
    seed: int, erp: sqlite3.Connection, period: Period, *, labelled: int, others: int, last_id: int
) -> list[Row]:
    """Papers that arrived in a period.

    Args:
        seed: of the period.
        erp: where the dealings are that they speak of, those of the period included.
        period: papers arrive within it.
        labelled: papers of a kind, `disposition = 'filed'`.
        others: papers of no kind, `disposition = 'unfiled'`.
        last_id: the last number given so far.
    """
    if not labelled + others:
        return []
    dice = Dice(seed, "inbound documents")
    sides = {"customer": deliveries(erp, period), "supplier": supplies(erp, period)}
    plan = [_a_kind(dice) for _ in range(labelled)] + [dice.weighted(OTHERS, _OTHER_SHARES) for _ in range(others)]
    papers = [(*_occasion(dice, kind, sides, period), kind) for kind in plan]
    papers.sort(key=lambda one: (one[0], one[2], one[1].order))
    return [_row(last_id + number, dice, *one, period) for number, one in enumerate(papers, 1)]


def given_label(kind: str, dice: Dice) -> str:
    """The label in the record: the kind, but for the few slips of a busy mail room."""
    return dice.pick(KINDS[kind].kin) if dice.chance(WRONG_LABELS) else kind


def _a_kind(dice: Dice) -> str:
    return dice.weighted(tuple(KINDS), [kind.share for kind in KINDS.values()])


def _occasion(dice: Dice, kind: str, sides: Mapping[str, tuple[Dealing, ...]], period: Period) -> tuple[float, Dealing]:
    """When a paper arrives, and what it speaks of: something whose paper is due in the period, if that is found."""
    for _ in range(_TRIES):
        deal = _about(dice, kind, sides)
        low, high = KINDS[kind].delay if kind in KINDS else _OTHER_DELAY
        due = deal.arrived + low + (high - low) * float(dice.rng.random())
        if period.start <= due < period.end - _BEFORE_THE_END:
            return due, deal
    return period.start + (period.end - _BEFORE_THE_END - period.start) * float(dice.rng.random()), deal


def _about(dice: Dice, kind: str, sides: Mapping[str, tuple[Dealing, ...]]) -> Dealing:
    """What a paper may speak of. Suppliers write where no customer has received anything yet."""
    customers = sides["customer"]
    share = KINDS[kind].from_customers if kind in KINDS else 0.25
    return dice.pick(customers if customers and dice.chance(share) else sides["supplier"])


def _row(number: int, dice: Dice, received: float, deal: Dealing, kind: str, period: Period) -> Row:
    channel = dice.weighted(CHANNELS, _CHANNEL_SHARES)
    paper = write_paper(kind, deal, received, channel, dice)
    body = pass_through(
        paper.lines, channel, dice, stamp=paper.stamp, head=paper.head, spare=paper.spare,
        least=0 if kind == "blank" else LEAST,
    )  # fmt: skip
    label = given_label(kind, dice) if kind in KINDS else None
    filed = min(received + float(dice.rng.gamma(1.2, 0.1)), period.end - 0.001)
    return (f"IN-{200_000 + number}", stamp(received), channel, deal.partner_id, body, label,
            "filed" if label else "unfiled", stamp(max(filed, received)))  # fmt: skip
