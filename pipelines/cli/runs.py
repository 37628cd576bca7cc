"""Driving the asset graph without the UI: the same assets, the same Dagster instance."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from fleet_manifests import LadingError, StorageError
from pipelines.cli.parallel import parallel
from pipelines.cli.plans import Run
from pipelines.project.load import Project

if TYPE_CHECKING:
    import dagster as dg

DAGSTER_FILE = Path(__file__).resolve().parent.parent / "dagster.yaml"

QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}
"""Events are kept in the Dagster instance; what goes wrong reaches the terminal as our own error."""

ENTRIES_TAG = "lading/entries"
"""Tag of a Dagster run: the digest of the store entries that it left or found."""


def execute(project: Project, runs: Sequence[Run], said: Callable[[int, Run], None]) -> None:
    """Materialize run after run, or in parallel, but for those that succeeded before on the same store entries.

    Args:
        project: the project; the caller holds its lock.
        runs: what to do, in order.
        said: called before each run that is done with its number, from 0.

    Raises:
        LadingError: what an asset refused.
    """
    from pipelines.defs import build_defs

    numbers = {run: number for number, run in enumerate(runs)}

    def begun(run: Run) -> None:
        said(numbers[run], run)

    with instance(project) as live:
        job = build_defs(project).resolve_implicit_global_asset_job_def()
        for group in _groups(runs):
            left = _left(group, lambda run: _stands(project, live, run))
            if len(left) > 1:
                parallel(project, left, begun)
                continue
            for run in left:
                begun(run)
                _materialize(project, live, job, run)


def _groups(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs in their order; neighbours that may go on in parallel are a group."""
    kinds = itertools.groupby(enumerate(runs), lambda one: -1 if one[1].parallel else one[0])
    return [[run for _, run in group] for _, group in kinds]


def _left(group: Sequence[Run], stands: Callable[[Run], bool]) -> list[Run]:
    """What is to be done of a group: what does not stand, and what follows that."""
    left: list[Run] = []
    for run in group:
        if any(run.follows(other) for other in left) or not stands(run):
            left.append(run)
    return left


def _stands(project: Project, live: dg.DagsterInstance, run: Run) -> bool:
    """Whether a run succeeded before on the very same store entries."""
    from pipelines.steps.reuse import reused

    entries = reused(project, run.assets, run.workflow, run.profile)
    return entries is not None and _succeeded_on(live, entries)


def _materialize(project: Project, live: dg.DagsterInstance, job: dg.JobDefinition, run: Run) -> None:
    """Materialize the assets of a run.

    Raises:
        LadingError: what an asset refused.
    """
    import dagster as dg

    from pipelines.defs.partitions import build_key
    from pipelines.steps.reuse import reused

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
