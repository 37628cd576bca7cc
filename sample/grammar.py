"""Phrase files, and how one line of them becomes words.

A phrase file holds sections (`@says`, `@mentions` …) of one phrasing a line. `[a|b]` is a
choice, choices nest, an alternative may be empty; `{slot}` is a fact of the record. A line
that begins with `# ` is a comment.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from importlib import resources

from sample.dice import Dice, taste

_INNERMOST = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")

Sections = Mapping[str, tuple[str, ...]]

LATECOMERS = 0.12
"""Part of the phrasings that come up only as time goes by."""


@functools.cache
def sections(name: str, folder: str = "phrases") -> Sections:
    """The sections of `<folder>/<name>.txt`, in the order of the file."""
    text = resources.files("sample").joinpath(folder, f"{name}.txt").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("@"):
            current = found.setdefault(line[1:], [])
        elif line.strip() and not line.startswith("# "):
            current.append(line)
    return {section: tuple(lines) for section, lines in found.items()}


@functools.cache
def repertoire(
    name: str, section: str, user: str, folder: str = "phrases"
) -> tuple[tuple[str, ...], Sequence[float], Sequence[float]]:
    """Lines of a section, how fond the user is of each, and from when on each is heard, in parts of 24 months."""
    lines = sections(name, folder)[section]
    common = sorted(lines, key=lambda line: taste("rank", line))
    weights = [(common.index(line) + 3) ** -0.8 * (0.25 + 2 * taste(user, line)) for line in lines]
    births = [taste("birth", line) for line in lines]
    arrivals = [0.0 if born > LATECOMERS else 0.95 * born / LATECOMERS for born in births]
    return lines, weights, arrivals


def say(name: str, section: str, dice: Dice, *, user: str, habit: str, progress: float, folder: str = "phrases") -> str:
    """One phrasing of a section, as the user would say it at that time, its choices decided."""
    lines, weights, arrivals = repertoire(name, section, user, folder)
    known = [w if arrival <= progress else 0.0 for w, arrival in zip(weights, arrivals, strict=True)]
    return expand(dice.weighted(lines, known), dice, habit)


def expand(phrase: str, dice: Dice, habit: str) -> str:
    """Decide every choice of a phrase, innermost first.

    Args:
        phrase: one line of a phrase file.
        dice: where the draws come from.
        habit: who writes and when; each habit has favourite words, others stay possible.
    """
    while match := _INNERMOST.search(phrase):
        options = match.group(1).split("|")
        ranked = sorted(options, key=lambda option: taste(habit, option))
        chosen = dice.weighted(ranked, [1 / (rank + 1) for rank in range(len(ranked))])
        phrase = phrase[: match.start()] + chosen + phrase[match.end() :]
    return phrase


def fill(phrase: str, facts: Mapping[str, str]) -> str:
    """Put the facts into their slots; an unknown slot is a mistake in a phrase file."""
    return _SLOT.sub(lambda match: facts[match.group(1)], phrase)


def slots(phrase: str) -> set[str]:
    """The names of the slots that a phrase asks for."""
    return set(_SLOT.findall(phrase))
