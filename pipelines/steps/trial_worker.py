"""The process that builds and judges the recipes of a search: what a runtime does to it, it does to one recipe.

It takes jobs as lines of JSON and answers each with a line of JSON (`pipelines.workers`). What it makes lies in the
folder that the job names; what cannot be made is a file there that says why.
"""

from __future__ import annotations

import json
import logging
import traceback
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal

from fleet_manifests import BundleConfig, Digest, Name, StorageError, UsageError, Verdict, Wire, digest_of, dump, parse
from fleet_manifests.memory import lent
from pipelines.project.load import Project, load_project
from pipelines.steps.judges import Judge, judge_of
from pipelines.workers import hold, serve

FAILED = "failed.txt"
"""Why a recipe cannot be built or run; alone in its folder."""
SCORE = "score.json"


class Job(Wire):
    """Something to do for a recipe."""

    action: Literal["prepare", "build", "evaluate"]
    """`prepare`: what most recipes begin with."""
    recipe: Name
    project: str
    """Folder of the project."""
    workflow: Name
    meant: Digest
    """What the project says of builds, by `meant`."""
    model: str
    """Folder of the exported model."""
    corpus: str
    unquantized: str
    """Folder of what the unquantized model answers or finds."""
    folder: str | None = None
    """What the work begins with: of `build` the prepared graph, where the recipe begins with that; of `evaluate` it
    is the build."""
    config: BundleConfig | None = None
    """How the engine runs the build, of `evaluate`."""
    out: str
    """An empty folder."""
    memory_mb: int
    """Data that the process may hold."""


class Answer(Wire):
    """What came of a job beside what lies in its folder."""

    memory: bool = False
    """There was too little memory for it."""
    storage: str = ""
    """What is wrong with the disk."""
    errno: int = 0
    """What the operating system said of a file."""
    error: str = ""
    """What is wrong with this program, or with how it is used."""


def meant(project: Project, workflow: str) -> str:
    """The digest of what a project says that decides how builds are made and judged."""
    spec = project.workflow(workflow)
    told = [spec.gates.model_dump(mode="json"), spec.training.max_tokens, project.settings.seed]
    return digest_of(json.dumps(told, sort_keys=True).encode())


def do_job(job: Job) -> Answer:
    """Do a job, or write down why it cannot be done; a death of this process can only be the recipe's."""
    work: Callable[[Job], object] = {"prepare": _prepare, "build": _build, "evaluate": _evaluate}[job.action]
    hold(job.memory_mb * 2**20, again=True)
    try:
        with lent():
            _or_why_not(Path(job.out), lambda: work(job))
    except MemoryError:
        return Answer(memory=True)
    except StorageError as exc:
        return Answer(storage=str(exc))
    except OSError as exc:
        return Answer(errno=exc.errno or 0)
    except Exception as exc:  # the boundary of this process
        traceback.print_exc()
        return Answer(error=f"{type(exc).__name__}: {exc}")
    return Answer()


def _prepare(job: Job) -> None:
    from quantize.build import prepare

    prepare(Path(job.model), Path(job.out))


def _build(job: Job) -> None:
    from quantize import apply
    from quantize.recipes import recipe_of

    recipe = recipe_of(job.recipe)
    samples = _samples(job.model, *_judge_of(job)) if recipe.needs_texts else ()
    prepared = Path(job.folder) if job.folder else None
    apply(recipe, Path(job.model), Path(job.out), samples, prepared=prepared)


def _evaluate(job: Job) -> None:
    """Judge a build in growing looks."""
    from evals.looks import judge
    from quantize.recipes import recipe_of

    assert job.folder is not None and job.config is not None
    one = _judge(*_judge_of(job))
    one.open(Path(job.folder), job.config)
    found = judge(
        len(one.texts),
        one.answer,
        one.compare,
        margin=one.margin,
        confidence=one.confidence,
        seed=_project(job.project, job.workflow, job.meant).settings.seed,
    )
    gate, whole = found.gate, found.rows == len(one.texts)
    if gate.verdict is not Verdict.FAIL:
        more = one.more(recipe_of(job.recipe).forgets)
        gate = next((other for other in more if other.verdict is Verdict.FAIL), gate)
    score = {
        "verdict": gate.verdict.value,
        "reason": gate.reason,
        "metrics": one.metrics() if whole else {},
        "least": found.comparison.low,
        "rows": found.rows,
    }
    (Path(job.out) / SCORE).write_text(json.dumps(score, indent=2, sort_keys=True) + "\n")
    if whole:
        one.save(Path(job.out))


def _judge_of(job: Job) -> tuple[str, str, str, str, str]:
    """What a judge is made of."""
    return job.project, job.workflow, job.meant, job.corpus, job.unquantized


@lru_cache(maxsize=1)
def _project(folder: str, workflow: str, said: str) -> Project:
    """The project, which says of a workflow's builds what was meant.

    Raises:
        UsageError: its files are not those that were meant. That is not kept: they may be so again.
    """
    project = load_project(Path(folder))
    if meant(project, workflow) != said:
        raise UsageError(f"{project.root}: its files were changed during the search; build again")
    return project


@lru_cache(maxsize=1)
def _judge(project: str, workflow: str, said: str, corpus: str, unquantized: str) -> Judge:
    return judge_of(_project(project, workflow, said), workflow, Path(corpus), Path(unquantized))


@lru_cache(maxsize=1)
def _samples(model: str, *judge: str) -> list[list[int]]:
    """Token ids of the training texts, which that judge knows."""
    from quantize.folder import TOKENIZER, tokenize

    folder, workflow, said, *_ = judge
    max_tokens = _project(folder, workflow, said).workflow(workflow).training.max_tokens
    return tokenize(Path(model) / TOKENIZER, _judge(*judge).training_texts(), max_tokens)


def _or_why_not(out: Path, work: Callable[[], object]) -> None:
    from quantize.search import REFUSALS

    try:
        work()
    except REFUSALS as exc:
        (out / FAILED).write_text(str(exc))


def main() -> None:
    """Answer jobs until the input ends."""
    logging.getLogger().setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    serve(lambda raw: dump(do_job(parse(Job, raw, where="job"))))


if __name__ == "__main__":
    main()
