"""Key ceremonies from their start to a site that works, with the thief's view where a key leaked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from fleet_manifests import IntegrityError, Orders, RefusedError, UsageError, digest_of, dump
from fleet_manifests.orders import ORDERS_TARGET, Halt, Stop
from release import Keys, Policy, Release
from release.keys import ROOT_KEYS, TARGETS_KEYS
from runtimes.sync import load_active
from runtimes.sync.orders import load_orders
from tests.release.ceremonies import HUGE, Fleet, Site, Thief

pytestmark = pytest.mark.unit
Files = Callable[[Path], dict[str, str]]


@pytest.fixture
def tester(fleet: Fleet, site: Site, tmp_path: Path, clock: Any) -> Site:
    """A site of the same fleet that follows canary."""
    made = Site(tmp_path / "tester", fleet.public, clock, name="s2").enroll()
    assert made.sync().changed
    return made


def releases(fleet: Fleet, builder: Any, content: str) -> str:
    """An ordinary release with the keys of every day; returns the bundle's digest."""
    builder.keys, builder.taken = fleet.keys, fleet.clock()
    candidate, workflows = builder.candidate(content=content), {"triage": builder.entry()}
    fleet.release.promote("canary", [candidate], workflows)
    fleet.release.promote("stable", [candidate], workflows, managers=["alice", "bob"])
    fleet.release.refresh()
    digest: str = builder.digest(candidate)
    return digest


# the first root


def test_the_first_root_leaves_no_offline_key_where_releases_are_made(fleet: Fleet) -> None:
    assert [sorted(path.stem for path in medium.glob("*.pem")) for medium in fleet.media] == [
        [f"root-{number}", f"targets-{number}"] for number in (1, 2, 3)
    ]
    private = {path.stem for path in fleet.store.glob("*.pem")}
    assert private.isdisjoint((*ROOT_KEYS, *TARGETS_KEYS))
    assert all(fleet.keys.knows(name) and name not in fleet.keys for name in (*ROOT_KEYS, *TARGETS_KEYS))


def test_releases_day_by_day_need_no_offline_key(fleet: Fleet, builder: Any, site: Site, clock: Any) -> None:
    for medium in fleet.media:
        shutil.rmtree(medium)
    for day in range(3):
        clock.forward(days=20)
        digest = releases(fleet, builder, f"day {day}")
        assert fleet.release.init() is False
        assert site.sync().changed
        assert site.runs[2] == digest


def test_the_first_root_is_made_once(fleet: Fleet) -> None:
    with pytest.raises(UsageError, match="holds a repository already"):
        fleet.ceremonies().init()


def test_a_lost_tree_is_made_anew_and_enrolled_sites_follow(fleet: Fleet, builder: Any, site: Site) -> None:
    shutil.rmtree(fleet.public)
    fleet.hold(fleet.ceremonies().init(reason="the server burned"))
    fleet.release.assign([builder.assignment("s1")])
    digest = releases(fleet, builder, "after the fire")
    assert site.sync().changed
    assert site.runs[2] == digest


def test_a_medium_that_others_may_read_is_refused(fleet: Fleet) -> None:
    fleet.media[1].chmod(0o755)
    with pytest.raises(UsageError, match="others may touch it"):
        fleet.ceremonies()


# rotation, and lost keys


@pytest.mark.parametrize("names", [ROOT_KEYS, ("root-2",), TARGETS_KEYS, ("targets-1", "targets-3")])
def test_rotation_of_offline_keys(fleet: Fleet, builder: Any, site: Site, names: tuple[str, ...]) -> None:
    before = {name: fleet.keys[name].public.keyid for name in names}
    told = fleet.replace(*names)
    assert all(any(name in line for line in told) for name in names)
    after = {name: fleet.keys[name].public.keyid for name in names}
    assert set(before.values()).isdisjoint(after.values())
    root = fleet.release.repository.state().root.signed
    assert set(after.values()) <= set(root.keys)
    assert set(before.values()).isdisjoint(root.keys)
    digest = releases(fleet, builder, "after")
    assert site.sync().changed
    assert site.runs[2] == digest


