"""Tables of a report: the same cells for Markdown and for the HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evals.pages.words import MARKS, figure, model, named, span
from fleet_manifests import (
    AccuracyReport,
    Comparison,
    Flip,
    Gate,
    KnowledgeReport,
    Metric,
    OutOfScope,
    Slice,
    Verdict,
)

LONG = 14
"""Rows from which a table is folded."""
TEXT = 200
"""Characters of a text that a table shows."""


@dataclass(frozen=True)
class Cell:
    """One cell; only the page shows tone and bar."""

    text: str
    tone: str = ""
    """`pass`, `fail`, `inconclusive`, `lost` or `gained`."""
    bar: float | None = None
    """Filled part, 0 to 1."""
    low: float | None = None
    """Interval of the bar."""
    high: float | None = None
    mark: float | None = None
    """Where the other model is."""
    prose: bool = False
    """A sentence or a text: it takes the room that is left."""


@dataclass(frozen=True)
class Table:
    """A titled table."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    folded: bool = False

    @property
    def texts(self) -> list[list[str]]:
        """Header and rows as plain text."""
        return [list(self.head), *([cell.text for cell in row] for row in self.rows)]


@dataclass(frozen=True)
class _Rows:
    """Rows in the making."""

    found: list[tuple[Cell, ...]] = field(default_factory=list)

    def add(self, *cells: Cell | str) -> None:
        self.found.append(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in cells))

    def table(self, title: str, head: Sequence[str], *, note: str = "", folded: bool | None = None) -> Table:
        long = len(self.found) > LONG if folded is None else folded
        return Table(title, tuple(head), tuple(self.found), note, long)


def verdict(found: Verdict) -> Cell:
    """A verdict by colour, sign and word."""
    return Cell(f"{MARKS[found]} {found.value}", tone=found.value)


def gates(found: Iterable[Gate], title: str = "Gates") -> Table:
    """Gates with their verdicts and reasons: what fails first, then what is open."""
    order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
    rows = _Rows()
    for gate in sorted(found, key=lambda gate: order.index(gate.verdict)):
        rows.add(verdict(gate.verdict), gate.name, Cell(gate.reason, prose=True))
    return rows.table(title, ["verdict", "gate", "reason"], folded=False)


def metrics(found: Iterable[Metric], title: str = "All metrics") -> Table:
    """Metrics with n and interval."""
    rows = _Rows()
    for metric in found:
        rows.add(metric.name, figure(metric.value, metric.unit), span(metric), f"{metric.n:,}")
    return rows.table(title, ["metric", "value", "interval", "n"])


def comparisons(found: Iterable[Comparison]) -> Table:
    """Paired differences against other models, in figures."""
    rows = _Rows()
    for one in found:
        rows.add(
            model(one.against),
            named(one.metric),
            f"{one.ours:.4f}",
            f"{one.theirs:.4f}",
            f"{one.difference:+.4f}",
            f"{one.low:+.4f} to {one.high:+.4f} ({one.confidence:.0%})",
            "" if one.margin is None else f"{one.margin:.4f}",
            "" if one.power is None else f"{one.power:.0%}",
            "" if one.detectable is None else f"{one.detectable:.4f}",
            f"{one.lost:,}",
            f"{one.gained:,}",
            f"{one.n:,}",
        )
    head = ["against", "metric", "ours", "theirs", "difference", "interval", "margin", "power", "detectable loss"]
    return rows.table("Comparisons in figures", [*head, "lost", "gained", "n"], folded=True)


