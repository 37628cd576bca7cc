"""What happens to a paper on its way in: scanned, faxed, mailed or typed into a portal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sample.dice import Dice

CHANNELS = ("mail", "fax", "portal", "scanner")

_ALIKE = {
    "O": "0", "0": "O", "l": "1", "1": "l", "I": "l", "rn": "m", "m": "rn", "S": "5", "5": "S", "B": "8", "8": "B",
    "e": "c", "cl": "d", "d": "cl", "h": "b", "u": "ii", "t": "f", "n": "ri", "g": "q", "Z": "2", "vv": "w", "w": "vv",
}  # fmt: skip
"""What a machine reads for what."""
_ALIKE_FORMS = re.compile("|".join(sorted(map(re.escape, _ALIKE), key=len, reverse=True)))
_MARKS = (".", "'", "|", "-", "~", ",", "_", "*", ":", "\\")
_SPARED = re.compile(r"@|Tel\b")
"""Lines with an address or a number of somebody stay legible, so that they can be found and taken out."""


@dataclass(frozen=True)
class Wear:
    """How much a channel spoils. Rates are per word, per gap or per line; the rest are shares of papers."""

    misread: float = 0.0
    joined: float = 0.0
    split: float = 0.0
    broken: float = 0.0
    """Lines that are cut in two."""
    marks: float = 0.0
    """Lines with a stray mark."""
    beheaded: float = 0.0
    """Papers whose first lines are missing."""
    cut: float = 0.0
    """Papers whose last lines are missing."""
    foreign: float = 0.0
    """Papers with a line of another page."""
    stamped: float = 0.0


WEAR: Mapping[str, Wear] = {
    "mail": Wear(foreign=0.04, cut=0.05),
    "portal": Wear(misread=0.002, cut=0.08, beheaded=0.05),
    "scanner": Wear(misread=0.024, joined=0.009, split=0.007, broken=0.036, marks=0.06, beheaded=0.18, cut=0.18,
                    foreign=0.15, stamped=0.45),
    "fax": Wear(misread=0.048, joined=0.018, split=0.015, broken=0.06, marks=0.12, beheaded=0.25, cut=0.25, foreign=0.2,
                stamped=0.3),
}  # fmt: skip


def pass_through(
    lines: Sequence[str], channel: str, dice: Dice, *, stamp: str, head: str, spare: Sequence[str], least: int
) -> str:
    """The text that arrives.

    Args:
        lines: the paper from top to bottom.
        channel: one of `CHANNELS`.
        dice: where the draws come from.
        stamp: what the mail room may stamp on it.
        head: a line of another page.
        spare: more lines, taken from where too few words are left.
        least: words that are left at least, as long as there are spare lines.
    """
    wear = WEAR[channel]
    kept = _trimmed(list(lines), wear, dice, least)
    if dice.chance(wear.foreign):
        kept.insert(dice.pick((0, len(kept))), head)
    if dice.chance(wear.stamped):
        kept.insert(dice.between(0, len(kept)), stamp)
    worn = [line if _SPARED.search(line) else _worn(line, wear, dice) for line in kept]
    for line in spare:
        if sum(len(one.split()) for one in worn) < least:
            worn.append(line)
    return "\n".join(worn)


def blank(dice: Dice) -> list[str]:
    """What a machine reads where nothing is written: specks."""
    return [" ".join(dice.pick(_MARKS) for _ in range(dice.between(1, 9))) for _ in range(dice.between(2, 9))]


def illegible(lines: Sequence[str], dice: Dice) -> list[str]:
    """What a machine reads of a paper that is too pale: a letter here and there."""
    pale = ("".join(char if dice.chance(0.3) else dice.pick((" ", " ", *_MARKS)) for char in line) for line in lines)
    return [line for line in pale if line.strip()]


def _trimmed(lines: list[str], wear: Wear, dice: Dice, least: int) -> list[str]:
    """Without the first or the last lines, now and then, as long as enough is left."""
    for rate, end in ((wear.beheaded, 0), (wear.cut, -1)):
        if dice.chance(rate):
            for _ in range(dice.between(1, 4)):
                if len(lines) > 4 and sum(len(line.split()) for line in lines) > least + 15:
                    lines.pop(end)
    return lines


def _worn(line: str, wear: Wear, dice: Dice) -> str:
    words = [_misread(word, dice) if dice.chance(wear.misread) else word for word in line.split(" ")]
    said = words[0]
    for word in words[1:]:
        said += ("" if dice.chance(wear.joined) else " ") + word
    said = " ".join(
        _split(word, dice) if len(word) > 4 and dice.chance(wear.split) else word for word in said.split(" ")
    )
    if dice.chance(wear.marks):
        said = f"{said} {dice.pick(_MARKS)}" if dice.chance(0.5) else f"{dice.pick(_MARKS)} {said}"
    if dice.chance(wear.broken) and " " in said:
        gaps = [match.start() for match in re.finditer(" ", said)]
        at = dice.pick(gaps)
        said = f"{said[:at]}\n{said[at + 1 :]}"
    return said


def _misread(word: str, dice: Dice) -> str:
    """One place of a word taken for something that looks like it."""
    found = list(_ALIKE_FORMS.finditer(word))
    if not found:
        return word
    one = dice.pick(found)
    return word[: one.start()] + _ALIKE[one.group()] + word[one.end() :]


def _split(word: str, dice: Dice) -> str:
    at = dice.between(2, len(word) - 2)
    return f"{word[:at]} {word[at:]}"