def test_every_offline_key_may_be_replaced_one_after_the_other(fleet: Fleet, builder: Any, site: Site) -> None:
    for name in (*ROOT_KEYS, *TARGETS_KEYS, *ROOT_KEYS):
        fleet.replace(name)
    assert fleet.release.repository.state().root.signed.version == 10
    digest = releases(fleet, builder, "after")
    assert site.sync().changed, "the site has the first root only"
    assert site.runs[2] == digest


def test_a_root_by_the_keys_before_is_refused(fleet: Fleet, site: Site, tmp_path: Path) -> None:
    stolen = [fleet.stolen(name) for name in ROOT_KEYS]
    fleet.replace(*ROOT_KEYS)
    thief = Thief(fleet.public, tmp_path / "evil")
    thief.sign("root", thief.document("root"), 3, *stolen)
    with pytest.raises(IntegrityError, match="root was signed by 0/2 keys"):
        site.sync(source=thief.public)


def test_one_lost_root_key_is_replaced_by_the_two_others(fleet: Fleet, builder: Any, site: Site) -> None:
    shutil.rmtree(fleet.media[2])
    fleet.replace("root-3", "targets-3")
    shutil.rmtree(fleet.media[0])
    fleet.replace("root-1", media=fleet.media)  # the new third key counts like the one before
    digest = releases(fleet, builder, "after")
    assert site.sync().changed
    assert site.runs[2] == digest


def test_one_lost_root_key_of_which_no_public_half_is_known(release: Release, policy: Policy, clock: Any) -> None:
    """A key store made without a ceremony keeps all in one folder, and no public half apart."""
    fleet = Fleet(release.keys.folder.parent, policy, clock)
    (fleet.store / "root-2.pem").unlink()
    fleet.replace("root-2", media=[])
    assert fleet.release.repository.adopted
    (fleet.store / "root-1.pem").unlink()
    fleet.replace("root-1", media=[])
    assert fleet.release.repository.state().root.signed.version == 3


def test_two_lost_root_keys_end_the_trust(fleet: Fleet, builder: Any, site: Site, files_of: Files) -> None:
    before = files_of(fleet.folder / "project"), files_of(fleet.store)
    only = fleet.media[:1]
    for names in (("root-2", "root-3"), ("online",), ("targets-1",)):
        with pytest.raises(
            RefusedError, match="2 of root-1, root-2, root-3, and 1 of them is at hand.*enrol every site"
        ):
            fleet.replace(*names, media=only)
    with pytest.raises(RefusedError, match="role root is signed by 2"):
        fleet.ceremonies(only).renew()
    assert (files_of(fleet.folder / "project"), files_of(fleet.store)) == before
    for medium in fleet.media:
        shutil.rmtree(medium)
    digest = releases(fleet, builder, "while it lasts")
    assert site.sync().changed
    assert site.runs[2] == digest


def test_two_lost_targets_keys_are_replaced_by_the_root(fleet: Fleet, builder: Any, site: Site) -> None:
    for medium in fleet.media[1:]:
        (medium / f"targets-{medium.name[-1]}.pem").unlink()
    with pytest.raises(RefusedError, match="role targets is signed by 2.*rotate-targets"):
        fleet.replace("builder")
    fleet.replace("targets-2", "targets-3")
    fleet.replace("builder")
    digest = releases(fleet, builder, "after")
    assert site.sync().changed
    assert site.runs[2] == digest


def test_a_lost_online_key_is_replaced(fleet: Fleet, builder: Any, site: Site) -> None:
    (fleet.store / "online.pub").write_bytes(fleet.keys["online"].public_pem)
    (fleet.store / "online.pem").unlink()
    fleet.replace("online")
    assert "online" in fleet.keys
    digest = releases(fleet, builder, "after")
    assert site.sync().changed
    assert site.runs[2] == digest


# a leaked online key


@pytest.fixture
def online_thief(fleet: Fleet, site: Site, tmp_path: Path) -> Thief:
    """Has the online key, and serves a copy of the tree."""
    return Thief(fleet.public, tmp_path / "evil", online=fleet.stolen("online"))


def test_the_thief_of_the_online_key_assigns_what_is_approved_and_no_more(
    fleet: Fleet, builder: Any, site: Site, online_thief: Thief
) -> None:
    online_thief.assign(builder.assignment("s1", channel="canary", version=HUGE))
    assert site.sync(source=online_thief.public).changed
    assert site.runs[0] == "canary", "another channel, signed by the builder"
    raw = dump(fleet.release.manifest("stable").model_copy(update={"version": HUGE}))
    online_thief.publish("stable", raw, online_thief.keys["online"], version=HUGE + 1)
    online_thief.assign(builder.assignment("s1", version=HUGE), version=HUGE + 2)
    with pytest.raises(IntegrityError, match="stable was signed by 0/2 keys"):
        site.sync(source=online_thief.public)


