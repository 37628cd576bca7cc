"""From a folder of files to a library of passages."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from fleet_manifests import ConfigError, DataError, digest_of, sha256_of
from pipelines.documents.blocks import Block, Document, texts_of, words_of
from pipelines.documents.facts import facts_of
from pipelines.documents.files import Found, find
from pipelines.documents.library import DocumentCard, Library, Problem
from pipelines.documents.readers import SUFFIXES
from pipelines.documents.reading import SECONDS, read_all
from pipelines.documents.register import EMPTY, Register, parse_register
from pipelines.documents.revisions import Taken, settle
from pipelines.documents.spec import DocumentSource
from pipelines.documents.split import split
from pipelines.documents.worker import Job

MOST_WORKERS = 4


def take_in(
    source: DocumentSource,
    *,
    project: Path,
    workers: int | None = None,
    cache: Path | None = None,
    seconds: float = SECONDS,
) -> Library:
    """Read the documents of a source and divide them into passages.

    A file that cannot be taken in is named among the problems and stops no other.

    Args:
        source: the folder, and what holds of documents that do not say it.
        project: what its paths are relative to.
        workers: processes that read; None: as many as there are usable cores, at most four.
        cache: a folder that remembers what was read, so that an unchanged file is not read again.
        seconds: what one file may take.

    Raises:
        ConfigError: the folder or the register is missing, or the register is not one.
        StorageError: the cache cannot be written.
    """
    found = find(source, project=project)
    register = _register(source, project)
    jobs, problems = _jobs(found, source)
    cores = workers or min(MOST_WORKERS, len(os.sched_getaffinity(0)))
    readings = read_all(list(jobs.values()), workers=cores, cache=cache, seconds=seconds)
    taken: list[Taken] = []
    for (file, job), reading in zip(jobs.items(), readings, strict=True):
        try:
            if reading.document is None:
                raise DataError(reading.refusal)
            one, notes = _taken(file, job, reading.document, source, register)
        except DataError as exc:
            problems.append(Problem(file=file, problem=str(exc), lasting=reading.lasting))
            continue
        taken.append(one)
        problems += (Problem(file=file, problem=note, kind="note") for note in notes)
    if source.register_file is not None:
        problems += _register_notes(source.register_file, register, found, taken)
    kept, more, superseded = settle(taken)
    return Library(
        documents=tuple(_card(one) for one in kept),
        passages=tuple(passage for one in kept for passage in one.passages),
        problems=tuple(sorted((*problems, *more), key=lambda one: (one.file, one.kind, one.problem))),
        superseded=superseded,
    )


def _register(source: DocumentSource, project: Path) -> Register:
    if source.register_file is None:
        return EMPTY
    try:
        raw = (project / source.register_file).read_bytes()
    except OSError as exc:
        where = f"sources/{source.name}.yaml: register"
        raise ConfigError(f"{where}: {source.register_file} cannot be read: {exc.strerror}; correct the path") from exc
    return parse_register(raw, shown=source.register_file)


def _jobs(found: Found, source: DocumentSource) -> tuple[dict[str, Job], list[Problem]]:
    """The files to be read, and why others are not."""
    jobs: dict[str, Job] = {}
    problems = list(found.problems)
    for file, path in found.files.items():
        kind = SUFFIXES.get(PurePosixPath(file).suffix.lower())
        try:
            size = path.stat().st_size
            if kind is None:
                raise DataError(f"no reader for such a file; save it as one of {', '.join(SUFFIXES)}")
            if size > source.max_file_mb * 1_000_000:
                raise DataError(f"{size / 1e6:.1f} MB; at most {source.max_file_mb} MB are read (max_file_mb)")
            jobs[file] = Job(path=str(path.absolute()), kind=kind, digest=sha256_of(path))
        except DataError as exc:
            problems.append(Problem(file=file, problem=str(exc)))
        except OSError as exc:
            problems.append(Problem(file=file, problem=f"cannot be read from disk: {exc.strerror}"))
    return jobs, problems


def _taken(
    file: str, job: Job, document: Document, source: DocumentSource, register: Register
) -> tuple[Taken, Sequence[str]]:
    """A document as passages, and what to note.

    Raises:
        DataError: it has no text, or its data class or a site class is none.
    """
    facts, blocks, notes = facts_of(document, file=file, source=source, register=register)
    passages = split(blocks, facts, max_words=source.max_words)
    if not passages:
        raise DataError("no text: nothing but headings" if document.blocks else "no text; nothing to take in")
    one = Taken(
        file=file,
        format=job.kind,
        digest=job.digest,
        text=_text_digest(blocks),
        facts=facts,
        passages=passages,
        words=words_of(document.blocks),
        pages=document.pages,
    )
    return one, (*document.notes, *notes)


def _text_digest(blocks: Iterable[Block]) -> str:
    """The digest of the letters and digits of a document, so that its format does not matter."""
    letters = (char for block in blocks for text in texts_of(block) for char in text.casefold() if char.isalnum())
    return digest_of("".join(letters).encode())


def _register_notes(shown: str, register: Register, found: Found, taken: Sequence[Taken]) -> list[Problem]:
    """What of a register has no meaning: columns, and rows without a document."""
    notes = [f"the column {name} has no meaning here" for name in register.ignored]
    unknown = register.unknown(list(found.files), [one.facts.document for one in taken])
    notes += [f"{name} is registered and was not taken in" for name in unknown]
    return [Problem(file=shown, problem=note, kind="note") for note in notes]


def _card(one: Taken) -> DocumentCard:
    return DocumentCard(
        file=one.file, format=one.format, digest=one.digest, document=one.facts.document, title=one.facts.title,
        revision=one.facts.revision, passages=len(one.passages), words=one.words, pages=one.pages,
    )  # fmt: skip
