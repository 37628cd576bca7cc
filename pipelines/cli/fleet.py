"""The commands of `lading` about devices and what they have measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet_manifests import RefusedError
from pipelines.cli import output
from pipelines.cli.app import JsonOption, ProjectOption, changing, project_of
from pipelines.cli.app import app as app
from pipelines.cli.ceremony import ceremony_app, keys_app
from pipelines.cli.gc import gc
from pipelines.cli.standing import app as release

device = typer.Typer(help="Devices whose receipts count.", no_args_is_help=True, rich_markup_mode=None)
receipts = typer.Typer(help="What devices have measured.", no_args_is_help=True, rich_markup_mode=None)
release.add_typer(ceremony_app, name="ceremony")
release.add_typer(keys_app, name="keys")
release.command()(gc)
app.add_typer(device, name="device")
app.add_typer(release, name="release")
app.add_typer(receipts, name="receipts")


@device.command("add")
def add(
    site: Annotated[str, typer.Argument(help="A site of the fleet.")],
    public: Annotated[Path, typer.Argument(help="Its public key, as `lading-site device-key` prints it.")],
    cpu_model: Annotated[
        str | None, typer.Option("--cpu-model", help="The CPU it has; receipts of another are refused.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of the key that the site has.")] = False,
    project: ProjectOption = None,
) -> None:
    """Register the device key of a site. Compare the fingerprint with the one that the site shows.

    Example: lading device add store-017 store-017.pem --cpu-model "Intel(R) N100"
    """
    found = project_of("device add", project)
    from pipelines.steps.devices import add_device

    made = add_device(found, site, public, cpu_model=cpu_model, replace=replace)
    typer.echo(f"{made.name}: {made.fingerprint}, CPU {made.cpu_model or 'any'}")


@device.command("list")
def listed(project: ProjectOption = None, json: JsonOption = False) -> None:
    """Show the registered devices.

    Example: lading device list
    """
    found = project_of("device list", project)
    output.show(list(found.devices.values()), output.devices, as_json=json)


@receipts.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="Folder with receipts; of a centre: STATE/receipts.")],
    project: ProjectOption = None,
    json: JsonOption = False,
) -> None:
    """Take in what devices have measured. Each receipt is checked in every point, then judged by the factory.

    Ends with 1 if one was refused, other than for having been imported before.

    Example: lading receipts import /media/usb/receipts
    """
    with changing("receipts import", project) as found:
        from pipelines.steps.receipts import import_receipts

        done = import_receipts(found, folder)
    output.show(done, output.imported, as_json=json)
    if done.problems:
        raise RefusedError("refused: " + "\n  ".join(f"{one.file}: {one.reason}" for one in done.problems))


@receipts.command("list")
def kept(project: ProjectOption = None, json: JsonOption = False) -> None:
    """Show the receipts that stand: about the builds as they are now.

    Example: lading receipts list
    """
    found = project_of("receipts list", project)
    from pipelines.steps.receipts import counted

    output.show(counted(found), output.receipts, as_json=json)
