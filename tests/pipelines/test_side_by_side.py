"""Runs side by side: each in a process with its share of the cores; a refusal and a death come back as our errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from fleet_manifests import DataError, RefusedError, dump, parse
from pipelines.cli import side_by_side as module
from pipelines.cli.plans import MODELS, PAGES, Run
from pipelines.cli.runs import _groups
from pipelines.cli.side_by_side import Answer, Job, side_by_side
from pipelines.project.load import Project, load_project
from pipelines.steps.receipts import KnownError

pytestmark = pytest.mark.unit
STUB = dedent("""
    import os, pathlib, signal
    from fleet_manifests import dump, parse
    from pipelines.cli.side_by_side import Answer, Job
    from pipelines.workers import serve

    def answer(raw):
        job = parse(Job, raw, where="job")
        name = job.run.workflow
        if name == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "refused":
            return dump(Answer(kind="DataError", error="rows.csv: label: expected one, found none"))
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
    return Run(MODELS, workflow=name)


@pytest.mark.parametrize(("cores", "processes", "threads"), [(1, 1, "1"), (2, 2, "1"), (8, 4, "2")])
def test_each_has_its_share_of_the_cores(
    project: Project, monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, threads: str
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    runs, begun = [run(name) for name in "abcd"], []
    side_by_side(project, runs, begun.append, COMMAND)
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
        side_by_side(project, [run("a"), run("refused"), run("b")], begun.append, COMMAND)
    assert [one.workflow for one in begun] == ["a", "refused"]
    assert (project.root / "a").is_file()


def test_a_process_that_dies_is_named_with_its_run(project: Project) -> None:
    with pytest.raises(RefusedError, match=r"\[killed\]: its process was ended by SIGKILL.*OMP_NUM_THREADS=1"):
        side_by_side(project, [run("killed")], lambda one: None, COMMAND)


def test_an_error_of_one_room_goes_by_the_public_class_that_it_is(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> Project:
        raise KnownError(f"{folder}: seen before")

    monkeypatch.setattr(module, "load_project", refuse)
    answer = parse(Answer, module._do(dump(Job(project=str(project.root), run=run("a")))), where="answer")
    assert answer == Answer(kind="RefusedError", error=f"{project.root}: seen before")


def test_models_are_made_side_by_side_and_all_else_one_at_a_time() -> None:
    tables, builds = Run(("erp_tables",)), [Run(PAGES, workflow=name, profile="edge") for name in "ab"]
    models = [run("a"), Run(("corpus", "baselines"), workflow="b")]
    assert _groups([tables, *models, *builds]) == [[tables], models, *([one] for one in builds)]
