"""How a partner's papers look: chosen once, the same on everything that it sends."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from sample.clock import moment
from sample.dice import Dice, taste
from sample.grammar import expand, sections

T = TypeVar("T")

DIALECTS = ("plain", "trade", "terse", "german", "dutch")
_DIALECT_SHARES = (0.34, 0.22, 0.16, 0.16, 0.12)
ORDERS = (
    ("letterhead", "title", "address", "references", "words", "table", "totals", "boxes", "print"),
    ("title", "references", "address", "table", "totals", "words", "boxes", "letterhead", "print"),
    ("letterhead", "address", "references", "table", "words", "title", "totals", "print", "boxes"),
    ("address", "words", "title", "references", "table", "totals", "letterhead"),
    ("references", "letterhead", "table", "boxes", "words", "totals", "title", "print"),
    ("letterhead", "references", "title", "table", "totals", "address", "print", "words", "boxes"),
    ("title", "words", "references", "table", "totals", "boxes", "print", "letterhead"),
)
"""Orders of the blocks of a paper."""
TABLES = ("columns", "pipes", "fields", "sentences")
_DATES = ("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%y", "%d %b %Y", "%Y-%m-%d", "%d/%m/%y")


@dataclass(frozen=True)
class Style:
    """The look of one partner's papers."""

    partner_id: str
    dialect: str
    """One of `DIALECTS`: how fields are called, and what English the words are in."""
    order: tuple[str, ...]
    """Blocks from top to bottom."""
    table: str
    """One of `TABLES`."""
    dates: str
    comma: bool
    """Numbers are written `1.234,50`."""
    shared_form: bool
    """One form serves several kinds of paper and names them all."""
    titled: float
    """How often a paper says what it is."""
    shouts: bool
    """Everything but the words is in capitals."""

    def day(self, day: float) -> str:
        """A date as this partner writes it."""
        return moment(day).strftime(self.dates)

    def money(self, value: float) -> str:
        """An amount as this partner writes it."""
        text = f"{value:,.2f}"
        return text.translate(str.maketrans(",.", ".,")) if self.comma else text

    def label(self, field: str, dice: Dice) -> str:
        """What this partner calls a field."""
        return expand(pairs("labels", self.dialect)[field], dice, self.partner_id)


@functools.cache
def style_of(partner_id: str) -> Style:
    """The style of a partner."""

    def choose(options: Sequence[T], purpose: str) -> T:
        return options[int(len(options) * taste(partner_id, purpose))]

    drawn = taste(partner_id, "dialect")
    bounds = [sum(_DIALECT_SHARES[: number + 1]) for number in range(len(DIALECTS))]
    dialect = next((one for one, bound in zip(DIALECTS, bounds, strict=True) if drawn < bound), DIALECTS[-1])
    foreign = dialect in ("german", "dutch")
    return Style(
        partner_id=partner_id,
        dialect=dialect,
        order=choose(ORDERS, "order"),
        table=choose(TABLES, "table"),
        dates=choose(_DATES, "dates"),
        comma=foreign and taste(partner_id, "comma") < 0.7,
        shared_form=taste(partner_id, "form") < 0.25,
        titled=choose((0.15, 0.4, 0.7), "titled"),
        shouts=taste(partner_id, "shouts") < 0.2,
    )


@functools.cache
def pairs(name: str, section: str) -> dict[str, str]:
    """A section of a layout file whose lines read `this = that`."""
    return dict(line.split(" = ", 1) for line in sections(name, "layouts")[section])
