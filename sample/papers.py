"""One paper of a partner: what it wants to say, on that partner's form.

What kind a paper is follows from what it says, in one to three statements. All the rest may be on any paper: numbers of
other papers, statements about them, small print, a form for several kinds, the wrong title.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sample.clock import DAYS
from sample.dealings import Dealing
from sample.dice import Dice, taste
from sample.grammar import expand, fill, say, sections
from sample.house_style import Style, pairs, style_of
from sample.paper_facts import PARTIAL, facts_of
from sample.scans import blank, illegible


@dataclass(frozen=True)
class Kind:
    """A kind of paper."""

    share: float
    """Part of all labelled papers."""
    from_customers: float
    """Part that customers send; the rest comes from suppliers."""
    delay: tuple[float, float]
    """Days from the arrival of the goods to that of the paper."""
    priced: float
    """How often there are prices on it."""
    kin: tuple[str, ...]
    """Kinds that it speaks of, shares a form with, and is taken for."""


KINDS: Mapping[str, Kind] = {
    "proof_of_delivery": Kind(0.16, 0.7, (0.1, 3), 0.08, ("packing_list", "claim", "advance_shipping_notice")),
    "supplier_invoice": Kind(0.17, 0.0, (0.5, 9), 0.85, ("credit_note", "packing_list", "proof_of_delivery")),
    "claim": Kind(0.14, 0.7, (0.5, 8), 0.4, ("return_authorization", "credit_note", "proof_of_delivery")),
    "return_authorization": Kind(0.12, 0.45, (3, 20), 0.25, ("claim", "credit_note", "packing_list")),
    "advance_shipping_notice": Kind(
        0.14, 0.15, (-5, -0.5), 0.12, ("packing_list", "proof_of_delivery", "supplier_invoice")
    ),
    "packing_list": Kind(
        0.14, 0.2, (-0.2, 1.5), 0.12, ("proof_of_delivery", "advance_shipping_notice", "supplier_invoice")
    ),
    "credit_note": Kind(0.13, 0.0, (5, 25), 0.8, ("supplier_invoice", "return_authorization", "claim")),
}  # fmt: skip
OTHERS = ("quotation", "newsletter", "fax", "statement", "timesheet", "blank")
"""Papers of no kind."""

LEAST, MOST = 60, 220
"""Words of a paper; a blank one has fewer."""

_TABLELESS = ("newsletter", "fax", "statement", "timesheet")
_SHARED = 0.6
"""How often a partner that has a form for several kinds uses it."""
_WRONG_TITLE = 0.03
_CORES = (0.2, 0.5, 0.3)
"""How often a paper has one, two or three statements that are its own."""
_MENTIONS = (0.6, 0.32, 0.08)
"""How often a paper has none, one or two statements about other kinds."""
_HINT = 0.45
_OWN_NUMBER = 0.25
"""How often a paper's number is called after its kind."""
_TABLE = 0.7
"""How often the lines of the order are on it."""
_RENAMED, _FLAVOUR = 0.25, 0.3
"""How often a word is another of its kind, or one of the partner's own language."""
_REFERENCES = (
    ("reference", "reference", 0.4), ("delivery", "dn", 0.2), ("carrier", "carrier", 0.15),
    ("cartons", "cartons", 0.15), ("weight", "weight", 0.1), ("partner", "account", 0.2),
)  # fmt: skip
"""Field, fact and how often it is among the references."""
_FOREIGN_NUMBERS = (("Inv.", "invoice", 0.1), ("RMA", "rma", 0.05))
_MARGIN = 25
"""Words that the way may add."""


@dataclass(frozen=True)
class Paper:
    """A paper, clean as it leaves the partner's printer, and what may get on it on its way."""

    lines: tuple[str, ...]
    """From top to bottom."""
    stamp: str
    """What the mail room may stamp on it."""
    head: str
    """A line of another page of the same partner."""
    spare: tuple[str, ...]
    """Small print, for where too little is left of it."""


def write_paper(kind: str, dealing: Dealing, written: float, channel: str, dice: Dice) -> Paper:
    """Write a paper.

    Args:
        kind: a key of `KINDS`, or one of `OTHERS`.
        dealing: what it speaks of.
        written: the day.
        channel: a mail has a subject, the rest has not.
        dice: where the draws come from.
    """
    if kind == "blank":
        author = _Author(dice.pick(tuple(KINDS)), dealing, written, dice)
        lines = illegible(author.lines(), dice) if dice.chance(0.5) else blank(dice)
    else:
        author = _Author(kind, dealing, written, dice)
        subject = [author.subject()] if channel == "mail" and dice.chance(0.7) else []
        lines = subject + author.lines()
    stamp, head = author.said("common", "stamps"), author.said("common", "heads")
    spare = [
        fill(expand(line, dice, author.habit), author.facts) for line in sections("common", "layouts")["small_print"]
    ]
    dice.rng.shuffle(spare)
    return Paper(tuple(lines), stamp, head, tuple(spare))


