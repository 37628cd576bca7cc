"""Many files in few processes: time limits, deaths, and what is remembered."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from fleet_manifests import StorageError, digest_of
from pipelines.documents import reading
from pipelines.documents.reading import read_all
from pipelines.documents.worker import Job, Reading

pytestmark = pytest.mark.unit
STUB = dedent("""
    import json, os, signal, sys, time
    with open(os.environ["STARTS"], "a") as log:
        log.write("start\\n")
    for line in sys.stdin:
        job = json.loads(line)
        with open(os.environ["STARTS"], "a") as log:
            log.write(job["kind"] + "\\n")
        if job["kind"] == "slow":
            time.sleep(60)
        if job["kind"] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if job["kind"] == "exits":
            sys.exit(3)
        if job["kind"] == "half":
            sys.stdout.write('{"refu')
            sys.stdout.flush()
            os._exit(0)
        print(json.dumps({"refusal": "read " + job["kind"], "lasting": job["kind"] != "fleeting"}), flush=True)
""")
WORKER = (sys.executable, "-c", STUB)


class Log:
    """What the stub workers did."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self) -> list[str]:
        return self.path.read_text().split()


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setenv("STARTS", str(tmp_path / "starts"))
    return Log(tmp_path / "starts")


def jobs(*kinds: str) -> list[Job]:
    return [Job(path=kind, kind=kind, digest=digest_of(kind.encode())) for kind in kinds]


def said(kinds: Sequence[str], *, workers: int = 1, seconds: float = 30, cache: Path | None = None) -> list[str]:
    found = read_all(jobs(*kinds), workers=workers, cache=cache, seconds=seconds, command=WORKER)
    return [one.refusal for one in found]


def test_one_process_reads_many_files_in_order(log: Log) -> None:
    kinds = [f"k{n}" for n in range(20)]
    assert said(kinds) == [f"read {kind}" for kind in kinds]
    assert log.lines().count("start") == 1


def test_several_processes_keep_the_order(log: Log) -> None:
    kinds = [f"k{n}" for n in range(20)]
    assert said(kinds, workers=3) == [f"read {kind}" for kind in kinds]
    assert 1 <= log.lines().count("start") <= 3


def test_nothing_to_read_starts_nothing(log: Log) -> None:
    assert said([]) == []
    assert log.lines() == []


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        ("killed", "its reader was ended by SIGKILL; export the document again"),
        ("exits", "its reader ended with code 3; export the document again"),
        ("half", "its reader ended with code 0; export the document again"),
    ],
)
def test_a_death_costs_one_file(log: Log, kind: str, refusal: str) -> None:
    assert said(["a", kind, "b"]) == ["read a", refusal, "read b"]
    assert log.lines().count("start") == 2


def test_a_reader_that_takes_too_long_is_killed(log: Log) -> None:
    assert said(["a", "slow", "b"], seconds=1) == [
        "read a", "its reader took longer than 1 s; divide it, or export it again", "read b",
    ]  # fmt: skip


def test_a_worker_that_cannot_start(log: Log) -> None:
    (one,) = read_all(jobs("a"), workers=1, cache=None, command=(sys.executable, "-c", "raise SystemExit(4)"))
    assert one.refusal == "its reader ended with code 4; export the document again"


def test_what_was_read_is_remembered(log: Log, tmp_path: Path) -> None:
    assert said(["a", "b"], cache=tmp_path / "cache") == ["read a", "read b"]
    assert said(["b", "a", "c"], cache=tmp_path / "cache") == ["read b", "read a", "read c"]
    assert log.lines() == ["start", "a", "b", "start", "c"]
    assert len(list((tmp_path / "cache").iterdir())) == 3


@pytest.mark.parametrize("kind", ["fleeting", "killed"])
def test_what_may_be_otherwise_next_time_is_not_remembered(log: Log, tmp_path: Path, kind: str) -> None:
    said([kind], cache=tmp_path / "cache")
    said([kind], cache=tmp_path / "cache")
    assert log.lines().count(kind) == 2


def test_equal_bytes_are_read_once(log: Log) -> None:
    assert said(["a", "a", "b"]) == ["read a", "read a", "read b"]
    assert log.lines() == ["start", "a", "b"]


def test_other_code_reads_anew(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(["a"], cache=tmp_path / "cache")
    monkeypatch.setattr(reading, "_version", lambda: "another version")
    said(["a"], cache=tmp_path / "cache")
    assert log.lines().count("a") == 2


def test_a_damaged_entry_is_read_anew(log: Log, tmp_path: Path) -> None:
    said(["a"], cache=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_text(entry.read_text()[:10])
    assert said(["a"], cache=tmp_path / "cache") == ["read a"]
    assert log.lines().count("a") == 2
    assert Reading.model_validate_json(entry.read_bytes()).refusal == "read a"


def test_a_cache_that_cannot_be_written(log: Log, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="free space, or choose a writable folder"):
        said(["a"], cache=tmp_path / "file" / "cache")
