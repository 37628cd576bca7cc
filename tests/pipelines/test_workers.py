"""A process that does jobs: deaths, time and memory cost the job at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent

import pytest

from pipelines.workers import EndedError, Worker, pool

pytestmark = pytest.mark.unit
STUB = dedent("""
    import os, signal, sys, time
    from pipelines.workers import hold, serve

    def answer(line):
        job = line.decode().strip()
        print("what a library prints is no answer")
        if job == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if job == "exit":
            sys.exit(3)
        if job == "half":
            os.write(3, b"ha")
            os._exit(0)
        if job == "endless":
            time.sleep(60)
        if job == "memory":
            try:
                bytearray(2**30)
            except MemoryError:
                return b"too little memory"
        return f"{job} by {os.getpid()}".encode()

    hold(2**29)
    serve(answer)
""")


@pytest.fixture
def worker():
    one = Worker((sys.executable, "-c", STUB), quiet=True)
    yield one
    one.end()


def asked(worker: Worker, job: str, seconds: float = 30) -> tuple[str, str]:
    said, by = worker.ask(job.encode(), seconds).decode().split(" by ")
    return said, by


def test_one_process_does_many_jobs(worker: Worker) -> None:
    assert len({asked(worker, "a")[1], asked(worker, "b")[1]}) == 1
    assert asked(worker, "c")[0] == "c"


@pytest.mark.parametrize(
    ("job", "how", "code"),
    [("segfault", "was ended by SIGSEGV", -11), ("exit", "ended with code 3", 3), ("half", "ended with code 0", 0)],
)
def test_a_death_costs_one_job(worker: Worker, job: str, how: str, code: int) -> None:
    _, first = asked(worker, "a")
    with pytest.raises(EndedError, match=how) as caught:
        worker.ask(job.encode(), 30)
    assert caught.value.code == code
    assert asked(worker, "b")[1] != first


def test_what_never_ends_is_killed(worker: Worker) -> None:
    _, first = asked(worker, "a")
    with pytest.raises(TimeoutError):
        worker.ask(b"endless", 0.5)
    assert asked(worker, "b")[1] != first


def test_it_holds_its_memory(worker: Worker) -> None:
    assert worker.ask(b"memory", 30) == b"too little memory"


def test_one_that_cannot_start_says_so() -> None:
    worker = Worker((sys.executable, "-c", "raise SystemExit(4)"))
    with pytest.raises(EndedError, match="ended with code 4"):
        worker.ask(b"a", 30)
    worker.end()


def test_a_pool_has_as_many_jobs_done_at_a_time_as_it_has_workers() -> None:
    with pool(2, (sys.executable, "-c", STUB), quiet=True) as ask, ThreadPoolExecutor(4) as threads:
        said = [answer.decode().split(" by ") for answer in threads.map(lambda job: ask(job, 30), [b"a", b"b"] * 4)]
        assert [job for job, _ in said] == ["a", "b"] * 4
        assert len({process for _, process in said}) <= 2
        with pytest.raises(EndedError, match="SIGSEGV"):
            ask(b"segfault", 30)
        assert ask(b"c", 30).startswith(b"c by "), "one that died is there again"
        living = [int(answer.split()[-1]) for answer in threads.map(lambda job: ask(job, 30), [b"d"] * 4)]
    for process in living:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


HELD = """
import resource
from pipelines.workers import hold
hold(2**30, again=True)
hold(2**31, again=True)
print(resource.getrlimit(resource.RLIMIT_DATA)[0] == 2**31)
hold(2**30)
print(resource.getrlimit(resource.RLIMIT_DATA) == (2**30, 2**30))
"""


def test_a_limit_may_be_raised_only_where_that_was_said() -> None:
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
