"""A publisher that dies at any change to the disk, and readers while it works: always one whole release.

An audit hook sees each file-system operation of a forked child before it happens, and kills the child there: no
`finally` runs, no buffer is written out.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import FleetManifest, parse
from release import Keys, Release, unpack
from release.gc import Keep, collect
from release.published import read_blob

pytestmark = pytest.mark.integration
CANARY = "canary/manifest.json"
CHANGES = {"os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.truncate", "os.chmod"}


def in_child(act: Callable[[], object], folders: list[Path], at: int) -> int:
    """Act in a forked child that is killed at its change number `at` to the folders; its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    count, inside = 0, tuple(str(folder) for folder in folders)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            writes = event in CHANGES
        if writes and any(str(argument).startswith(inside) for argument in arguments):
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    code = 3
    try:
        act()
        code = 0
    finally:
        os._exit(code)


class Fleet:
    """A release whose folders can be put back to how they were."""

    def __init__(self, release: Release, client: Any, root: Path) -> None:
        self.release, self.client, self.root = release, client, root
        self.public, self.keys = release.repository.public, release.keys.folder

    @property
    def folders(self) -> list[Path]:
        return [self.public.parent, self.keys]

    def keep(self) -> None:
        self.client.read(CANARY)
        for folder in (*self.folders, self.client.state):
            shutil.copytree(folder, self.root / "kept" / folder.name)

    def restore(self) -> None:
        for folder in (*self.folders, self.client.state):
            shutil.rmtree(folder)
            shutil.copytree(self.root / "kept" / folder.name, folder)
        self.release.keys = self.release.repository.keys = Keys(self.keys)

    def version(self) -> int:
        """Which release a client finds, every byte of it read."""
        return whole(self.public, self.client, self.root / "read")


def whole(public: Path, client: Any, out: Path) -> int:
    manifest = parse(FleetManifest, client.read(CANARY)[CANARY])
    for name, entry in manifest.workflows.items():
        for build in entry.builds.values():
            shutil.rmtree(out, ignore_errors=True)
            (out / name).mkdir(parents=True)
            unpack(public, build.bundle, out / name)
            for blob in (build.bundle.signature, *build.evidence):
                read_blob(public, blob)
    if manifest.updates is not None:
        read_blob(public, manifest.updates)
    return manifest.version


@pytest.fixture
def fleet(release: Release, builder: Any, client: Any, tmp_path: Path) -> Fleet:
    """A fleet with one release in canary."""
    release.promote("canary", [builder.candidate(content="first")], {"triage": builder.entry()})
    made = Fleet(release, client, tmp_path)
    made.keep()
    return made


def test_killed_at_every_change_of_a_publication(fleet: Fleet, builder: Any) -> None:
    candidate, workflows = builder.candidate(content="second"), {"triage": builder.entry()}

    def publish() -> Any:
        return fleet.release.promote("canary", [candidate], workflows)

    found: list[int] = []
    for at in range(1, 1000):
        fleet.restore()
        status = in_child(publish, fleet.folders, at)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        first = fleet.version()
        assert publish().version == 2
        second = fleet.version()
        assert (first in (1, 2), second) == (True, 2)
        assert not (fleet.public / ".staging").exists()
        found.append(first)
    assert len(found) > 40
    assert found == sorted(found), "the moment of publication is one"
    assert set(found) == {1, 2}


def test_killed_at_every_change_of_an_assignment(fleet: Fleet, builder: Any) -> None:
    def assign() -> Any:
        return fleet.release.assign([builder.assignment("s1", channel="canary")])

    for at in range(1, 1000):
        fleet.restore()
        status = in_child(assign, fleet.folders, at)
        if os.WIFEXITED(status):
            break
        fleet.client.read("sites/s1.json")
        assign()
        assert fleet.client.read("sites/s1.json")["sites/s1.json"] is not None
        assert fleet.version() == 1
    assert at > 20


def test_killed_at_every_other_change_of_a_garbage_collection(
    release: Release, builder: Any, client: Any, clock: Any, tmp_path: Path
) -> None:
    for content in ("first", "second", "third"):
        release.promote("canary", [builder.candidate(content=content)], {"triage": builder.entry()})
        clock.forward(days=40)
        release.refresh("canary", "candidates")
    fleet = Fleet(release, client, tmp_path)
    fleet.keep()

    def clean() -> Any:
        return collect(fleet.release.repository, Keep(snapshots=1), dry_run=False)

    for at in range(1, 1000, 2):
        fleet.restore()
        status = in_child(clean, fleet.folders, at)
        assert fleet.version() == 3
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        clean()
        assert clean().removed == ()
        assert fleet.version() == 3
    assert at > 20


def publish_fifty(release: Release, builder: Any) -> None:
    for number in range(50):
        release.promote(
            "canary", [builder.candidate(content=f"content {number % 7}")], {"triage": builder.entry(f"T{number}")}
        )
        release.assign([builder.assignment("s1", channel=("canary", "stable")[number % 2])])


def test_readers_during_fifty_publications_never_see_a_broken_release(
    fleet: Fleet, builder: Any, tmp_path: Path
) -> None:
    """Two readers in a loop: one that comes back, and one that is new each time."""
    child = multiprocessing.get_context("fork").Process(target=publish_fifty, args=(fleet.release, builder))
    seen: dict[str, list[int]] = {"returning": [], "new": []}
    problems: list[BaseException] = []

    def read(kind: str) -> None:
        client, number = type(fleet.client)(fleet.public, tmp_path / kind), 0
        try:
            while child.exitcode is None or number == 0:
                number += 1
                if kind == "new":
                    client.state = tmp_path / f"new-{number}"
                seen[kind].append(whole(fleet.public, client, tmp_path / f"read-{kind}"))
        except BaseException as exc:
            problems.append(exc)

    child.start()
    readers = [threading.Thread(target=read, args=(kind,)) for kind in seen]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(240)
    child.join(60)
    assert problems == []
    assert child.exitcode == 0
    assert fleet.version() == 51
    for versions in seen.values():
        assert versions == sorted(versions)
        assert len(set(versions)) > 3