def test_a_leaked_online_key_is_replaced_and_the_thief_refused(
    fleet: Fleet, builder: Any, site: Site, online_thief: Thief, tmp_path: Path, clock: Any
) -> None:
    fleet.replace("online")
    digest = releases(fleet, builder, "after")
    assert site.sync().changed
    assert site.runs[2] == digest
    online_thief.assign(builder.assignment("s1", channel="canary", version=HUGE))
    for number in (2,):  # the thief serves the new root too
        shutil.copy(fleet.public / "metadata" / f"{number}.root.json", online_thief.public / "metadata")
    with pytest.raises(IntegrityError, match="timestamp was signed by 0/1 keys"):
        site.sync(source=online_thief.public)
    fresh = Site(tmp_path / "fresh", fleet.public, clock).enroll()
    with pytest.raises(IntegrityError, match="timestamp was signed by 0/1 keys"):
        fresh.sync(source=online_thief.public)
    assert site.runs[2] == digest


def test_a_site_that_had_believed_the_thief_follows_again(
    fleet: Fleet, builder: Any, site: Site, online_thief: Thief
) -> None:
    """Fast-forward: every version that the online key gives is at its highest, ours of the assignment included."""
    online_thief.assign(builder.assignment("s1", channel="canary", version=HUGE))
    site.sync(source=online_thief.public)
    releases(fleet, builder, "unseen")
    with pytest.raises(IntegrityError, match="older metadata than this site has seen"):
        site.sync()
    fleet.replace("online")
    assert site.sync().changed
    assert site.runs[0] == "stable"
    digest = releases(fleet, builder, "after")
    assert site.sync().changed
    assert site.runs[2] == digest


def test_what_the_thief_revoked_and_halted_runs_again(
    fleet: Fleet, site: Site, online_thief: Thief, clock: Any
) -> None:
    """A revocation is never forgotten, unless the key that gave it is replaced; what stands is said by the new one."""
    channel, version, bundle = site.runs
    stop = Stop(bundle=bundle, reason="a thief says so", by="alice", since=clock())
    honest = Stop(bundle=digest_of(b"bad"), reason="it was bad", by="bob", since=clock())
    with fleet.release.repository.edit() as edit:
        edit.target(ORDERS_TARGET, dump(Orders(revoked=(honest,))))
    halt = Halt(reason="a thief says so", by="alice", since=clock())
    online_thief.order(Orders(revoked=(stop,), halted={"stable": halt}))
    site.sync(source=online_thief.public)
    assert not load_active(site.state).workflows
    fleet.replace("online")
    assert site.sync().changed
    assert site.runs == (channel, version, bundle)
    assert set(load_orders(site.state).stops) == {honest.bundle}


def test_an_old_medium_does_not_undo_the_floor_of_a_site_that_lost_its_metadata(
    fleet: Fleet, builder: Any, site: Site, tmp_path: Path
) -> None:
    """The floor falls for later keys only: an old tree names other keys too, but earlier ones."""
    stick = Path(shutil.copytree(fleet.public, tmp_path / "stick"))
    fleet.release.assign([builder.assignment("s1", central="https://new.example")])
    fleet.replace("online")
    fleet.release.assign([builder.assignment("s1", central="https://newer.example")])
    site.sync()
    shutil.rmtree(site.state / "metadata")
    with pytest.raises(IntegrityError, match="versions only rise"):
        site.sync(source=stick)
    assert not site.sync().changed


def test_the_publisher_does_not_build_on_what_the_thief_published(
    fleet: Fleet, builder: Any, site: Site, online_thief: Thief
) -> None:
    online_thief.assign(builder.assignment("s1", channel="canary", version=HUGE))
    shutil.rmtree(fleet.public)
    shutil.copytree(online_thief.public, fleet.public)
    with pytest.raises(IntegrityError, match="holds a release that this key store did not note"):
        fleet.replace("online")
    shutil.rmtree(fleet.public)
    fleet.hold(fleet.ceremonies().init(reason="a thief wrote into the tree"))
    fleet.replace("online")
    fleet.release.assign([builder.assignment("s1")])
    digest = releases(fleet, builder, "after")
    assert site.sync().changed
    assert site.runs[2] == digest


