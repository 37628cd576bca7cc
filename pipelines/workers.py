"""A process that does jobs for this one: what ends it or keeps it for ever costs one job, and nothing else.

A job is a line on its standard input and its answer a line on its standard output. It ends with its input, and is
started again for the next job after a death.
"""

from __future__ import annotations

import os
import queue
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pipelines

Ask = Callable[[bytes, float], bytes]
"""Has a job done in so many seconds at most, and gives the answer; raises what `Worker.ask` does."""


class EndedError(Exception):
    """A worker ended before it answered; says how."""

    def __init__(self, code: int) -> None:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        super().__init__(how)
        self.code = code
        """Its exit status; below zero: the signal that ended it."""


class Worker:
    """One worker; starts with its first job."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, quiet: bool = False
    ) -> None:
        """Take what starts it.

        Args:
            command: of the process, which imports this very program.
            environment: variables beside those of this process.
            quiet: drop what it writes to standard error.
        """
        self._command, self._quiet = list(command), quiet
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, job: bytes, seconds: float) -> bytes:
        """The answer to a job, both without the end of their line.

        Raises:
            EndedError: it ended before it answered.
            TimeoutError: it took longer than that, and was killed.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(job + b"\n")
            process.stdin.flush()
            answer = _answer(process, seconds)
        except BrokenPipeError:
            answer = b""
        except TimeoutError:
            self.end()
            raise
        if not answer.endswith(b"\n"):
            code = process.wait()
            self.end()
            raise EndedError(code)
        return answer[:-1]

    def end(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    def _start(self) -> subprocess.Popen[bytes]:
        root = str(Path(pipelines.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if self._quiet else None,
            env={**os.environ, "PYTHONPATH": path, **self._environment},
        )  # fmt: skip
        return self._process


@contextmanager
def pool(
    count: int, command: Sequence[str], *, environment: Mapping[str, str] | None = None, quiet: bool = False
) -> Iterator[Ask]:
    """Workers of one kind, which end with the block: gives what has a free one do a job."""
    workers = [Worker(command, environment=environment, quiet=quiet) for _ in range(count)]
    idle: queue.LifoQueue[Worker] = queue.LifoQueue()  # the last that came back has its libraries loaded
    for worker in workers:
        idle.put(worker)

    def ask(job: bytes, seconds: float) -> bytes:
        worker = idle.get()
        try:
            return worker.ask(job, seconds)
        finally:
            idle.put(worker)

    try:
        yield ask
    finally:
        for worker in workers:
            worker.end()


def hold(memory: int, *, again: bool = False) -> None:
    """Let this process hold at most so many bytes of data, where nothing else holds it to less.

    Args:
        memory: bytes.
        again: a later call may allow more; otherwise nothing in the process can.
    """
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory if most == resource.RLIM_INFINITY else min(memory, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most if again else limit))


def serve(answer: Callable[[bytes], bytes]) -> None:
    """What a worker does: answer jobs until its input ends. What libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        answers.write(answer(line) + b"\n")
        answers.flush()


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
