"""`lading release gc`: remove what nobody needs from the published tree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet_manifests import UsageError, program

PENDING = Path(".lading", "release", "pending")
MEGABYTE = 1_000_000


def gc(
    reports: Annotated[
        list[Path] | None,
        typer.Option("--reports", help="Folder of what sites report (`lading-site status --json`); repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    project: Annotated[
        Path | None,
        typer.Option("--project", envvar="LADING_PROJECT", help="Project folder; else the nearest lading.yaml above."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Remove old metadata, and blobs that no unexpired manifest, pending release or reporting site needs.

    Example: lading release gc --reports reports --dry-run
    """
    from pipelines.cli.app import project_of
    from pipelines.steps.release import release_of
    from release.gc import collect, named_in

    found = project_of("release gc", project)
    if missing := [folder for folder in reports or () if not folder.is_dir()]:
        raise UsageError(f"{missing[0]}: a folder of reports was expected; without it, what its sites run could go")
    folders = [folder for folder in (found.root / PENDING, *(reports or ())) if folder.is_dir()]
    done = collect(release_of(found).repository, named_in(folders), dry_run=dry_run)
    if json:
        said = {"removed": list(done.removed), "bytes": done.bytes, "kept": done.kept, "dry_run": done.dry_run}
        typer.echo(program.as_json(said))
        return
    verb = "would be removed" if dry_run else "removed"
    typer.echo(f"{len(done.removed)} files of {done.bytes / MEGABYTE:.1f} MB {verb}, {done.kept} stay")
