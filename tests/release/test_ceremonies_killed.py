"""A ceremony that is killed before any of its files leaves the state before or the state after, and is ended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import IntegrityError
from release.pending import FOLDER
from release.turns import NAME
from tests.release.ceremonies import Fleet, Site

pytestmark = pytest.mark.integration


def killed_at(at: int, hold: Callable[[], object]) -> None:
    """Hold a ceremony in this process, and die without a word before the n-th file."""
    real, linked, calls = os.replace, os.link, iter(range(1, 1000))

    def dying(act: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any, **kwargs: Any) -> None:
            if next(calls) == at:
                os._exit(9)
            act(*args, **kwargs)

        return call

    os.replace, os.link = dying(real), dying(linked)
    hold()
    os._exit(0)


@pytest.mark.parametrize(
    "names", [("online",), ("root-1", "root-2"), ("targets-1", "targets-2"), ("builder",), ("manager-bob",)], ids=str
)
def test_killed_before_any_file_a_ceremony_leaves_one_state_and_is_ended(
    fleet: Fleet, builder: Any, site: Site, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """After each death the tree is sound for a site; the ceremony is begun again, and an ordinary release follows."""
    more = {"managers": ["alice", "carol"]} if names == ("manager-bob",) else {}
    image, runs = tmp_path / "image", site.runs
    folders = [fleet.public.parent, fleet.store, site.state, *fleet.media]
    for folder in folders:
        shutil.copytree(folder, image / folder.name, symlinks=True)
    for at in range(1, 200):
        child = os.fork()
        if child == 0:
            killed_at(at, lambda: fleet.replace(*names, **more))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            break
        assert code == 9
        site.sync()
        assert site.runs[2] == runs[2]
        fleet.replace(*names, **more)
        assert not [path for folder in (fleet.store, *fleet.media) for path in folder.glob("*.next*")]
        assert fleet.release.repository.adopted
        fleet.release.refresh()
        site.sync()
        assert site.runs[2] == runs[2]
        for folder in folders:
            shutil.rmtree(folder)
            shutil.copytree(image / folder.name, folder, symlinks=True)
    assert at >= 8
    assert code == 0


@pytest.mark.parametrize("names", [("online",), ("targets-2", "targets-3")], ids=str)
def test_killed_while_lost_keys_are_replaced(fleet: Fleet, site: Site, tmp_path: Path, names: tuple[str, ...]) -> None:
    """The keys before cannot sign along: sites may have to wait for the second run, and what they run goes on."""
    for name in names:
        private = next(
            folder / f"{name}.pem" for folder in (fleet.store, *fleet.media) if (folder / f"{name}.pem").exists()
        )
        (fleet.store / f"{name}.pub").write_bytes(fleet.public_half(name))
        private.unlink()
    image, runs = tmp_path / "image", site.runs
    folders = [fleet.public.parent, fleet.store, site.state, *fleet.media]
    for folder in folders:
        shutil.copytree(folder, image / folder.name, symlinks=True)
    waited = 0
    for at in range(1, 200):
        child = os.fork()
        if child == 0:
            killed_at(at, lambda: fleet.replace(*names))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            break
        assert code == 9
        try:
            site.sync()
        except IntegrityError:
            waited += 1
        assert site.runs == runs
        fleet.replace(*names)
        site.sync()
        assert site.runs == runs
        for folder in folders:
            shutil.rmtree(folder)
            shutil.copytree(image / folder.name, folder, symlinks=True)
    assert code == 0
    assert waited == 1, "between the last two files"


@pytest.mark.parametrize(
    "names", [("online",), ("root-1", "root-2"), ("targets-1", "targets-2"), ("builder",)], ids=str
)
def test_killed_before_any_file_the_last_holders_part_leaves_one_state_and_is_ended(
    fleet: Fleet, site: Site, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """A ceremony in turns: the last holder signs and publishes, is killed, and runs the same command again."""
    if names[-1].endswith("-2"):
        fleet.hold(fleet.in_turns(2).successor(names[-1]))
    fleet.hold(fleet.in_turns(1).replace(names, withdraw=False, reason="a test"))
    pending, runs, image = fleet.public.parent / FOLDER / NAME, site.runs, tmp_path / "image"
    folders = [fleet.public.parent, fleet.store, site.state, *fleet.media]
    for folder in folders:
        shutil.copytree(folder, image / folder.name, symlinks=True)
    for at in range(1, 200):
        child = os.fork()
        if child == 0:
            killed_at(at, lambda: fleet.hold(fleet.in_turns(2).sign()))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            break
        assert code == 9
        site.sync()
        assert site.runs[2] == runs[2]
        if pending.exists():
            fleet.hold(fleet.in_turns(2).sign())
        assert not pending.exists()
        assert not [path for folder in (fleet.store, fleet.media[1]) for path in folder.glob("*.next*")]
        assert fleet.release.repository.adopted
        fleet.release.refresh()
        site.sync()
        assert site.runs[2] == runs[2]
        for folder in folders:
            shutil.rmtree(folder)
            shutil.copytree(image / folder.name, folder, symlinks=True)
    assert at >= 8
    assert code == 0
