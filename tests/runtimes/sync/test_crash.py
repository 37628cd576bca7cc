"""Power lost or disk full at every change that an update makes to the disk, one after the other.

An audit hook sees each file-system operation of a forked child before it happens, a profile function each write,
truncation and sync. The child is killed there (no `finally` runs), or the operation fails there with "no space left".
Then the state folder must hold exactly one complete version, and the next sync must bring the new one.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import Orders, PackConfig, Revocation, Stop, StorageError
from runtimes.sync import load_active, pack_folder

pytestmark = pytest.mark.integration

TAKE_SPACE = {"os.mkdir", "os.rename", "os.link", "os.symlink"}
CHANGES = TAKE_SPACE | {"os.remove", "os.rmdir", "os.chmod", "os.truncate"}
WRITES = {"write", "flush", "truncate", "fsync"}
"""Calls that raise no audit event."""


def is_change(event: str, arguments: tuple[Any, ...], state: str, events: set[str]) -> bool:
    """Whether an audit event is a change to the state folder; `rmtree` names files without their folder."""
    if event == "open":
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return bool(writes) and str(path).startswith(state)
    if event not in events:
        return False
    inside_rmtree = event in ("os.remove", "os.rmdir") and arguments[1] != -1
    return inside_rmtree or any(str(argument).startswith(state) for argument in arguments)


def is_write(call: Any, state: str) -> bool:
    """Whether a call of a built-in function writes to a file of the state folder, or makes one durable."""
    if getattr(call, "__name__", "") not in WRITES:
        return False
    owner = getattr(call, "__self__", None)
    if getattr(owner, "__name__", "") == "posix":
        return True
    return str(getattr(owner, "name", "")).startswith(state)


def in_child(
    site: Any,
    trouble: Callable[[], None],
    at: int,
    events: set[str] = CHANGES,
    act: Callable[[], object] | None = None,
) -> int:
    """Sync, or `act`, in a forked child that meets trouble at its change number `at`; its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    count, state = 0, str(site.state)

    def counted() -> None:
        nonlocal count
        count += 1
        if count == at:
            trouble()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if is_change(event, arguments, state, events):
            counted()

    def profile(frame: Any, event: str, call: Any) -> None:
        if event == "c_call" and is_write(call, state):
            counted()

    sys.addaudithook(hook)
    if events is CHANGES:
        sys.setprofile(profile)
    code = 3
    try:
        (act or site.sync)()
        code = 0
    except StorageError:
        code = 1
    finally:
        os._exit(code)
    raise AssertionError


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def no_space() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def contents(site: Any) -> tuple[int, str]:
    """Which version a server would find, and that every file of it is there and whole."""
    active = load_active(site.state)
    folder = site.state / "versions" / active.version / active.workflows["exception_triage"].folder
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "model.onnx", "shared"]
    assert (folder / "shared/base.bin").stat().st_size == len(b"the base never changes" * 1000)
    return active.manifest_version, site.content()


def pack_contents(site: Any) -> tuple[int, str]:
    """The same for a site with a retriever: bundle and pack are there, and the pack is bound to the bundle."""
    active = load_active(site.state)
    entry = active.workflows["sop_assistant"]
    folder = pack_folder(site.state, active, "sop_assistant")
    assert sorted(path.name for path in folder.iterdir()) == [
        "bm25_terms.txt", "embedding_codes.npy", "pack.json", "passages.jsonl",
    ]  # fmt: skip
    assert PackConfig.model_validate_json((folder / "pack.json").read_bytes()).retriever == entry.bundle
    assert contents(site) == (active.manifest_version, "one")
    assert site.content("sop_assistant") == "embeds"
    return active.manifest_version, site.passages()


def tidy(site: Any) -> None:
    """Nothing is left of what was broken off."""
    left = [
        path.name for path in site.state.rglob("*") if path.name.startswith((".tmp", "tmp")) or ".part" in path.name
    ]
    assert left == []
    assert len(list((site.state / "versions").iterdir())) <= 2


@pytest.fixture
def updating(running: Any, tmp_path: Path) -> Any:
    """A site that runs release 1 and is offered release 2; `image` is a copy of its state."""
    running.repository.add_bundle("two")
    running.repository.release(2)
    shutil.copytree(running.state, tmp_path / "image", symlinks=True)
    return running


@pytest.fixture
def revising(reading: Any, tmp_path: Path) -> Any:
    """A site that runs release 2 and is offered release 3, in which only a knowledge pack is new."""
    reading.repository.add_pack("second")
    reading.repository.release(3)
    shutil.copytree(reading.state, tmp_path / "image", symlinks=True)
    return reading


@pytest.fixture
def pruning(running: Any, tmp_path: Path) -> Any:
    """A site that runs release 2 after release 1 and is offered release 3: there is something to remove."""
    for number, content in ((2, "two"), (3, "three")):
        running.repository.add_bundle(content)
        running.repository.release(number)
        if number == 2:
            running.sync()
    shutil.copytree(running.state, tmp_path / "image", symlinks=True)
    return running


def restore(site: Any) -> None:
    shutil.rmtree(site.state)
    shutil.copytree(site.state.parent / "image", site.state, symlinks=True)


