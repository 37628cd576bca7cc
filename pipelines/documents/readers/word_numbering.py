"""The numbers that Word shows before its paragraphs (ECMA-376 part 1, section 17.9).

Paragraphs of one abstract definition count together, whichever instance they name; an instance with a start override
restarts the count when it is first used, and a paragraph restarts every deeper level.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipelines.documents.readers.word_text import W, is_on, number_in

_LEVELS = 9
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"),
          (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip


@dataclass(frozen=True)
class Level:
    """How one level of a list counts."""

    form: str
    """`decimal`, `lowerLetter`, `bullet` and so on."""
    text: str
    """What is shown, `%1.%2.`."""
    start: int
    restart: int | None
    """The level whose paragraphs restart this one; None: any higher one; 0: none."""
    legal: bool
    """Every number in it is shown as a decimal one."""


class Numbering:
    """Counts through one document; ask it in the order of the paragraphs."""

    def __init__(self, element: Any) -> None:
        """Take the root of `numbering.xml`, or None where a document has none."""
        found = (lambda name: element.findall(W + name)) if element is not None else (lambda name: [])
        self._abstract = {number.get(W + "abstractNumId"): number for number in found("abstractNum")}
        self._instances = {number.get(W + "numId"): number for number in found("num")}
        self._counts: dict[str, list[int | None]] = {}
        self._used: set[tuple[int, int]] = set()

    def marker(self, number: int, level: int) -> tuple[str, str] | None:
        """Count one paragraph: its form and what Word shows before it; None where there is no such list."""
        instance = self._instances.get(str(number))
        key = self._key(instance)
        if instance is None or key is None:
            return None
        level = min(max(level, 0), _LEVELS - 1)
        levels = [self._level(instance, key, one) for one in range(level + 1)]
        counts = self._counts.setdefault(key, [None] * _LEVELS)
        override = number_in(self._override(instance, level), "startOverride")
        if override is not None and (number, level) not in self._used:
            counts[level] = override
        else:
            before = counts[level]
            counts[level] = levels[level].start if before is None else before + 1
        self._used.add((number, level))
        for deeper in range(level + 1, _LEVELS):
            restart = self._level(instance, key, deeper).restart
            if restart is None or level < restart:
                counts[deeper] = None
        return levels[level].form, _shown(levels, counts)

    def _key(self, instance: Any) -> str | None:
        """The id of the abstract definition of an instance, through a list style that it may point to."""
        for _ in range(_LEVELS):
            reference = instance.find(W + "abstractNumId") if instance is not None else None
            key = reference.get(W + "val") if reference is not None else None
            abstract = self._abstract.get(key)
            link = abstract.find(W + "numStyleLink") if abstract is not None else None
            if link is None:
                return key if abstract is not None else None
            named = link.get(W + "val")
            styles = (one for one in self._abstract.values() if one.find(W + "styleLink") is not None)
            target = next((one for one in styles if one.find(W + "styleLink").get(W + "val") == named), None)
            return target.get(W + "abstractNumId") if target is not None else None
        return None

    def _override(self, instance: Any, level: int) -> Any:
        overrides = instance.findall(W + "lvlOverride")
        return next((one for one in overrides if one.get(W + "ilvl") == str(level)), None)

    def _level(self, instance: Any, key: str, level: int) -> Level:
        override = self._override(instance, level)
        own = override.find(W + "lvl") if override is not None else None
        if own is None:
            levels = self._abstract[key].findall(W + "lvl")
            own = next((one for one in levels if one.get(W + "ilvl") == str(level)), None)
        if own is None:
            return Level("decimal", f"%{level + 1}.", 1, None, legal=False)
        form, text, legal = own.find(W + "numFmt"), own.find(W + "lvlText"), own.find(W + "isLgl")
        start = number_in(own, "start")
        return Level(
            form=form.get(W + "val") or "decimal" if form is not None else "decimal",
            text=text.get(W + "val") or "" if text is not None else "",
            start=1 if start is None else start,
            restart=number_in(own, "lvlRestart"),
            legal=legal is not None and is_on(legal),
        )


def _shown(levels: list[Level], counts: list[int | None]) -> str:
    """What a level shows, with the numbers of the levels above it."""
    last = levels[-1]

    def number(found: re.Match[str]) -> str:
        which = int(found[1]) - 1
        if which >= len(levels):
            return ""
        count = counts[which]
        value = levels[which].start if count is None else count
        return _written(value, "decimal" if last.legal else levels[which].form)

    return " ".join(re.sub(r"%([1-9])", number, last.text).split())


def _written(value: int, form: str) -> str:
    """A number as a form writes it; forms of other scripts are given as decimal numbers."""
    if form in ("none", "bullet"):
        return ""
    if form == "decimalZero":
        return f"{value:02d}"
    if form in ("lowerLetter", "upperLetter") and value > 0:
        letter = chr(ord("a") + (value - 1) % 26) * ((value - 1) // 26 + 1)
        return letter.upper() if form == "upperLetter" else letter
    if form in ("lowerRoman", "upperRoman") and value > 0:
        roman = _roman(value)
        return roman.upper() if form == "upperRoman" else roman
    return str(value)


def _roman(value: int) -> str:
    written = ""
    for size, letters in _ROMAN:
        times, value = divmod(value, size)
        written += letters * times
    return written
