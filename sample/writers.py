"""The people who type notes: their words, their shortcuts and their mistakes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sample.dice import Dice

_WORD = re.compile(r"[A-Za-z]+'?[A-Za-z]*")
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")

SHORT = {
    "received": "rcvd", "customer": "cust", "quantity": "qty", "shipment": "shpt", "shipped": "shpd",
    "delivery": "dlvy", "delivered": "dlvd", "without": "w/o", "pallet": "plt", "pallets": "plts",
    "carton": "ctn", "cartons": "ctns", "damaged": "dmgd", "please": "pls", "invoice": "inv", "order": "ord",
    "warehouse": "whse", "address": "addr", "system": "sys", "instead": "instd", "replacement": "repl",
    "packaging": "pkg", "missing": "missg", "account": "acct", "document": "doc", "tomorrow": "tmrw",
    "certificate": "cert", "carrier": "carr", "driver": "drvr", "because": "bc",
    "ordered": "ordd", "number": "no", "returned": "rtnd", "second": "2nd", "ship": "shp", "PO": "PO#",
}  # fmt: skip
LONG = {
    "cust": "the customer", "pls": "please", "rcvd": "received", "qty": "the quantity", "inv": "the invoice",
    "DN": "the delivery note", "thx": "thank you", "addr": "the address", "w/o": "without",
    "asap": "as soon as possible",
    "acct": "the account", "dont": "do not", "cant": "cannot", "didnt": "did not", "doesnt": "does not",
    "wont": "will not", "isnt": "is not", "wasnt": "was not", "hasnt": "has not", "its": "it is", "thats": "that is",
}  # fmt: skip
TEXTING = {
    "you": "u", "are": "r", "to": "2", "for": "4", "please": "pls", "thanks": "thx", "because": "cuz",
    "and": "n", "customer": "cust", "tomorrow": "2moro", "today": "2day", "before": "b4", "about": "abt",
    "with": "w", "nothing": "nuthin", "the": "da", "still": "stil", "want": "wanna",
}  # fmt: skip
FOREIGN = {
    "arrived": "is arrived", "came": "is come", "missing": "missed", "please": "kindly", "wrong": "not correct",
    "with": "mit", "and": "und", "customer": "client", "urgent": "dringend", "since": "since already",
    "box": "package", "truck": "camion", "invoice": "factura", "not": "no", "delivery": "livraison",
    "address": "adress", "has": "have", "doesnt": "dont", "wants": "want", "says": "say", "needs": "need",
}  # fmt: skip
FILLERS = frozenset({"the", "a", "an", "is", "was", "of", "that", "it", "were", "his", "their", "we", "our", "they"})


@dataclass(frozen=True)
class Writer:
    """One user of the exceptions screen. Rates are probabilities per word, shares per note."""

    user: str
    share: float
    """Part of all notes that this person types."""
    style: str
    """A key of `STYLES`."""
    typos: float = 0.0
    leads: float = 0.3
    """How often a note starts with an order, item or purchase order number."""
    mails: float = 0.0
    """How often a note is a mail pasted in, with its tail."""
    asks: float = 0.3
    """How often a request follows."""


WRITERS = (
    Writer("kbr", 0.14, "terse", typos=0.02, leads=0.55, asks=0.15),
    Writer("mlo", 0.12, "telegraphic", typos=0.015, leads=0.4),
    Writer("jpe", 0.11, "plain", typos=0.01, asks=0.45),
    Writer("tsu", 0.10, "texting", typos=0.05, leads=0.1, asks=0.35),
    Writer("ahe", 0.10, "sentences", leads=0.2, mails=0.12, asks=0.5),
    Writer("dko", 0.09, "foreign", typos=0.03, leads=0.3),
    Writer("rwa", 0.08, "plain", typos=0.06, leads=0.15),
    Writer("portal", 0.07, "sentences", typos=0.02, mails=0.65, asks=0.4),
    Writer("scn1", 0.06, "terse", typos=0.04, leads=0.7, asks=0.05),
    Writer("egr", 0.05, "telegraphic", typos=0.05, leads=0.3, asks=0.2),
    Writer("ysa", 0.04, "foreign", typos=0.015, mails=0.15),
    Writer("temp", 0.04, "texting", typos=0.08, leads=0.05, asks=0.2),
)


def write(text: str, writer: Writer, dice: Dice) -> str:
    """The text as this person types it: style first, then slips of the finger."""
    styled = STYLES[writer.style](text, dice)
    return re.sub(r"\S+", lambda match: _slip(match.group(), writer.typos, dice), styled)


def _swap(text: str, words: Mapping[str, str], rate: float, dice: Dice) -> str:
    """Replace words that the table knows, each with probability `rate`."""
    return _WORD.sub(lambda m: words[m.group()] if m.group() in words and dice.chance(rate) else m.group(), text)


def _without_fillers(text: str, rate: float, dice: Dice) -> str:
    """Leave out small words, as people in a hurry do."""
    return " ".join(word for word in text.split(" ") if word not in FILLERS or not dice.chance(rate))


def _terse(text: str, dice: Dice) -> str:
    return _swap(_without_fillers(text, 0.9, dice), SHORT, 0.45, dice).upper()


def _telegraphic(text: str, dice: Dice) -> str:
    short = _swap(_without_fillers(text, 0.6, dice), SHORT, 0.7, dice)
    return short.replace(", ", dice.pick((" / ", " - ", ", ", "; ")))


def _plain(text: str, dice: Dice) -> str:
    text = _swap(text, SHORT, 0.15, dice)
    return text[:1].upper() + text[1:] if dice.chance(0.3) else text


def _texting(text: str, dice: Dice) -> str:
    text = _swap(text.lower(), TEXTING, 0.5, dice)
    return re.sub(r"[,.:;](?=\s|$)", lambda m: m.group() if dice.chance(0.25) else "", text)


def _sentences(text: str, dice: Dice) -> str:
    text = _swap(text, LONG, 0.9, dice).replace("w/o", "without")
    text = re.sub(r"(^|[.?!:] )(\w)", lambda m: m.group(1) + m.group(2).upper(), text)
    greeting = dice.weighted(("", "Hello, ", "Dear team, ", "Hi all, "), (6, 1, 1, 1))
    return greeting + text + ("" if text.endswith((".", "?")) else ".")


def _foreign(text: str, dice: Dice) -> str:
    return _swap(_without_fillers(text, 0.35, dice), FOREIGN, 0.4, dice)


STYLES: Mapping[str, Callable[[str, Dice], str]] = {
    "terse": _terse,
    "telegraphic": _telegraphic,
    "plain": _plain,
    "texting": _texting,
    "sentences": _sentences,
    "foreign": _foreign,
}


def _slip(word: str, rate: float, dice: Dice) -> str:
    """Perhaps mistype a word; numbers and short words are looked at while typing."""
    if len(word) < 4 or not word.isalpha() or not dice.chance(rate):
        return word
    at = dice.between(1, len(word) - 2)
    before, letter, after = word[:at], word[at], word[at + 1 :]
    kind = dice.pick(("drop", "double", "swap", "neighbour"))
    if kind == "drop":
        return before + after
    if kind == "double":
        return before + letter * 2 + after
    if kind == "swap":
        return before + after[0] + letter + after[1:]
    return before + _neighbour(letter, dice) + after


def _neighbour(letter: str, dice: Dice) -> str:
    """The key beside, in the case of the letter that was meant."""
    row = next((row for row in _KEYBOARD if letter.lower() in row), letter.lower())
    at = row.index(letter.lower()) + dice.pick((-1, 1))
    found = row[min(max(at, 0), len(row) - 1)]
    return found.upper() if letter.isupper() else found
