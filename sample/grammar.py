"""Phrase files, and how one line of them becomes words.

A phrase file holds sections (`@says`, `@mentions` …) of one phrasing a line. `[a|b]` is a
choice, choices nest, an alternative may be empty; `{slot}` is a fact of the record. A line
that begins with `# ` is a comment.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources

from sample.dice import Dice, taste

_INNERMOST = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")

Sections = Mapping[str, tuple[str, ...]]


@functools.cache
def sections(name: str) -> Sections:
    """The sections of `phrases/<name>.txt`, in the order of the file."""
    text = resources.files("sample").joinpath("phrases", f"{name}.txt").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("@"):
            current = found.setdefault(line[1:], [])
        elif line.strip() and not line.startswith("# "):
            current.append(line)
    return {section: tuple(lines) for section, lines in found.items()}


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
