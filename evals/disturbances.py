"""Disturbed texts: the same requests as a tired hand, a hurried colleague or a scanner writes them.

Each text of a split is disturbed in one way, so that all disturbed texts together are as many independent
items as the split has, and cost as much. What a model loses on them it loses on a busy day. The idea is that
of behavioural testing (Ribeiro et al. 2020, "Beyond accuracy: behavioral testing of NLP models with CheckList")
and of synthetic noise (Belinkov and Bisk 2018, "Synthetic and natural noise both break neural machine
translation").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    Draw = np.random.Generator

SEED = 13
MOST = 500
"""Texts that are disturbed at most, spread over the split."""
WORDS = re.compile(r"\w+")
TYPO, SCAN = 0.15, 0.06
"""Share of the words that get a typing mistake, and of the characters that a scanner reads wrongly."""
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
SCANNED = {"o": "0", "0": "O", "l": "1", "1": "l", "i": "l", "m": "rn", "e": "c", "s": "5", "b": "6", "g": "9", " ": ""}
SHORT = {
    "account": "acct", "address": "addr", "and": "&", "approximately": "approx", "broken": "brkn", "cases": "cs",
    "company": "co", "credit": "cr", "customer": "cust", "damaged": "dmgd", "delivered": "dlvd", "delivery": "dlvy",
    "department": "dept", "driver": "drvr", "invoice": "inv", "location": "loc", "maximum": "max", "minimum": "min",
    "number": "no", "order": "ord", "package": "pkg", "pallet": "plt", "pallets": "plts", "pieces": "pcs",
    "please": "pls", "purchase": "purch", "quantity": "qty", "received": "rcvd", "reference": "ref", "return": "rtn",
    "shipment": "shpt", "short": "sht", "temperature": "temp", "tomorrow": "tmrw", "warehouse": "whse", "with": "w/",
    "without": "w/o", "you": "u", "your": "yr",
}  # fmt: skip


@dataclass(frozen=True)
class Disturbed:
    """Texts of a split, each disturbed in one way."""

    places: tuple[int, ...]
    """Where each text stands in the split."""
    kinds: tuple[str, ...]
    texts: tuple[str, ...]


def disturbed(texts: Sequence[str], *, seed: int = SEED, most: int = MOST) -> Disturbed:
    """Disturb texts, the kinds in turn; the same texts and seed give the same result.

    Args:
        texts: of a split, in its order.
        seed: of what is drawn.
        most: texts that are taken at most.
    """
    draw = np.random.default_rng(seed)
    places = sorted(draw.permutation(len(texts))[:most].tolist())
    dealt = [list(KINDS)[number % len(KINDS)] for number in draw.permutation(len(places))]
    changed = [KINDS[kind](texts[place], draw) for place, kind in zip(places, dealt, strict=True)]
    return Disturbed(tuple(places), tuple(dealt), tuple(changed))


def typos(text: str, draw: Draw) -> str:
    """Letters swapped, left out, doubled or hit beside the right key, at least one of them."""
    words = [found.span() for found in WORDS.finditer(text) if len(found.group()) > 3]
    hit = [span for span in words if draw.random() < TYPO] or [words[draw.integers(len(words))]] if words else []
    for start, end in reversed(hit):
        text = text[:start] + _mistyped(text[start:end], draw) + text[end:]
    return text


def _mistyped(word: str, draw: Draw) -> str:
    at, kind = int(draw.integers(1, len(word) - 1)), int(draw.integers(4))
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    return word[:at] + _beside(word[at], draw) + word[at + 1 :]


def _beside(letter: str, draw: Draw) -> str:
    """A neighbour on the keyboard; what is on no row of letters stays."""
    for row in KEYS:
        at = row.find(letter.lower())
        if at >= 0:
            return row[max(at - 1, 0)] if draw.random() < 0.5 and at else row[min(at + 1, len(row) - 1)]
    return letter


def case(text: str, draw: Draw) -> str:
    """Capitals throughout, none at all, or each exchanged."""
    return (text.upper, text.lower, text.swapcase)[int(draw.integers(3))]()


def abbreviations(text: str, draw: Draw) -> str:
    """Words shortened as people in a warehouse do; where none is known, long words lose their vowels."""
    short = WORDS.sub(lambda found: SHORT.get(found.group().lower(), found.group()), text)
    if short != text:
        return short
    return WORDS.sub(lambda found: _no_vowels(found.group()) if len(found.group()) > 6 else found.group(), text)


def _no_vowels(word: str) -> str:
    return word[0] + re.sub(r"[aeiou]", "", word[1:-1]) + word[-1]


def truncated(text: str, draw: Draw) -> str:
    """Broken off after half to nine tenths of its words, at least two."""
    words = text.split(" ")
    return " ".join(words[: max(round(len(words) * draw.uniform(0.5, 0.9)), 2)])


def scanned(text: str, draw: Draw) -> str:
    """Characters that a scanner takes for others, spaces that it misses, at least one of them."""
    open_to = [place for place, sign in enumerate(text) if sign.lower() in SCANNED]
    if not open_to:
        return text
    hit = {place for place in open_to if draw.random() < SCAN} or {open_to[draw.integers(len(open_to))]}
    read = "".join(SCANNED[sign.lower()] if place in hit else sign for place, sign in enumerate(text))
    return read if read.strip() else text


KINDS: dict[str, Callable[[str, Draw], str]] = {
    "typos": typos,
    "case": case,
    "abbreviations": abbreviations,
    "truncated": truncated,
    "scanned": scanned,
}
"""Every kind of disturbance, by name."""