def test_another_release_under_the_number_of_ours_is_seen(
    fleet: Fleet, builder: Any, site: Site, online_thief: Thief
) -> None:
    number = fleet.version("timestamp")
    online_thief.assign(builder.assignment("s1", channel="canary", version=HUGE), version=number)
    shutil.rmtree(fleet.public)
    shutil.copytree(online_thief.public, fleet.public)
    with pytest.raises(IntegrityError, match="somebody else signs with the online key"):
        fleet.release.status()


# a leaked builder's key


@pytest.fixture
def both_keys(fleet: Fleet, tester: Site, tmp_path: Path) -> Thief:
    """Has the builder's and the online key, and serves a copy of the tree."""
    return Thief(fleet.public, tmp_path / "evil", online=fleet.stolen("online"), builder=fleet.stolen("builder"))


def test_the_thief_of_the_builders_key_alone_changes_nothing(
    fleet: Fleet, builder: Any, tester: Site, tmp_path: Path
) -> None:
    thief = Thief(fleet.public, tmp_path / "evil", builder=fleet.stolen("builder"))
    document = thief.document("canary")
    version = document.signed.version
    raw = dump(fleet.release.manifest("canary").model_copy(update={"max_offline_hours": 1}))
    thief.target(document, "canary/manifest.json", raw)
    thief.sign("canary", document, version, thief.keys["builder"])
    shutil.rmtree(tester.state / "metadata")
    with pytest.raises(IntegrityError, match="metadata does not verify|exceeding the maximum"):
        tester.sync(source=thief.public)
    shutil.copy(thief.public / "metadata" / f"{version}.canary.json", fleet.public / "metadata")
    with pytest.raises(IntegrityError, match="cannot be trusted"):
        fleet.release.promote("canary", [builder.candidate(content="on top")], {"triage": builder.entry()})


def test_a_leaked_builders_key_installs_nothing_any_more_and_what_runs_goes_on(
    fleet: Fleet, builder: Any, site: Site, tester: Site, tmp_path: Path, clock: Any
) -> None:
    runs = site.runs
    fleet.replace("builder")
    assert fleet.release.manifest("canary") is None
    assert fleet.release.manifest("stable") is not None, "the managers approved it by its digests"
    assert not site.sync().changed
    assert site.runs == runs
    with pytest.raises(RefusedError, match=r"has published canary/manifest\.json"):
        tester.sync()
    assert tester.runs[2] == runs[2]
    fresh = Site(tmp_path / "fresh", fleet.public, clock).enroll()
    with pytest.raises(IntegrityError, match="bundle triage--edge-x86-vnni"):
        fresh.sync()
    builder.keys = fleet.keys
    candidate, workflows = builder.candidate(), {"triage": builder.entry()}
    assert builder.digest(candidate) == runs[2], "the same files, signed anew"
    fleet.release.promote("canary", [candidate], workflows)
    fleet.release.promote("stable", [candidate], workflows, managers=["alice", "bob"])
    for one in (site, tester, fresh):
        assert one.sync().changed
        assert one.runs[2] == runs[2]


def test_a_bundle_that_the_old_builders_key_signed_is_refused_at_promotion(
    fleet: Fleet, builder: Any, site: Site
) -> None:
    candidate = builder.candidate(content="by the thief")
    fleet.replace("builder")
    with pytest.raises(RefusedError, match="refused for canary"):
        fleet.release.promote("canary", [candidate], {"triage": builder.entry()})


def test_a_site_that_had_believed_the_thief_of_builders_and_online_key_follows_again(
    fleet: Fleet, builder: Any, site: Site, tester: Site, both_keys: Thief
) -> None:
    forged = fleet.release.manifest("canary").model_copy(update={"version": HUGE, "max_offline_hours": 1})
    both_keys.publish("canary", dump(forged), both_keys.keys["builder"])
    assert tester.sync(source=both_keys.public).changed
    assert tester.runs[:2] == ("canary", HUGE)
    fleet.replace("online")
    fleet.replace("builder")
    digest = releases(fleet, builder, "after")
    assert tester.sync().changed
    assert tester.runs[2] == digest
    with pytest.raises(IntegrityError):
        tester.sync(source=both_keys.public)


