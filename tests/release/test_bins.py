"""A fleet that outgrows its hash bins: the sites are spread anew, and everybody follows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import Assignment, dump, parse
from release import Keys, Policy, Release, roles

pytestmark = pytest.mark.unit
MANY = 1030
"""The least round number for which 2^4 bins are too few."""


@pytest.mark.parametrize(
    ("sites", "bits"), [(0, 4), (1, 4), (256, 4), (257, 5), (1024, 5), (1025, 6), (10_000, 7), (100_000, 9)]
)
def test_about_as_many_bins_as_a_bin_holds_sites(sites: int, bits: int) -> None:
    assert roles.bin_bits(sites) == bits


def names(count: int) -> list[str]:
    return [f"store-{number}" for number in range(count)]


def assign(release: Release, builder: Any, sites: list[str], **said: Any) -> None:
    release.assign([builder.assignment(site, **said) for site in sites])


def found(client: Any, site: str) -> Assignment:
    name = f"sites/{site}.json"
    return parse(Assignment, client.read(name)[name])


def versions(release: Release) -> dict[str, int]:
    return {role.role: role.version for role in release.status().roles}


def test_a_fleet_that_grows_is_spread_anew(release: Release, builder: Any, client: Any, policy: Policy) -> None:
    assign(release, builder, ["first"])
    assert found(client, "first").version == 1
    assign(release, builder, names(MANY))
    status = release.status()
    assert set(status.sites) == {"first", *names(MANY)}
    bins = [role.role for role in status.roles if role.role.startswith("sites-bin")]
    assert bins == [f"sites-bin-{number:02x}" for number in range(64)]
    assert found(client, "first").version == 1, "who polled before follows"
    assert found(client, "store-7").version == 2
    assert found(client, f"store-{MANY - 1}").version == 2


def test_it_needs_the_online_key_alone(
    release: Release, builder: Any, client: Any, keys: Keys, public: Path, policy: Policy
) -> None:
    for path in keys.folder.glob("*.pem"):
        if path.stem not in ("online", "builder"):
            path.unlink()
    alone = Release(public, Keys(keys.folder), policy, now=release.now)
    assign(alone, builder, names(MANY))
    assert found(client, "store-0").version == 1


def test_a_fleet_that_grew_site_by_site_is_noticed(release: Release, builder: Any, client: Any) -> None:
    with release.repository.edit() as edit:
        for site in names(1200):
            edit.target(f"sites/{site}.json", dump(builder.assignment(site)))
    assert release.repository.state().bins.number_of_bins == 16
    assign(release, builder, ["one-more"])
    assert release.repository.state().bins.number_of_bins == 64
    assert found(client, "store-1199").site == "store-1199"
    assert found(client, "one-more").site == "one-more"


def test_afterwards_one_change_is_one_bin(release: Release, builder: Any) -> None:
    assign(release, builder, names(MANY))
    before = versions(release)
    assign(release, builder, ["store-5"], channel="canary")
    changed = {role for role, version in versions(release).items() if version != before[role]}
    assert changed == {"timestamp", "snapshot", release.repository.state().owner("sites/store-5.json")}


def test_the_bins_before_stay_in_the_snapshot_for_every_client(release: Release, builder: Any) -> None:
    """A snapshot that names fewer roles than one before it is refused by every TUF client."""
    before = set(release.repository.state().snapshot.signed.meta)
    assign(release, builder, names(MANY))
    assert before < set(release.repository.state().snapshot.signed.meta)


def test_a_bin_with_the_name_of_an_earlier_one_only_rises(
    tmp_path: Path, keys: Keys, policy: Policy, clock: Any, builder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2^5 and 2^7 bins have names of the same length."""
    monkeypatch.setattr(roles, "BIN_BITS", 5)
    release = Release(tmp_path / "other" / "public", keys, policy, now=clock)
    with monkeypatch.context() as patch:
        patch.setattr(roles, "bin_bits", lambda sites: 5)
        release.init()
        for channel in ("canary", "stable") * 3:
            assign(release, builder, ["store-1"], channel=channel)
    before = versions(release)
    with release.repository.edit() as edit:
        monkeypatch.setattr(roles, "bin_bits", lambda sites: 7)
        edit.make_room(1)
    after = versions(release)
    assert sum(name.startswith("sites-bin") for name in after) == 128
    assert all(after[name] > version for name, version in before.items() if name.startswith("sites-bin"))
    assert release.assignment("store-1") is not None


def test_a_lost_tree_of_a_grown_fleet_is_rebuilt_and_enrolled_sites_follow(
    release: Release, builder: Any, client: Any, public: Path
) -> None:
    assign(release, builder, ["first", *names(MANY)])
    assert found(client, "first").version == 1
    shutil.rmtree(public)
    assert release.init()
    assert release.repository.state().bins.number_of_bins == 64
    assign(release, builder, ["first"])
    assert found(client, "first").site == "first"


def test_a_grown_fleet_is_renewed(release: Release, builder: Any, client: Any, clock: Any) -> None:
    assign(release, builder, names(MANY))
    clock.forward(days=20)
    release.refresh()
    assert {role.due for role in release.status().roles if role.role.startswith("sites")} == {False}
    assert found(client, "store-3").site == "store-3"
