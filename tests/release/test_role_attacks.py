"""Attacks on roles, thresholds, delegations and rotation, each on a site with the real client; it keeps what runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, MetaFile

from fleet_manifests import IntegrityError, RefusedError, dump
from release import Policy
from release.keys import ROOT_KEYS, TARGETS_KEYS
from tests.release.ceremonies import HUGE, Fleet, Site, Thief

pytestmark = pytest.mark.unit


@pytest.fixture
def victim(site: Site) -> Iterator[Site]:
    """A site that runs stable; after the attack it still runs the very same."""
    before = site.runs
    yield site
    assert site.runs == before


@pytest.fixture
def thief(fleet: Fleet, victim: Site, tmp_path: Path) -> Thief:
    """Has the online key and serves a copy of the tree: every attack below needs at least that."""
    return Thief(fleet.public, tmp_path / "evil", online=fleet.stolen("online"))


def evil(fleet: Fleet, channel: str = "stable") -> bytes:
    """Another manifest of a channel."""
    return dump(fleet.release.manifest(channel).model_copy(update={"version": HUGE, "max_offline_hours": 1}))


def keys(fleet: Fleet, *names: str) -> list[Signer]:
    return [fleet.stolen(name) for name in names]


# threshold minus one


def test_root_with_one_signature(fleet: Fleet, victim: Site, thief: Thief) -> None:
    thief.sign("root", thief.document("root"), 2, *keys(fleet, "root-1"))
    with pytest.raises(IntegrityError, match="root was signed by 1/2 keys"):
        victim.sync(source=thief.public)


def test_root_that_lowers_its_own_threshold(fleet: Fleet, victim: Site, thief: Thief) -> None:
    document = thief.document("root")
    document.signed.roles["root"].threshold = 1
    thief.sign("root", document, 2, *keys(fleet, "root-1"))
    with pytest.raises(IntegrityError, match="root was signed by 1/2 keys"):
        victim.sync(source=thief.public)


def test_targets_with_one_signature(fleet: Fleet, victim: Site, thief: Thief) -> None:
    raw = thief.sign("targets", thief.document("targets"), 2, *keys(fleet, "targets-2"))
    thief.announce(("targets", raw, 2))
    with pytest.raises(IntegrityError, match="targets was signed by 1/2 keys"):
        victim.sync(source=thief.public)


def test_targets_that_root_keys_signed(fleet: Fleet, victim: Site, thief: Thief) -> None:
    raw = thief.sign("targets", thief.document("targets"), 2, *keys(fleet, *ROOT_KEYS))
    thief.announce(("targets", raw, 2))
    with pytest.raises(IntegrityError, match="targets was signed by 0/2 keys"):
        victim.sync(source=thief.public)


def test_stable_with_one_manager_and_the_builder(fleet: Fleet, victim: Site, thief: Thief) -> None:
    thief.publish("stable", evil(fleet), *keys(fleet, "manager-alice", "builder"))
    with pytest.raises(IntegrityError, match="stable was signed by 1/2 keys"):
        victim.sync(source=thief.public)


# the same person twice


@pytest.mark.parametrize("alias", [False, True], ids=["the same key id", "another key id"])
def test_one_manager_signs_twice(fleet: Fleet, victim: Site, thief: Thief, alias: bool) -> None:
    document = thief.document("stable")
    thief.target(document, "stable/manifest.json", evil(fleet))
    said = json.loads(thief.sign("stable", document, HUGE, *keys(fleet, "manager-alice")))
    again = dict(said["signatures"][0])
    if alias:
        again["keyid"] = fleet.keys["manager-bob"].public.keyid
    said["signatures"].append(again)
    raw = json.dumps(said).encode()
    (thief.public / "metadata" / f"{HUGE}.stable.json").write_bytes(raw)
    thief.announce(("stable", raw, HUGE))
    with pytest.raises(IntegrityError, match="1/2 keys" if alias else "Multiple signatures found"):
        victim.sync(source=thief.public)


def test_one_person_as_two_managers(fleet: Fleet) -> None:
    fleet.policy = Policy(managers=("alice", "bob", "mallory"))
    shutil.copy(fleet.store / "manager-alice.pem", fleet.store / "manager-mallory.pem")
    with pytest.raises(RefusedError, match="manager-alice and manager-mallory are the same key"):
        fleet.ceremonies().adopt(reason="a test").run()


def test_one_key_for_two_root_seats(fleet: Fleet) -> None:
    shutil.copy(fleet.media[0] / "root-1.pem", fleet.media[1] / "root-2.next.pem")
    with pytest.raises(RefusedError, match="are the same key"):
        fleet.replace("root-2")


# delegation escape


@pytest.mark.parametrize("channel", ["canary", "candidates"])
def test_the_builder_publishes_for_stable(fleet: Fleet, victim: Site, thief: Thief, channel: str) -> None:
    """In a role of its own the builder names a stable manifest: nobody looks for it there."""
    document = thief.document(channel)
    thief.target(document, "stable/manifest.json", evil(fleet))
    thief.announce((channel, thief.sign(channel, document, HUGE, *keys(fleet, "builder")), HUGE))
    assert not victim.sync(source=thief.public).changed


def test_the_builder_publishes_a_key_to_trust(fleet: Fleet, victim: Site, thief: Thief, tmp_path: Path) -> None:
    document = thief.document("canary")
    thief.target(document, "trust/builder.pub", b"another key")
    thief.announce(("canary", thief.sign("canary", document, HUGE, *keys(fleet, "builder")), HUGE))
    fresh = Site(tmp_path / "fresh", fleet.public, victim.clock).enroll()
    assert fresh.sync(source=thief.public).changed, "the key that targets names is the one that counts"


def test_a_bin_names_a_site_that_is_not_its_own(
    fleet: Fleet, builder: Any, victim: Site, thief: Thief, tmp_path: Path
) -> None:
    """One online key signs all bins; were it not so, a bin could still speak for its own sites only."""
    bins = thief.document("sites").signed.delegations.succinct_roles
    own = bins.get_role_for_target("sites/s1.json")
    other = next(role for role in bins.get_roles() if role != own)
    document = thief.document(other)
    forged = builder.assignment("s1", channel="canary", version=HUGE)
    thief.target(document, "sites/s1.json", dump(forged))
    thief.announce((other, thief.sign(other, document, HUGE, thief.keys["online"]), HUGE))
    assert not victim.sync(source=thief.public).changed


def test_another_role_of_the_thiefs_own(fleet: Fleet, victim: Site, thief: Thief) -> None:
    """A role that nobody delegates to may be in a snapshot; it is never asked."""
    document = thief.document("stable")
    thief.target(document, "stable/manifest.json", evil(fleet))
    raw = thief.sign("mine", document, HUGE, thief.keys["online"])
    thief.announce(("mine", raw, HUGE))
    assert not victim.sync(source=thief.public).changed


# keys that were removed


@pytest.mark.parametrize(
    ("names", "role", "managers"),
    [
        (("builder",), "canary", ()),
        (("manager-alice", "manager-bob"), "stable", ("alice", "bob")),
        (TARGETS_KEYS, "targets", ()),
        (("online",), "sites", ()),
    ],
    ids=lambda value: str(value),
)
def test_a_key_that_was_replaced_signs_its_role(
    fleet: Fleet, site: Site, tmp_path: Path, names: tuple[str, ...], role: str, managers: tuple[str, ...]
) -> None:
    stolen = keys(fleet, *names)
    fleet.replace(*names, managers=managers)
    site.sync()
    late = Thief(fleet.public, tmp_path / "late", online=fleet.stolen("online"))
    raw = late.sign(role, late.document(role), HUGE, *stolen)
    late.announce((role, raw, HUGE))
    if role == "canary":
        site = Site(tmp_path / "tester", fleet.public, site.clock, name="s2").enroll()
    with pytest.raises(IntegrityError, match=f"{role} was signed by 0/"):
        site.sync(source=late.public)


def test_targets_of_before_a_key_was_removed(fleet: Fleet, site: Site, tmp_path: Path) -> None:
    """The thief of the new online key serves the targets that still name the old builder's key."""
    old = Thief(fleet.public, tmp_path / "old").document("targets")
    fleet.replace("builder")
    site.sync()
    late = Thief(fleet.public, tmp_path / "late", online=fleet.stolen("online"))
    raw = (late.public / "metadata" / f"{old.signed.version}.targets.json").read_bytes()
    late.announce(("targets", raw, old.signed.version))
    with pytest.raises(IntegrityError, match="older metadata than this site has seen"):
        site.sync(source=late.public)


