"""`lading release ceremony` and `lading release keys`: the keys of a fleet, and the ceremonies that change them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli import output, tables
from pipelines.cli.app import JsonOption, ProjectOption, changing, project_of

if TYPE_CHECKING:
    from release.ceremony import Ceremonies, Ceremony
    from release.in_turns import CeremoniesInTurns

ceremony_app = typer.Typer(
    help=(
        "Key ceremonies: each says what it will do and asks first, and afterwards what is to be stored where.\n\n"
        "The offline keys lie in folders of their own (mounted media); name each with --keys. One that was broken off "
        "is run again. Where the holders cannot meet, --in-turns leaves it pending, and each of them runs `sign`."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)
keys_app = typer.Typer(help="The keys of a fleet.", no_args_is_help=True, rich_markup_mode=None)

MediaOption = Annotated[
    list[Path] | None, typer.Option("--keys", help="Folder of root and targets keys, mode 0700; repeatable.")
]
ActorOption = Annotated[str, typer.Option("--as", help="Who holds the ceremony; the log keeps it.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; the log keeps it.")]
TurnsOption = Annotated[
    bool,
    typer.Option("--in-turns", help="Not all holders are here: sign, and leave it to `ceremony sign` of the others."),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")]
SignersOption = Annotated[
    list[str] | None, typer.Option("--approve", help="Release manager who signs stable anew; repeatable.")
]
NamesArgument = Annotated[
    list[str] | None, typer.Argument(help="Keys to replace, such as root-3; none: all three of the role.")
]


@ceremony_app.command()
def init(
    actor: ActorOption,
    keys: MediaOption = None,
    reason: ReasonOption = "the first root of trust",
    yes: YesOption = False,
    project: ProjectOption = None,
) -> None:
    """The first root of trust: make every key, the offline ones in the folders given, and publish an empty release.

    Example: lading release ceremony init --as alice --keys /media/one --keys /media/two --keys /media/three
    """
    Held("init", project, keys, actor, yes).hold(lambda it: it.init(reason=reason))


@ceremony_app.command()
def rotate_root(
    actor: ActorOption,
    reason: ReasonOption,
    names: NamesArgument = None,
    keys: MediaOption = None,
    in_turns: TurnsOption = False,
    yes: YesOption = False,
    project: ProjectOption = None,
) -> None:
    """New root keys in the place of old or lost ones. Two of the three before have to be there.

    Example: lading release ceremony rotate-root root-3 --as alice --reason "the medium is lost" --keys /media/one
    """
    Held("rotate-root", project, keys, actor, yes, in_turns).replace(names or _three("root"), reason)


@ceremony_app.command()
def rotate_targets(
    actor: ActorOption,
    reason: ReasonOption,
    names: NamesArgument = None,
    keys: MediaOption = None,
    in_turns: TurnsOption = False,
    yes: YesOption = False,
    project: ProjectOption = None,
) -> None:
    """New targets keys in the place of old or lost ones. Two root keys have to be there.

    Example: lading release ceremony rotate-targets --as alice --reason "every two years" --keys /media/one
    """
    Held("rotate-targets", project, keys, actor, yes, in_turns).replace(names or _three("targets"), reason)


@ceremony_app.command()
def replace_online(
    actor: ActorOption,
    reason: ReasonOption,
    keys: MediaOption = None,
    in_turns: TurnsOption = False,
    yes: YesOption = False,
    project: ProjectOption = None,
) -> None:
    """A new online key: what its thief signs is refused from then on, and sites that believed it follow again.

    Example: lading release ceremony replace-online --as alice --reason "the server was broken into" --keys /media/one
    """
    Held("replace-online", project, keys, actor, yes, in_turns).replace(["online"], reason)


@ceremony_app.command()
def replace_builder(
    actor: ActorOption,
    reason: ReasonOption,
    keys: MediaOption = None,
    not_leaked: Annotated[
        bool, typer.Option("--not-leaked", help="Nobody else has the old key: keep candidates and canary as they are.")
    ] = False,
    in_turns: TurnsOption = False,
    yes: YesOption = False,
    project: ProjectOption = None,
) -> None:
    """A new builder's key: no site installs what only the old one signed. What runs goes on.

    Unless the old key is known to be in no other hands, candidates and canary are emptied: they rest on it alone.

    Example: lading release ceremony replace-builder --as alice --reason "a laptop was stolen" --keys /media/one
    """
    Held("replace-builder", project, keys, actor, yes, in_turns).replace(["builder"], reason, withdraw=not not_leaked)


@ceremony_app.command()
def replace_manager(
    manager: Annotated[str, typer.Argument(help="The release manager.")],
    actor: ActorOption,
    reason: ReasonOption,
    keys: MediaOption = None,
    approve: SignersOption = None,
    in_turns: TurnsOption = False,
    yes: YesOption = False,
    project: ProjectOption = None,
) -> None:
    """A new key for a release manager. Where too few of the others signed what is in stable, two sign it anew.

    Example: lading release ceremony replace-manager bob --as alice --reason lost --approve alice --approve carol
    """
    from release.keys import manager_key

    Held("replace-manager", project, keys, actor, yes, in_turns).replace(
        [manager_key(manager)], reason, approve=approve
    )


@ceremony_app.command()
def renew(
    actor: ActorOption,
    reason: ReasonOption = "another term",
    keys: MediaOption = None,
    approve: SignersOption = None,
    in_turns: TurnsOption = False,
    yes: YesOption = False,
    project: ProjectOption = None,
) -> None:
    """Sign root, targets and what else is due for another term, after however long.

    Example: lading release ceremony renew --as alice --keys /media/one --keys /media/two
    """
    held = Held("renew", project, keys, actor, yes, in_turns)
    held.hold(lambda it: it.renew(managers=approve or (), reason=reason))


@ceremony_app.command()
def adopt(
    actor: ActorOption,
    reason: ReasonOption,
    keys: MediaOption = None,
    in_turns: TurnsOption = False,
    yes: YesOption = False,
    project: ProjectOption = None,
) -> None:
    """Publish the release managers, threshold and signers that fleet.yaml and lading.yaml name now.

    Example: lading release ceremony adopt --as alice --reason "Dora follows Carol" --keys /media/one
    """
    Held("adopt", project, keys, actor, yes, in_turns).hold(lambda it: it.adopt(reason=reason))


@ceremony_app.command()
def successor(
    name: Annotated[str, typer.Argument(help="The key that it is to follow, such as root-2.")],
    actor: ActorOption,
    reason: ReasonOption = "for a ceremony in turns",
    keys: MediaOption = None,
    yes: YesOption = False,
    project: ProjectOption = None,
) -> None:
    """Make the new key of a holder on their medium, before a ceremony --in-turns replaces the old one.

    Example: lading release ceremony successor root-2 --as bob --keys /media/two
    """
    Held("successor", project, keys, actor, yes).hold_in_turns(lambda it: it.successor(name, reason=reason))


@ceremony_app.command()
def sign(actor: ActorOption, keys: MediaOption = None, yes: YesOption = False, project: ProjectOption = None) -> None:
    """Show what a pending ceremony changes, then sign it as a further holder. The last signature needed publishes.

    Example: lading release ceremony sign --as bob --keys /media/two
    """
    Held("sign", project, keys, actor, yes).hold_in_turns(lambda it: it.sign())


@ceremony_app.command()
def reject(actor: ActorOption, reason: ReasonOption, yes: YesOption = False, project: ProjectOption = None) -> None:
    """Drop a pending ceremony. The log keeps who, and why.

    Example: lading release ceremony reject --as bob --reason "the medium was found again"
    """
    Held("reject", project, None, actor, yes).hold_in_turns(lambda it: it.reject(reason=reason))


@keys_app.command("list")
def list_keys(project: ProjectOption = None, json: JsonOption = False) -> None:
    """Every key of the fleet: its id, and whether the key store has it, or only its public half.

    Example: lading release keys list
    """
    found = project_of("release keys list", project)
    from pipelines.steps.keys import listed

    output.show(listed(found), tables.keys, as_json=json)


@keys_app.command()
def rotate(
    role: Annotated[str, typer.Argument(help="root, targets, online, builder, or a release manager.")],
    actor: ActorOption,
    reason: ReasonOption,
    keys: MediaOption = None,
    approve: SignersOption = None,
    in_turns: TurnsOption = False,
    yes: YesOption = False,
    project: ProjectOption = None,
) -> None:
    """Replace the keys of a role that are in no other hands; where one leaked, see `lading release ceremony`.

    Example: lading release keys rotate online --as alice --reason "every year" --keys /media/one --keys /media/two
    """
    from release.keys import key_name

    names = _three(role) if role in ("root", "targets") else [key_name(role)]
    Held("keys rotate", project, keys, actor, yes, in_turns).replace(names, reason, approve=approve, withdraw=False)


@keys_app.command()
def export_public(
    folder: Annotated[Path, typer.Argument(help="Folder to write into.")], project: ProjectOption = None
) -> None:
    """Write the public half of every key that the key store knows, PEM, and keep the halves in the key store too.

    From then on a private key may be moved to a medium, or lost, and the fleet still knows which one it was.

    Example: lading release keys export-public public-keys
    """
    found = project_of("release keys export-public", project)
    from pipelines.steps.keys import export

    for path in export(found, folder):
        typer.echo(str(path))


@dataclass(frozen=True)
class Held:
    """A ceremony as it was asked for: where, by whom, with which keys."""

    command: str
    project: Path | None
    media: list[Path] | None
    actor: str
    yes: bool
    in_turns: bool = False
    """The holders of offline keys sign one after the other."""

    def replace(
        self, names: Sequence[str], reason: str, *, approve: Sequence[str] | None = None, withdraw: bool = True
    ) -> None:
        """One of the ceremonies that replace keys."""
        self.hold(lambda it: it.replace(names, managers=approve or (), withdraw=withdraw, reason=reason))

    def hold(self, prepare: Callable[[Ceremonies], Ceremony]) -> None:
        """Say what a ceremony will do, ask, do it, and say what is left to a person."""
        from pipelines.steps.keys import ceremonies_in_turns, ceremonies_of

        with changing(f"release ceremony {self.command}", self.project) as found:
            of = ceremonies_in_turns if self.in_turns else ceremonies_of
            self._run(prepare(of(found, self.media or (), self.actor)), "signed" if self.in_turns else "done")

    def hold_in_turns(self, prepare: Callable[[CeremoniesInTurns], Ceremony]) -> None:
        """The same, of what there is only where holders sign one after the other."""
        from pipelines.steps.keys import ceremonies_in_turns

        with changing(f"release ceremony {self.command}", self.project) as found:
            self._run(prepare(ceremonies_in_turns(found, self.media or (), self.actor)), "done")

    def _run(self, ceremony: Ceremony, said: str) -> None:
        typer.echo(f"{ceremony.name}: this will")
        for line in ceremony.will:
            typer.echo(f"  {line}")
        if not self.yes:
            typer.confirm("Go on?", abort=True)
        left = ceremony.run()
        typer.echo(f"{ceremony.name}: {said}, and in the release log")
        for line in left:
            typer.echo(f"  {line}")


def _three(role: str) -> list[str]:
    """All keys of an offline role."""
    from release.keys import ROOT_KEYS, TARGETS_KEYS

    return list(ROOT_KEYS if role == "root" else TARGETS_KEYS)
