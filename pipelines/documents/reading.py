"""Reading files in processes of their own, with a time for each, and remembering what came of it."""

from __future__ import annotations

import importlib.metadata
import os
import queue
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache as once
from pathlib import Path

from pydantic import ValidationError

import pipelines
from fleet_manifests import StorageError, digest_of, dump
from pipelines.documents.readers import LIBRARIES
from pipelines.documents.worker import Job, Reading
from pipelines.store import source_digest

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
    with _processes(min(workers, len(missing)), command) as idle:

        def read(job: Job) -> Reading:
            process = idle.get()
            try:
                return process.read(job, seconds)
            finally:
                idle.put(process)

        with ThreadPoolExecutor(max(1, min(workers, len(missing)))) as threads:
            for job, reading in zip(missing, threads.map(read, missing), strict=True):
                found[job.digest + job.kind] = reading
                if cache and reading.lasting:
                    _remember(cache, job, reading)
    return [found[job.digest + job.kind] for job in jobs]


@contextmanager
def _processes(count: int, command: Sequence[str]) -> Iterator[queue.SimpleQueue[_Process]]:
    """Workers that are free; each starts when it is first used, and all end with the block."""
    everyone = [_Process(command) for _ in range(count)]
    idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
    for process in everyone:
        idle.put(process)
    try:
        yield idle
    finally:
        for process in everyone:
            process.end()


class _Process:
    """One worker; after a death the next file gets a new one."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self.process: subprocess.Popen[bytes] | None = None

    def read(self, job: Job, seconds: float) -> Reading:
        """Have a file read; a worker that dies or takes too long costs this file only."""
        process = self.process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(dump(job) + b"\n")
            process.stdin.flush()
            answer = _answer(process, seconds)
        except BrokenPipeError:
            answer = b""
        except TimeoutError:
            self.end()
            said = f"its reader took longer than {seconds:g} s; divide it, or export it again"
            return Reading(refusal=said, lasting=False)
        if not answer.endswith(b"\n"):
            said = _how_it_ended(process.wait())
            self.end()
            return Reading(refusal=f"its reader {said}; export the document again", lasting=False)
        return Reading.model_validate_json(answer)

    def end(self) -> None:
        """Kill the worker, if there is one."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    def _start(self) -> subprocess.Popen[bytes]:
        root = str(Path(pipelines.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        return self.process


def _answer(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """The next line of a worker; what it wrote before it died otherwise.

    Raises:
        TimeoutError: there was none in time.
    """
    assert process.stdout is not None
    found = bytearray()
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not found.endswith(b"\n"):
            if not selector.select(max(0.0, end - time.monotonic())):
                raise TimeoutError
            part = os.read(process.stdout.fileno(), 1 << 20)
            if not part:
                break
            found += part
    return bytes(found)


def _how_it_ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


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
