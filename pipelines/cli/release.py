"""`lading release`: what release managers do. What they look at is in `pipelines.cli.standing`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fleet_manifests import RefusedError, UsageError
from pipelines.cli import output, tables
from pipelines.cli.app import JsonOption, ProjectOption, WorkflowsOption, changing

if TYPE_CHECKING:
    from pipelines.steps.approvals import Done

app = typer.Typer(
    help=(
        "Promote, approve, publish; look first, and stop what is wrong.\n\n"
        "A release:  candidates  |  show BUILD  |  promote stable --as alice  |  approve stable --as bob  |  publish"
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)

ChannelArgument = Annotated[str, typer.Argument(help="candidates, canary or stable.")]
StableArgument = Annotated[str, typer.Argument(help="The channel: stable.")]
PersonOption = Annotated[str, typer.Option("--as", help="The release manager who acts; their key is here.")]
PeopleOption = Annotated[
    list[str] | None, typer.Option("--as", help="Release manager who signs; repeatable where several keys are here.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; the log keeps it, and sites show it.")]


@app.command()
def promote(
    channel: Annotated[str, typer.Argument(help="canary or stable.")],
    project: ProjectOption = None,
    workflow: WorkflowsOption = None,
    managers: PeopleOption = None,
    renew_reference: Annotated[
        bool, typer.Option("--renew-reference", help="Hold later builds to these, no longer to the first ones.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Let builds into a channel. Every signature, digest, verdict, licence and date is checked again first.

    `canary` is signed by the builder. `stable` needs several release managers: with fewer than that the version waits,
    and the others `approve` it.

    Example: lading release promote stable --as alice
    """
    with changing("release promote", project) as found:
        from pipelines.steps.approvals import promote as promote_

        done = promote_(
            found, channel, workflows=workflow or (), managers=managers or (), renew_reference=renew_reference
        )
    _show(done, as_json=json)


@app.command()
def approve(
    channel: StableArgument,
    manager: PersonOption,
    digest: Annotated[
        str | None, typer.Option("--digest", help="Of the manifest that was read: another one is refused.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts, with --digest.")] = False,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> None:
    """Show exactly what a pending version changes, then sign it. The last signature that is needed publishes.

    Everything is verified again from the bytes first: signatures, digests, evidence, licences, dates.

    Example: lading release approve stable --as bob
    """
    if json and not yes:
        raise UsageError("--json prints for a script, which cannot be asked; give --yes, and --digest with it")
    with changing("release approve", project) as found:
        from pipelines.steps.approvals import approve as approve_
        from pipelines.steps.approvals import waiting
        from pipelines.steps.diffs import diff

        if (pending := waiting(found, channel)) is None:
            raise RefusedError(f"{channel}: nothing is pending; `lading release promote` proposes a version")
        if not yes:
            output.show(diff(found, channel), tables.diff, as_json=False)
            if not typer.confirm(f"Sign version {pending.version} of {channel} as {manager}?"):
                raise RefusedError(f"{channel}: not approved")
        done = approve_(found, channel, manager, digest=digest or pending.digest)
    _show(done, as_json=json)


@app.command()
def reject(channel: StableArgument, manager: PersonOption, reason: ReasonOption, project: ProjectOption = None) -> None:
    """Drop a pending version. The log keeps who, and why.

    Example: lading release reject stable --as carol --reason "wait for the new corpus"
    """
    with changing("release reject", project) as found:
        from pipelines.steps.approvals import reject as reject_

        dropped = reject_(found, channel, manager, reason)
    what = f"version {dropped.version}, proposed by {', '.join(dropped.by)}," if dropped else "a damaged version"
    typer.echo(f"{channel}: {what} was dropped")


@app.command()
def halt(
    channel: ChannelArgument,
    manager: PersonOption,
    reason: ReasonOption,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> None:
    """Keep sites from installing anything new of a channel. What runs goes on; revocations are obeyed.

    Example: lading release halt stable --as alice --reason "two sites report wrong labels"
    """
    with changing("release halt", project) as found:
        from pipelines.steps.approvals import halt as halt_

        given = halt_(found, channel, reason, manager)
    output.show(given, tables.orders, as_json=json)


@app.command()
def resume(
    channel: ChannelArgument,
    reason: ReasonOption,
    managers: PeopleOption = None,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> None:
    """End a halt. It lets content run again, so that `stable` needs as many signatures as a promotion.

    Example: lading release resume stable --as alice --reason "the labels were right"
    """
    with changing("release resume", project) as found:
        from pipelines.steps.approvals import resume as resume_

        done = resume_(found, channel, reason, managers or ())
    _show(done, as_json=json)


@app.command()
def rollback(
    channel: Annotated[str, typer.Argument(help="canary or stable.")],
    to: Annotated[int, typer.Option("--to", help="The version whose content comes back.")],
    reason: ReasonOption,
    managers: PeopleOption = None,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> None:
    """Publish a new version with the content of an older one; `stable` waits for approval as with a promotion.

    Example: lading release rollback stable --to 3 --as alice --reason "more deferrals than before"
    """
    with changing("release rollback", project) as found:
        from pipelines.steps.approvals import rollback as rollback_

        done = rollback_(found, channel, to, reason, managers or ())
    _show(done, as_json=json)


@app.command()
def revoke(
    digest: Annotated[str, typer.Argument(help="Of a bundle or knowledge pack, or the first digits of it.")],
    manager: PersonOption,
    reason: ReasonOption,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> None:
    """Stop a bundle or pack wherever it runs, at once and for ever; then put the build before it in its place.

    The order holds at every site's next sync, and one release manager gives it. The next manifest of `stable` waits
    for approval; until then sites defer to the centre what they are asked.

    Example: lading release revoke 3fa1b2c4d5e6 --as alice --reason "trained on wrong labels"
    """
    with changing("release revoke", project) as found:
        from pipelines.steps.approvals import revoke as revoke_

        done = revoke_(found, digest, reason, manager)
    output.show(done, tables.stopped, as_json=json)


@app.command()
def publish(project: ProjectOption = None, json: JsonOption = False) -> None:
    """Write assignments, renew what expires, and prove that a client can pull every channel.

    The published tree is PROJECT/public: static files for any web server, bucket or USB stick.

    Example: lading release publish && python -m http.server -d demo/public
    """
    with changing("release publish", project) as found:
        from pipelines.steps.release import publish as publish_

        published = publish_(found)
    output.show(published, output.published, as_json=json)


def _show(done: Done, *, as_json: bool) -> None:
    output.show(done, tables.done, as_json=as_json)
