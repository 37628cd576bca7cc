"""Printing: a table for people on stdout, or JSON for scripts; progress on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from fleet_manifests import StorageError, Task, Verdict, program

if TYPE_CHECKING:
    from evals.evaluate import EvaluationSummary
    from fleet_manifests import FleetManifest
    from pipelines.cli.explain import Explanation
    from pipelines.project.spec import DeviceSpec
    from pipelines.steps.outcomes import Outcome, PackOutcome, State
    from pipelines.steps.receipts import Imported, Taken
    from pipelines.steps.release import Published

V = TypeVar("V")
MAIN = {"macro_f1": "macro-F1", "ndcg_at_10": "nDCG@10"}
"""The figure that stands for a build, by the name of its metric."""
STYLES = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow"}


def show(value: V, render: Callable[[V], RenderableType], *, as_json: bool) -> None:
    """Print a value for a script or for a person."""
    if not as_json:
        console = Console()
        Console(width=max(console.width, 110)).print(render(value))
        return
    many = isinstance(value, list | tuple)
    values = [_plain(one) for one in value] if many else _plain(value)  # type: ignore[attr-defined]
    typer.echo(program.as_json(values))


def write(path: Path, raw: bytes) -> None:
    """Write a file that a person asked for.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        path.write_bytes(raw)
    except OSError as exc:
        raise StorageError(f"{path}: cannot be written: {exc.strerror or exc}; choose another file") from exc


def _plain(value: object) -> object:
    return value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else value


@contextmanager
def progress(total: int, *, quiet: bool) -> Iterator[Callable[[int, str], None]]:
    """A progress bar on stderr; the block calls what it gets with (steps done, what is next)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task("starting", total=total)
        yield lambda done, text: bar.update(task, completed=done, description=text)
        bar.update(task, completed=total, description="done")


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table with a title; a Verdict is coloured."""
    made = Table(*head, title=title, title_justify="left")
    for row in rows:
        made.add_row(*(Text(cell.value, STYLES[cell]) if isinstance(cell, Verdict) else str(cell) for cell in row))
    return made


def explained(value: Explanation) -> RenderableType:
    """`lading check`."""
    workflows = [(w.workflow, w.base, w.placement.value, "; ".join(w.reasons)) for w in value.workflows]
    builds = [
        (b.workflow, b.profile, ", ".join(b.recipes), "yes" if b.measurable else f"no: {b.why_not}")
        for b in value.builds
    ]
    return Group(
        table(f"{value.project}: workflows", ["workflow", "base", "runs", "because"], workflows),
        table("builds", ["workflow", "profile", "recipes", "can be measured here"], builds),
        Text(f"{value.sites} sites; signing keys in {value.keys}"),
    )


def builds(found: Sequence[Outcome]) -> RenderableType:
    """`lading build`: one line per workflow x profile, and why a verdict is not `pass`."""
    rows = [(o.workflow, o.profile, o.recipe, o.verdict, *_figures(o)) for o in found]
    head = ["workflow", "profile", "recipe", "verdict", "metric", "p99 ms", "MB", "bundle"]
    reasons = [Text(f"{o.workflow} x {o.profile}: {reason}") for o in found for reason in o.reasons]
    choices = [Text(f"{workflow}: {said}") for workflow, said in {o.workflow: o.choice for o in found}.items() if said]
    reasons += [Text(f"{o.workflow} x {o.profile}: emulated: {o.emulated}") for o in found if o.emulated]
    reasons += [Text(f"{o.workflow} x {o.profile}: page {o.paths['page']}") for o in found if "page" in o.paths]
    made = [pack for outcome in found for pack in outcome.packs]
    return Group(table("builds", head, rows), *choices, *reasons, *([packs(made)] if made else []))


def _figures(outcome: Outcome) -> list[str]:
    values = {metric.name: metric.value for metric in outcome.metrics}
    main = next(((title, values[name]) for name, title in MAIN.items() if name in values), None)
    shown = [f"{values[name]:.3g}" if name in values else "-" for name in ("p99", "size_mb")]
    figure = f"{main[0]} {main[1]:.3f}" if main else "-"
    return [figure, *shown, outcome.bundle.removeprefix("sha256:")[:12]]


def packs(found: Sequence[PackOutcome]) -> RenderableType:
    """Knowledge packs: one line per pack, and why a verdict is not `pass`."""
    rows = [
        (o.workflow, o.profile, o.site_class, o.verdict, o.passages, o.data_class.value, *_found(o),
         o.pack.removeprefix("sha256:")[:12])
        for o in found
    ]  # fmt: skip
    head = ["workflow", "profile", "sites", "verdict", "passages", "class", "nDCG@10", "recall@5", "coverage", "pack"]
    reasons = [Text(f"{o.workflow} x {o.profile} x {o.site_class}: {reason}") for o in found for reason in o.reasons]
    return Group(table("knowledge packs", head, rows), *reasons)