def slices(found: Iterable[Slice], metrics: Iterable[Metric] = ()) -> list[Table]:
    """One table per field of the slices; the slices that lost most come first.

    Args:
        found: slices, named `field=value` or by a single word.
        metrics: those named `f1/<label>` are shown beside the slice of their class.
    """
    scores = {metric.name.removeprefix("f1/"): metric.value for metric in metrics if metric.name.startswith("f1/")}
    grouped: dict[str, list[tuple[str, Slice]]] = {}
    for one in found:
        about, _, value = one.name.partition("=")
        grouped.setdefault(about if value else "", []).append((value or about, one))
    tables = []
    for about, some in grouped.items():
        title = {"label": "By class", "": "By kind"}.get(about, f"By {about}")
        tables.append(_slices(title, some, scores if about == "label" else {}))
    return tables


def robustness(found: Iterable[Slice]) -> Table:
    """The figure on disturbed texts, by kind of disturbance."""
    return _slices("Disturbed texts", [(one.name, one) for one in found], {})


def _slices(title: str, found: Sequence[tuple[str, Slice]], scores: Mapping[str, float]) -> Table:
    paired = any(one.theirs is not None for _, one in found)
    head = ["", "n", "this build", *(["interval"] if any(one.low is not None for _, one in found) else [])]
    head += ["unquantized", "lost", "gained"] if paired else []
    head += ["F1"] if scores else []
    rows = _Rows()
    for name, one in sorted(found, key=lambda pair: (-pair[1].lost, pair[1].ours, pair[0])):
        cells: list[Cell | str] = [
            name,
            f"{one.n:,}",
            Cell(f"{one.ours:.3f}", bar=one.ours, low=one.low, high=one.high, mark=one.theirs),
        ]
        if "interval" in head:
            known = one.low is not None and one.high is not None
            cells.append(f"{one.low or 0:.3f}–{one.high or 0:.3f}" if known else "")
        if paired:
            cells.append("" if one.theirs is None else f"{one.theirs:.3f}")
            cells.append(Cell(f"{one.lost:,}", tone="lost" if one.lost else ""))
            cells.append(Cell(f"{one.gained:,}", tone="gained" if one.gained else ""))
        if scores:
            cells.append(f"{scores[name]:.3f}" if name in scores else "")
        rows.add(*cells)
    return rows.table(title, head)


def flips(found: Sequence[Flip], texts: Mapping[str, str] | None = None) -> Table:
    """Items that only one of the two models gets right, with their texts where they are at hand."""
    told = texts or {}
    rows = _Rows()
    for one in found:
        gained, lost = one.ours == one.truth, one.theirs == one.truth
        what = Cell("gained", tone="gained") if gained else Cell("lost" if lost else "differs", tone="lost")
        cells: list[Cell | str] = [what, one.item, one.truth, one.ours, one.theirs, f"{one.confidence:.2f}"]
        rows.add(*cells, *([Cell(shortened(told.get(one.item, "")), prose=True)] if texts is not None else []))
    head = ["", "item", "truth", "ours", "theirs", "confidence", *(["text"] if texts is not None else [])]
    others = ", ".join(sorted({model(one.against) for one in found}))
    return rows.table("Flips", head, note=f"Examples on which only one of the two is right: this build or {others}.")


def out_of_scope(found: OutOfScope, things: str = "rows") -> Table:
    """How well confidence tells what should not be answered."""
    rows = _Rows()
    known = found.low is not None and found.high is not None
    between = f" ({found.low or 0:.1%} to {found.high or 0:.1%})" if known else ""
    rows.add(f"{things} that should not be answered", f"{found.n:,}")
    rows.add("of them deferred", f"{found.deferred:.1%}{between}")
    rows.add("AUROC of the confidence", f"{found.auroc:.3f}")
    if found.fpr95 is not None:
        rows.add(f"of them taken for answerable where 95 % of the answerable {things} are kept", f"{found.fpr95:.1%}")
    return rows.table("Out of scope", ["", "found"])


def things(report: AccuracyReport | KnowledgeReport) -> str:
    """What the items of a report are."""
    return "questions" if isinstance(report, KnowledgeReport) or report.confusion is None else "rows"


def shortened(text: str, limit: int = TEXT) -> str:
    """A text on one line, cut at a limit."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
