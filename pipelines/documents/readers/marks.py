"""Marks that begin the item of a list: `3.`, `b)`, `2.1`, `Step 4:`, and the many bullets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

BULLETS = "•●▪▫◦‣■□◾○·►▶➢➤✓✔❑❖"
"""Characters that are a bullet wherever they begin a line."""
DASHES = "-–—*+"
"""Characters that are a bullet where the text around them says so."""

_ITEM = re.compile(
    rf"""(?:(?P<bullet>[{re.escape(BULLETS)}{re.escape(DASHES)}]|(?-i:o)(?=\s))
        |(?P<number>(?:step\s+)?\d{{1,3}}(?:[.):]|\.\)) | \(\d{{1,3}}\)
            | \d{{1,2}}(?:\.\d{{1,2}}){{1,4}}[.)]?
            | \(?[a-z]\) | [a-z]\. | \(?[ivx]{{2,4}}\) | [ivx]{{2,4}}\.
            | [A-Z]\)))
        (?:\s+(?P<text>\S.*)|\s*)$""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_ROMAN = {"i": 1, "v": 5, "x": 10}


@dataclass(frozen=True)
class Mark:
    """The mark of an item and the text behind it."""

    marker: str
    text: str
    bullet: bool

    @property
    def certain(self) -> bool:
        """A character that is nothing but a bullet."""
        return self.bullet and self.marker in BULLETS

    @property
    def decimal(self) -> bool:
        """A number such as `3.2`, which may as well be a quantity."""
        return not self.bullet and re.fullmatch(r"\d+(\.\d+)+", self.marker) is not None

    @property
    def first(self) -> bool:
        """A number that begins a list; `2.1` only before a capital letter."""
        if self.bullet or (self.decimal and not self.text[:1].isupper()):
            return False
        return any(values[-1] == 1 for values in _values(self.marker).values())


def mark_of(text: str) -> Mark | None:
    """The mark that a line begins with, or None. A capital letter with a full stop is a name, not a mark."""
    found = _ITEM.match(text)
    if found is None:
        return None
    marker = found["bullet"] or found["number"]
    if re.fullmatch(r"[A-Z]\.|[IVX]+\.", marker):
        return None
    return Mark(" ".join(marker.split()), found["text"] or "", bullet=found["bullet"] is not None)


def follows(marker: str, earlier: str) -> bool:
    """Whether a marker comes right after an earlier one of the same list, or opens the level below it."""
    for before, now in _alike(earlier, marker):
        if now in ((*before[:-1], before[-1] + 1), (*before, 1)):
            return True
        if len(now) < len(before) and now == (*before[: len(now) - 1], before[len(now) - 1] + 1):
            return True
    return False


def comes_after(marker: str, earlier: str) -> bool:
    """Whether a marker may stand below an earlier one in the same list, numbers between them left out."""
    return any(now > before for before, now in _alike(earlier, marker))


def depth_of_number(marker: str) -> int:
    """How many numbers a marker has: 2 for `3.2`; 0 for a bullet or a letter."""
    return len(re.findall(r"\d+", marker))


@dataclass(frozen=True)
class Level:
    """An open level of a list: where its marks and its texts begin, and its last mark."""

    x: float
    text_x: float
    marker: str
    bullet: bool


@dataclass
class Levels:
    """The open levels of the lists at one place of a text, found by where their marks begin."""

    tolerance: float
    open: list[Level] = field(default_factory=list)

    def enter(self, mark: Mark, x: float, text_x: float) -> int:
        """Take an item in and give its depth."""
        while self.open and x < self.open[-1].x - self.tolerance:
            self.open.pop()
        if self.open and abs(x - self.open[-1].x) <= self.tolerance:
            self.open.pop()
        self.open.append(Level(x, text_x, mark.marker, mark.bullet))
        return len(self.open) - 1

    def depth_of_text(self, x: float) -> int:
        """How many items a text that begins at x is inside; the levels that it is not inside are closed."""
        depth = sum(1 for level in self.open if x >= level.text_x - self.tolerance and x > level.x + self.tolerance / 2)
        del self.open[max(depth, 0) :]
        return depth

    def expects(self, mark: Mark) -> bool:
        """Whether a mark is the next one on an open level."""
        return any(follows(mark.marker, level.marker) for level in self.numbered())

    def numbered(self) -> Iterator[Level]:
        """The open levels that count."""
        return (level for level in self.open if not level.bullet)

    def clear(self) -> None:
        """Close every level."""
        self.open.clear()


def _alike(first: str, second: str) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """What two markers may count, where they count in the same way."""
    others = _values(second)
    return ((numbers, others[kind]) for kind, numbers in _values(first).items() if kind in others)


def _values(marker: str) -> dict[str, tuple[int, ...]]:
    """What a marker may count, by its kind of number; a letter may be a letter or a Roman number."""
    bare = re.sub(r"^step\s+", "", marker.casefold()).strip("().: ")
    if re.fullmatch(r"\d+(\.\d+)*", bare):
        return {"number": tuple(int(part) for part in bare.split("."))}
    found: dict[str, tuple[int, ...]] = {}
    if re.fullmatch("[a-z]", bare):
        found["letter"] = (ord(bare) - ord("a") + 1,)
    if re.fullmatch("[ivx]+", bare):
        found["roman"] = (_roman(bare),)
    return found


def _roman(text: str) -> int:
    values = [_ROMAN[char] for char in text]
    return sum(-now if now < later else now for now, later in zip(values, [*values[1:], 0], strict=True))
