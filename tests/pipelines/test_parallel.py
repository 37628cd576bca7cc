"""Runs side by side: each in a process with its share of the cores; a refusal and a death come back as our errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from fleet_manifests import DataError, RefusedError, dump, parse
from pipelines.cli import parallel as module
from pipelines.cli.parallel import Answer, Job, parallel
from pipelines.cli.plans import BUILDS, MODELS, PACKS, PAGES, Run
from pipelines.cli.runs import _groups, _left
from pipelines.project.load import Project, load_project
from pipelines.steps.receipts import KnownError

pytestmark = pytest.mark.unit
STUB = dedent("""
    import os, pathlib, signal, time
    from fleet_manifests import dump, parse
    from pipelines.cli.parallel import Answer, Job
    from pipelines.workers import serve

    def answer(raw):
        job = parse(Job, raw, where="job")
        name = job.run.workflow
        if name == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "refused":
            return dump(Answer(kind="DataError", error="rows.csv: label: expected one, found none"))
        if name == "slow" and job.run.profile is None:
            time.sleep(1)
        said = f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}"
        (pathlib.Path(job.project) / name).write_text(said)
        return dump(Answer())

    serve(answer)
""")
COMMAND = (sys.executable, "-c", STUB)


@pytest.fixture
def project(project_folder: Callable[..., Path]) -> Project:
    return load_project(project_folder())


def run(name: str) -> Run:
    return Run(MODELS, workflow=name, parallel=True)


@pytest.mark.parametrize(("cores", "processes", "threads"), [(1, 1, "1"), (2, 2, "1"), (8, 4, "2")])
def test_each_has_its_share_of_the_cores(
    project: Project, monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, threads: str
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    runs, begun = [run(name) for name in "abcd"], []
    parallel(project, runs, begun.append, COMMAND)
    said = [(project.root / name).read_text().split() for name in "abcd"]
    assert sorted(begun, key=lambda one: str(one.workflow)) == runs
    assert {one for _, one in said} == {threads}
    assert len({process for process, _ in said}) <= processes


def test_what_is_refused_comes_back_as_it_was_and_nothing_more_begins(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 1)
    begun: list[Run] = []
    with pytest.raises(DataError, match=r"rows\.csv: label: expected one, found none"):
        parallel(project, [run("a"), run("refused"), run("b")], begun.append, COMMAND)
    assert [one.workflow for one in begun] == ["a", "refused"]
    assert (project.root / "a").is_file()


def test_a_process_that_dies_is_named_with_its_run(project: Project) -> None:
    with pytest.raises(RefusedError, match=r"\[killed\]: its process was ended by SIGKILL.*OMP_NUM_THREADS=1"):
        parallel(project, [run("killed")], lambda one: None, COMMAND)


def test_an_error_of_one_room_goes_by_the_public_class_that_it_is(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> Project:
        raise KnownError(f"{folder}: seen before")

    monkeypatch.setattr(module, "load_project", refuse)
    answer = parse(Answer, module._answer(dump(Job(project=str(project.root), run=run("a")))), where="answer")
    assert answer == Answer(kind="RefusedError", error=f"{project.root}: seen before")


def test_a_run_waits_for_those_that_it_follows(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 2)
    models = [run("slow"), run("a")]
    builds = [replace(one, assets=BUILDS, profile="edge") for one in models]
    packs = [replace(one, assets=PACKS, profile="edge") for one in models]
    begun: list[Run] = []
    parallel(project, [*models, *builds, *packs], begun.append, COMMAND)
    assert set(begun[:2]) == set(models)
    assert begun[2:4] == [builds[1], packs[1]], "what follows one model does not wait for the other"
    assert begun[4:] == [builds[0], packs[0]]


def test_what_follows_a_refused_run_never_begins(project: Project) -> None:
    begun: list[Run] = []
    runs = [run("refused"), replace(run("refused"), assets=BUILDS, profile="edge")]
    with pytest.raises(DataError):
        parallel(project, runs, begun.append, COMMAND)
    assert begun == runs[:1]


def test_neighbours_that_may_go_on_beside_each_other_are_a_group() -> None:
    tables, pages = Run(("erp_tables",)), [Run(PAGES, workflow=name, profile="edge") for name in "ab"]
    models = [run("a"), Run(("corpus", "baselines"), workflow="b", parallel=True)]
    assert _groups([tables, *models, *pages]) == [[tables], models, *([one] for one in pages)]


def test_what_follows_something_that_is_made_anew_is_done_again() -> None:
    models = [run("a"), run("b")]
    builds = [replace(one, assets=BUILDS, profile="edge") for one in models]
    asked: list[Run] = []

    def stands(one: Run) -> bool:
        asked.append(one)
        return one != models[0]

    assert _left([*models, *builds], stands) == [models[0], builds[0]]
    assert asked == [*models, builds[1]], "what a build stands on is not known while its model is to be made"
