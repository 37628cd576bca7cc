"""Standing orders at a site, with the real client over a real repository: halt, revocation, and who may not give them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import Halt, IntegrityError, LadingError, Orders, RefusedError, Stop, dump
from fleet_manifests.orders import ORDERS_TARGET
from runtimes.sync import load_active, status
from runtimes.sync.orders import ORDERS_FILE, load_orders

pytestmark = pytest.mark.unit

HOUR = timedelta(hours=1)
WORKFLOW = "exception_triage"
PROFILE = "edge-x86-vnni"


def stop(repository: Any, digest: str, reason: str = "wrong labels") -> Orders:
    return Orders(revoked=(Stop(bundle=digest, reason=reason, by="alice", since=repository.expires),))


def halt(repository: Any, *channels: str) -> Orders:
    said = {
        name: Halt(reason="two sites report wrong labels", by="alice", since=repository.expires) for name in channels
    }
    return Orders(halted=said)


def bundle(site: Any) -> str:
    digest: str = site.repository.builds[WORKFLOW, PROFILE].bundle.digest
    return digest


def test_a_revoked_bundle_stops_though_no_manifest_says_so(running: Any) -> None:
    digest = bundle(running)
    running.repository.order(stop(running.repository, digest))
    result = running.sync()
    active = load_active(running.state)
    assert active == result.active
    assert active.workflows == {}
    assert active.skipped == {WORKFLOW: "its bundle was revoked: wrong labels"}
    assert active.stopped[WORKFLOW].bundle == digest


def test_it_stops_before_any_download(running: Any) -> None:
    """The next release cannot be fetched, and the order holds all the same."""
    old = bundle(running)
    running.repository.order(stop(running.repository, old))
    running.repository.add_bundle("two")
    running.repository.release(2)
    for blob in (running.repository.folder / "blobs/sha256").iterdir():
        blob.unlink()
    with pytest.raises(LadingError):
        running.sync()
    active = load_active(running.state)
    assert active is not None and active.workflows == {}


def test_it_stops_where_the_assignment_is_gone(running: Any) -> None:
    running.repository.order(stop(running.repository, bundle(running)))
    for name in running.repository.bins.get_roles():
        running.repository.metadata[name].signed.targets.clear()
    running.repository.publish()
    with pytest.raises(RefusedError, match="nobody who may do so has published sites/store-017.json"):
        running.sync()
    active = load_active(running.state)
    assert active is not None and active.workflows == {}


def test_it_stops_where_the_manifest_has_expired(running: Any) -> None:
    repository = running.repository
    repository.release(2, expires=repository.expires - timedelta(days=20))
    repository.order(stop(repository, bundle(running)))
    with pytest.raises(IntegrityError, match="version 2 expired"):
        running.sync(repository.expires - timedelta(days=10))
    active = load_active(running.state)
    assert active is not None and active.workflows == {}


def test_a_revoked_bundle_is_never_installed(station: Any) -> None:
    station.repository.order(stop(station.repository, bundle(station)))
    active = station.sync().active
    assert active.workflows == {}
    assert active.stopped[WORKFLOW].blobs == ()
    assert active.skipped == {WORKFLOW: "its bundle was revoked: wrong labels"}


def test_a_manifest_that_names_the_build_before_takes_over(running: Any) -> None:
    repository, first = running.repository, running.repository.builds[WORKFLOW, PROFILE]
    repository.add_bundle("two")
    repository.release(2)
    running.sync()
    repository.order(stop(repository, bundle(running)))
    returned = running.sync().active.workflows[WORKFLOW].returned
    assert returned is not None
    assert returned.before.manifest_version == 1
    repository.builds[WORKFLOW, PROFILE] = first
    repository.release(3)
    result = running.sync()
    assert (result.changed, running.content()) == (True, "one")
    assert (result.active.skipped, result.active.stopped, result.active.before) == ({}, {}, {})
    assert result.active.workflows[WORKFLOW].returned is None


def test_a_revocation_is_never_forgotten(running: Any) -> None:
    """Who steals the online key can publish orders without it, and gains nothing at a site that has seen it."""
    repository, digest = running.repository, bundle(running)
    repository.order(stop(repository, digest))
    running.sync()
    repository.order(Orders())
    repository.release(2)
    assert running.sync().active.workflows == {}
    assert set(load_orders(running.state).stops) == {digest}


def test_a_revoked_pack_stops_its_workflow_and_no_other(reading: Any) -> None:
    repository = reading.repository
    pack = next(iter(repository.packs.values())).blob.digest
    repository.order(stop(repository, pack, "wrong torque"))
    active = reading.sync().active
    assert set(active.workflows) == {WORKFLOW}
    assert active.skipped == {"sop_assistant": "its knowledge pack was revoked: wrong torque"}
    assert set(active.stopped) == {"sop_assistant"}


def test_a_halted_channel_installs_nothing_new(running: Any) -> None:
    repository = running.repository
    repository.add_bundle("two")
    repository.release(2)
    repository.order(halt(repository, "stable"))
    result = running.sync()
    assert not result.changed
    assert (result.active.manifest_version, running.content()) == (1, "one")
    said = status(running.state).halted
    assert said is not None
    assert "stable is halted since" in said and "by alice: two sites report wrong labels" in said
    repository.order(Orders())
    assert running.sync().changed
    assert running.content() == "two"
    assert status(running.state).halted is None


def test_a_halted_channel_goes_on_serving_and_is_seen(running: Any) -> None:
    running.repository.order(halt(running.repository, "stable"))
    before = load_active(running.state)
    result = running.sync(before.seen + HOUR)
    assert not result.changed
    assert result.active.seen == before.seen + HOUR
    assert running.content() == "one"


def test_the_halt_of_another_channel_changes_nothing(running: Any) -> None:
    repository = running.repository
    repository.add_bundle("two")
    repository.release(2)
    repository.order(halt(repository, "canary", "candidates"))
    assert running.sync().changed
    assert status(running.state).halted is None


def test_a_new_site_of_a_halted_channel_gets_nothing(station: Any) -> None:
    station.repository.order(halt(station.repository, "stable"))
    with pytest.raises(RefusedError, match="stable is halted since .*; this site has nothing yet"):
        station.sync()
    assert load_active(station.state) is None


def test_a_revocation_is_obeyed_while_the_channel_is_halted(running: Any) -> None:
    repository, digest = running.repository, bundle(running)
    orders = stop(repository, digest).model_copy(update={"halted": halt(repository, "stable").halted})
    repository.add_bundle("two")
    repository.release(2)
    repository.order(orders)
    result = running.sync()
    assert not result.changed
    assert result.active.workflows == {}
    assert (result.active.manifest_version, set(result.active.stopped)) == (1, {WORKFLOW})


def test_a_tree_from_before_there_were_orders(running: Any) -> None:
    del running.repository.metadata["sites"].signed.targets[ORDERS_TARGET]
    running.repository.add_bundle("two")
    running.repository.release(2)
    assert running.sync().changed
    assert (load_orders(running.state).revoked, load_orders(running.state).halted) == ((), {})


@pytest.mark.parametrize("role", ["stable", "candidates", "bin"])
def test_nobody_but_the_role_sites_gives_orders(running: Any, role: str) -> None:
    """The same name in a channel's metadata or in a hash bin is not what a site reads."""
    repository = running.repository
    owner = repository.bins.get_role_for_target(ORDERS_TARGET) if role == "bin" else role
    repository.set_target(owner, ORDERS_TARGET, dump(halt(repository, "stable")))
    repository.add_bundle("two")
    repository.release(2)
    assert running.sync().changed
    assert (load_orders(running.state).revoked, load_orders(running.state).halted) == ((), {})


