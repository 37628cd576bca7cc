"""What a sentence states that another could state differently: amounts, times, intervals, counts, must and must not.

A value has a kind, so that only like is compared with like, and an amount in the kind's base
unit, so that 60 minutes equal an hour. The sentence with its values masked is the matter
that the values are about. English only, like the stemmer of the index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_DAY = 86400.0
_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "sixty": 60, "ninety": 90,
}  # fmt: skip
_PERIODS = {
    "second": 1.0, "sec": 1.0, "minute": 60.0, "min": 60.0, "hour": 3600.0, "shift": _DAY / 3, "day": _DAY,
    "week": 7 * _DAY, "month": 30 * _DAY, "quarter": 91 * _DAY, "year": 365 * _DAY,
}  # fmt: skip
_ADVERBS = {
    "hourly": 3600.0, "daily": _DAY, "nightly": _DAY, "weekly": 7 * _DAY, "fortnightly": 14 * _DAY,
    "monthly": 30 * _DAY, "quarterly": 91 * _DAY, "yearly": 365 * _DAY, "annually": 365 * _DAY,
}  # fmt: skip
_UNITS = {
    **{name: ("duration", seconds) for name, seconds in _PERIODS.items()},
    "h": ("duration", 3600.0), "working day": ("working time", 1.0), "business day": ("working time", 1.0),
    "mm": ("length", 0.001), "cm": ("length", 0.01), "m": ("length", 1.0), "metre": ("length", 1.0),
    "meter": ("length", 1.0), "km": ("length", 1000.0),
    "g": ("mass", 0.001), "kg": ("mass", 1.0), "kilogram": ("mass", 1.0), "tonne": ("mass", 1000.0),
    "ml": ("volume", 0.001), "l": ("volume", 1.0), "litre": ("volume", 1.0), "liter": ("volume", 1.0),
    "cubic metre": ("volume", 1000.0),
    "°c": ("temperature", 1.0), "°": ("temperature", 1.0), "degree": ("temperature", 1.0),
    "%": ("share", 1.0), "per cent": ("share", 1.0), "percent": ("share", 1.0),
    "eur": ("money", 1.0), "euro": ("money", 1.0), "usd": ("dollars", 1.0), "dollar": ("dollars", 1.0),
    "gbp": ("pounds", 1.0),
    "bar": ("pressure", 1.0), "km/h": ("speed", 1.0), "mph": ("speed", 1.609), "lux": ("light", 1.0),
    "v": ("voltage", 1.0), "volt": ("voltage", 1.0), "ppm": ("concentration", 1.0), "db": ("noise", 1.0),
}  # fmt: skip
_SYMBOLS = {"€": "money", "eur": "money", "$": "dollars", "£": "pounds"}
_PLURALS = {"people": "person", "men": "man"}
_NO_NOUNS = frozenset({
    "above", "after", "and", "any", "are", "before", "below", "but", "can", "each", "every", "for", "from", "has",
    "have", "into", "may", "must", "not", "onto", "per", "than", "that", "the", "then", "this", "through", "times",
    "until", "was", "were", "when", "will", "with", "january", "february", "march", "april", "june", "july", "august",
    "september", "october", "november", "december",
})  # fmt: skip
"""What may follow a number without being counted by it."""


def _any(words: Iterable[str]) -> str:
    """A pattern for any of some words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_NUMBER = rf"(?:[-−–]?\d+(?:[.,]\d+)*|\b(?:{_any(_WORDS)})\b)"
_LABEL = (
    r"\b(?:aisle|appendix|article|bay|chapter|class|dock|door|figure|form|gate|grade|lane|level|line|page|part|phase|"
    r"release|room|rule|section|shelf|stage|steps?|table|version|wave|zone)\s+\d+"
)
"""A number that names something and measures nothing."""
_TIMES = rf"(?P<times>once|twice|{_NUMBER}\s+times)\s+(?:a|an|per|each|every)\s+(?P<per>{_any(_PERIODS)})\b"
_EVERY = (
    rf"\b(?:every|each)\s+(?:(?P<every>{_NUMBER}|other|second)\s+)?"
    rf"(?P<period>{_any(_PERIODS)}|(?:mon|tues|wednes|thurs|fri|satur|sun)day)s?\b"
)
_CLOCK = r"\b(?:[01]?\d|2[0-3]):[0-5]\d\b|\b(?:noon|midnight)\b"
_PRICED = rf"(?P<symbol>€|\$|£|\beur\b)\s*(?P<price>{_NUMBER})"
_MEASURED = (
    rf"(?<![\w.])(?P<low>{_NUMBER})(?:\s*(?:to|and|-|–)\s*(?P<high>{_NUMBER}))?[\s-]*"
    rf"(?P<unit>{_any(_UNITS)})s?(?![\w/])"
)
_COUNTED = (
    rf"(?<![\w.,-])(?P<count>\d+|\b(?:{_any(_WORDS)}))\s+"
    r"(?:\w+ed\s+|full\s+|whole\s+|more\s+)?(?P<noun>[a-z]{3,})"
)
_FORBIDDEN = (
    r"\b(?:must not|mustn't|may not|shall not|(?:(?:must|may|shall) )?never|"
    r"(?:is|are) (?:not allowed|forbidden|prohibited))\b"
)
_ALLOWED = r"\b(?:must|shall|always|may|(?:has|have) to|(?:is|are) (?:required|mandatory|allowed))\b"
_PATTERN = re.compile(
    rf"(?P<label>{_LABEL})|(?P<interval>{_TIMES}|{_EVERY}|\b(?P<adverb>{_any(_ADVERBS)})\b)|(?P<clock>{_CLOCK})|"
    rf"(?P<priced>{_PRICED})|(?P<measured>{_MEASURED})|(?P<counted>{_COUNTED})|(?P<forbidden>{_FORBIDDEN})|"
    rf"(?P<allowed>{_ALLOWED})",
    re.IGNORECASE,
)
_POINTING = re.compile(r"\b(?:it|its|they|them|their|this|that|these|those|one|ones)\b", re.IGNORECASE)
"""Words that point to something named elsewhere: a clause with one does not say by itself what it is about."""


