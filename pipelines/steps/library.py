"""From folders of documents to the passages that a workflow may give, and their frozen snapshot."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fleet_manifests import Passage, RefusedError, StorageError, digest_of, sha256_of
from fleet_manifests.knowledge import library_digest
from pipelines.corpora.card import SourceCard
from pipelines.corpora.library import dump_passages, read_passages
from pipelines.documents import Changes, Library, compare, files_of, take_in
from pipelines.documents.readers import LIBRARIES
from pipelines.project.load import Project
from pipelines.store import Entry, Step

LIBRARY = "library.json"


@dataclass(frozen=True)
class Intake:
    """What was taken in of one source, and what is different since the last time."""

    source: str
    entry: Entry
    library: Library
    changes: Changes


def sop_documents(project: Project) -> list[Intake]:
    """Take in every source of documents; a document that did not change is not read again."""
    return [_take_in(project, name) for name in sorted(project.libraries)]


def _take_in(project: Project, name: str) -> Intake:
    source = project.libraries[name]
    before = _latest(project, name)
    named = {file: _digest(path) for file, path in files_of(source, project=project.root).items()}
    if source.register_file is not None and (project.root / source.register_file).is_file():
        named["register"] = sha256_of(project.root / source.register_file)
    step = Step(
        name="sop_documents",
        inputs=named,
        parameters=source.model_dump(mode="json"),
        code=("pipelines.documents", "pipelines.steps.library"),
        libraries=LIBRARIES,
    )
    if before is not None and not all(problem.lasting for problem in before.problems):
        project.store.drop(step)  # a reader that ran out of time may not do so again

    def work(out: Path) -> None:
        found = take_in(source, project=project.root, cache=project.state / "documents")
        (out / LIBRARY).write_text(found.model_dump_json(), encoding="utf-8")

    entry = project.store.keep(name, step, work)
    library = read_library(entry)
    return Intake(name, entry, library, compare(before, library))


def _digest(path: Path) -> str:
    """Of a file; one that may not be read is named when it is taken in."""
    try:
        return sha256_of(path)
    except OSError as exc:
        return f"cannot be read: {exc.strerror}"


def read_library(entry: Entry) -> Library:
    """What was taken in."""
    return Library.model_validate_json((entry.path / LIBRARY).read_text(encoding="utf-8"))


def refused(project: Project) -> list[tuple[str, str, str]]:
    """Documents that are not in the library: source, file, what is wrong."""
    return [
        (name, one.file, one.problem)
        for name in sorted(project.libraries)
        for one in read_library(project.store.latest("sop_documents", name)).problems
        if one.kind == "refused"
    ]


def _latest(project: Project, name: str) -> Library | None:
    try:
        return read_library(project.store.latest("sop_documents", name))
    except RefusedError:
        return None


def passages(project: Project, workflow: str) -> tuple[tuple[Passage, ...], SourceCard]:
    """The library of a workflow as it is now, as far as the workflow may see it, and where it came from.

    Raises:
        RefusedError: the documents were not taken in yet, or nothing of them may be seen.
        DataError: a file of ready passages cannot be used.
    """
    spec = project.retriever(workflow)
    if spec.corpus.source is not None:
        found = read_library(project.store.latest("sop_documents", spec.corpus.source)).passages
        name = spec.corpus.source
    else:
        name = str(spec.corpus.passages)
        found = read_passages(project.root / name, name)
    seen = tuple(passage for passage in found if passage.data_class in spec.data_classes)
    if not seen:
        allowed = ", ".join(sorted(spec.data_classes))
        raise RefusedError(f"{name}: no passage is of a data class that workflow {workflow} may see ({allowed})")
    return seen, SourceCard(name=name, rows=len(seen), digest=library_digest(seen))


def snapshot_path(project: Project, workflow: str) -> Path:
    """The file that holds the frozen library of a workflow."""
    named = project.retriever(workflow).corpus.snapshot
    return project.root / (named or f"snapshots/{workflow}.jsonl")


def snapshot(project: Project, workflow: str, *, renew: bool = False) -> tuple[tuple[Passage, ...], SourceCard]:
    """The frozen library of a workflow; made from the library as it is now where there is none, or to renew it.

    Raises:
        StorageError: it cannot be written.
    """
    path = snapshot_path(project, workflow)
    shown = path.relative_to(project.root).as_posix() if path.is_relative_to(project.root) else str(path)
    if renew or not path.is_file():
        now, _ = passages(project, workflow)
        _write(path, dump_passages(now))
    found = read_passages(path, shown)
    return found, SourceCard(name=shown, rows=len(found), digest=digest_of(path.read_bytes()))


def _write(path: Path, raw: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(raw)
        os.replace(partial, path)
    except OSError as exc:
        raise StorageError(f"{path}: the snapshot cannot be written: {exc.strerror}") from exc
    finally:
        partial.unlink(missing_ok=True)
