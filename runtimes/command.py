"""What the command lines of both consumers share: options, sync with a progress bar, a server."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fleet_manifests import UsageError, program
from runtimes.tokens import LOOPBACK

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from runtimes.ledger import Ledger
    from runtimes.sync import Active, SiteStatus, SyncResult

RootOption = Annotated[Path, typer.Option("--root", help="The publisher's root.json, got on a separate way.")]
SourceOption = Annotated[
    str, typer.Option("--from", help="Published tree: http(s) address, s3://BUCKET/PREFIX, folder or USB stick.")
]
BlobsOption = Annotated[
    str | None,
    typer.Option("--blobs", help="What is asked for blobs first: such an address, or oci+https://HOST/REPOSITORY."),
]
FloorOption = Annotated[
    Path | None,
    typer.Option(
        "--floor", help="Folder on another disk: no older release is taken, even after this disk is restored."
    ),
]
OnceOption = Annotated[
    str | None, typer.Option("--from", help="Another copy of the same tree, this once: a folder or a USB stick.")
]
SiteOption = Annotated[str, typer.Option("--site", help="Name of this site in the fleet.")]
PackKeyOption = Annotated[
    Path | None,
    typer.Option("--pack-key-file", help="File with the secret key of this site's class; opens encrypted packs."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
VersionOption = Annotated[bool, typer.Option("--version", help="Print the version.")]


def default_state(name: str) -> Path:
    """Where a runtime's state lies when nothing else is said: the user's state folder (XDG)."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / name


def show_version(name: str, wanted: bool) -> None:
    """Print the version and end, if it was asked for."""
    if wanted:
        typer.echo(f"{name} {program.version()}")
        raise typer.Exit


def enroll(
    state: Path,
    root: Path,
    source: str,
    site: str,
    kind: Literal["edge", "central"],
    pack_key: Path | None,
    blobs: str | None = None,
    floor: Path | None = None,
) -> None:
    """Make a folder the state of a site and say what comes next."""
    from runtimes import sync

    enrolment = sync.enroll(
        state, root=root, source=source, site=site, kind=kind, pack_key=pack_key, blobs=blobs, floor=floor
    )
    typer.echo(f"{enrolment.site}: enrolled with root {enrolment.root[:19]}, source {enrolment.source}; next: sync")


