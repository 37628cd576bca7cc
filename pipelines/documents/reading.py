"""Reading files in processes of their own, with a time for each, and remembering what came of it."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache as once
from pathlib import Path

from pydantic import ValidationError

from fleet_manifests import StorageError, digest_of, dump
from pipelines.documents.readers import LIBRARIES
from pipelines.documents.worker import Job, Reading
from pipelines.store import source_digest
from pipelines.workers import Ask, EndedError, pool

WORKER = (sys.executable, "-m", "pipelines.documents.worker")
SECONDS = 120.0
"""What a file may take."""


def read_all(
    jobs: Sequence[Job],
    *,
    workers: int,
    cache: Path | None,
    seconds: float = SECONDS,
    command: Sequence[str] = WORKER,
) -> list[Reading]:
    """Read files, and give what came of each in their order.

    Args:
        jobs: the files.
        workers: processes at the same time.
        cache: folder that remembers what came of a file, by its bytes and the code that reads them; None: none.
        seconds: what a file may take; then its process is killed, and the file is refused.
        command: starts a worker.

    Raises:
        StorageError: the cache cannot be written.
    """
    found = {job.digest + job.kind: reading for job in jobs if cache and (reading := _recall(cache, job))}
    missing = list({job.digest + job.kind: job for job in jobs if job.digest + job.kind not in found}.values())
    count = min(workers, len(missing))
    one_thread = {"OMP_NUM_THREADS": "1"}
    with pool(count, command, environment=one_thread, quiet=True) as ask, ThreadPoolExecutor(max(1, count)) as threads:
        for job, reading in zip(missing, threads.map(lambda job: _read(ask, job, seconds), missing), strict=True):
            found[job.digest + job.kind] = reading
            if cache and reading.lasting:
                _remember(cache, job, reading)
    return [found[job.digest + job.kind] for job in jobs]


def _read(ask: Ask, job: Job, seconds: float) -> Reading:
    """Have a file read; a worker that dies or takes too long costs this file only."""
    try:
        return Reading.model_validate_json(ask(dump(job), seconds))
    except TimeoutError:
        said = f"its reader took longer than {seconds:g} s; divide it, or export it again"
    except EndedError as exc:
        said = f"its reader {exc}; export the document again"
    return Reading(refusal=said, lasting=False)


@once
def _version() -> str:
    """What decides how bytes are read: our code and the libraries."""
    code = [source_digest(name) for name in ("pipelines.documents.blocks", "pipelines.documents.readers")]
    return " ".join([*code, *(f"{name}={importlib.metadata.version(name)}" for name in LIBRARIES)])


def _entry(cache: Path, job: Job) -> Path:
    key = digest_of(f"{job.digest} {job.kind} {_version()}".encode()).removeprefix("sha256:")
    return cache / f"{key}.json"


def _recall(cache: Path, job: Job) -> Reading | None:
    """What is remembered; an entry that is missing or damaged is made anew."""
    try:
        return Reading.model_validate_json(_entry(cache, job).read_bytes())
    except (OSError, ValidationError):
        return None


def _remember(cache: Path, job: Job, reading: Reading) -> None:
    entry = _entry(cache, job)
    partial = entry.with_name(f".{entry.name}.{os.getpid()}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        partial.write_text(reading.model_dump_json(), encoding="utf-8")
        os.replace(partial, entry)
    except OSError as exc:
        raise StorageError(f"{cache}: {exc.strerror}; free space, or choose a writable folder") from exc
    finally:
        with suppress(OSError):
            partial.unlink()