class _Author:
    """Somebody at the partner's while writing one paper."""

    def __init__(self, kind: str, dealing: Dealing, written: float, dice: Dice) -> None:
        self.kind, self.dealing, self.dice = kind, dealing, dice
        self.style: Style = style_of(dealing.partner_id)
        self.progress = written / DAYS
        self.habit = f"{dealing.partner_id}/{int(2 * self.progress)}"
        self.priced = dice.chance(KINDS[kind].priced if kind in KINDS else 0.3)
        self.shown = dealing.lines[: dice.between(1, 2)]
        self.facts = facts_of(kind, dealing, self.shown, written, self.style, dice)
        if kind in PARTIAL:
            self.shown = (replace(self.shown[0], quantity=int(self.facts["less"])),)

    def said(self, file: str, section: str) -> str:
        """A phrasing of a section with the facts filled in."""
        return fill(self._phrasing(file, section), self.facts)

    def _phrasing(self, file: str, section: str) -> str:
        return say(file, section, self.dice, user=self.dealing.partner_id, habit=self.habit, progress=self.progress,
                   folder="layouts")  # fmt: skip

    def lines(self) -> list[str]:
        """The paper from top to bottom."""
        makers: Mapping[str, Callable[[], list[str]]] = {
            "letterhead": self._letterhead, "title": self._title, "address": self._address,
            "references": self._references, "words": self._words, "table": self._table, "totals": self._totals,
            "boxes": self._boxes, "print": self._print,
        }  # fmt: skip
        blocks = {name: makers[name]() for name in self.style.order}
        if self.style.shouts:
            blocks = {name: lines if name == "words" else _shouted(lines) for name, lines in blocks.items()}
        room = MOST - _MARGIN - sum(_count(lines) for name, lines in blocks.items() if name not in ("boxes", "print"))
        for name in ("print", "boxes"):
            if _count(blocks.get(name, [])) > room:
                blocks[name] = []
            room -= _count(blocks.get(name, []))
        return [line for lines in blocks.values() for line in lines if line]

    def subject(self) -> str:
        """The subject of a mail, which seldom says what hangs on it."""
        return fill(self._phrasing("common", "mail"), {"subject": self.said("common", "subjects")})

    def _letterhead(self) -> list[str]:
        deal, dice = self.dealing, self.dice
        domain = "".join(letter for letter in deal.partner.lower() if letter.isalnum())
        office = ("office", "info", "dispatch", "accounts")[int(4 * taste(deal.partner_id, "office"))]
        phone = f"020 7946 0{int(1000 * taste(deal.partner_id, 'phone')):03}"
        lines = [deal.partner, f"{deal.city}"]
        if dice.chance(0.5):
            lines.append(self.said("common", "slogans"))
        if dice.chance(0.6):
            lines.append(f"Tel. {phone} {office}@{domain}.example")
        return [" - ".join(lines[:2]), *lines[2:]] if taste(deal.partner_id, "head") < 0.5 else lines

    def _title(self) -> list[str]:
        """What the form says that it is, if anything; not always the truth."""
        dice, kin = self.dice, KINDS[self.kind].kin if self.kind in KINDS else tuple(KINDS)
        own = self._title_of(self.kind)
        if self.style.shared_form and self.kind in KINDS and dice.chance(_SHARED):
            names = sorted({own, *(self._title_of(one) for one in kin[:2])}, key=lambda one: taste(self.habit, one))
            return [" / ".join(names)]
        if dice.chance(_WRONG_TITLE):
            return [self._title_of(dice.pick(kin))]
        return [own] if dice.chance(self.style.titled) else []

    def _title_of(self, kind: str) -> str:
        return self.said(kind, "titles") if kind in KINDS else self.said("other", f"{kind}.titles")

    def _address(self) -> list[str]:
        label = self.style.label("to", self.dice)
        desk = f", {self.facts['desk']}" if self.dice.chance(0.4) else ""
        return [f"{label}: {self.dealing.warehouse}{desk}"]

    def _references(self) -> list[str]:
        """Numbers: of the paper, of the order, of other papers."""
        dice, label = self.dice, self.style.label
        own = label("number", dice)
        if self.kind in KINDS and dice.chance(_OWN_NUMBER):
            own = self.said(self.kind, "number")
        known = [(own, "number"), (label("date", dice), "date"), (label("order", dice), "order")]
        known += [(label(field, dice), fact) for field, fact, chance in _REFERENCES if dice.chance(chance)]
        known += [(name, fact) for name, fact, chance in _FOREIGN_NUMBERS if dice.chance(chance)]
        fields = [f"{name}: {self.facts[fact]}" for name, fact in known]
        if taste(self.dealing.partner_id, "across") < 0.5:
            return ["   ".join(fields[at : at + 3]) for at in range(0, len(fields), 3)]
        return fields

    def _words(self) -> list[str]:
        """What the paper has to say, and what it says besides, in any order."""
        dice = self.dice
        if self.kind in KINDS:
            said = self._several(self.kind, "core", dice.weighted((1, 2, 3), _CORES))
            said += [self.said(self.kind, "hints")] if dice.chance(_HINT) else []
            for _ in range(dice.weighted((0, 1, 2), _MENTIONS)):
                said.append(self.said(dice.pick(KINDS[self.kind].kin), "mentions"))
        else:
            said = self._several("other", f"{self.kind}.core", dice.between(2, 4))
            said += [self.said(dice.pick(tuple(KINDS)), "mentions")] if dice.chance(0.5) else []
        said += self._several("common", "neutral", 1)
        dice.rng.shuffle(said)
        said = [self._flavoured(self._renamed(one)) for one in said]
        greeting = [self.said("common", "greeting")] if dice.chance(0.35) else []
        if taste(self.dealing.partner_id, "prose") < 0.5:
            said = [" ".join(f"{one[:1].upper()}{one[1:]}." for one in said)]
        return greeting + said

    def _several(self, file: str, section: str, count: int) -> list[str]:
        """Different phrasings of a section, up to `count`."""
        return list(dict.fromkeys(self.said(file, section) for _ in range(count)))

    def _renamed(self, words: str) -> str:
        """Some things under another of their names."""
        others = pairs("synonyms", "words")
        return _swapped(words, lambda word: expand(others[word], self.dice, self.habit), others, _RENAMED, self.dice)

    def _flavoured(self, words: str) -> str:
        """Some words in the language of the partner."""
        if self.style.dialect not in ("german", "dutch"):
            return words
        theirs = pairs("flavours", self.style.dialect)
        return _swapped(words, theirs.__getitem__, theirs, _FLAVOUR, self.dice)

    def _table(self) -> list[str]:
        """Lines of the order, with or without prices."""
        if self.kind in _TABLELESS or not self.dice.chance(_TABLE):
            return []
        style, dice = self.style, self.dice
        rows = []
        for line in self.shown:
            row = {"item": line.item_id, "description": line.product, "quantity": str(line.quantity), "unit": line.unit}
            if self.priced:
                row |= {"price": style.money(line.price), "amount": style.money(line.price * line.quantity)}
            rows.append(row)
        labels = {field: style.label(field, dice) for field in rows[0]}
        if style.table == "fields":
            return [" ".join(f"{labels[field]} {value}" for field, value in row.items()) for row in rows]
        if style.table == "sentences":
            priced = f" {labels.get('price', '')} {{price}}" if self.priced else ""
            form = "{quantity} {unit} {description} ({item})" + priced
            return [form.format(**row) for row in rows]
        between = " | " if style.table == "pipes" else "  "
        head = [between.join(labels.values())] if taste(self.dealing.partner_id, "header") < 0.7 else []
        return head + [between.join(row.values()) for row in rows]

    def _totals(self) -> list[str]:
        """A sum below the table, where there are prices."""
        if not self.priced or self.kind in _TABLELESS:
            return []
        sign = "-" if self.kind == "credit_note" and self.dice.chance(0.25) else ""
        lines = [f"{self.style.label('total', self.dice)}  {sign}{self.facts['total']}"]
        if self.dice.chance(0.5):
            lines.insert(0, f"{self.style.label('tax', self.dice)}  {sign}{self.facts['tax']}")
        return lines

    def _boxes(self) -> list[str]:
        count = self.dice.weighted((0, 1, 2), (0.5, 0.35, 0.15))
        return self._several("common", "boxes", count)

    def _print(self) -> list[str]:
        return self._several("common", "small_print", 1)


def _swapped(words: str, other: Callable[[str], str], known: Mapping[str, str], rate: float, dice: Dice) -> str:
    """Replace words that are known, each with probability `rate`."""
    return re.sub(
        r"[a-z]+", lambda m: other(m.group()) if m.group() in known and dice.chance(rate) else m.group(), words
    )


def _shouted(lines: list[str]) -> list[str]:
    """In capitals, but for an address of somebody."""
    return [line if "@" in line else line.upper() for line in lines]


def _count(lines: list[str]) -> int:
    """How many words."""
    return sum(len(line.split()) for line in lines)
