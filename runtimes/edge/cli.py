"""`lading-site`: a site on the command line."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from fleet_manifests import UnreachableError, UsageError, program
from runtimes import command, tokens

if TYPE_CHECKING:
    from runtimes.edge.response import Response
    from runtimes.edge.service import Site
    from runtimes.knowledge import CitedPassage
    from runtimes.measure.device import Measured

PORT = 8470
SUBMIT_SECONDS = 120.0
"""How long handing in a receipt may take."""

app = typer.Typer(
    help=(
        "Run a site: pull what the fleet assigns, verify it, answer locally, defer what is uncertain.\n\n"
        "A day with it:\n\n\b\n"
        "  lading-site enroll --root root.json --from https://fleet.example --site store-017\n"
        "  lading-site sync\n"
        '  lading-site ask exception_triage --text "short 3 cs, seal broken"\n'
        "  lading-site serve"
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StateOption = Annotated[
    Path,
    typer.Option(
        "--state",
        envvar="LADING_SITE_STATE",
        default_factory=lambda: command.default_state("lading-site"),
        show_default="lading-site in the user's state folder",
        help="Folder that holds everything of this site.",
    ),
]


@app.callback(invoke_without_command=True)
def root(version: command.VersionOption = False) -> None:
    """Options of the program itself."""
    command.show_version("lading-site", version)


@app.command()
def enroll(
    root: command.RootOption,
    source: command.SourceOption,
    site: command.SiteOption,
    state: StateOption,
    central_token_file: Annotated[
        Path | None, typer.Option(help="File with the token that the centre made for this site.")
    ] = None,
    pack_key_file: command.PackKeyOption = None,
    blobs: command.BlobsOption = None,
    floor: command.FloorOption = None,
) -> None:
    """Give trust once: who this site is, whose signatures count, where releases are fetched.

    Again with another --central-token-file or --pack-key-file it replaces the token or the key.

    Example: lading-site enroll --root root.json --from /media/usb/public --site store-017
    """
    from runtimes.edge.service import TOKEN_FILE

    token = None if central_token_file is None else tokens.read(central_token_file)
    command.enroll(state, root, source, site, "edge", pack_key_file, blobs, floor)
    if token is not None:
        tokens.write(state / TOKEN_FILE, token)
    typer.echo(f"its device key signs measurements; to register it: lading-site device-key > {site}.pem, then at the "
               f"factory: lading device add {site} {site}.pem")  # fmt: skip


@app.command(name="device-key")
def device_key(state: StateOption, json: command.JsonOption = False) -> None:
    """Print the public key of this device, with which the factory verifies its receipts.

    Example: lading-site device-key > store-017.pem
    """
    from fleet_manifests.receipt import key_fingerprint
    from runtimes.device import load_key
    from runtimes.engine.host import facts
    from runtimes.sync.site import load_enrolment

    site, public = load_enrolment(state).site, load_key(state).public_pem
    fingerprint, model = key_fingerprint(public), facts().cpu_model
    if json:
        said = {"site": site, "public_key": public.decode(), "fingerprint": fingerprint, "cpu_model": model}
        typer.echo(program.as_json(said))
        return
    typer.echo(public.decode(), nl=False)
    typer.echo(f"{fingerprint}; at the factory: lading device add {site} {site}.pem --cpu-model {model!r}", err=True)


@app.command()
def measure(
    workflow: Annotated[str, typer.Argument(help="Name of the workflow.")],
    state: StateOption,
    profile: Annotated[str | None, typer.Option(help="Profile to measure for; else the one that fits.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the receipt.")] = Path("receipts"),
    source: command.OnceOption = None,
    submit: Annotated[bool, typer.Option("--submit", help="Hand the receipt in at the centre too.")] = False,
    json: command.JsonOption = False,
) -> None:
    """Measure the candidate of a workflow on this machine and write a signed receipt for the factory.

    The candidate is verified, run in processes of its own and removed: what this site serves does not change.

    Example: lading-site measure exception_triage --out receipts
    """
    command.require_enrolled(state, "lading-site")
    from runtimes.measure.device import measure as measure_

    with command.progress(quiet=json) as told:
        done = measure_(state, workflow, out=out, profile=profile, source=source, progress=told)
    if submit:
        _submit(state, done)
    receipt = done.receipt
    if json:
        said = {"file": str(done.file), "submitted": submit, "receipt": receipt.model_dump(mode="json")}
        typer.echo(program.as_json(said))
        return
    typer.echo(
        f"{receipt.subject} of candidates {receipt.manifest}, measured on {receipt.machine.host.cpu_model}: "
        f"{done.file}; at the factory: lading receipts import FOLDER"
    )


def _submit(state: Path, done: Measured) -> None:
    """Hand a receipt in at the centre, with this site's token.

    Raises:
        UsageError: there is no centre, or no token for it. The receipt's file is there all the same.
        UnreachableError, RefusedError: as `HttpLine.submit`.
    """
    from runtimes.edge.line import HttpLine
    from runtimes.edge.service import TOKEN_FILE

    path = state / TOKEN_FILE
    if done.central is None or not path.exists():
        raise UsageError(
            f"--submit: the assignment names no centre, or this site has no token for it; the receipt is {done.file}"
        )
    with contextlib.closing(HttpLine(done.central, tokens.read(path))) as line:
        line.submit(done.file.read_bytes(), seconds=SUBMIT_SECONDS)


@app.command()
def sync(state: StateOption, source: command.OnceOption = None, json: command.JsonOption = False) -> None:
    """Fetch, verify, try and activate what the fleet assigns to this site, or change nothing.

    Example: lading-site sync --json
    """
    command.sync(state, source, json)


@app.command()
def status(state: StateOption, json: command.JsonOption = False) -> None:
    """What runs here, how fresh it is, and what waits for the centre.

    Example: lading-site status
    """
    from runtimes.edge.outbox import Outbox
    from runtimes.edge.service import OUTBOX_FILE
    from runtimes.sync import status as read

    found = read(state)
    counts = None
    if (state / OUTBOX_FILE).exists():
        with contextlib.closing(Outbox(state / OUTBOX_FILE)) as outbox:
            counts = outbox.counts()
    if json:
        typer.echo(program.as_json(found.model_dump(mode="json") | {"outbox": counts}))
        return
    waits = "empty" if counts is None else ", ".join(f"{n} {name}" for name, n in counts.items())
    typer.echo("\n".join([*command.status_lines(found), f"outbox: {waits}"]))


@app.command()
def ask(
    workflow: Annotated[str, typer.Argument(help="Name of the workflow.")],
    text: Annotated[str, typer.Option(help="The request; - reads it from standard input.")],
    state: StateOption,
    role: Annotated[str | None, typer.Option(help="Role of the person who asks.")] = None,
    request_id: Annotated[
        str | None, typer.Option("--id", help="Ask under this id: again gives the same answer.")
    ] = None,
    json: command.JsonOption = False,
) -> None:
    """Ask a workflow: answered here, or deferred to the centre with the reason.

    Example: lading-site ask exception_triage --text "short 3 cs, seal broken" --json
    """
    with _site(state) as site:
        said = site.answer(workflow, sys.stdin.read() if text == "-" else text, role=role, request_id=request_id)
    typer.echo(program.as_json(said.model_dump(mode="json")) if json else _told(said))


@app.command()
def serve(
    state: StateOption,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = PORT,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen for other machines too; needs --api-token-file.")
    ] = False,
    api_token_file: Annotated[Path | None, typer.Option(help="File with the token that callers must present.")] = None,
) -> None:
    """Answer over HTTP on this machine, and deliver the outbox in the background.

    A sync may run at any time: the next request is answered by what it activated.

    Example: lading-site serve --port 8470
    """
    command.require_loopback(host, allow_remote, "say --allow-remote and give an --api-token-file")
    if allow_remote and api_token_file is None:
        raise UsageError("--allow-remote: an --api-token-file is needed, or anyone on the network could ask")
    from runtimes.edge.http import app as application

    token = None if api_token_file is None else tokens.read(api_token_file)
    with _site(state) as site:
        command.serve(application(site, api_token=token), "lading-site", host=host, port=port)


@app.command()
def flush(state: StateOption, json: command.JsonOption = False) -> None:
    """Deliver what waits for the centre now, and fetch the answers that people gave there.

    Ends with 1 if something could not be delivered.

    Example: lading-site flush
    """
    with _site(state) as site:
        done = site.courier.flush()
    said = f"{done.delivered} delivered, {done.answered} answered since, {done.refused} refused, {done.left} left"
    typer.echo(program.as_json(vars(done)) if json else said)
    if done.problem:
        raise UnreachableError(done.problem)


@app.command()
def audit(
    state: StateOption,
    verify: Annotated[bool, typer.Option("--verify", help="Recompute the whole hash chain.")] = False,
    last: Annotated[int, typer.Option(min=1, help="How many records to show.")] = 20,
    json: command.JsonOption = False,
) -> None:
    """Show the newest records of this site's audit, or prove that none was changed.

    Example: lading-site audit --verify
    """
    with _site(state) as site:
        command.audit(site.outbox.ledger, verify, last, json)


@contextlib.contextmanager
def _site(state: Path) -> Iterator[Site]:
    """The core of an enrolled site."""
    command.require_enrolled(state, "lading-site")
    from runtimes.edge.service import Site

    with contextlib.closing(Site(state)) as site:
        yield site


def _told(said: Response) -> str:
    """An answer for a person."""
    by = said.produced_by
    what = said.status if said.label is None else f"{said.label}"
    passages = "".join(f"\n\n{_place(one)}\n\n{one.text}" for one in said.passages)
    sure = "" if said.confidence is None else f" (confidence {said.confidence:.2f})"
    source = by.person or f"{by.channel} {by.manifest_version}, {by.profile}, {(by.bundle or '')[:19]}"
    source += f" in place of {by.instead_of[:19]}, which was revoked" if by.instead_of else ""
    return f"{what}{sure}\n{said.status}, produced at {by.where}: {source}\n{said.reason}\nid {said.id}{passages}"


def _place(one: CitedPassage) -> str:
    """Where a passage stands, and what to mind."""
    revision = f" revision {one.revision}" if one.revision else ""
    page = f", page {one.page}" if one.page else ""
    minded = f" [review was due on {one.review_by}]" if one.stale else ""
    against = "THIS DISAGREES: " if one.disagrees else ""
    return f"{against}{one.document}{revision}, {' > '.join((one.title, *one.section))}{page}{minded}"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the program."""
    program.run(app, "lading-site", arguments)


if __name__ == "__main__":
    main()