def test_killed_at_every_change_of_an_update(updating: Any) -> None:
    found: list[int] = []
    for at in range(1, 1000):
        restore(updating)
        status = in_child(updating, kill, at)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        version, content = contents(updating)
        assert (version, content) in [(1, "one"), (2, "two")]
        found.append(version)
        updating.sync()
        assert contents(updating) == (2, "two")
        tidy(updating)
    assert len(found) > 40
    assert found == sorted(found), "once the new version serves, it stays"
    assert set(found) == {1, 2}


def test_killed_at_every_change_of_an_update_that_prunes(pruning: Any) -> None:
    found: list[int] = []
    for at in range(1, 2000):
        restore(pruning)
        status = in_child(pruning, kill, at)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        version, content = contents(pruning)
        assert (version, content) in [(2, "two"), (3, "three")]
        found.append(version)
        pruning.sync()
        assert contents(pruning) == (3, "three")
        tidy(pruning)
    assert found == sorted(found)
    assert set(found) == {2, 3}


def test_every_kind_of_change_is_among_those_that_are_tried(pruning: Any, tmp_path: Path) -> None:
    """So that no operation of an update is left out above without anybody noticing."""
    seen = tmp_path / "seen.json"

    def record() -> None:
        state, found = str(pruning.state), []

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if is_change(event, arguments, state, CHANGES):
                found.append([event, *map(str, arguments)])

        sys.addaudithook(hook)
        pruning.sync()
        state = "nothing of this any more"
        seen.write_text(json.dumps(found))

    assert in_child(pruning, kill, -1, act=record) == 0
    changes = [" ".join(one) for one in json.loads(seen.read_text())]
    for kind, ending in {
        "a metadata file": "metadata/timestamp.json",
        "a cached document": "metadata/cache/.tmp-",
        "the root link": "metadata/root.json",
        "the floor": "floor.json",
        "the standing orders": "orders.json",
        "a part of a blob": ".part",
        "a version": "versions/000003-stable-3",
        "its record": "active.json",
        "the way back": "/previous",
        "the running version": "/current",
        "the note of the sync": "last_sync.json",
    }.items():
        assert any(ending in one for one in changes), kind
    removed = [one for one in changes if one.startswith(("os.remove", "os.rmdir"))]
    assert any("000001-stable-1" in one for one in removed), "the oldest version"
    assert any("blobs/sha256" in one for one in removed), "its blobs"
    assert any("metadata/cache" in one for one in removed), "its documents"