def sync(state: Path, source: str | None, as_json: bool) -> None:
    """Bring a state folder up to date and say what changed."""
    from runtimes import sync as client

    with progress(quiet=as_json) as told:
        result = client.sync(state, progress=told, source=source)
    typer.echo(program.as_json(_synced(result)) if as_json else _synced_text(result))


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[float, str], None]]:
    """A progress bar on stderr where a person looks at it; takes a part from 0 to 1 and what is being done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda part, what: bar.update(task, completed=part, description=what)


def status_lines(status: SiteStatus) -> list[str]:
    """What a state folder says, for a person."""
    lines = [f"{status.enrolment.site} ({status.enrolment.kind}), source {status.enrolment.source}"]
    active = status.active
    if active is None:
        lines.append(f"active: {status.problem or 'nothing yet; run `sync`'}")
    else:
        lines.append(f"active: {active.channel} {active.manifest_version}, profile {active.profile}")
        lines.append(f"seen: {active.seen.isoformat()}, {status.offline_hours_left or 0:.0f} hours left without it")
        lines += [status.halted] if status.halted else []
        lines += _workflow_lines(active)
    last = status.last_sync
    if last is not None:
        outcome = "done" if last.ok else f"{last.error_kind}: {last.error}"
        lines.append(f"last sync: {last.when.isoformat()}, {outcome}; {last.rebuilt} blobs made from deltas or derived")
        lines += [f"not for less: {reason}" for reason in last.fallbacks]
    return lines


def audit(ledger: Ledger, verify: bool, last: int, as_json: bool) -> None:
    """Show the newest records, or recompute the whole chain."""
    if verify:
        count, head = ledger.verify()
        checked = {"records": count, "head": head}
        typer.echo(program.as_json(checked) if as_json else f"{count} records, whole and in order; head {head}")
        return
    records = ledger.records(last=last)
    if as_json:
        typer.echo(program.as_json([vars(record) for record in records]))
        return
    for record in records:
        body = record.body
        said = [str(body[name]) for name in ("workflow", "status", "label", "confidence", "reason") if name in body]
        typer.echo(f"{record.seq} {record.time} {record.kind} {record.id} {' '.join(said)}")


def require_enrolled(state: Path, name: str) -> None:
    """Refuse a folder that is not a state folder, before anything is written into it.

    Raises:
        UsageError: it is not enrolled.
    """
    from runtimes.sync.site import SITE_FILE

    if not (state / SITE_FILE).is_file():
        raise UsageError(f"{state}: this folder is not enrolled; run `{name} enroll` first, or give another --state")


def serve(
    app: ASGIApp, name: str, *, host: str, port: int, certificate: Path | None = None, key: Path | None = None
) -> None:
    """Serve until a signal comes. Requests are not logged: what they say is nobody's business.

    Raises:
        UsageError: the address cannot be bound, or the certificate not be read.
    """
    import uvicorn

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for file in (certificate, key):
        if file is not None and not file.is_file():
            raise UsageError(f"{file}: a PEM file was expected")
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=10,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    with bound(host, port) as listener:
        scheme = "https" if certificate else "http"
        shown = f"[{host}]" if ":" in host else host
        typer.echo(f"{name}: {scheme}://{shown}:{listener.getsockname()[1]}")
        sys.stdout.flush()
        uvicorn.Server(config).run(sockets=[listener])


def bound(host: str, port: int) -> socket.socket:
    """A listening address; port 0 takes a free one.

    Raises:
        UsageError: it is taken, or not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with contextlib.ExitStack() as undo:
            listener = undo.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            undo.pop_all()
    except (OSError, OverflowError) as exc:
        raise UsageError(f"{host}:{port}: cannot listen there: {exc}; choose another --host or --port") from exc
    return listener


def require_loopback(host: str, allowed: bool, how: str) -> None:
    """Refuse to listen where other machines can reach it, unless that was asked for.

    Raises:
        UsageError: the host is not a loopback address; says what to do.
    """
    if host not in LOOPBACK and not allowed:
        raise UsageError(f"--host {host}: other machines could reach this; {how}")


def _synced(result: SyncResult) -> dict[str, Any]:
    """A sync as a script reads it."""
    active = result.active
    return {
        "changed": result.changed,
        "channel": active.channel,
        "manifest_version": active.manifest_version,
        "profile": active.profile,
        "workflows": {name: entry.bundle for name, entry in active.workflows.items()},
        "skipped": active.absent,
        "returned": {name: one.said for name, one in active.returned.items()},
        "halted": result.halted,
        "fetched_bytes": result.fetched_bytes,
        "reused_blobs": result.reused_blobs,
        "seconds": round(result.seconds, 3),
    }


def _synced_text(result: SyncResult) -> str:
    """A sync as a person reads it."""
    active = result.active
    said = "now runs" if result.changed else "still runs"
    first = (
        f"{active.site} {said} {active.channel} {active.manifest_version}, profile {active.profile}: "
        f"{result.fetched_bytes / 1e6:.1f} MB fetched, {result.reused_blobs} blobs reused, {result.seconds:.1f} s"
    )
    return "\n".join([first, *([result.halted] if result.halted else []), *_workflow_lines(active)])


def _workflow_lines(active: Active) -> list[str]:
    """What runs and what does not, for a person."""
    lines = []
    for name, entry in sorted(active.workflows.items()):
        lines.append(f"  {name}: {entry.bundle}{f': {entry.returned.said}' if entry.returned else ''}")
    return lines + [f"  {name}: not here: {why}" for name, why in sorted(active.absent.items())]
