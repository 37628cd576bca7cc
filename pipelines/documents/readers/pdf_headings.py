"""Headings of a PDF: lines that are larger than the text, or bold and alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipelines.documents.readers.labels import is_labelled
from pipelines.documents.readers.marks import depth_of_number, follows, mark_of
from pipelines.documents.readers.pdf_lines import Line
from pipelines.documents.readers.pdf_tables import Drawn
from pipelines.documents.readers.text import one_line

_LARGER = 1.08
"""Sizes of the text from which a line is a heading by size."""
_MUCH_LARGER = 1.3
"""Sizes from which it may also end like a sentence."""
_WORDS = 25
_LINES = 4
_TOGETHER = 1.5
"""Distance of baselines, in sizes, up to which the lines of a heading are one."""
_NUMBERED = re.compile(r"(\d{1,2}(?:\.\d{1,2}){0,4})[.)]?\s+\W*[^\W\d_]")
_FULL = 8
"""Lines of about the same length that show where the text ends."""
_CAPITALS = 4
"""Letters that a line in capitals must have."""


@dataclass(frozen=True)
class Measures:
    """What is usual in one document, in points."""

    body: float
    """Size of the running text, by the number of characters."""
    bold_body: bool
    """Most of the text is bold, so that bold says nothing."""
    pitch: float
    """Distance of baselines within a paragraph, in sizes."""
    left: float
    """Where the text begins."""
    right: Mapping[int, float]
    """Where the text ends, by page."""

    def would_fit(self, line: Line, after: Line) -> bool:
        """Whether the first word of the next line would have fitted on a line: its author ended it on purpose."""
        free = self.right.get(line.page, line.x1) - line.x1
        return after.first_width + 0.6 * line.size < free


def measure(items: Sequence[Line | Drawn], widths: Sequence[float]) -> Measures:
    """The measures of a document without its running headers and footers, its pages being so wide."""
    lines = [item for item in items if isinstance(item, Line)]
    sizes: Counter[float] = Counter()
    bold = total = 0
    for line in lines:
        sizes[line.size] += len(line.text)
        total += len(line.text)
        bold += len(line.text) * line.bold
    body = sizes.most_common(1)[0][0] if sizes else 10.0
    lefts = Counter(round(line.x0) for line in lines if line.size == body)
    often = [x for x, count in lefts.items() if count >= 0.1 * sum(lefts.values())]
    left = min(often, default=0.0)
    return Measures(body, bold > 0.5 * total, _pitch(lines, body), left, _right(lines, left, widths))


def _right(lines: Sequence[Line], left: float, widths: Sequence[float]) -> dict[int, float]:
    """Where the text ends on each page; where all of it is short, as far from the edge as it begins."""
    widest = max((line.x1 for line in lines), default=0.0)
    full = sum(line.x1 > 0.9 * widest for line in lines)
    right: dict[int, float] = {}
    for line in lines:
        bound = 0.9 * widest
        if full < _FULL and widest < 0.6 * widths[line.page - 1]:
            bound = widths[line.page - 1] - 1.2 * left
        right[line.page] = max(right.get(line.page, bound), line.x1)
    return right


def _pitch(lines: Sequence[Line], body: float) -> float:
    """The smallest usual distance of baselines of the text, in sizes."""
    steps: Counter[float] = Counter()
    for before, after in pairwise(lines):
        if before.page == after.page and before.size == after.size == body:
            step = after.base - before.base
            if 0.9 * body <= step <= 2.5 * body:
                steps[round(step * 4) / 4] += 1
    usual = [step for step, count in steps.items() if count >= 0.08 * sum(steps.values())]
    return min(usual) / body if usual else 1.2


def headings(items: Sequence[Line | Drawn], measures: Measures) -> dict[int, tuple[int, int]]:
    """Where headings are: by the index of their first line, their level and the number of their lines."""
    found = _find(items, measures, capitals=False) or _find(items, measures, capitals=True)
    ranks = sorted(set(found.values()))
    keys = {key: rank for rank, key in enumerate(sorted({key for key, _ in ranks}), start=1)}
    return {index: (keys[key], count) for index, (key, count) in found.items()}


_Key = tuple[float, bool, int]
"""Size (negative), not bold, depth of the number: smaller is higher."""


def _find(items: Sequence[Line | Drawn], measures: Measures, *, capitals: bool) -> dict[int, tuple[_Key, int]]:
    found: dict[int, tuple[_Key, int]] = {}
    index = 0
    while index < len(items):
        group = _group(items, index, measures)
        if group and _is_heading(items, index, group, measures, capitals=capitals):
            text = one_line(" ".join(line.text for line in group))
            numbered = _NUMBERED.match(text)
            depth = depth_of_number(numbered[1]) if numbered else 1
            found[index] = ((-group[0].size, not group[0].bold, depth), len(group))
        index += max(1, len(group))
    return found


def _group(items: Sequence[Line | Drawn], index: int, measures: Measures) -> list[Line]:
    """The lines from an index on that would be one heading; only the first where they are text."""
    first = items[index]
    if not isinstance(first, Line):
        return []
    group = [first]
    for item in items[index + 1 : index + _LINES + 1]:
        last = group[-1]
        if not isinstance(item, Line) or item.page != last.page or (item.size, item.bold) != (last.size, last.bold):
            break
        if not 0 < item.base - last.base <= _TOGETHER * last.size or _NUMBERED.match(one_line(item.text)):
            break
        if measures.would_fit(last, item) and not _is_large(last, measures):
            break
        group.append(item)
    return group


def _is_large(line: Line, measures: Measures) -> bool:
    return line.size >= max(_LARGER * measures.body, measures.body + 0.75)


def _is_heading(
    items: Sequence[Line | Drawn], index: int, group: Sequence[Line], measures: Measures, *, capitals: bool
) -> bool:
    first, last = group[0], group[-1]
    text = one_line(" ".join(line.text for line in group))
    mark = mark_of(text)
    letters = [char for char in text if char.isalpha()]
    if len(group) > _LINES or len(text.split()) > _WORDS or len(letters) < 2 or is_labelled(text):
        return False
    if any(line.parts > 1 for line in group) or (mark is not None and (mark.bullet or not mark.text)):
        return False
    if _is_large(first, measures):
        return text[-1] not in ".;," or first.size >= _MUCH_LARGER * measures.body
    shouts = capitals and text == text.upper() and len(letters) >= _CAPITALS
    weighty = first.bold and not measures.bold_body
    if not (shouts or weighty) or first.size < measures.body - 0.75 or text[-1] in ".;,:!":
        return False
    if mark is not None and (not mark.marker[0].isdigit() or _in_list(items, index, len(group), mark.marker)):
        return False
    return _stands_out(items, index, last, measures, len(group))


def _in_list(items: Sequence[Line | Drawn], index: int, count: int, marker: str) -> bool:
    """Whether the lines beside a numbered bold line are numbered bold lines too: a list, not headings."""
    before = items[index - 1] if index else None
    after = items[index + count] if index + count < len(items) else None
    for one, earlier in ((before, True), (after, False)):
        mark = mark_of(one_line(one.text)) if isinstance(one, Line) and one.bold else None
        if mark is None or mark.bullet or depth_of_number(mark.marker) != depth_of_number(marker):
            continue
        if follows(marker, mark.marker) if earlier else follows(mark.marker, marker):
            return True
    return False


def _stands_out(items: Sequence[Line | Drawn], index: int, last: Line, measures: Measures, count: int) -> bool:
    """Whether a line of the text's size is apart from the text, and not the bold beginning of a paragraph."""
    first = items[index]
    assert isinstance(first, Line)
    centre = (measures.left + measures.right.get(first.page, first.x1)) / 2
    centred = abs((first.x0 + first.x1) / 2 - centre) <= first.size
    if first.x0 > measures.left + 1.5 * first.size and not centred:
        return False
    before = items[index - 1] if index else None
    if (
        isinstance(before, Line)
        and before.page == first.page
        and 0 < first.base - before.base <= 1.1 * measures.pitch * first.size
    ):
        if before.bold == first.bold and before.size == first.size:
            return False  # in the middle of a bold paragraph
        if not measures.would_fit(before, first):
            return False  # the bold end of a paragraph
    after = items[index + count] if index + count < len(items) else None
    if first.text_x > first.x0 and isinstance(after, Line) and abs(after.x0 - first.text_x) <= 3:
        return False  # a step, and what follows is indented like its text
    if not isinstance(after, Line) or after.page != last.page or after.base <= last.base:
        return after is not None
    close = after.base - last.base <= 1.25 * measures.pitch * last.size
    apart = measures.would_fit(last, after) or not after.text.lstrip()[:1].islower()
    return not close or (not after.bold_start and apart)
