"""What a person sees of an asset: tables, pictures and sizes as Dagster metadata."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from fleet_manifests import Evidence, Gate, worst
from pipelines.steps.evidence import PAGE
from pipelines.steps.lexical_head import TRIALS, told
from pipelines.store import Entry


def outcome(entry: Entry, **metadata: dg.MetadataValue[Any]) -> dg.MaterializeResult[None]:
    """The result of an asset: its data version is the digest of what it made."""
    return dg.MaterializeResult(
        metadata={
            **metadata,
            "reused": dg.MetadataValue.bool(entry.reused),
            "seconds": dg.MetadataValue.float(round(entry.seconds, 2)),
            "files": files(entry.path),
            "path": dg.MetadataValue.path(entry.path),
            "digest": dg.MetadataValue.text(entry.digest),
        },
        data_version=dg.DataVersion(entry.digest.removeprefix("sha256:")),
    )


def table(head: Sequence[str], body: Iterable[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return dg.MetadataValue.md("\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines))


def files(folder: Path) -> dg.MarkdownMetadataValue:
    """The files of a folder with their sizes in MB."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return table(["file", "MB"], [(path.relative_to(folder), f"{path.stat().st_size / 1e6:.3f}") for path in paths])


def picture(png: bytes, what: str) -> dg.MarkdownMetadataValue:
    """A PNG inside the page."""
    return dg.MetadataValue.md(f"![{what}](data:image/png;base64,{base64.b64encode(png).decode()})")


def gates(found: Iterable[Gate]) -> dg.MarkdownMetadataValue:
    """Each requirement, its verdict and its sentence."""
    return table(["gate", "verdict", "why"], [(gate.name, gate.verdict.value, gate.reason) for gate in found])


def scores(found: Mapping[str, Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """The figures of each baseline on validation and test."""
    splits = ("validation", "test")
    figures = list(next(iter(found.values()))["test"])
    body = [(model, *(one[split][figure] for split in splits for figure in figures)) for model, one in found.items()]
    return table(["model", *(f"{figure}, {split}" for split in splits for figure in figures)], body)


def training(folder: Path) -> dict[str, dg.MarkdownMetadataValue]:
    """What a tuning did, epoch by epoch, and with what."""
    history, arguments = (json.loads((folder / f"{name}.json").read_text()) for name in ("history", "arguments"))
    epochs = history["epochs"]
    told = {name: history[name] for name in ("best_epoch", "probe_strength", "pairs") if name in history}
    return {
        "epochs": table(list(epochs[0]), [list(epoch.values()) for epoch in epochs]),
        "outcome": mapping(told),
        "arguments": mapping(arguments),
    }


def choice(folder: Path) -> dict[str, dg.MetadataValue[Any]]:
    """What ships and why, and the figures of every candidate on validation."""
    found = json.loads((folder / "choice.json").read_text())
    told: dict[str, dg.MetadataValue[Any]] = {
        "chosen": dg.MetadataValue.text(found["chosen"]),
        "reason": dg.MetadataValue.text(found["reason"]),
    }
    if "candidates" not in found:
        return told
    body = [
        (one["what"], one["metric"]["value"], one["metric"]["low"], one["metric"]["high"], one["metric"]["n"],
         f"{one['size'] / 1e6:.2f}")
        for one in found["candidates"]
    ]  # fmt: skip
    head = [f"candidate ({found['candidates'][0]['metric']['name']}, validation)", "value", "low", "high", "n", "MB"]
    return {**told, "candidates": table(head, body)}


def lexical_head(entry: Entry) -> dict[str, dg.MetadataValue[Any]]:
    """Whether the tuned model has a lexical head, what that gains, and what was tried."""
    tried = json.loads((entry.path / TRIALS).read_text())
    return {
        "lexical_head": dg.MetadataValue.text(told(entry)),
        "lexical_heads_tried": table(list(tried[0]), [list(one.values()) for one in tried]),
    }


def report(found: Evidence) -> dict[str, dg.MarkdownMetadataValue]:
    """Verdict, gates and figures of a report."""
    from evals.pages.markdown import markdown

    return {"report": dg.MetadataValue.md(markdown(found))}


def page(reports: Sequence[Evidence], folder: Path) -> dict[str, dg.MetadataValue[Any]]:
    """What the page in a folder shows, part by part, with the plots beside it; texts stay on the page."""
    from evals.pages.markdown import section
    from evals.pages.report import sections
    from evals.pages.words import sentence

    told = sentence([gate for report in reports for gate in report.gates])
    parts = {one.title.lower(): dg.MetadataValue.md(section(one)) for one in sections(reports)}
    plots = {path.stem: picture(path.read_bytes(), path.stem) for path in sorted(folder.glob("*.png"))}
    return {
        "verdict": dg.MetadataValue.text(worst(report.verdict for report in reports).value),
        "why": dg.MetadataValue.text(told),
        "page": dg.MetadataValue.path(folder / PAGE),
        **parts,
        **plots,
    }


def mapping(values: Mapping[str, object], head: Sequence[str] = ("", "")) -> dg.MarkdownMetadataValue:
    """Names and values."""
    return table(head, values.items())


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