def test_orders_that_were_altered_on_the_way(running: Any) -> None:
    repository = running.repository
    repository.order(stop(repository, bundle(running)))
    (path,) = [
        one
        for one in (repository.folder / "targets/sites").iterdir()
        if b"revoked" in one.read_bytes() and b"wrong" in one.read_bytes()
    ]
    path.write_bytes(path.read_bytes().replace(b"wrong labels", b"right labels"[:12]))
    with pytest.raises(IntegrityError):
        running.sync()
    assert running.content() == "one"


def test_orders_that_this_version_does_not_understand(running: Any) -> None:
    running.repository.set_target("sites", ORDERS_TARGET, b'{"schema_version":2}')
    running.repository.publish()
    with pytest.raises(IntegrityError, match="_orders.json: schema_version"):
        running.sync()
    assert running.content() == "one"


def test_a_damaged_record_of_orders_is_named(running: Any) -> None:
    (running.state / ORDERS_FILE).write_text("{")
    with pytest.raises(IntegrityError, match="orders.json .remove it, and sync again"):
        running.sync()
    assert status(running.state).problem is not None


def test_status_says_what_stopped(running: Any, tmp_path: Path) -> None:
    running.repository.order(stop(running.repository, bundle(running)))
    running.sync()
    found = status(running.state)
    assert found.active is not None
    assert found.active.skipped == {WORKFLOW: "its bundle was revoked: wrong labels"}
