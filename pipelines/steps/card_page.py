"""How a release card looks: rows and changes in, one HTML page out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evals.pages.page import render
from evals.pages.tables import Cell, Table, verdict
from evals.pages.words import LEADS, between, named, reading
from fleet_manifests import FleetManifest, Metric, Verdict, WorkflowEntry, worst

if TYPE_CHECKING:
    from release import Change, Standing

KINDS = {"new": "new", "gone": "left out", "changed": "changed", "same": "the same"}


@dataclass(frozen=True)
class Row:
    """One build or pack of the card."""

    workflow: str
    profile: str
    standing: Standing
    why: str
    """The verdict in one sentence."""
    metrics: tuple[Metric, ...]
    target: float | None = None
    """The precision that is promised for what is answered."""
    percentile: int = 99
    """The one that the latency objective is about."""
    site_class: str = ""
    """Of a pack."""

    def metric(self, name: str) -> Metric | None:
        """The metric of that name, if there is one."""
        return next((metric for metric in self.metrics if metric.name == name), None)


@dataclass(frozen=True)
class Part:
    """A section of the card."""

    title: str
    about: str
    table: Table
    reasons: list[tuple[str, str]]
    """What is not `pass`, and why."""


def page(
    title: str,
    builds: Sequence[Row],
    packs: Sequence[Row],
    changes: Sequence[Change],
    workflows: Mapping[str, WorkflowEntry],
    *,
    profiles: Sequence[tuple[str, str]],
    offered: FleetManifest | None = None,
    before: FleetManifest | None = None,
) -> str:
    """The card as HTML with everything inside it.

    Args:
        title: of the project.
        builds: what was built and measured.
        packs: its knowledge packs.
        changes: what they would change in the channel of `before`.
        workflows: what a manifest says of each workflow.
        profiles: every workflow and profile that the project builds.
        offered: the candidates manifest; None: nothing is offered yet.
        before: the manifest that the candidates are held against; None: nothing is published yet.
    """
    return render(
        "card.html.j2",
        title=title,
        verdict=worst(row.standing.verdict for row in (*builds, *packs)),
        counts=_counts(builds, packs),
        facts=_facts(offered, before),
        glance=_glance(builds, profiles),
        changed=_changes([one for one in changes if one.kind != "same"]),
        same=_changes([one for one in changes if one.kind == "same"], folded=True),
        parts=[
            *(_workflow(name, workflows[name], builds) for name in sorted({row.workflow for row in builds})),
            *([Part("Knowledge packs", "", _table(packs), _reasons(packs))] if packs else []),
        ],
    )


def _workflow(name: str, entry: WorkflowEntry, builds: Sequence[Row]) -> Part:
    """The builds of a workflow, under its title."""
    rows = [row for row in builds if row.workflow == name]
    placed = f"runs {entry.placement.where.value}: {'; '.join(entry.placement.reasons)}"
    return Part(entry.title, f"{name}, {entry.task.value}, owner {entry.owner}, {placed}", _table(rows), _reasons(rows))


def _counts(builds: Sequence[Row], packs: Sequence[Row]) -> str:
    """How many may ship."""
    every = Counter(row.standing.verdict for row in (*builds, *packs))
    said = [
        f"{every[one]} {LEADS[one].lower()}" for one in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS) if every[one]
    ]
    what = _many(len(builds), "build") + (f" and {_many(len(packs), 'knowledge pack')}" if packs else "")
    return f"Of {what}, {', '.join(said)}." if said else "Nothing has been built and measured yet."


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _facts(offered: FleetManifest | None, before: FleetManifest | None) -> dict[str, str]:
    """Which manifests the card is about."""
    return {
        "candidates": _manifest(offered) if offered else "not offered yet",
        "held against": _manifest(before) if before else "nothing: neither stable nor canary is published",
    }


def _manifest(one: FleetManifest) -> str:
    return f"{one.channel} {one.version}, issued {one.issued:%Y-%m-%d %H:%M} UTC, holds until {one.expires:%Y-%m-%d}"


def _glance(builds: Sequence[Row], profiles: Sequence[tuple[str, str]]) -> Table:
    """Verdicts by workflow and profile."""
    known = {(row.workflow, row.profile): verdict(row.standing.verdict) for row in builds}
    columns = sorted({profile for _, profile in profiles})
    rows = []
    for name in sorted({workflow for workflow, _ in profiles}):
        wanted = {profile for workflow, profile in profiles if workflow == name}
        cells = [known.get((name, one), Cell("not measured" if one in wanted else "")) for one in columns]
        rows.append((Cell(name), *cells))
    return Table("Verdicts", ("", *columns), tuple(rows))


def _changes(found: Sequence[Change], *, folded: bool = False) -> Table:
    """What becomes of each build and pack."""
    order = {"changed": 0, "new": 1, "gone": 2, "same": 3}
    tones = {"new": "gained", "gone": "lost"}
    rows = tuple(
        (Cell(KINDS[one.kind], tone=tones.get(one.kind, "")), Cell(one.name), Cell("; ".join(one.said), prose=True))
        for one in sorted(found, key=lambda one: (order[one.kind], one.name))
    )
    return Table("Unchanged" if folded else "Changes", ("", "build or pack", "what"), rows, folded=folded)


def _table(rows: Sequence[Row]) -> Table:
    """The builds of a workflow, or the knowledge packs."""
    packs = any(row.site_class for row in rows)
    metric = next((named(row.standing.metric.name) for row in rows if row.standing.metric), "metric")
    target = next((f"coverage at {row.target:.0%} precision" for row in rows if row.target is not None), "coverage")
    head = ("", "verdict", metric, target, *(("passages",) if packs else ("latency", "size", "recipe")))
    return Table("", head, tuple((*_common(row), *(_of_pack(row) if packs else _of_build(row))) for row in rows))


def _common(row: Row) -> tuple[Cell, ...]:
    """What builds and packs share."""
    return (
        Cell(f"{row.workflow} for {row.profile}, {row.site_class}" if row.site_class else row.profile),
        verdict(row.standing.verdict),
        Cell(_figure(row.standing.metric)),
        Cell(_figure(row.metric("coverage"))),
    )


def _of_build(row: Row) -> tuple[Cell, ...]:
    timed = row.metric(f"p{row.percentile}")
    latency = f"p{row.percentile} {reading(timed)}" if timed else "not measured"
    return Cell(latency), Cell(_figure(row.metric("size_mb"))), Cell(row.standing.recipe)


def _of_pack(row: Row) -> tuple[Cell, ...]:
    return (Cell(f"{row.standing.passages or 0:,}"),)


def _reasons(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Why a verdict is not `pass`, in one sentence each."""
    return [(row.standing.name, row.why) for row in rows if row.standing.verdict is not Verdict.PASS]


def _figure(metric: Metric | None) -> str:
    if metric is None:
        return "not measured"
    span = between(metric)
    return f"{reading(metric)} ({span})" if span else reading(metric)
