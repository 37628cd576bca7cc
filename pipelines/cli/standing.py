"""`lading release`: what release managers look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli import output, tables
from pipelines.cli.app import JsonOption, ProjectOption, changing, project_of
from pipelines.cli.release import ChannelArgument
from pipelines.cli.release import app as app


@app.command()
def candidates(project: ProjectOption = None, json: JsonOption = False) -> None:
    """Every build and knowledge pack, checked from its bytes: which may be promoted today, and why others may not.

    Example: lading release candidates
    """
    found = project_of("release candidates", project)
    from pipelines.steps.standing import offered

    output.show(offered(found), tables.candidates, as_json=json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A build or pack, by name or by the first digits of its digest.")],
    project: ProjectOption = None,
    json: JsonOption = False,
) -> None:
    """Every point of one candidate's check.

    Example: lading release show exception_triage--edge-x86-vnni
    """
    found = project_of("release show", project)
    from pipelines.steps.standing import one_offered

    output.show(one_offered(found, name), tables.candidate, as_json=json)


@app.command()
def status(project: ProjectOption = None, json: JsonOption = False) -> None:
    """What each channel has and who signed it, what waits for whom, what is halted and revoked, what expires.

    Example: lading release status
    """
    found = project_of("release status", project)
    from pipelines.steps.standing import standing

    output.show(standing(found), tables.standing, as_json=json)


@app.command()
def diff(
    channel: ChannelArgument = "stable",
    older: Annotated[int | None, typer.Option("--from", help="Version; else the published one.")] = None,
    newer: Annotated[int | None, typer.Option("--to", help="Version; else the pending one.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write it as one HTML file.")] = None,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> None:
    """What changes: builds, thresholds, evidence, knowledge, workflows, revocations. Pending beside published.

    Example: lading release diff stable --out diff.html
    """
    found = project_of("release diff", project)
    from pipelines.steps.diffs import diff as diff_
    from pipelines.steps.diffs import diff_page

    told = diff_(found, channel, older=older, newer=newer)
    if out is not None:
        output.write(out, diff_page(found, told).encode())
        typer.echo(f"{out}: open it in a browser; it needs nothing else")
        return
    output.show(told, tables.diff, as_json=json)


@app.command()
def log(
    verify: Annotated[bool, typer.Option("--verify", help="Check the chain, its end, and every published version.")] = (
        False
    ),
    project: ProjectOption = None,
    json: JsonOption = False,
) -> None:
    """Who did what to which channel, when and why. The log only grows, and each entry is chained to the one before.

    Example: lading release log --verify
    """
    found = project_of("release log", project)
    from pipelines.steps import standing as steps

    if verify:
        output.show(steps.verify_log(found), tables.verified, as_json=json)
        return
    output.show(steps.logged(found), tables.log, as_json=json)


@app.command()
def card(
    project: ProjectOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; it is kept in .lading too.")] = None,
) -> None:
    """Write the release card: every build and pack with its verdict, and what a release would change. One HTML file.

    Example: lading release card --out card.html
    """
    with changing("release card", project) as found:
        from pipelines.steps import cards

        kept = cards.release_card(found)
    if out is not None:
        output.write(out, kept.read_bytes())
    typer.echo(f"{out or kept}: open it in a browser; it needs nothing else")
