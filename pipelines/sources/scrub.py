"""Takes personal data out of free text before it lands in the lake.

Each find is replaced by a token (`<email>`, `<phone>`, `<iban>`, `<card>`), so that a model still
sees that something was there. What a distributor's notes are full of must survive: order, part and
barcode numbers. So a card needs a scheme's prefix, length and Luhn digit, an IBAN its check digits,
and a phone number must be valid in a region and grouped as people there write it; a bare run of digits
is one only after a word such as "call", and what follows "Tel." is one wherever it is from.
Names of people are not found: a column that holds them belongs in data class `personal`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import product

TOKENS = ("<email>", "<iban>", "<card>", "<phone>")
"""Every token that `scrub` writes."""

VERSION = 1
"""Raised when `scrub` comes to find other things: tables scrubbed by an older one are loaded anew."""

REGIONS = ("US", "GB")
"""Regions whose national phone formats are known unless a source says others."""

Span = tuple[int, int]

_EMAIL = re.compile(r"(?<![\w.+'-])[\w.+'%-]+@(?:[\w-]+\.)+[^\W\d_]{2,}", re.UNICODE)
_IBAN = re.compile(r"(?<![\w-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", re.IGNORECASE)
_CARD = re.compile(r"(?<![\w-])\d(?:[ -]?\d){13,15}(?![\w-])")
_CARD_SCHEME = re.compile(r"3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|(?:2[2-7]|35|4\d|5[1-5]|6[045])\d{14}")
_SPOKEN = re.compile(
    r"(?:\b(?:tele)?(?:phone|fon)|\b(?:tel|ph|cell|mob|mobile|fax|call|ring|dial|text|sms))\W{0,3}"
    r"(?:(?:me|him|her|them|us|back|on|at|is|no|number)\W{1,3}){0,3}$",
    re.IGNORECASE,
)
_STATED = re.compile(
    r"\b(?:(?:tele)?phone|tel|fon|fax|mobile|mob)\W{1,3}(?:(?:is|no|nr|number)\W{1,3})?(\+?[\d(][\d\s().\-/]{5,18}\d)",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"[\d,]*\d[.,]\d+")
_DOCUMENT = re.compile(
    r"(?:\b(?:p\.?o|s\.?o|order|ord|part|item|sku|inv|invoice|ref|lot|batch|serial|sn|pn|asn|rma|"
    r"tracking|track|pallet|no|nr|number)\b\W{0,4}|#\s?)$",
    re.IGNORECASE,
)


def scrub(text: str, regions: tuple[str, ...] = REGIONS) -> tuple[str, Counter[str]]:
    """Replace personal data by tokens.

    Args:
        text: what someone typed.
        regions: where national phone formats are from (ISO 3166 alpha-2).

    Returns:
        The text without them, and how many of each token were written.
    """
    counts: Counter[str] = Counter()
    if "@" in text:
        text, counts["<email>"] = _EMAIL.subn("<email>", text)
    if sum(map(str.isdigit, text)) < 7:
        return text, +counts
    for token, find in (("<iban>", _ibans), ("<card>", _cards)):
        text, counts[token] = _replace(text, token, list(find(text)))
    text, counts["<phone>"] = _replace(text, "<phone>", _phones(text, regions))
    return text, +counts


def _replace(text: str, token: str, spans: list[Span]) -> tuple[str, int]:
    """The text with each span replaced, last first so that positions hold."""
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + token + text[end:]
    return text, len(spans)


def _ibans(text: str) -> Iterator[Span]:
    """Account numbers whose check digits hold (ISO 13616, mod 97)."""
    for match in _IBAN.finditer(text):
        ends = [match.end(), *(match.start() + gap.start() for gap in re.finditer(" ", match[0]))]
        for end in sorted(ends, reverse=True):
            found = re.sub(" ", "", text[match.start() : end]).upper()
            if len(found) >= 15 and _mod97(found) == 1:
                yield match.start(), end
                break


def _mod97(iban: str) -> int:
    """The remainder that is 1 for a valid IBAN."""
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97


def _cards(text: str) -> Iterator[Span]:
    """Payment card numbers: a scheme's prefix and length, and the Luhn digit (ISO/IEC 7812)."""
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _CARD_SCHEME.fullmatch(digits) and _luhn(digits):
            yield match.span()


def _luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _phones(text: str, regions: tuple[str, ...]) -> list[Span]:
    """Numbers that the text calls a phone, and those that are valid in a region and written like one."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    spans = [match.span(1) for match in _STATED.finditer(text) if sum(map(str.isdigit, match[1])) >= 7]
    for region, leniency in product(regions, (Leniency.VALID, Leniency.STRICT_GROUPING)):
        for match in PhoneNumberMatcher(text, region, leniency):
            overlaps = any(match.start < end and start < match.end for start, end in spans)
            told = _told_apart(text, match.start, match.raw_string, grouped=leniency is Leniency.STRICT_GROUPING)
            if told and not overlaps:
                spans.append((match.start, match.end))
    return spans


def _told_apart(text: str, start: int, found: str, *, grouped: bool) -> bool:
    """Tell a phone number from an order or part number by how it is written and what stands before it."""
    before = text[max(0, start - 30) : start]
    if found.startswith("+") or _SPOKEN.search(before):
        return True
    if before[-1:] in ("-", "/", "_", ".") or _DOCUMENT.search(before) or _AMOUNT.fullmatch(found):
        return False
    return grouped and re.search(r"[\s().-]", found) is not None