def _found(outcome: PackOutcome) -> list[str]:
    values = {metric.name: metric.value for metric in outcome.metrics}
    return [f"{values[name]:.3f}" if name in values else "-" for name in ("ndcg_at_10", "recall_at_5", "coverage")]


def state(value: State) -> RenderableType:
    """`lading status`."""
    channels = [(c.channel, c.version or "-", c.expires or "-", ", ".join(c.builds) or "-") for c in value.channels]
    return Group(builds(value.builds), table("channels", ["channel", "version", "expires", "builds"], channels))


def manifest(value: FleetManifest) -> RenderableType:
    """`lading release promote`: what the channel holds now."""
    rows = [
        (
            name,
            profile,
            build.verdict,
            "by its packs" if workflow.task is Task.RETRIEVE else f"{build.defer_threshold:.3f}",
            build.bundle.digest.removeprefix("sha256:")[:12],
        )
        for name, workflow in value.workflows.items()
        for profile, build in workflow.builds.items()
    ]
    title = f"{value.channel} version {value.version}, until {value.expires:%Y-%m-%d}"
    found = table(title, ["workflow", "profile", "verdict", "defers below", "bundle"], rows)
    packs = [
        (pack.workflow or "-", pack.profile or "-", ", ".join(pack.site_classes), pack.verdict, pack.data_class.value,
         pack.blob.digest.removeprefix("sha256:")[:12])
        for pack in value.knowledge_packs
    ]  # fmt: skip
    head = ["workflow", "profile", "sites", "verdict", "class", "pack"]
    return Group(found, table("knowledge packs", head, packs)) if packs else found


def published(value: Published) -> RenderableType:
    """`lading release publish`."""
    rows = [(site, version, "written" if new else "unchanged") for site, version, new in value.assignments]
    pulls = [(pull.channel, pull.kind, "yes" if pull.pulled else "no", pull.said) for pull in value.pulls]
    return Group(
        table("assignments", ["site", "version", ""], rows),
        table("pulled as a client, on this machine", ["channel", "kind", "pulled", ""], pulls),
        Text(f"published tree {value.public}; sites enroll with {value.root}"),
    )


def imported(value: Imported) -> RenderableType:
    """`lading receipts import`."""
    refused = [(one.file, "known" if one.known else "refused", one.reason) for one in value.refused]
    return Group(receipts(value.taken), *([table("not taken", ["file", "", "because"], refused)] if refused else []))


def receipts(found: Sequence[Taken]) -> RenderableType:
    """Receipts: one line each, and why a verdict is not `pass`."""
    rows = [
        (one.workflow, one.profile, one.site, f"{one.taken:%Y-%m-%d %H:%M}", one.accuracy, one.latency, one.cpu_model)
        for one in found
    ]
    head = ["workflow", "profile", "site", "taken (UTC)", "accuracy", "latency", "machine"]
    reasons = [Text(f"{one.workflow} x {one.profile}, {one.site}: {reason}") for one in found for reason in one.reasons]
    return Group(table("receipts", head, rows), *reasons)


def devices(found: Sequence[DeviceSpec]) -> RenderableType:
    """`lading device list`."""
    return table("devices", ["site", "key", "CPU"], [(o.name, o.fingerprint, o.cpu_model or "any") for o in found])


def evaluation(value: EvaluationSummary) -> RenderableType:
    """`lading evaluate`."""
    rows = [
        (metric.name, f"{metric.value:.4f}", metric.n, _interval(metric.low, metric.high)) for metric in value.metrics
    ]
    parts: list[RenderableType] = [
        table(f"{value.workflow} x {value.profile}: {value.n} rows", ["metric", "value", "n", "95 %"], rows)
    ]
    if value.out_of_scope is not None:
        oos = value.out_of_scope
        parts.append(Text(f"out of scope: {oos.n} rows, AUROC {oos.auroc:.3f}, {oos.deferred:.1%} deferred"))
    if value.unknown_labels:
        parts.append(Text(f"labels the model does not have: {value.unknown_labels}"))
    if value.too_long:
        parts.append(Text(f"too long, not scored: lines {', '.join(map(str, value.too_long[:10]))}"))
    mistakes = [(m.line, m.label, m.predicted, f"{m.confidence:.2f}", m.text) for m in value.worst]
    parts.append(table("worst mistakes", ["line", "label", "predicted", "confidence", "text"], mistakes))
    return Group(*parts)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4f} to {high:.4f}"
