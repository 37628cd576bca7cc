"""`lading-central`: the centre on the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from pydantic import TypeAdapter, ValidationError

from fleet_manifests import Name, UsageError, program
from runtimes import command

if TYPE_CHECKING:
    from runtimes.central.service import Centre
    from runtimes.central.store import Question

PORT = 8471

app = typer.Typer(
    help=(
        "Run the centre: answer what sites defer, and queue for people what no model should answer.\n\n"
        "A day with it:\n\n\b\n"
        "  lading-central enroll --root root.json --from https://fleet.example\n"
        "  lading-central sync\n"
        "  lading-central token store-017 > store-017.token\n"
        "  lading-central serve\n"
        "  lading-central queue list"
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
queue = typer.Typer(help="What waits for a person.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(queue, name="queue")

StateOption = Annotated[
    Path,
    typer.Option(
        "--state",
        envvar="LADING_CENTRAL_STATE",
        default_factory=lambda: command.default_state("lading-central"),
        show_default="lading-central in the user's state folder",
        help="Folder that holds everything of the centre.",
    ),
]
SiteArgument = Annotated[str, typer.Argument(help="Name of a site.")]


@app.callback(invoke_without_command=True)
def root(version: command.VersionOption = False) -> None:
    """Options of the program itself."""
    command.show_version("lading-central", version)


@app.command()
def enroll(
    root: command.RootOption,
    source: command.SourceOption,
    state: StateOption,
    site: command.SiteOption = "central",
    pack_key_file: command.PackKeyOption = None,
    blobs: command.BlobsOption = None,
    floor: command.FloorOption = None,
) -> None:
    """Give trust once: whose signatures count, where releases are fetched.

    Example: lading-central enroll --root root.json --from https://fleet.example
    """
    command.enroll(state, root, source, site, "central", pack_key_file, blobs, floor)


@app.command()
def sync(state: StateOption, source: command.OnceOption = None, json: command.JsonOption = False) -> None:
    """Fetch, verify, try and activate the central bundles of the channel, or change nothing.

    Example: lading-central sync
    """
    command.sync(state, source, json)


@app.command()
def status(state: StateOption, json: command.JsonOption = False) -> None:
    """What runs here, how many deferrals came, which sites have a token.

    Example: lading-central status --json
    """
    from runtimes.sync import status as read

    found = read(state)
    with _centre(state) as centre:
        counts, sites = centre.store.counts(), centre.store.sites()
    if json:
        typer.echo(program.as_json(found.model_dump(mode="json") | {"deferrals": counts, "sites": sites}))
        return
    lines = command.status_lines(found)
    lines.append("deferrals: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    lines.append("sites with a token: " + (", ".join(sites) or "none; run `lading-central token SITE`"))
    typer.echo("\n".join(lines))


@app.command()
def token(
    site: SiteArgument,
    state: StateOption,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the site's token away.")] = False,
) -> None:
    """Make a site's token and print it, this once; an older one of that site stops working.

    Example: lading-central token store-017 > store-017.token
    """
    try:
        TypeAdapter(Name).validate_python(site)
    except ValidationError as exc:
        raise UsageError(f"site {site!r}: small letters, digits, '-' and '_' are expected") from exc
    with _centre(state) as centre:
        if revoke:
            centre.store.revoke_token(site)
        else:
            typer.echo(centre.store.new_token(site))


@app.command()
def serve(
    state: StateOption,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = PORT,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file of the certificate chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="Listen for other machines without TLS: a proxy ends it.")
    ] = False,
) -> None:
    """Answer what sites defer, over HTTP.

    Sites speak to other machines by https only: give a certificate, or put a proxy in front.

    Example: lading-central serve --host 0.0.0.0 --tls-certificate chain.pem --tls-key key.pem
    """
    if (tls_certificate is None) != (tls_key is None):
        raise UsageError("--tls-certificate and --tls-key: both are needed, or none")
    encrypted = behind_proxy or tls_certificate is not None
    command.require_loopback(host, encrypted, "give --tls-certificate and --tls-key, or say --behind-proxy")
    from runtimes.central.http import app as application

    with _centre(state) as centre:
        command.serve(
            application(centre), "lading-central", host=host, port=port, certificate=tls_certificate, key=tls_key
        )


@app.command()
def audit(
    state: StateOption,
    verify: Annotated[bool, typer.Option("--verify", help="Recompute the whole hash chain.")] = False,
    last: Annotated[int, typer.Option(min=1, help="How many records to show.")] = 20,
    json: command.JsonOption = False,
) -> None:
    """Show the newest records of the centre's audit, or prove that none was changed.

    Example: lading-central audit --verify
    """
    with _centre(state) as centre:
        command.audit(centre.store.ledger, verify, last, json)


@queue.command("list")
def queue_list(
    state: StateOption,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, oldest first.")] = 20,
    json: command.JsonOption = False,
) -> None:
    """Show what waits for a person, with its text.

    Example: lading-central queue list
    """
    with _centre(state) as centre:
        questions = centre.store.queue(limit=limit)
    if json:
        typer.echo(program.as_json([_question(one) for one in questions]))
        return
    for one in questions:
        asked, opinion = one.deferral, one.deferral.opinion
        guess = f"{opinion.label} {opinion.confidence:.2f}" if opinion.confidence is not None else "nothing"
        typer.echo(f"{asked.site} {asked.id} {asked.workflow}, the site would say {guess}\n  {asked.text}")
    if not questions:
        typer.echo("nothing waits")


@queue.command("answer")
def queue_answer(
    site: SiteArgument,
    request_id: Annotated[str, typer.Argument(help="The request's id.")],
    label: Annotated[str, typer.Option(help="The answer.")],
    person: Annotated[str, typer.Option("--by", help="Who answers; goes into the audit and to the site.")],
    state: StateOption,
    new: Annotated[bool, typer.Option("--new", help="Accept a label that the workflow does not have.")] = False,
) -> None:
    """Answer in a person's name; the site fetches it with its next delivery.

    Example: lading-central queue answer store-017 4f1c --label short_shipment --by maria
    """
    with _centre(state) as centre:
        said = centre.answer(site, request_id, label=label, person=person, new=new)
    typer.echo(f"{said.site} {said.id}: {said.label}, by {person}")


@contextlib.contextmanager
def _centre(state: Path) -> Iterator[Centre]:
    """The core of an enrolled centre."""
    command.require_enrolled(state, "lading-central")
    from runtimes.central.service import Centre

    with contextlib.closing(Centre(state)) as centre:
        yield centre


def _question(one: Question) -> dict[str, object]:
    """A queued deferral as a script reads it."""
    return {
        "received": one.received,
        "deferral": one.deferral.model_dump(mode="json"),
        "central": one.answer.model_dump(mode="json"),
    }


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the program."""
    program.run(app, "lading-central", arguments)


if __name__ == "__main__":
    main()
