"""Joining the lines of a paragraph, with words that were divided at their ends."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_DIVIDED = re.compile(r"([^\W\d_]+)([-\u2010\u00ad])$")
_LETTERS = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


def join(lines: Sequence[str], known: Collection[str] = ()) -> str:
    """The lines as one text.

    A word that is divided at the end of a line is joined, unless the document has it with its hyphen elsewhere.

    Args:
        lines: without line ends.
        known: words of the document with a hyphen, in lower case.
    """
    joined = ""
    for line in lines:
        divided = _DIVIDED.search(joined)
        head = _LETTERS.match(line)
        if divided and divided[2] == "\u00ad":
            joined = joined[:-1] + line
        elif divided and head and line[:1].islower():
            whole = f"{divided[1]}-{head[0]}".casefold()
            joined = (joined if whole in known else joined[:-1]) + line
        elif re.search(r"\w[-/]$", joined):
            joined += line
        else:
            joined += f" {line}" if joined else line
    return joined


def hyphenated(lines: Sequence[str]) -> frozenset[str]:
    """The words with a hyphen that stand within lines, in lower case."""
    return frozenset(word.casefold() for line in lines for word in _LETTERS.findall(line) if "-" in word)