def test_disk_full_in_the_middle_of_any_write(updating: Any) -> None:
    """No file may grow above a limit, which is moved from nothing to enough: the write that meets it is cut short."""
    failed = 0
    for limit in (*range(0, 4000, 160), *range(4000, 30_000, 2000)):
        restore(updating)

        def limited(limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            updating.sync()

        status = in_child(updating, no_space, -1, TAKE_SPACE, act=limited)
        assert os.WIFEXITED(status)
        assert os.WEXITSTATUS(status) in (0, 1), f"limit {limit}: only StorageError may come out"
        failed += os.WEXITSTATUS(status)
        assert contents(updating) in [(1, "one"), (2, "two")]
        updating.sync()
        assert contents(updating) == (2, "two")
        tidy(updating)
    assert failed > 10


def changes_without_space(scene: Any) -> Iterator[int]:
    """Sync with the disk full at each change in turn, from the same start; after each that fails, which change it was."""
    failed = 0
    for at in range(1, 1000):
        restore(scene)
        status = in_child(scene, no_space, at, TAKE_SPACE)
        assert os.WIFEXITED(status)
        if os.WEXITSTATUS(status) == 0:
            if at > failed + 5:
                return
            continue  # a folder that is there already may be "made" on a full disk
        assert os.WEXITSTATUS(status) == 1, f"change {at}: only StorageError may come out"
        failed = at
        yield at


def test_disk_full_at_every_change_of_an_update(updating: Any) -> None:
    failed = 0
    for at in changes_without_space(updating):
        failed = at
        assert contents(updating) in [(1, "one"), (2, "two")]
        updating.sync()
        assert contents(updating) == (2, "two")
        tidy(updating)
    assert failed > 30


def test_killed_at_every_change_of_a_first_sync(station: Any, tmp_path: Path) -> None:
    shutil.copytree(station.state, tmp_path / "image", symlinks=True)
    for at in range(1, 1000, 3):
        restore(station)
        status = in_child(station, kill, at)
        if os.WIFEXITED(status):
            break
        if load_active(station.state) is not None:
            assert contents(station) == (1, "one")
        station.sync()
        assert contents(station) == (1, "one")
    assert at > 40


def test_killed_at_every_change_of_a_revocation(running: Any, tmp_path: Path) -> None:
    """A revoked bundle that was stopped stays stopped."""
    repository = running.repository
    old = repository.builds["exception_triage", "edge-x86-vnni"].bundle
    repository.builds.clear()
    repository.revocations = [Revocation(bundle=old.digest, reason="wrong")]
    repository.release(2)
    shutil.copytree(running.state, tmp_path / "image", symlinks=True)
    stopped: list[bool] = []
    for at in range(1, 1000, 2):
        restore(running)
        status = in_child(running, kill, at)
        if os.WIFEXITED(status):
            break
        stopped.append("exception_triage" not in load_active(running.state).workflows)
        running.sync()
        assert load_active(running.state).workflows == {}
    assert stopped == sorted(stopped)
    assert set(stopped) == {False, True}


@pytest.fixture
def returning(running: Any, tmp_path: Path) -> Any:
    """A site that runs release 2 after release 1, whose bundle was revoked meanwhile."""
    running.repository.add_bundle("two")
    running.repository.release(2)
    running.sync()
    revoked = running.repository.builds["exception_triage", "edge-x86-vnni"].bundle.digest
    stop = Stop(bundle=revoked, reason="wrong", by="alice", since=running.repository.expires)
    running.repository.order(Orders(revoked=(stop,)))
    shutil.copytree(running.state, tmp_path / "image", symlinks=True)
    return running


def outcome(site: Any) -> str:
    """What a workflow whose bundle was revoked is answered by: `two`, which is revoked, nothing, or `one`."""
    active = load_active(site.state)
    assert active.manifest_version == 2
    if "exception_triage" not in active.workflows:
        assert list(active.stopped) == ["exception_triage"]
        return "nothing"
    assert contents(site)[1] == site.content()
    assert (active.workflows["exception_triage"].returned is not None) == (site.content() == "one")
    return str(site.content())


def test_killed_at_every_change_while_the_build_before_comes_back(returning: Any) -> None:
    found: list[str] = []
    for at in range(1, 1000):
        restore(returning)
        status = in_child(returning, kill, at)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        found.append(outcome(returning))
        returning.sync()
        assert outcome(returning) == "one"
        tidy(returning)
    assert found == sorted(found, key=["two", "nothing", "one"].index), "it never goes back to what was revoked"
    assert set(found) == {"two", "nothing", "one"}


def test_disk_full_at_every_change_while_the_build_before_comes_back(returning: Any) -> None:
    failed = 0
    for at in changes_without_space(returning):
        failed = at
        outcome(returning)
        returning.sync()
        assert outcome(returning) == "one"
        tidy(returning)
    assert failed > 10


def test_killed_at_every_other_change_while_only_a_pack_changes(revising: Any) -> None:
    found: list[int] = []
    for at in range(1, 1000, 2):
        restore(revising)
        status = in_child(revising, kill, at)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        version, content = pack_contents(revising)
        assert (version, content) in [(2, "first"), (3, "second")]
        found.append(version)
        revising.sync()
        assert pack_contents(revising) == (3, "second")
        tidy(revising)
    assert len(found) > 30
    assert found == sorted(found), "once the new pack serves, it stays"
    assert set(found) == {2, 3}


def test_disk_full_at_every_change_while_only_a_pack_changes(revising: Any) -> None:
    failed = 0
    for at in changes_without_space(revising):
        failed = at
        assert pack_contents(revising) in [(2, "first"), (3, "second")]
        revising.sync()
        assert pack_contents(revising) == (3, "second")
        tidy(revising)
    assert failed > 30


def test_killed_at_every_change_of_a_packs_revocation(reading: Any, tmp_path: Path) -> None:
    """A revoked pack that was stopped stays stopped, and the other workflow goes on."""
    repository = reading.repository
    (pack,) = repository.packs.values()
    repository.revocations = [Revocation(bundle=pack.blob.digest, reason="wrong torque")]
    repository.release(3)
    shutil.copytree(reading.state, tmp_path / "image", symlinks=True)
    stopped: list[bool] = []
    for at in range(1, 1000, 2):
        restore(reading)
        status = in_child(reading, kill, at)
        if os.WIFEXITED(status):
            break
        stopped.append("sop_assistant" not in load_active(reading.state).workflows)
        reading.sync()
        assert list(load_active(reading.state).workflows) == ["exception_triage"]
    assert stopped == sorted(stopped)
    assert set(stopped) == {False, True}


def test_killed_at_every_change_of_an_enrolment_with_a_new_key(
    station: Any, site_class_key: Any, tmp_path: Path
) -> None:
    """The old key or the new one, whole, and never readable by others."""
    right, wrong = site_class_key
    key = tmp_path / "key"
    key.write_text(f"{wrong}\n")
    station.enroll(pack_key=key)
    key.write_text(f"{right}\n")
    shutil.copytree(station.state, tmp_path / "image", symlinks=True)
    found: list[str] = []
    for at in range(1, 100):
        restore(station)
        status = in_child(station, kill, at, act=lambda: station.enroll(pack_key=key))
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        found.append((station.state / "pack-key").read_text().strip())
        secret = [path for path in station.state.iterdir() if "pack-key" in path.name]
        assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
        station.sync()
        assert [path.name for path in station.state.glob("*pack-key")] == ["pack-key"]
    assert found.index(str(right)) >= len(found) - 3, "almost the last change is the one that gives the name"
    assert found == sorted(found, key=[str(wrong), str(right)].index)
    assert (station.state / "pack-key").read_text() == f"{right}\n"
