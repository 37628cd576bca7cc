"""Driving the asset graph without the UI: the same assets, the same Dagster instance."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from fleet_manifests import LadingError, StorageError, UsageError
from pipelines.project.load import Project
from pipelines.steps.choice import candidates_of

if TYPE_CHECKING:
    import dagster as dg

DAGSTER_FILE = Path(__file__).resolve().parent.parent / "dagster.yaml"

QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}
"""Events are kept in the Dagster instance; what goes wrong reaches the terminal as our own error."""

ENTRIES_TAG = "lading/entries"
"""Tag of a Dagster run: the digest of the store entries that it left or found."""

MODELS = ("corpus", "baselines", "adapter", "merged_model", "chosen_model", "onnx_model")
TUNING = ("adapter", "merged_model")
"""Left out where the tuned model is no candidate."""
BUILDS = ("quantized_model", "bundle", "accuracy_report", "latency_report")
PACKS = ("knowledge_pack",)
EMULATED = ("emulated_accuracy_report",)
PAGES = ("build_report",)
"""Made when all builds are measured: each page shows its build among the others."""


@dataclass(frozen=True)
class Run:
    """One Dagster run: assets that share a partitioning, and a partition of it."""

    assets: tuple[str, ...]
    workflow: str | None = None
    profile: str | None = None
    channel: str | None = None

    @property
    def title(self) -> str:
        """What a progress line says."""
        parts = [part for part in (self.workflow, self.profile, self.channel) if part]
        return f"{', '.join(self.assets)} [{' x '.join(parts)}]" if parts else ", ".join(self.assets)


def plan(
    project: Project, workflows: Sequence[str] = (), profiles: Sequence[str] = (), *, emulate: bool = False
) -> list[Run]:
    """The runs that build the given workflows for the given profiles (all, where none is given).

    Args:
        project: the project.
        workflows: of these only.
        profiles: for these only.
        emulate: take accuracy under emulation too, where the processor of a profile is not here and can be emulated.

    Raises:
        UsageError: a name is not in the project, or nothing is left to build.
    """
    for name in workflows:
        project.workflow(name)
    for name in profiles:
        project.profile(name)
    builds = [
        (workflow, profile)
        for workflow, profile in project.builds()
        if (not workflows or workflow in workflows) and (not profiles or profile in profiles)
    ]
    if not builds:
        raise UsageError("nothing to build: no chosen workflow is built for a chosen profile; see `lading check`")
    chosen = sorted({workflow for workflow, _ in builds})
    library = project.retrievers
    runs = [Run(("erp_tables",))] if project.sources else []
    runs += [Run(("sop_documents",))] if project.libraries else []
    runs += [Run(_models(project, workflow), workflow=workflow) for workflow in chosen]
    runs += [Run(BUILDS, workflow=workflow, profile=profile) for workflow, profile in builds]
    runs += [Run(PACKS, workflow=workflow, profile=profile) for workflow, profile in builds if workflow in library]
    if emulate:
        missing = not_emulated(project, [profile for _, profile in builds])
        runs += [Run(EMULATED, workflow=name, profile=profile) for name, profile in builds if profile not in missing]
    runs += [Run(PAGES, workflow=workflow, profile=profile) for workflow, profile in builds]
    return [*runs, Run(("fleet_manifest",), channel="candidates")]


def _models(project: Project, workflow: str) -> tuple[str, ...]:
    """The assets that make the model of a workflow."""
    tunes = "tuned" in candidates_of(project, workflow)
    return tuple(name for name in MODELS if tunes or name not in TUNING)


def not_emulated(project: Project, profiles: Sequence[str]) -> dict[str, str]:
    """Why the processor of a profile is not emulated on this machine, of those that are not."""
    from evals.emulation import Missing
    from pipelines.steps.emulation import emulator_of

    found = {profile: emulator_of(project, profile) for profile in sorted(set(profiles))}
    return {profile: one.reason for profile, one in found.items() if isinstance(one, Missing)}


def execute(project: Project, runs: Sequence[Run], said: Callable[[int, Run], None]) -> None:
    """Materialize run after run, but for those that succeeded before on the very same store entries.

    Args:
        project: the project; the caller holds its lock.
        runs: what to do, in order.
        said: called before each run with its number, from 0.

    Raises:
        LadingError: what an asset refused.
    """
    import dagster as dg

    from pipelines.defs import build_defs
    from pipelines.defs.partitions import build_key
    from pipelines.steps.reuse import reused

    with instance(project) as live:
        job = build_defs(project).resolve_implicit_global_asset_job_def()
        for number, run in enumerate(runs):
            said(number, run)
            entries = reused(project, run.assets, run.workflow, run.profile)
            if entries and _succeeded_on(live, entries):
                continue
            key = run.channel or run.workflow
            if run.workflow and run.profile:
                key = build_key(run.workflow, run.profile)
            selection = [dg.AssetKey(name) for name in run.assets]
            try:
                done = job.execute_in_process(
                    instance=live, partition_key=key, asset_selection=selection, run_config={"loggers": QUIET}
                )
                if entries := reused(project, run.assets, run.workflow, run.profile):
                    live.add_run_tags(done.run_id, {ENTRIES_TAG: entries})
            except dg.DagsterError as exc:
                cause = _ours(exc)
                raise cause if cause is not None else exc from None


def _succeeded_on(live: dg.DagsterInstance, entries: str) -> bool:
    """Whether a run succeeded, its checks included, on these store entries."""
    import dagster as dg

    wanted = dg.RunsFilter(tags={ENTRIES_TAG: entries}, statuses=[dg.DagsterRunStatus.SUCCESS])
    return live.get_runs_count(wanted) > 0


def quiet_libraries() -> None:
    """Let the terminal show our own warnings and no library's."""
    os.environ["MLFLOW_LOGGING_LEVEL"] = "ERROR"  # MLflow sets its logger up anew when it is imported
    for name in ("", "alembic", "dagster", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("pipelines").setLevel(logging.WARNING)


@contextmanager
def instance(project: Project) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of a project, the one that `lading dev` shows."""
    import dagster as dg

    home = prepare_home(project)
    with dg.DagsterInstance.from_config(str(home)) as live:
        yield live


def prepare_home(project: Project) -> Path:
    """The folder of the project's Dagster instance, with our settings in it; `DAGSTER_HOME` says so."""
    home = project.state / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_bytes(DAGSTER_FILE.read_bytes())
    os.environ["DAGSTER_HOME"] = str(home)
    return home


@contextmanager
def locked(project: Project) -> Iterator[None]:
    """Hold the project against another build.

    Raises:
        StorageError: another process holds it.
    """
    project.state.mkdir(parents=True, exist_ok=True)
    holder = project.state / "lock.holder"
    try:
        with FileLock(project.state / "lock", timeout=0):
            holder.write_text(f"process {os.getpid()}")
            yield
            holder.unlink(missing_ok=True)
    except Timeout as exc:
        who = holder.read_text() if holder.is_file() else "another process"
        raise StorageError(f"{project.state / 'lock'}: held by {who}; wait for it to end, then try again") from exc


def _ours(exc: BaseException | None) -> LadingError | None:
    """The error of ours inside one of Dagster's."""
    while exc is not None:
        if isinstance(exc, LadingError):
            return exc
        exc = getattr(exc, "user_exception", None) or exc.__cause__
    return None
