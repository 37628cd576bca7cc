"""Runs that do not depend on each other, each in a process of its own, as many at a time as there are cores.

Two trainings on half of the cores each take less time than one after the other on all of them.
`python -m pipelines.cli.side_by_side` is such a process: it takes runs as lines of JSON (`pipelines.workers`).
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fleet_manifests import LadingError, RefusedError, Wire, dump, errors, parse
from pipelines.cli.plans import Run
from pipelines.project.load import Project, load_project
from pipelines.workers import EndedError, Worker, serve
from training.compute import usable_cores

COMMAND = (sys.executable, "-m", "pipelines.cli.side_by_side")
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


def side_by_side(
    project: Project, runs: Sequence[Run], begun: Callable[[Run], None], command: Sequence[str] = COMMAND
) -> None:
    """Do runs in any order. After one was refused none begins; those that had begun are ended first.

    Args:
        project: the project; the caller holds its lock.
        runs: what to do.
        begun: called before each, from several threads.
        command: what starts a process.

    Raises:
        LadingError: what an asset refused, or that a process died.
    """
    cores = usable_cores()
    jobs = min(len(runs), cores)
    threads = {"OMP_NUM_THREADS": str(cores // jobs)}
    waiting = deque(runs)

    def work() -> None:
        worker = Worker(command, environment=threads)
        try:
            while (one := _next(waiting)) is not None:
                begun(one)
                _ask(worker, project, one)
        except BaseException:
            waiting.clear()
            raise
        finally:
            worker.end()

    with ThreadPoolExecutor(jobs) as pool:
        ended = [pool.submit(work) for _ in range(jobs)]
    for one in ended:
        one.result()


def _next(waiting: deque[Run]) -> Run | None:
    """Take the next run; another thread may have taken the last one since this one looked."""
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _ask(worker: Worker, project: Project, run: Run) -> None:
    try:
        raw = worker.ask(dump(Job(project=str(project.root), run=run)), LONGEST)
    except EndedError as exc:
        raise RefusedError(
            f"{run.title}: its process {exc}; what it wrote is above. "
            "If the machine ran out of memory, hold the build to fewer cores (OMP_NUM_THREADS=1)"
        ) from exc
    answer = parse(Answer, raw, where=run.title)
    if answer.kind:
        kind: type[LadingError] = getattr(errors, answer.kind)
        raise kind(answer.error)


def _do(raw: bytes) -> bytes:
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
    serve(_do)


if __name__ == "__main__":
    main()
