"""From a corpus to a tuned model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.project.load import Project
from pipelines.steps.tracked import tracker
from pipelines.steps.vectors import frozen_vectors
from pipelines.store import Entry, Step
from training.arguments import Arguments, RetrieveArguments, TuneArguments
from training.bases import ResolvedBase, resolve

if TYPE_CHECKING:
    from training.tracking import Tracker

Progress = Callable[[float, str], None]

TRAINING_LIBRARIES = ("torch", "transformers", "peft", "scikit-learn", "tokenizers")
RANKING_LIBRARIES = ("bm25s", "ir-measures", "pystemmer")


def base_of(project: Project, workflow: str) -> ResolvedBase:
    """The pinned base of a workflow, found and checked; a local path is relative to the project."""
    spec = project.workflow(workflow).base
    if spec.path is not None:
        spec = spec.model_copy(update={"path": project.root / spec.path})
    return resolve(spec)


def baselines(project: Project, workflow: str) -> Entry:
    """What a tuned model must beat: the frozen base, classical models, and for a retriever BM25, on the same data."""
    corpus = project.store.latest("corpus", workflow)
    base = base_of(project, workflow)
    arguments = project.workflow(workflow).training
    step = Step(
        name="baselines",
        inputs={"corpus": corpus.digest, "base": base.ref.digest},
        parameters=arguments.model_dump(mode="json", include={"task", "max_tokens", "class_weighting", "precision"}),
        code=("training", "pipelines.steps.models"),
        libraries=_libraries(arguments),
    )

    def work(out: Path) -> None:
        if isinstance(arguments, RetrieveArguments):
            from training.baselines_retrieval import rank_baselines

            rank_baselines(corpus.path, base, out, arguments, frozen=frozen_vectors(project, base, arguments).of)
        else:
            from training.baselines import fit_baselines

            frozen = frozen_embeddings(project, corpus, base, arguments)
            fit_baselines(corpus.path, base, out, arguments, frozen=frozen.path)

    return project.store.keep(workflow, step, work)


def frozen_embeddings(project: Project, corpus: Entry, base: ResolvedBase, arguments: TuneArguments) -> Entry:
    """A classifier's texts as its frozen base reads them, for the baseline and for the start of the tuning."""
    step = Step(
        name="frozen_embeddings",
        inputs={"corpus": corpus.digest, "base": base.ref.digest},
        parameters=arguments.model_dump(mode="json", include={"max_tokens", "precision"}),
        code=("training", "pipelines.steps.models"),
        libraries=TRAINING_LIBRARIES,
    )

    def work(out: Path) -> None:
        from training.frozen import embed_frozen

        embed_frozen(corpus.path, base, arguments, out)

    return project.store.run(step, work)


def adapter(project: Project, workflow: str, progress: Progress | None = None) -> Entry:
    """The LoRA weights of a workflow, and a classifier's head; in MLflow a registered model version."""
    corpus = project.store.latest("corpus", workflow)
    base = base_of(project, workflow)
    arguments = project.workflow(workflow).training
    step = Step(
        name="adapter",
        inputs={"corpus": corpus.digest, "base": base.ref.digest},
        parameters=arguments.model_dump(mode="json", exclude={"threads", "device"}),
        code=("training", "runtimes.derive", "pipelines.steps.models"),
        libraries=_libraries(arguments),
    )

    def work(out: Path) -> None:
        if isinstance(arguments, RetrieveArguments):
            from training.retriever import finetune_retriever

            read = frozen_vectors(project, base, arguments).of
            finetune_retriever(corpus.path, base, arguments, out, progress, frozen=read)
        else:
            from training.finetune import finetune

            frozen = frozen_embeddings(project, corpus, base, arguments)
            finetune(corpus.path, base, arguments, out, progress, frozen=frozen.path)

    entry = project.store.keep(workflow, step, work)
    _track(project, workflow, entry, {"corpus": corpus.digest, "base": base.ref.digest})
    return entry


def _libraries(arguments: Arguments) -> tuple[str, ...]:
    """The distributions whose version changes what is learned."""
    return (*TRAINING_LIBRARIES, *(RANKING_LIBRARIES if isinstance(arguments, RetrieveArguments) else ()))


def _track(project: Project, workflow: str, entry: Entry, inputs: dict[str, str]) -> None:
    """Log the tuning and register the adapter in MLflow, once."""
    if entry.reused and project.mlflow.is_file():
        return
    with tracker(project) as mlflow:
        _register(mlflow, workflow, entry, inputs)


def _register(tracker: Tracker, workflow: str, entry: Entry, inputs: dict[str, str]) -> None:
    if tracker.find(workflow, entry.digest) is not None:
        return
    arguments, versions, history = (
        json.loads((entry.path / f"{name}.json").read_text()) for name in ("arguments", "versions", "history")
    )
    epochs = [{name: value for name, value in epoch.items() if name != "epoch"} for epoch in history["epochs"]]
    run = tracker.log_run(
        workflow,
        params={**arguments, **{f"version/{name}": value for name, value in versions.items()}},
        history=epochs,
        tags={**inputs, "adapter": entry.digest},
        artifacts=[entry.path / "history.json", entry.path / "arguments.json"],
    )
    tracker.register(workflow, source=str(entry.path), digest=entry.digest, run_id=run, tags=inputs)


def merged_model(project: Project, workflow: str) -> Entry:
    """The base with the adapter merged in."""
    learned = project.store.latest("adapter", workflow)
    base = base_of(project, workflow)
    step = Step(
        name="merged_model",
        inputs={"adapter": learned.digest, "base": base.ref.digest},
        parameters={},
        code=("training", "runtimes.derive", "pipelines.steps.models"),
        libraries=("torch", "transformers", "peft"),
    )

    def work(out: Path) -> None:
        from training.merge import merge

        merge(learned.path, base, out)

    return project.store.keep(workflow, step, work)


def rows(corpus: Path, split: str) -> list[dict[str, str]]:
    """The rows of a split, in file order; none where the corpus has no such file."""
    path = corpus / f"{split}.jsonl"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
