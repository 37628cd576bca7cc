"""How a diff of two manifests looks: one HTML page. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.pages.page import render
from evals.pages.tables import Cell, Table

if TYPE_CHECKING:
    from pipelines.steps.diffs import Diff, Told

SECTIONS = {
    "revocation": ("Revocations", "bundle or pack"),
    "build": ("Builds", "build"),
    "knowledge": ("Knowledge packs", "pack"),
    "workflow": ("Workflows", "workflow"),
    "channel": ("The channel as a whole", "channel"),
}
"""In the order in which an approver reads; title, and what a row is about."""
WORDS = {"new": "new", "gone": "left out", "changed": "changed"}
TONES = {"new": "gained", "gone": "lost", "changed": ""}


def page(title: str, found: Diff) -> str:
    """The diff as HTML with everything inside it.

    Args:
        title: of the project.
        found: what changes.
    """
    facts = {"from": found.before, "to": found.after}
    if found.digest:
        facts["digest to approve"] = found.digest
    return render(
        "diff.html.j2",
        title=title,
        channel=found.channel,
        counts=counts(found.changes),
        facts=facts,
        tables=[table for section in SECTIONS if (table := _table(section, found.changes)).rows],
    )


def counts(changes: tuple[Told, ...]) -> str:
    """How much changes, in one sentence."""
    said = []
    for section, (title, _) in SECTIONS.items():
        number = sum(one.section == section for one in changes)
        if number:
            said.append(f"{title.lower()}: {number}")
    return "; ".join(said) if said else "Nothing but version and dates."


def _table(section: str, changes: tuple[Told, ...]) -> Table:
    title, about = SECTIONS[section]
    rows = tuple(
        (Cell(WORDS[one.kind], tone=_tone(one)), Cell(one.name), Cell("\n".join(one.said), prose=True))
        for one in changes
        if one.section == section
    )
    return Table(title, ("", about, "what"), rows)


def _tone(one: Told) -> str:
    """How a change looks; a revocation takes something away."""
    return "lost" if one.section == "revocation" and one.kind == "new" else TONES[one.kind]
