"""Reports as Markdown, for the asset pages of Dagster."""

from __future__ import annotations

from collections.abc import Sequence

from evals.evaluate import EvaluationSummary
from evals.pages.report import Section, Setting, sections
from evals.pages.tables import Table, metrics
from evals.pages.words import sentence
from fleet_manifests import Evidence

ROWS = 40
"""Rows of a table that an asset page shows."""


def markdown(report: Evidence, setting: Setting | None = None) -> str:
    """A report as Markdown: the verdict in one sentence, then everything that its page has, without pictures."""
    parts = [f"**{report.verdict.value}**: {_cell(sentence(report.gates))}"]
    parts += [f"### {found.title}\n\n{section(found)}" for found in sections([report], setting)]
    return "\n\n".join(parts) + "\n"


def section(found: Section) -> str:
    """What a section says and tabulates."""
    parts = [f"- **{_cell(about)}**: {_cell(said)}" for about, said in found.words]
    tables = []
    for one in found.tables:
        title = f"**{_cell(one.title)}**\n\n" if one.title != found.title else ""
        tables.append(title + (f"{_cell(one.note)}\n\n" if one.note else "") + table(one))
    return "\n\n".join([*(["\n".join(parts)] if parts else []), *tables])


def table(found: Table, rows: int = ROWS) -> str:
    """A table, cut at some rows with a note of how many are left."""
    shown = markdown_table(found.texts[: rows + 1])
    left = len(found.rows) - rows
    return shown + (f"\n\nand {left:,} more {'rows' if left > 1 else 'row'}, on the page" if left > 0 else "")


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """Header and rows as a Markdown table; no cell can break out of it."""
    header, *rows = lines
    every = [header, ["---"] * len(header), *rows]
    written = [list(map(_cell, line)) if line is not every[1] else list(line) for line in every]
    return "\n".join(f"| {' | '.join(line)} |" for line in written)


def evaluation_markdown(summary: EvaluationSummary) -> str:
    """What `evaluate` found, as Markdown."""
    parts = [f"**{summary.workflow}** for {summary.profile}, {summary.n:,} rows scored"]
    parts.append(table(metrics(summary.metrics)))
    if summary.out_of_scope is not None:
        found = summary.out_of_scope
        parts.append(f"Out of scope: {found.n:,} rows, {found.deferred:.1%} deferred, AUROC {found.auroc:.3f}")
    if summary.unknown_labels:
        listed = ", ".join(f"{label} ({count})" for label, count in summary.unknown_labels.items())
        parts.append(f"Labels that the model does not have, not scored: {_cell(listed)}")
    if summary.too_long:
        parts.append(f"Longer than the engine accepts, not scored: lines {', '.join(map(str, summary.too_long))}")
    if summary.worst:
        header = ["line", "text", "label", "predicted", "confidence", "a site would have"]
        rows = [
            [str(m.line), m.text, m.label, m.predicted, f"{m.confidence:.3f}", "answered" if m.answered else "deferred"]
            for m in summary.worst
        ]
        parts.append("### Worst mistakes\n\n" + markdown_table([header, *rows]))
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    """Text that cannot break out of a Markdown cell or become markup."""
    flat = " ".join(text.split())
    for sign in "\\|`*_<>[]":
        flat = flat.replace(sign, "\\" + sign)
    return flat