def test_a_builders_key_that_was_only_lost_keeps_the_channels(fleet: Fleet, tester: Site) -> None:
    fleet.replace("builder", withdraw=False)
    assert fleet.release.manifest("canary") is not None
    assert not tester.sync().changed


# managers


def test_a_manager_who_did_not_sign_is_replaced_without_the_others(fleet: Fleet, builder: Any, site: Site) -> None:
    before = fleet.version("stable")
    fleet.replace("manager-carol")
    assert fleet.version("stable") == before
    assert not site.sync().changed
    candidate = builder.candidate(content="after")
    fleet.release.promote("stable", [candidate], {"triage": builder.entry()}, managers=["alice", "carol"])
    assert site.sync().changed


def test_a_manager_who_signed_is_replaced_and_two_sign_anew(fleet: Fleet, site: Site, tmp_path: Path) -> None:
    stolen = fleet.stolen("manager-bob")
    with pytest.raises(RefusedError, match="stable was signed by 0/2 keys"):
        fleet.replace("manager-bob")
    fleet.replace("manager-bob", managers=["alice", "carol"])
    site.sync()
    thief = Thief(
        fleet.public, tmp_path / "evil", online=fleet.stolen("online"), alice=fleet.stolen("manager-alice"), bob=stolen
    )
    raw = dump(fleet.release.manifest("stable").model_copy(update={"version": HUGE}))
    thief.publish("stable", raw, thief.keys["alice"], thief.keys["bob"])
    with pytest.raises(IntegrityError, match="stable was signed by 1/2 keys"):
        site.sync(source=thief.public)


def test_the_key_of_a_manager_elsewhere_is_replaced_by_its_public_half(
    fleet: Fleet, builder: Any, site: Site, tmp_path: Path
) -> None:
    hers = Keys(tmp_path / "hers")
    hers.ensure(["manager-carol"])
    (fleet.store / "manager-carol.pub").write_bytes(fleet.keys["manager-carol"].public_pem)
    (fleet.store / "manager-carol.pem").unlink()
    with pytest.raises(UsageError, match=r"make its successor where it is.*manager-carol\.next\.pub"):
        fleet.replace("manager-carol")
    (fleet.store / "manager-carol.next.pub").write_bytes(hers["manager-carol"].public_pem)
    fleet.replace("manager-carol")
    assert fleet.keys["manager-carol"].public == hers["manager-carol"].public
    assert fleet.release.repository.adopted
    assert not site.sync().changed


def test_another_policy_is_adopted(fleet: Fleet, builder: Any, site: Site) -> None:
    fleet.policy = Policy(managers=("bob", "dora", "erik"))
    with pytest.raises(RefusedError, match="other release managers"):
        fleet.release.init()
    with pytest.raises(RefusedError, match="put that right first"):
        fleet.replace("builder")
    fleet.hold(fleet.ceremonies().adopt(reason="Alice and Carol left"))
    assert not site.sync().changed
    candidate = builder.candidate(content="after")
    fleet.release.promote("stable", [candidate], {"triage": builder.entry()}, managers=["dora", "erik"])
    assert site.sync().changed


# neglect


def test_everything_expired_is_renewed_and_a_site_with_the_first_root_follows(
    fleet: Fleet, builder: Any, site: Site, clock: Any
) -> None:
    fleet.replace("root-1")
    runs = site.runs
    clock.forward(days=800)
    with pytest.raises(IntegrityError, match="expired"):
        site.sync()
    assert site.runs == runs, "expired metadata never stops what runs"
    with pytest.raises(RefusedError, match="role root expired"):
        fleet.release.assign([builder.assignment("s3")])
    fleet.hold(fleet.ceremonies().renew(managers=["alice", "bob"], reason="two years in a drawer"))
    assert fleet.release.status().expired == ()
    with pytest.raises(IntegrityError, match="nothing new is installed until the publisher issues another"):
        site.sync()
    digest = releases(fleet, builder, "after")
    assert site.sync().changed
    assert site.runs[2] == digest


def test_renewal_without_the_managers_leaves_stable_to_them(fleet: Fleet, site: Site, clock: Any) -> None:
    clock.forward(days=400)
    told = fleet.hold(fleet.ceremonies().renew(reason="a test"))
    assert fleet.release.status().expired == ("stable",)
    assert any("stable" in line for line in told)


