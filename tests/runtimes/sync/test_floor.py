"""The second copy of the floor: a disk that was restored from an image does not bring back what was left behind."""

from __future__ import annotations

import contextlib
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import Halt, IntegrityError, Orders, Stop, StorageError, UnreachableError, UsageError, digest_of
from runtimes.sync import load_active, status
from runtimes.sync.authority import authority
from runtimes.sync.floor import Floor, ManifestFloor
from runtimes.sync.orders import KeptOrders

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


def revoke(site: Any) -> str:
    """Revoke what the site's manifest names; its digest."""
    digest: str = site.repository.builds["exception_triage", "edge-x86-vnni"].bundle.digest
    stop = Stop(bundle=digest, reason="wrong labels", by="alice", since=site.repository.expires)
    site.repository.order(Orders(revoked=(stop,)))
    return digest


def restored(site: Any, image: Path) -> None:
    shutil.rmtree(site.state)
    shutil.copytree(image, site.state, symlinks=True)


def test_restored_image_of_before_a_revocation(guarded: Any, tmp_path: Path) -> None:
    """What was revoked stops before anything is asked, so also where the line is gone, and where an old tree is offered."""
    image = shutil.copytree(guarded.state, tmp_path / "image", symlinks=True)
    old = shutil.copytree(guarded.repository.folder, tmp_path / "old")
    digest = revoke(guarded)
    guarded.sync()
    for source in (tmp_path / "nothing here", old):
        restored(guarded, image)
        assert set(load_active(guarded.state).workflows) == {"exception_triage"}
        with contextlib.suppress(UnreachableError):
            guarded.sync(source=str(source))
        active = load_active(guarded.state)
        assert (active.workflows, active.stopped["exception_triage"].bundle) == ({}, digest)
    guarded.sync()
    assert load_active(guarded.state).workflows == {}


def test_restored_image_of_before_the_build_before_came_back(guarded: Any, tmp_path: Path) -> None:
    guarded.repository.add_bundle("two")
    guarded.repository.release(2)
    guarded.sync()
    image = shutil.copytree(guarded.state, tmp_path / "image", symlinks=True)
    revoke(guarded)
    guarded.sync()
    restored(guarded, image)
    assert guarded.content() == "two"
    guarded.sync()
    assert guarded.content() == "one"


def test_restored_image_with_a_tree_of_before_a_halt(guarded: Any, tmp_path: Path) -> None:
    """The release that a halt kept away is not installed by way of an image and of metadata that has not expired."""
    image = shutil.copytree(guarded.state, tmp_path / "image", symlinks=True)
    guarded.repository.add_bundle("two")
    guarded.repository.release(2)
    old = shutil.copytree(guarded.repository.folder, tmp_path / "old")
    halt = Halt(reason="two sites report", by="alice", since=guarded.repository.expires)
    guarded.repository.order(Orders(halted={"stable": halt}))
    assert guarded.sync().halted is not None
    restored(guarded, image)
    assert guarded.sync(source=str(old)).halted is not None
    assert status(guarded.state).halted is not None
    assert guarded.content() == "one"


def test_a_new_enrolment_after_a_new_disk_remembers_what_was_revoked(guarded: Any, tmp_path: Path) -> None:
    digest = revoke(guarded)
    guarded.sync()
    shutil.rmtree(guarded.state)
    guarded.enroll(floor=tmp_path / "persist")
    guarded.repository.order(Orders())
    active = guarded.sync().active
    assert (active.workflows, active.stopped["exception_triage"].bundle) == ({}, digest)


def test_a_second_copy_of_the_orders_that_is_damaged_is_said(guarded: Any) -> None:
    (path,) = (guarded.state.parent / "persist").glob("orders-store-017-*.json")
    path.write_bytes(b"{")
    with pytest.raises(IntegrityError, match="orders-store-017"):
        guarded.sync()


def test_the_second_copy_of_the_orders_is_written_first(guarded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full between the two leaves the copy that no image brings back."""
    from runtimes.sync import orders

    digest, real = revoke(guarded), orders.write_file

    def full(path: Path, raw: bytes) -> None:
        if path.parent == guarded.state:
            raise OSError(28, "No space left on device", str(path))
        real(path, raw)

    monkeypatch.setattr(orders, "write_file", full)
    with pytest.raises(StorageError):
        guarded.sync()
    (path,) = (guarded.state.parent / "persist").glob("orders-store-017-*.json")
    assert digest in path.read_text()


def test_of_two_copies_of_orders_no_revocation_is_lost() -> None:
    when = datetime(2027, 1, 1, tzinfo=UTC)
    one, two = (Stop(bundle=digest_of(b"%d" % number), reason="r", by="a", since=when) for number in (1, 2))
    old, new = (authority(1, number, [f"key {number}"]) for number in (1, 2))
    halted = {"stable": Halt(reason="r", by="a", since=when)}
    early, late = (
        KeptOrders(revoked=(one,), by=old, version=3),
        KeptOrders(halted=halted, revoked=(two,), by=old, version=4),
    )
    assert early.joined(late) == late.joined(early) == late.model_copy(update={"revoked": (two, one)})
    after = KeptOrders(by=new, version=1)
    assert early.joined(after) == after.joined(early) == after, "said under keys that were replaced since"
    assert KeptOrders().joined(early) == early.joined(KeptOrders()) == early


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