# rotation


def test_a_root_that_skips_a_version(fleet: Fleet, victim: Site, thief: Thief) -> None:
    """3.root.json without a second is never asked for; under the name of the second it is refused."""
    document = thief.document("root")
    raw = thief.sign("root", document, 3, *keys(fleet, *ROOT_KEYS))
    assert not victim.sync(source=thief.public).changed
    (thief.public / "metadata" / "2.root.json").write_bytes(raw)
    with pytest.raises(IntegrityError, match="Expected root version 2 instead got version 3"):
        victim.sync(source=thief.public)


def test_rollback_to_the_root_before(fleet: Fleet, site: Site, tmp_path: Path) -> None:
    before = Thief(fleet.public, tmp_path / "before", online=fleet.stolen("online"))
    fleet.replace("online")
    site.sync()
    before.announce()
    with pytest.raises(IntegrityError, match="timestamp was signed by 0/1 keys"):
        site.sync(source=before.public)


def test_two_roots_of_one_version(fleet: Fleet, site: Site, tmp_path: Path) -> None:
    """Two root keys stolen: who saw the honest second root does not follow the other one."""
    stolen = keys(fleet, "root-1", "root-2")
    fork = Thief(fleet.public, tmp_path / "fork", online=fleet.stolen("online"))
    fleet.replace(*ROOT_KEYS)
    site.sync()
    fork.sign("root", fork.document("root"), 2, *stolen)
    fork.sign("root", fork.document("root"), 3, *stolen)
    with pytest.raises(IntegrityError, match="root was signed by 0/2 keys"):
        site.sync(source=fork.public)