# what may be asked, and what is written down


@pytest.mark.parametrize("name", ["root-4", "manager-zoe", "snapshot", ""])
def test_a_key_that_there_is_not(fleet: Fleet, name: str) -> None:
    with pytest.raises(UsageError, match="no such key"):
        fleet.replace(name)


def test_a_successor_that_is_a_key_in_use_is_refused(fleet: Fleet, files_of: Files) -> None:
    shutil.copy(fleet.store / "builder.pem", fleet.store / "online.next.pem")
    before = files_of(fleet.public)
    with pytest.raises(RefusedError, match="are the same key"):
        fleet.replace("online")
    assert files_of(fleet.public) == before


def test_every_ceremony_is_written_down_with_the_root_that_then_held(fleet: Fleet, site: Site, clock: Any) -> None:
    fleet.replace("online")
    fleet.hold(fleet.ceremonies().renew(reason="a year"))
    found = fleet.release.desk.log.entries()
    ceremonies = [one for one in found if one.action.startswith("ceremony")]
    assert [(one.actor, one.action, one.reason, one.when) for one in ceremonies] == [
        ("me", "ceremony init", "the beginning", clock()),
        ("me", "ceremony replace online", "a test", clock()),
        ("me", "ceremony renew", "a year", clock()),
    ]
    assert [one.version for one in ceremonies] == [1, 2, 3]
    assert ceremonies[-1].digest == digest_of((fleet.public / "metadata" / "3.root.json").read_bytes())


def test_no_private_key_is_said_or_published(fleet: Fleet, site: Site) -> None:
    told = [*fleet.replace("online"), *fleet.replace("root-1"), *fleet.replace("builder")]
    assert not any("PRIVATE" in line for line in told)
    assert not [path for path in fleet.public.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()]
    assert not list(fleet.public.rglob("*retired*"))
    private = [path for folder in (fleet.store, *fleet.media) for path in folder.glob("*.pem")]
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)
    assert not list(fleet.store.glob("*.next*"))


# broken off


def test_a_release_between_the_publication_of_a_key_and_its_name_is_refused(
    fleet: Fleet, builder: Any, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from release.keyring import Keyring

    def broken(*args: object) -> tuple[str, ...]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Keyring, "settle", broken)
        with pytest.raises(KeyboardInterrupt):
            fleet.replace("online")
    with pytest.raises(RefusedError, match="signed by 0/1 keys.*ceremony"):
        fleet.release.assign([builder.assignment("s3")])
    assert not site.sync().changed
    ceremony = fleet.ceremonies().replace(["online"], reason="again")
    assert "broken off" in ceremony.will[0]
    fleet.hold(ceremony)
    fleet.release.assign([builder.assignment("s3")])
    assert fleet.release.repository.state().root.signed.version == 2


def test_a_root_that_says_other_keys_than_the_rest_is_signed_by_is_never_written(
    fleet: Fleet, site: Site, files_of: Files
) -> None:
    """Expired targets: the ceremony stops before anything is there."""
    fleet.clock.forward(days=200)  # type: ignore[attr-defined]
    before = files_of(fleet.public)
    with pytest.raises(RefusedError, match="role targets expired"):
        fleet.replace("online")
    assert files_of(fleet.public) == before
    fleet.hold(fleet.ceremonies().renew(reason="first"))
    fleet.replace("online")
    assert isinstance(Metadata.from_file(str(fleet.public / "metadata" / "3.root.json")).signed.expires, datetime)
    assert fleet.clock().tzinfo == UTC


def test_a_root_that_the_key_store_does_not_know_stays_where_the_tree_is_broken_otherwise(
    fleet: Fleet, site: Site
) -> None:
    """The key store is an older copy; the second root is an honest one that sites follow already."""
    fleet.replace("root-1")
    (fleet.store / "2.root.json").unlink()
    root = fleet.public / "metadata" / "2.root.json"
    raw = root.read_bytes()
    snapshot = max((fleet.public / "metadata").glob("*.snapshot.json"), key=lambda path: int(path.name.split(".")[0]))
    snapshot.write_bytes(b"{}")
    with pytest.raises(IntegrityError, match="cannot be trusted"):
        fleet.replace("root-2")
    assert root.read_bytes() == raw
