"""Runs in parallel, each in a process and as soon as those that it follows are done: one for every core.

Two trainings on half of the cores each take less time than one after the other on all of them, and what works on one
core for a while, as most steps do, leaves the others to the next run.
`python -m pipelines.cli.parallel` is such a process: it takes runs as lines of JSON (`pipelines.workers`).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from pathlib import Path

from fleet_manifests import LadingError, RefusedError, Wire, dump, errors, parse
from pipelines.cli.plans import Run
from pipelines.project.load import Project, load_project
from pipelines.workers import Ask, EndedError, pool, serve
from training.compute import usable_cores

COMMAND = (sys.executable, "-m", "pipelines.cli.parallel")
LONGEST = 7 * 24 * 3600.0
"""Seconds for a run."""


class Job(Wire):
    """A run of the project in a folder."""

    project: str
    run: Run


class Answer(Wire):
    """How it ended."""

    kind: str = ""
    """Name of the error; empty: it succeeded."""
    error: str = ""


def parallel(
    project: Project, runs: Sequence[Run], begun: Callable[[Run], None], command: Sequence[str] = COMMAND
) -> None:
    """Do runs, each when those before it that it follows are done. After one was refused none begins.

    Args:
        project: the project; the caller holds its lock.
        runs: what to do; those that wait for nothing begin in this order.
        begun: called before each.
        command: what starts a process.

    Raises:
        LadingError: what an asset refused, or that a process died; those that had begun were ended first.
    """
    cores = usable_cores()
    jobs = min(len(runs), cores)
    order = TopologicalSorter(
        {run: [other for other in runs[:place] if run.follows(other)] for place, run in enumerate(runs)}
    )
    order.prepare()
    ready: deque[Run] = deque()
    at_work: dict[Future[None], Run] = {}
    threads = {"OMP_NUM_THREADS": str(cores // jobs)}
    with pool(jobs, command, environment=threads) as ask, ThreadPoolExecutor(jobs) as executor:
        while order.is_active():
            ready += order.get_ready()
            while ready and len(at_work) < jobs:
                run = ready.popleft()
                begun(run)
                at_work[executor.submit(_do, ask, project, run)] = run
            for ended in wait(at_work, return_when=FIRST_COMPLETED).done:
                ended.result()
                order.done(at_work.pop(ended))


def _do(ask: Ask, project: Project, run: Run) -> None:
    """Have a process do a run."""
    try:
        raw = ask(dump(Job(project=str(project.root), run=run)), LONGEST)
    except EndedError as exc:
        raise RefusedError(
            f"{run.title}: its process {exc}; what it wrote is above. "
            "If the machine ran out of memory, hold the build to fewer cores (OMP_NUM_THREADS=1)"
        ) from exc
    answer = parse(Answer, raw, where=run.title)
    if answer.kind:
        kind: type[LadingError] = getattr(errors, answer.kind)
        raise kind(answer.error)


def _answer(raw: bytes) -> bytes:
    """Do a run; what is no refusal ends this process."""
    from pipelines.cli.runs import execute

    job = parse(Job, raw, where="job")
    try:
        execute(load_project(Path(job.project)), [job.run], lambda number, run: None)
    except LadingError as exc:
        # A class that one room keeps for itself goes by the public one that it is.
        kind = next(one.__name__ for one in type(exc).__mro__ if hasattr(errors, one.__name__))
        return dump(Answer(kind=kind, error=str(exc)))
    return dump(Answer())


def main() -> None:
    """Do runs until the input ends."""
    from pipelines.cli.runs import quiet_libraries

    quiet_libraries()
    serve(_answer)


if __name__ == "__main__":
    main()