# fast-forward


def test_fast_forward_of_roles_whose_keys_the_thief_lacks(
    fleet: Fleet, builder: Any, victim: Site, thief: Thief
) -> None:
    """A snapshot names versions that nobody signed: the site waits, and follows once the online key is another."""
    snapshot = thief.document("snapshot")
    for name in ("targets", "stable", "canary"):
        snapshot.signed.meta[f"{name}.json"] = MetaFile(HUGE)
    raw = thief.sign("snapshot", snapshot, HUGE, thief.keys["online"])
    timestamp = thief.document("timestamp")
    timestamp.signed.snapshot_meta = MetaFile.from_data(HUGE, raw, ["sha256"])
    thief.sign("timestamp", timestamp, HUGE, thief.keys["online"])
    with pytest.raises(Exception, match=f"{HUGE}.targets.json|{HUGE}"):
        victim.sync(source=thief.public)
    with pytest.raises(IntegrityError, match="older metadata than this site has seen"):
        victim.sync()
    fleet.replace("online")
    assert not victim.sync().changed


def test_freeze_at_the_moment_of_the_theft_ends_with_the_timestamp(
    fleet: Fleet, site: Site, thief: Thief, clock: Any
) -> None:
    """Without the online key an old tree holds sites back until its timestamp expires, and no longer."""
    still = Thief(fleet.public, thief.public.parent / "still")
    expires = still.document("snapshot").signed.expires
    clock.moment = expires
    with pytest.raises(IntegrityError, match="expired"):
        site.sync(source=still.public)
    assert isinstance(still.document("timestamp"), Metadata)