@dataclass(frozen=True)
class Statement:
    """A sentence or step that holds a value."""

    text: str
    sentence: str
    """The whole sentence, where the statement is a clause of it."""
    masked: str
    """The text with each value replaced by its kind."""
    values: tuple[tuple[str, float], ...]
    """Kind and amount in order; a range gives both ends."""

    def of(self, kind: str) -> frozenset[float]:
        """The different amounts of a kind."""
        return frozenset(amount for name, amount in self.values if name == kind)


def statements(text: str) -> Iterator[Statement]:
    """The sentences, steps and bullets of a passage that hold a value, and their clauses that do. Tables are left out.

    Args:
        text: Markdown, as `Passage.text`.
    """
    for line in text.splitlines():
        line = re.sub(r"^\s*(?:\d+[.)]|[-*+])\s+", "", line.replace("**", "")).strip()
        if line.startswith(("|", "#")):
            continue
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z\"'(])", line):
            clauses = re.split(r"(?<=[;:])\s+", sentence)
            phrases = [phrase for clause in clauses for phrase in re.split(r"(?<=,)\s+", clause)]
            parts = [part for part in (*clauses, *phrases) if not _POINTING.search(part)]
            found = (statement(part, sentence) for part in dict.fromkeys((sentence, *parts)))
            yield from (one for one in found if one.values)


def statement(text: str, sentence: str | None = None) -> Statement:
    """A sentence, or a clause of one, and its values."""
    values: list[tuple[str, float]] = []

    def mask(match: re.Match[str]) -> str:
        kind, amounts = _value(match)
        values.extend((kind, amount) for amount in amounts)
        if not amounts:
            return match[0]
        return f"{kind.partition(':')[0]} {match['noun']}" if match["counted"] else kind

    masked = _PATTERN.sub(mask, text)
    return Statement(text, sentence or text, masked, tuple(values))


def _value(match: re.Match[str]) -> tuple[str, tuple[float, ...]]:
    """Kind and amounts of what was matched; no amount: a number that measures or counts nothing."""
    if match["label"]:
        return "", ()
    if match["interval"]:
        return "interval", (_interval(match),)
    if match["clock"]:
        return "clock", (_minutes(match["clock"].lower()),)
    if match["priced"]:
        return _SYMBOLS[match["symbol"].lower()], (_number(match["price"]),)
    if match["measured"]:
        kind, size = _UNITS[match["unit"].lower()]
        bounds = [match["low"], *([match["high"]] if match["high"] else [])]
        return kind, tuple(round(_number(bound) * size, 6) for bound in bounds)
    if match["counted"]:
        return _counted(match["count"], match["noun"].lower())
    return "rule", (0.0 if match["forbidden"] else 1.0,)


def _counted(count: str, noun: str) -> tuple[str, tuple[float, ...]]:
    """How many of what; a year counts nothing."""
    number = _number(count)
    if noun in _NO_NOUNS or noun.endswith("ly") or (count.isdigit() and 1900 <= number <= 2100):
        return "", ()
    return f"count:{_PLURALS.get(noun, noun.rstrip('s'))}", (number,)


def _interval(match: re.Match[str]) -> float:
    """Seconds from one time to the next."""
    if match["adverb"]:
        return _ADVERBS[match["adverb"].lower()]
    if match["times"]:
        word = match["times"].lower().split()[0]
        times = {"once": 1.0, "twice": 2.0}.get(word) or _number(word)
        return round(_PERIODS[match["per"].lower()] / max(times, 1.0), 6)
    period = _PERIODS.get(match["period"].lower(), 7 * _DAY)
    every = (match["every"] or "one").lower()
    return period * (2.0 if every in ("other", "second") else _number(every))


def _minutes(text: str) -> float:
    """Minutes after midnight."""
    if text in ("noon", "midnight"):
        return 720.0 if text == "noon" else 0.0
    hours, minutes = text.split(":")
    return int(hours) * 60.0 + int(minutes)


def _number(text: str) -> float:
    """The number that digits or a word say; `1,000` is a thousand, `1,5` one and a half."""
    text = text.lower().replace("−", "-").replace("–", "-")
    if text in _WORDS:
        return float(_WORDS[text])
    if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text):
        return float(text.replace(",", ""))
    head, *rest = re.split(r"[.,]", text)
    return float(head + ("." + "".join(rest) if rest else ""))
