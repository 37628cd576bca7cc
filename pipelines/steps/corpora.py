"""From the sources to the rows of a workflow."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import digest_of, sha256_of
from pipelines.project.load import Project
from pipelines.sources import lake_digest
from pipelines.steps.library import snapshot
from pipelines.store import Entry, Step

if TYPE_CHECKING:
    from pipelines.sources.report import ExtractReport

LEAKS = "leaks.json"


def erp_tables(project: Project) -> list[ExtractReport]:
    """Load what is new of every source; columns leave it only where some workflow may see their class."""
    from pipelines.sources.extract import extract

    allowed = frozenset(kind for workflow in project.workflows.values() for kind in workflow.data_classes)
    return [
        extract(source, project=project.root, lake=project.lake, allowed=allowed)
        for _, source in sorted(project.sources.items())
    ]


def corpus(project: Project, workflow: str) -> Entry:
    """The rows or questions of a workflow, split without leakage, and their data card."""
    return _library(project, workflow) if workflow in project.retrievers else _rows(project, workflow)


def data_card(entry: Entry) -> str:
    """The data card of a corpus, as Markdown."""
    from pipelines.corpora.build import read_card
    from pipelines.corpora.library import PASSAGES_FILE, read_library_card

    library = (entry.path / PASSAGES_FILE).is_file()
    return (read_library_card(entry.path) if library else read_card(entry.path)).markdown()


def _library(project: Project, workflow: str) -> Entry:
    """The frozen library of a `retrieve` workflow and its questions."""
    from pipelines.corpora.leakage import find_leaks
    from pipelines.corpora.library import build_library_corpus

    spec = project.retriever(workflow)
    passages, source = snapshot(project, workflow)
    step = Step(
        name="corpus",
        inputs={
            "snapshot": source.digest,
            **{name: sha256_of(project.root / name) for name in spec.corpus.questions.named().values()},
        },
        parameters={"corpus": spec.corpus.model_dump(mode="json"), "data_classes": sorted(spec.data_classes)},
        code=("pipelines.corpora", "pipelines.steps.corpora", "evals.questions"),
        libraries=("scikit-learn",),
    )

    def work(out: Path) -> None:
        build_library_corpus(
            spec.corpus,
            workflow=workflow,
            project=project.root,
            passages=passages,
            source=source,
            out=out,
            data_classes=spec.data_classes,
        )
        (out / LEAKS).write_text(json.dumps([asdict(leak) for leak in find_leaks(out)], indent=2))

    return project.store.keep(workflow, step, work)


def _rows(project: Project, workflow: str) -> Entry:
    """The labelled rows of a `classify` workflow."""
    from pipelines.corpora.build import build_corpus
    from pipelines.corpora.leakage import find_leaks

    spec = project.classifier(workflow)
    named = [spec.corpus.sql, spec.corpus.out_of_scope_sql]
    named += list(spec.corpus.files.named().values()) if spec.corpus.files else []
    step = Step(
        name="corpus",
        inputs={
            "lake": lake_digest(project.lake) if spec.corpus.sql else digest_of(b""),
            **{name: sha256_of(project.root / name) for name in named if name},
        },
        parameters={
            "corpus": spec.corpus.model_dump(mode="json"),
            "data_classes": sorted(spec.data_classes),
            "seed": project.settings.seed,
        },
        code=("pipelines.corpora", "pipelines.sources", "pipelines.steps.corpora"),
        libraries=("duckdb", "scikit-learn"),
    )

    def work(out: Path) -> None:
        build_corpus(
            spec.corpus,
            workflow=workflow,
            project=project.root,
            lake=project.lake,
            out=out,
            seed=project.settings.seed,
            data_classes=spec.data_classes,
        )
        (out / LEAKS).write_text(json.dumps([asdict(leak) for leak in find_leaks(out)], indent=2))

    return project.store.keep(workflow, step, work)


def leaks(project: Project, workflow: str) -> list[tuple[str, str, str, float]]:
    """Near duplicates between splits: split, row, what it is like, and how much."""
    found = json.loads((project.store.latest("corpus", workflow).path / LEAKS).read_text())
    return [(leak["split"], leak["row"], leak["like"], leak["similarity"]) for leak in found]
