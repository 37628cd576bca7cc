"""`lading release gc`: remove what nobody needs from the published tree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet_manifests import UsageError, program
from pipelines.cli.app import JsonOption, ProjectOption, project_of

MEGABYTE = 1_000_000


def gc(
    reports: Annotated[
        list[Path] | None,
        typer.Option("--reports", help="Folder of what sites report (`lading-site status --json`); repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    person: Annotated[str, typer.Option("--as", help="Who cleans up; the release log keeps it.")] = "unattended",
    project: ProjectOption = None,
    json: JsonOption = False,
) -> None:
    """Remove old metadata, and blobs that no unexpired manifest, pending release or reporting site needs.

    Example: lading release gc --reports reports --dry-run
    """
    from pipelines.steps.release import release_of
    from release.gc import collect, named_in
    from release.pending import FOLDER

    found = project_of("release gc", project)
    if missing := [folder for folder in reports or () if not folder.is_dir()]:
        raise UsageError(f"{missing[0]}: a folder of reports was expected; without it, what its sites run could go")
    folders = [folder for folder in (found.root / FOLDER, *(reports or ())) if folder.is_dir()]
    release = release_of(found)
    done = collect(release.repository, named_in(folders), dry_run=dry_run)
    if done.removed and not dry_run:
        said = f"{len(done.removed)} files of {done.bytes} bytes that nobody needs"
        release.desk.log.append(person, "collect", None, None, None, said, release.now())
    if json:
        shown = {"removed": list(done.removed), "bytes": done.bytes, "kept": done.kept, "dry_run": done.dry_run}
        typer.echo(program.as_json(shown))
        return
    verb = "would be removed" if dry_run else "removed"
    typer.echo(f"{len(done.removed)} files of {done.bytes / MEGABYTE:.1f} MB {verb}, {done.kept} stay")
