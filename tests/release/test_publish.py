"""Releasing, as a release manager sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import FleetManifest, IsaClass, RefusedError, UsageError, Verdict, dump, parse
from release import Candidate, Keys, Policy, Release

pytestmark = pytest.mark.unit
Files = Callable[[Path], dict[str, str]]


def test_init_creates_once_and_then_agrees(release: Release, files_of: Files, public: Path) -> None:
    before = files_of(public)
    assert release.init() is False
    assert files_of(public) == before


def test_a_candidate_walks_through_all_channels(release: Release, builder: Any) -> None:
    candidate, workflows = builder.candidate(), {"triage": builder.entry()}
    offered = release.offer([candidate], workflows)
    canary = release.promote("canary", [candidate], workflows)
    stable = release.promote("stable", [candidate], workflows, managers=["alice", "bob"])
    assert [m.channel for m in (offered, canary, stable)] == ["candidates", "canary", "stable"]
    build = stable.workflows["triage"].builds["edge-x86-vnni"]
    assert build.verdict is Verdict.PASS
    assert build.defer_threshold == 0.6
    assert build.bundle.name == "triage--edge-x86-vnni"
    assert len(build.evidence) == 2
    assert release.manifest("stable") == stable


def test_a_published_manifest_is_what_the_facade_returned(release: Release, builder: Any, client: Any) -> None:
    manifest = release.promote("canary", [builder.candidate()], {"triage": builder.entry()})
    raw = client.read("canary/manifest.json")["canary/manifest.json"]
    assert raw is not None
    assert parse(FleetManifest, raw) == manifest
    assert raw == dump(manifest)


def test_publishing_the_same_again_is_a_no_op(release: Release, builder: Any, public: Path, files_of: Files) -> None:
    candidate, workflows = builder.candidate(), {"triage": builder.entry()}
    first = release.promote("canary", [candidate], workflows)
    before = files_of(public)
    assert release.promote("canary", [candidate], workflows) == first
    assert files_of(public) == before


def test_a_no_op_still_mends_a_damaged_blob(release: Release, builder: Any, public: Path) -> None:
    candidate, workflows = builder.candidate(), {"triage": builder.entry()}
    manifest = release.promote("canary", [candidate], workflows)
    digest = next(iter(manifest.bundles())).removeprefix("sha256:")
    blob = public / "blobs" / "sha256" / digest
    sound = blob.read_bytes()
    blob.write_bytes(b"rotten")
    assert release.promote("canary", [candidate], workflows) == manifest
    assert blob.read_bytes() == sound


def test_versions_only_rise(release: Release, builder: Any) -> None:
    workflows = {"triage": builder.entry()}
    old, new = builder.candidate(content="old"), builder.candidate(content="new")
    versions = [release.promote("canary", [one], workflows).version for one in (old, new, old)]
    assert versions == [1, 2, 3]
    assert release.manifest("canary").workflows["triage"].builds["edge-x86-vnni"].bundle.digest == (
        release.promote("canary", [old], workflows).workflows["triage"].builds["edge-x86-vnni"].bundle.digest
    )


def test_a_changed_guardrail_alone_makes_a_new_version(release: Release, builder: Any) -> None:
    release.promote("canary", [builder.candidate()], {"triage": builder.entry()})
    changed = release.promote("canary", [], {"triage": builder.entry(title="Triage of exceptions")})
    assert changed.version == 2
    assert changed.workflows["triage"].title == "Triage of exceptions"
    assert "edge-x86-vnni" in changed.workflows["triage"].builds


def test_other_workflows_and_profiles_stay(release: Release, builder: Any) -> None:
    avx2 = builder.profile("edge-x86-avx2", IsaClass.X86_64_V3)
    first = [builder.candidate(), builder.candidate(profile=avx2), builder.candidate("routing")]
    release.promote("canary", first, {"triage": builder.entry(), "routing": builder.entry("Routing")})
    manifest = release.promote("canary", [builder.candidate(content="new")], {"triage": builder.entry()})
    assert sorted(manifest.workflows) == ["routing", "triage"]
    assert sorted(manifest.workflows["triage"].builds) == ["edge-x86-avx2", "edge-x86-vnni"]
    assert sorted(manifest.profiles) == ["edge-x86-avx2", "edge-x86-vnni"]


def test_a_candidate_of_an_undescribed_workflow_is_refused(
    release: Release, builder: Any, public: Path, files_of: Files
) -> None:
    before = files_of(public)
    with pytest.raises(UsageError, match="workflow triage has a candidate but is not described"):
        release.promote("canary", [builder.candidate()], {})
    assert files_of(public) == before


@pytest.mark.parametrize("channel", ["candidates", "beta", ""])
def test_promotion_is_to_canary_or_stable(release: Release, builder: Any, channel: str) -> None:
    with pytest.raises(UsageError, match="'canary' or 'stable'"):
        release.promote(channel, [builder.candidate()], {"triage": builder.entry()})


def test_canary_takes_no_managers(release: Release, builder: Any) -> None:
    with pytest.raises(UsageError, match="takes no approval by alice"):
        release.promote("canary", [builder.candidate()], {"triage": builder.entry()}, managers=["alice"])


@pytest.mark.parametrize(
    ("managers", "error", "message"),
    [
        ([], RefusedError, "needs 2 release managers; nobody approved"),
        (["alice"], RefusedError, "needs 2 release managers; alice approved"),
        (["alice", "alice"], RefusedError, "alice approves twice"),
        (["alice", "mallory"], UsageError, "mallory is not a release manager"),
    ],
)
def test_stable_needs_a_threshold_of_different_managers(
    release: Release,
    builder: Any,
    public: Path,
    files_of: Files,
    managers: list[str],
    error: type[Exception],
    message: str,
) -> None:
    candidate, before = builder.candidate(), files_of(public)
    with pytest.raises(error, match=message):
        release.promote("stable", [candidate], {"triage": builder.entry()}, managers=managers)
    assert files_of(public) == before


def test_one_person_with_two_names_counts_once(
    release: Release, builder: Any, keys: Keys, public: Path, files_of: Files
) -> None:
    keys.folder.joinpath("manager-bob.pem").write_bytes(keys.folder.joinpath("manager-alice.pem").read_bytes())
    candidate, before = builder.candidate(), files_of(public)
    again = Release(public, type(keys)(keys.folder), release.policy, now=release.now)
    with pytest.raises(RefusedError, match="are the same key"):
        again.promote("stable", [candidate], {"triage": builder.entry()}, managers=["alice", "bob"])
    assert files_of(public) == before


def test_any_two_of_the_three_managers_will_do(release: Release, builder: Any, client: Any) -> None:
    release.promote("stable", [builder.candidate()], {"triage": builder.entry()}, managers=["carol", "bob"])
    assert client.read("stable/manifest.json")["stable/manifest.json"]


@pytest.mark.parametrize("channel", ["canary", "stable"])
@pytest.mark.parametrize("verdict", [Verdict.INCONCLUSIVE, Verdict.FAIL])
def test_only_pass_enters_canary_and_stable(
    release: Release, builder: Any, public: Path, files_of: Files, channel: str, verdict: Verdict
) -> None:
    candidate, before = builder.candidate(verdict=verdict), files_of(public)
    managers = ["alice", "bob"] if channel == "stable" else []
    with pytest.raises(RefusedError, match=f"refused for {channel}") as refused:
        release.promote(channel, [candidate], {"triage": builder.entry()}, managers=managers)
    assert f"the margin is {verdict}" in str(refused.value)
    assert files_of(public) == before


def test_candidates_takes_what_is_inconclusive(release: Release, builder: Any) -> None:
    manifest = release.offer([builder.candidate(verdict=Verdict.INCONCLUSIVE)], {"triage": builder.entry()})
    assert manifest.workflows["triage"].builds["edge-x86-vnni"].verdict is Verdict.INCONCLUSIVE


def test_candidates_takes_what_is_not_measured_yet(release: Release, builder: Any) -> None:
    bare = Candidate("triage", builder.profile(), builder.bundle())
    build = release.offer([bare], {"triage": builder.entry()}).workflows["triage"].builds["edge-x86-vnni"]
    assert (build.verdict, build.evidence) == (Verdict.INCONCLUSIVE, ())


def test_candidates_refuses_what_fails(release: Release, builder: Any) -> None:
    with pytest.raises(RefusedError, match="refused for candidates"):
        release.offer([builder.candidate(verdict=Verdict.FAIL)], {"triage": builder.entry()})


def test_one_bad_candidate_keeps_all_out_and_every_reason_is_said(
    release: Release, builder: Any, public: Path, files_of: Files
) -> None:
    good, worse = builder.candidate(), builder.candidate("routing", verdict=Verdict.FAIL)
    before = files_of(public)
    with pytest.raises(RefusedError) as refused:
        release.promote("canary", [good, worse], {"triage": builder.entry(), "routing": builder.entry()})
    assert "routing--edge-x86-vnni: accuracy: the margin is fail" in str(refused.value)
    assert "routing--edge-x86-vnni: latency: the margin is fail" in str(refused.value)
    assert "triage" not in str(refused.value)
    assert files_of(public) == before


def test_an_assignment_gets_its_version_here(release: Release, builder: Any, clock: Any) -> None:
    (first,) = release.assign([builder.assignment("s1", version=77)])
    assert (first.version, first.issued) == (1, clock())
    assert release.assignment("s1") == first


def test_an_unchanged_assignment_is_skipped(
    release: Release, builder: Any, public: Path, files_of: Files, clock: Any
) -> None:
    first = release.assign([builder.assignment("s1"), builder.assignment("s2")])
    before = files_of(public)
    clock.forward(hours=1)
    assert release.assign([builder.assignment("s1"), builder.assignment("s2")]) == first
    assert files_of(public) == before


def test_only_the_changed_assignment_rises(release: Release, builder: Any) -> None:
    release.assign([builder.assignment("s1"), builder.assignment("s2")])
    one, two = release.assign([builder.assignment("s1", channel="canary"), builder.assignment("s2")])
    assert (one.version, two.version) == (2, 1)
    assert release.assignment("s1").channel == "canary"


def test_a_site_named_twice_is_refused(release: Release, builder: Any, public: Path, files_of: Files) -> None:
    before = files_of(public)
    with pytest.raises(UsageError, match="site s1 is named twice"):
        release.assign([builder.assignment("s1"), builder.assignment("s1", ring=2)])
    with pytest.raises(UsageError, match="site s1 is named twice"):
        release.assign([builder.assignment("s1")], remove=["s1"])
    assert files_of(public) == before


def test_a_removed_site_is_assigned_nothing_and_comes_back_higher(release: Release, builder: Any, client: Any) -> None:
    release.assign([builder.assignment("s1")])
    release.assign([builder.assignment("s1", ring=1)])
    release.assign([], remove=["s1"])
    assert release.assignment("s1") is None
    assert client.read("sites/s1.json") == {"sites/s1.json": None}
    (back,) = release.assign([builder.assignment("s1")])
    assert back.version > 2


def test_status_tells_roles_channels_and_sites(release: Release, builder: Any) -> None:
    manifest = release.promote("canary", [builder.candidate()], {"triage": builder.entry()})
    release.assign([builder.assignment("s2"), builder.assignment("s1")])
    status = release.status()
    assert status.sites == ("s1", "s2")
    assert status.channels == {"canary": manifest}
    assert status.expired == ()
    assert {"root", "targets", "snapshot", "timestamp", "stable", "sites", "sites-bin-0"} <= {
        role.role for role in status.roles
    }
    assert status.release == 3


@pytest.mark.parametrize(
    ("days", "expired"),
    [(8, {"snapshot"}), (31, {"canary", "candidates", "sites", "snapshot", "timestamp"}), (91, {"stable"})],
)
def test_status_notices_expired_metadata(release: Release, clock: Any, days: int, expired: set[str]) -> None:
    clock.forward(days=days)
    found = set(release.status().expired)
    assert expired <= found
    assert not found & {"root", "targets"}


def test_status_says_what_is_due_before_it_expires(release: Release, clock: Any) -> None:
    clock.forward(days=16)
    due = {role.role for role in release.status().roles if role.due and not role.expired}
    assert {"canary", "candidates", "sites", "timestamp"} <= due
    assert "root" not in due


def test_an_unchanged_manifest_is_renewed_when_it_is_due(release: Release, builder: Any, clock: Any) -> None:
    candidate, workflows = builder.candidate(), {"triage": builder.entry()}
    release.promote("canary", [candidate], workflows)
    clock.forward(days=20)
    again = release.promote("canary", [candidate], workflows)
    assert (again.version, again.issued) == (2, clock())
    assert again.expires > clock()


def test_nothing_is_read_or_published_without_a_repository(
    tmp_path: Path, keys: Keys, policy: Policy, builder: Any
) -> None:
    empty = Release(tmp_path / "nowhere", keys, policy)
    with pytest.raises(UsageError, match="no repository yet"):
        empty.status()
    with pytest.raises(UsageError, match="no repository yet"):
        empty.assign([builder.assignment("s1")])


def test_another_set_of_managers_is_not_taken_silently(release: Release, public: Path, keys: Keys, clock: Any) -> None:
    fewer = Release(public, keys, Policy(managers=("alice",), stable_threshold=1), now=clock)
    with pytest.raises(RefusedError, match="changing them is a key ceremony"):
        fewer.init()


def test_adopting_new_managers_is_a_ceremony(
    release: Release, builder: Any, public: Path, keys: Keys, clock: Any, client: Any
) -> None:
    candidate, workflows = builder.candidate(), {"triage": builder.entry()}
    release.promote("stable", [candidate], workflows, managers=["alice", "bob"])
    client.read("stable/manifest.json")
    changed = Release(public, keys, Policy(managers=("bob", "dora")), now=clock)
    changed.adopt()
    assert changed.init() is False
    assert client.read("stable/manifest.json")["stable/manifest.json"]
    manifest = changed.promote("stable", [builder.candidate(content="n")], workflows, managers=["bob", "dora"])
    assert manifest.version == 2
    with pytest.raises(UsageError, match="alice is not a release manager"):
        changed.promote("stable", [candidate], workflows, managers=["alice", "bob"])


def test_a_manager_who_left_cannot_publish_with_the_old_policy(
    release: Release, builder: Any, public: Path, keys: Keys, clock: Any, files_of: Files
) -> None:
    Release(public, keys, Policy(managers=("bob", "dora")), now=clock).adopt()
    candidate, before = builder.candidate(), files_of(public)
    with pytest.raises(RefusedError, match="stable was signed by 1/2 keys"):
        release.promote("stable", [candidate], {"triage": builder.entry()}, managers=["alice", "bob"])
    assert files_of(public) == before
