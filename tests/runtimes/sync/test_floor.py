"""The second copy of the floor: a disk that was restored from an image does not bring back what was left behind."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import IntegrityError, StorageError, UsageError, digest_of
from runtimes.sync.floor import Floor, ManifestFloor

pytestmark = pytest.mark.unit
ONE, TWO = (ManifestFloor(version=number, digest=digest_of(b"%d" % number)) for number in (1, 2))


@pytest.fixture
def guarded(station: Any, tmp_path: Path) -> Any:
    """A site with a second copy of its floor."""
    shutil.rmtree(station.state)
    station.enroll(floor=tmp_path / "persist")
    station.sync()
    return station


def second(site: Any) -> Path:
    (found,) = (site.state.parent / "persist").glob("floor-store-017-*.json")
    return found


def test_restored_image(guarded: Any, tmp_path: Path) -> None:
    """All of the state comes back, floor and metadata too, and an old tree with it, unexpired."""
    image = shutil.copytree(guarded.state, tmp_path / "image", symlinks=True)
    old = shutil.copytree(guarded.repository.folder, tmp_path / "old")
    guarded.repository.add_bundle("two")
    guarded.repository.release(2)
    guarded.sync()
    shutil.rmtree(guarded.state)
    shutil.copytree(image, guarded.state, symlinks=True)
    with pytest.raises(IntegrityError, match="version 1 is offered, this site has accepted 2"):
        guarded.sync(source=str(old))
    assert guarded.sync().changed
    assert guarded.content() == "two"


def test_clock_set_back_with_the_restored_image(guarded: Any, tmp_path: Path) -> None:
    now = datetime(2027, 1, 4, 8, tzinfo=UTC)
    image = shutil.copytree(guarded.state, tmp_path / "image", symlinks=True)
    guarded.sync(now=now + timedelta(days=9))
    shutil.rmtree(guarded.state)
    shutil.copytree(image, guarded.state, symlinks=True)
    with pytest.raises(IntegrityError, match="but it was already 2027-01-13"):
        guarded.sync(now=now + timedelta(days=1))


def test_a_new_enrolment_after_a_new_disk_goes_on_above_it(guarded: Any, tmp_path: Path) -> None:
    old = shutil.copytree(guarded.repository.folder, tmp_path / "old")
    guarded.repository.add_bundle("two")
    guarded.repository.release(2)
    guarded.sync()
    shutil.rmtree(guarded.state)
    guarded.enroll(floor=tmp_path / "persist")
    with pytest.raises(IntegrityError, match="this site has accepted 2"):
        guarded.sync(source=str(old))


def test_a_second_copy_that_is_gone_is_said(guarded: Any) -> None:
    """A disk that is not mounted must not look like one that knows nothing."""
    second(guarded).unlink()
    with pytest.raises(IntegrityError, match="mount its disk"):
        guarded.sync()
    assert guarded.content() == "one"


def test_a_second_copy_that_is_damaged_is_said(guarded: Any) -> None:
    second(guarded).write_bytes(b'{"assignment": -1}')
    with pytest.raises(IntegrityError, match=r"floor-store-017-.*\.json: assignment"):
        guarded.sync()


def test_a_second_copy_that_cannot_be_written_stops_before_anything_is_accepted(
    guarded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    guarded.repository.add_bundle("two")
    guarded.repository.release(2)
    real, persist = os.replace, str(second(guarded).parent)

    def read_only(source: Any, target: Any, **more: Any) -> None:
        if str(target).startswith(persist):
            raise OSError(30, "Read-only file system", str(target))
        real(source, target, **more)

    monkeypatch.setattr(os, "replace", read_only)
    with pytest.raises(StorageError, match="Read-only file system"):
        guarded.sync()
    assert guarded.content() == "one"
    assert json.loads((guarded.state / "floor.json").read_text())["manifests"]["stable"]["version"] == 1


def test_the_second_copy_is_never_the_lower_one(guarded: Any) -> None:
    assert second(guarded).read_bytes() == (guarded.state / "floor.json").read_bytes()


def test_it_has_to_lie_outside(station: Any) -> None:
    shutil.rmtree(station.state)
    with pytest.raises(UsageError, match="a folder outside the state folder"):
        station.enroll(floor=station.state / "floor")


def test_two_floors_are_the_higher_of_each_number() -> None:
    early, late = datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)
    one = Floor(seen=late, assignment=1, manifests={"stable": ONE, "canary": TWO})
    other = Floor(seen=early, assignment=3, manifests={"stable": TWO})
    joined = Floor(seen=late, assignment=3, manifests={"stable": TWO, "canary": TWO})
    assert one.joined(other) == other.joined(one) == joined
    assert Floor().joined(Floor()) == Floor()
