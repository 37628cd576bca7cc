"""Builds timed side by side, in this process and in one of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fleet_manifests import BaseRef, BundleConfig, IsaClass, LadingError, RefusedError, Task
from runtimes.measure import abreast, process

pytestmark = pytest.mark.integration
ANY = "sha256:" + "0" * 64
BROKEN = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def job(tiny_bundle: Path, tmp_path: Path) -> abreast.Job:
    config = BundleConfig(
        workflow="triage",
        task=Task.CLASSIFY,
        profile="edge",
        isa=IsaClass.X86_64,
        recipe="fp32",
        labels=("damage", "late", "short"),
        base=BaseRef(name="tiny", revision="1", digest=ANY, licence="MIT"),
        data_card=ANY,
        prompt_version="1",
        policy_version="1",
    )
    builds = tuple(abreast.Build(name=name, folder=str(tiny_bundle), config=config) for name in ("one", "other"))
    cpus = tuple(sorted(os.sched_getaffinity(0)))[-1:]
    return abreast.Job(builds=builds, texts=("late truck", "short"), rounds=5, cpus=cpus, memory_guard_mb=2000)


def test_every_build_is_timed_in_every_round(job: abreast.Job) -> None:
    found = process.side_by_side(job)
    assert list(found.rounds) == ["one", "other"]
    assert all(len(rounds) == 5 and min(rounds) > 0 for rounds in found.rounds.values())
    assert found.peak_rss_mb > 20 and found.drift >= 0


def test_without_rounds_it_tells_memory(job: abreast.Job) -> None:
    found = process.side_by_side(job.model_copy(update={"rounds": 0, "builds": job.builds[:1]}))
    assert found.rounds == {"one": ()} and found.peak_rss_mb > 20


def test_a_process_that_does_not_come_back_is_a_reason(job: abreast.Job, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(BROKEN)
    with pytest.raises(RefusedError, match="ended by SIGKILL"):
        process.side_by_side(job, worker=(sys.executable, str(worker)))
    worker.write_text("import time\ntime.sleep(60)")
    with pytest.raises(RefusedError, match=r"were not timed in 0\.5 s"):
        process.side_by_side(job, worker=(sys.executable, str(worker)), timeout=0.5)
    missing = job.builds[0].model_copy(update={"folder": str(tmp_path)})
    with pytest.raises(LadingError, match="no file"):
        process.side_by_side(job.model_copy(update={"builds": (missing,)}))


def test_too_little_memory_is_a_reason(job: abreast.Job) -> None:
    eats = "from runtimes.measure import abreast\nabreast.run = lambda job: bytearray(2**60)\nabreast.main()"
    with pytest.raises(RefusedError, match="ran out of memory at 2000 MB"):
        process.side_by_side(job, worker=(sys.executable, "-c", eats))
