"""The commands of `lading`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleet_manifests import RefusedError, Verdict, program
from pipelines.cli import output
from pipelines.cli.extra import need_factory

if TYPE_CHECKING:
    from pipelines.project.load import Project

app = typer.Typer(
    help=(
        "Build, prove, sign and publish compact models for a distributor's sites.\n\n"
        "A day with it:  lading init demo  |  lading check  |  lading build  |  lading status  |  "
        "lading release promote stable --as alice --as bob  |  lading release publish"
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ProjectOption = Annotated[
    Path | None,
    typer.Option("--project", envvar="LADING_PROJECT", help="Project folder; else the nearest lading.yaml above."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
WorkflowsOption = Annotated[list[str] | None, typer.Option("--workflow", "-w", help="Only this workflow; repeatable.")]
ProfilesOption = Annotated[list[str] | None, typer.Option("--profile", "-p", help="Only this profile; repeatable.")]
EmulateOption = Annotated[
    bool, typer.Option("--emulate", help="Accuracy on emulated processors too, where QEMU is installed. Takes minutes.")
]


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options of the program itself."""
    if version:
        typer.echo(f"lading {program.version()}")
        raise typer.Exit


@app.command()
def init(directory: Annotated[Path, typer.Argument(help="A new or empty folder.")], seed: int = 7) -> None:
    """Write a project that builds: a sample distributor with ERP, procedures, workflows, profiles and a fleet.

    Example: lading init demo && lading build --project demo
    """
    from sample import scaffold

    scaffold(directory, seed=seed)
    typer.echo(f"{directory}: a project with a sample ERP; next: lading check --project {directory}")


@app.command()
def check(project: ProjectOption = None, json: JsonOption = False) -> None:
    """Validate a project and explain what would be built, and where each workflow would run.

    Example: lading check --project demo
    """
    found = project_of("check", project)
    from pipelines.cli.explain import explain

    output.show(explain(found), output.explained, as_json=json)


@app.command()
def build(
    project: ProjectOption = None,
    workflow: WorkflowsOption = None,
    profile: ProfilesOption = None,
    emulate: EmulateOption = False,
    json: JsonOption = False,
) -> None:
    """Extract, train, quantize, sign and measure; offer what did not fail as candidates.

    Work that was done before with the same inputs is reused. Ends with 1 if a verdict is `fail`.

    Example: lading build -w exception_triage -p edge-x86-vnni --json
    """
    found = project_of("build", project)
    from pipelines.cli.plans import not_emulated, plan
    from pipelines.cli.runs import execute, locked, quiet_libraries
    from pipelines.steps.outcomes import outcomes

    quiet_libraries()

    runs = plan(found, workflow or (), profile or (), emulate=emulate)
    if emulate:
        for name, reason in not_emulated(found, [one.profile for one in runs if one.profile]).items():
            typer.echo(f"{name}: not emulated: {reason}", err=True)
    with locked(found), output.progress(len(runs), quiet=json) as said:
        execute(found, runs, lambda number, run: said(number, run.title))
    results = outcomes(found, workflow or (), profile or ())
    output.show(results, output.builds, as_json=json)
    failed = [f"{one.workflow} x {one.profile}" for one in results if one.verdict is Verdict.FAIL]
    packs = [pack for one in results for pack in one.packs if pack.verdict is Verdict.FAIL]
    if failed := failed + [f"{pack.workflow} x {pack.profile} x {pack.site_class}" for pack in packs]:
        raise RefusedError(f"verdict fail: {', '.join(failed)}; the reasons are above and in the evidence")


@app.command()
def snapshot(
    workflow: Annotated[str, typer.Argument(help="A workflow of task retrieve.")], project: ProjectOption = None
) -> None:
    """Freeze the library as it is now: what a retriever is trained on and judged by from the next build on.

    An ordinary change of a procedure needs no new snapshot: it makes a new knowledge pack, and no new model.

    Example: lading snapshot sop_assistant
    """
    with changing("snapshot", project) as found:
        from pipelines.steps import library

        library.sop_documents(found)
        passages, source = library.snapshot(found, workflow, renew=True)
    typer.echo(f"{source.name}: {len(passages)} passages frozen; the next build of {workflow} trains on them")


@app.command(name="pack-key")
def pack_key(
    site_class: Annotated[str, typer.Argument(help="A class of sites of the fleet.")],
    out: Annotated[Path, typer.Option("--out", help="File to write, readable by its owner only.")],
    project: ProjectOption = None,
) -> None:
    """Write the secret key of a class of sites, which opens its encrypted packs. Hand it to those sites only.

    Example: lading pack-key warehouse --out warehouse.key
    """
    found = project_of("pack-key", project)
    from pipelines.steps.packs import export_identity

    export_identity(found, site_class, out)
    typer.echo(f"{out}: the key of {site_class} sites; a site takes it with `lading-site enroll --pack-key-file`")


@app.command()
def status(project: ProjectOption = None, json: JsonOption = False) -> None:
    """What was built, what its evidence says, and what each channel holds.

    Example: lading status --json
    """
    found = project_of("status", project)
    from pipelines.steps.outcomes import state

    output.show(state(found), output.state, as_json=json)


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle, or of a store entry that holds one.")],
    data: Annotated[Path, typer.Option("--data", help="Labelled rows: CSV, JSONL or Parquet.")],
    text: Annotated[str, typer.Option(help="Column with the text.")] = "text",
    label: Annotated[str, typer.Option(help="Column with the label; empty or 'oos' is out of scope.")] = "label",
    json: JsonOption = False,
) -> None:
    """Score a bundle on new labelled rows, through the engine that sites run.

    Example: lading evaluate demo/public-bundle --data last_week.csv --text note --label cause
    """
    need_factory("evaluate")
    from evals.evaluate import evaluate as evaluate_
    from evals.rows import read_rows
    from pipelines.steps.outcomes import bundle_folder

    rows = read_rows(data, text=text, label=label)
    output.show(evaluate_(bundle_folder(bundle), rows), output.evaluation, as_json=json)


@app.command()
def dev(project: ProjectOption = None, port: int = 3000, mlflow_port: int = 5000) -> None:
    """Open Dagster and MLflow on one project, on this machine only. Ctrl-C ends both.

    Example: lading dev --project demo
    """
    found = project_of("dev", project)
    from pipelines.cli.servers import serve

    serve(found, port=port, mlflow_port=mlflow_port)


@contextmanager
def changing(command: str, chosen: Path | None) -> Iterator[Project]:
    """The project that a command changes, which nobody else does meanwhile.

    Raises:
        LadingError: the factory is not installed, there is no valid project, or another process is at work on it.
    """
    found = project_of(command, chosen)
    from pipelines.cli.runs import locked

    with locked(found):
        yield found


def project_of(command: str, chosen: Path | None) -> Project:
    """The project that a command is about.

    Raises:
        LadingError: the factory is not installed, or there is no valid project.
    """
    need_factory(command)
    from pipelines.project.load import find_project, load_project

    return load_project(find_project(chosen))
