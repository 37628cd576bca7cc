"""One note: what happened, said by somebody, in the words of the time.

A note is made in four steps: the kind of statement (plain, with denials, with a second
cause), the phrasings, the facts of the record, and the hand of the writer. Which phrasing is
used follows a long tail that differs by writer; one phrasing in eight comes up only as
time goes by. Where two causes are named, the frame alone says which of them is the label.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from sample.dice import Dice
from sample.grammar import expand, fill, say
from sample.writers import WRITERS, Writer, write

SHARES: Mapping[str, float] = {
    "short_shipment": 0.185,
    "damaged_in_transit": 0.14,
    "late_delivery": 0.13,
    "wrong_item": 0.105,
    "price_discrepancy": 0.09,
    "stock_discrepancy": 0.075,
    "quality_complaint": 0.065,
    "address_problem": 0.055,
    "documentation_missing": 0.05,
    "credit_hold": 0.04,
    "duplicate_order": 0.033,
    "carrier_refused": 0.032,
}
"""Exception classes and their part of all exceptions."""

KIN: Mapping[str, tuple[str, ...]] = {
    "short_shipment": ("stock_discrepancy", "wrong_item", "late_delivery"),
    "damaged_in_transit": ("quality_complaint", "carrier_refused", "short_shipment"),
    "late_delivery": ("carrier_refused", "address_problem", "short_shipment"),
    "wrong_item": ("quality_complaint", "short_shipment", "stock_discrepancy"),
    "price_discrepancy": ("credit_hold", "duplicate_order", "documentation_missing"),
    "stock_discrepancy": ("short_shipment", "wrong_item", "duplicate_order"),
    "quality_complaint": ("damaged_in_transit", "wrong_item", "documentation_missing"),
    "address_problem": ("late_delivery", "carrier_refused", "documentation_missing"),
    "documentation_missing": ("quality_complaint", "carrier_refused", "price_discrepancy"),
    "credit_hold": ("price_discrepancy", "late_delivery", "duplicate_order"),
    "duplicate_order": ("price_discrepancy", "wrong_item", "credit_hold"),
    "carrier_refused": ("late_delivery", "damaged_in_transit", "documentation_missing"),
}
"""What a class is taken for, and what often happens together with it."""

NO_CLASS = "not_an_exception"
WRONG_LABELS = 0.02
_KINDS = {"plain": 0.64, "denied": 0.2, "mixed": 0.16}


@dataclass(frozen=True)
class Moment:
    """When a note is typed: `progress` is the time since the first day, in parts of 24 months."""

    progress: float

    @property
    def era(self) -> int:
        """Favourite words change from year to year."""
        return int(self.progress * 2)


def a_writer(dice: Dice) -> Writer:
    """Who types the next note."""
    return dice.weighted(WRITERS, [writer.share for writer in WRITERS])


def a_class(dice: Dice) -> str:
    """What the next exception is."""
    return dice.weighted(tuple(SHARES), tuple(SHARES.values()))


def given_label(cause: str, dice: Dice) -> str:
    """The label in the record: the cause, but for the few slips of a busy desk."""
    return dice.pick(KIN[cause]) if dice.chance(WRONG_LABELS) else cause


def exception_note(cause: str, facts: Mapping[str, str], writer: Writer, moment: Moment, dice: Dice) -> str:
    """What `writer` types about an exception whose dominant cause is `cause`."""
    voice = _Voice(writer, moment, dice)
    kind = dice.weighted(tuple(_KINDS), tuple(_KINDS.values()))
    if kind == "plain":
        said = voice.say(cause, "says")
    elif kind == "denied":
        said = _denied(cause, voice)
    else:
        said = _mixed(cause, voice)
    return _finish(said, facts, voice)


def other_note(facts: Mapping[str, str], writer: Writer, moment: Moment, dice: Dice) -> str:
    """What `writer` types into the same field when nothing is wrong with an order."""
    voice = _Voice(writer, moment, dice)
    said = voice.say(NO_CLASS, "says")
    if dice.chance(0.25):
        said = f"{said}. {voice.say(NO_CLASS, 'says')}"
    return _finish(said, facts, voice)


@dataclass(frozen=True)
class _Voice:
    """A writer at a moment, with dice in hand."""

    writer: Writer
    moment: Moment
    dice: Dice

    def say(self, file: str, section: str) -> str:
        """One phrasing of a section, its choices decided."""
        user = self.writer.user
        habit = f"{user}/{self.moment.era}"
        return say(file, section, self.dice, user=user, habit=habit, progress=self.moment.progress)

    def other_than(self, cause: str) -> str:
        """A class that is not the cause, more often one of its kin."""
        if self.dice.chance(0.4):
            return self.dice.pick(KIN[cause])
        return self.dice.weighted(*_without(cause))


@functools.cache
def _without(cause: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    rest = {name: share for name, share in SHARES.items() if name != cause}
    return tuple(rest), tuple(rest.values())


def _denied(cause: str, voice: _Voice) -> str:
    """The cause, and what it is said not to be."""
    main = voice.say(cause, "says" if voice.dice.chance(0.6) else "mentions")
    first = voice.other_than(cause)
    second = first
    while second == first:
        second = voice.other_than(cause)
    parts = {"main": main, "denial": voice.say(first, "denies"), "denial2": voice.say(second, "denies")}
    return _join(voice.say("frames", "denied"), parts)


def _mixed(cause: str, voice: _Voice) -> str:
    """Two causes from the same section, so that only the frame tells them apart."""
    section = "mentions" if voice.dice.chance(0.7) else "says"
    parts = {"main": voice.say(cause, section), "second": voice.say(voice.other_than(cause), section)}
    return _join(voice.say("frames", "mixed"), parts)


def _join(frame: str, parts: Mapping[str, str]) -> str:
    """Put statements into a frame and leave their own slots for the facts."""
    for name, text in parts.items():
        frame = frame.replace("{" + name + "}", text)
    return frame


def _finish(said: str, facts: Mapping[str, str], voice: _Voice) -> str:
    """Add reference, request and mail tail, fill the facts, and let the writer type it."""
    writer, dice = voice.writer, voice.dice
    if dice.chance(writer.asks):
        said = f"{said}. {voice.say('frames', 'ask')}"
    if dice.chance(writer.leads):
        said = expand("[{order}|{item}|{po}|{customer}|{order} {item}][: | - | |, ]", dice, writer.user) + said
    typed = write(fill(said, facts), writer, dice)
    if dice.chance(writer.mails):
        typed = _pasted(typed, facts, dice)
    return typed


def _pasted(typed: str, facts: Mapping[str, str], dice: Dice) -> str:
    """The same as a mail of the customer's contact, with the tail that comes along."""
    head = dice.pick(("", "", "FW: ", "RE: {order} ", "Fwd: RE: {po} - "))
    tail = dice.pick(
        (
            "\n\nKind regards\n{contact}\n{customer}\nTel. {phone}",
            "\n--\n{contact} | {customer} | {email}",
            " Best regards, {contact}, {phone}",
            "\nBR {name}\n\nSent from my phone",
            "\n\nThanks,\n{contact}\nPurchasing\n{email}\nT {phone}",
            " rgds {name} {phone}",
        )
    )
    return fill(head, facts) + typed + fill(tail, facts)
