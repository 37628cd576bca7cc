"""Halt, resume, roll back, revoke: who may, what is published, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import FleetManifest, Orders, RefusedError, UsageError, digest_of, parse
from fleet_manifests.orders import ORDERS_TARGET
from release import Candidate, Keys, Release
from release.pending import Pending

pytestmark = pytest.mark.unit
BOTH = ["alice", "bob"]
PROFILE = "edge-x86-vnni"


def build(manifest: FleetManifest | None, workflow: str = "triage") -> str:
    assert manifest is not None
    return manifest.workflows[workflow].builds[PROFILE].bundle.digest


def read(client: Any) -> Orders:
    return parse(Orders, client.read(ORDERS_TARGET)[ORDERS_TARGET])


@pytest.fixture
def two(release: Release, builder: Any) -> tuple[Candidate, Candidate]:
    """Two versions of `stable` and `canary`: an old build, then a new one."""
    workflows = {"triage": builder.entry()}
    old, new = builder.candidate(content="old"), builder.candidate(content="new")
    for one in (old, new):
        release.promote("canary", [one], workflows)
        release.promote("stable", [one], workflows, managers=BOTH)
    return old, new


def test_a_new_fleet_has_empty_orders_that_no_bin_is_walked_for(client: Any) -> None:
    assert read(client) == Orders()
    assert not [name for name in client.fetcher.asked if "sites-bin" in name]


def test_one_person_halts_a_channel(release: Release, client: Any, clock: Any) -> None:
    release.interventions.halt("stable", "wrong labels at two sites", "alice")
    halt = read(client).halted["stable"]
    assert (halt.reason, halt.by, halt.since) == ("wrong labels at two sites", "alice", clock())
    entry = release.desk.log.entries()[-1]
    assert (entry.actor, entry.action, entry.channel, entry.reason) == (
        "alice",
        "halt",
        "stable",
        "wrong labels at two sites",
    )


@pytest.mark.parametrize(
    ("channel", "reason", "by", "error", "said"),
    [
        ("stabel", "why", "alice", UsageError, "expected candidates, canary, stable"),
        ("stable", " ", "alice", UsageError, "say why"),
        ("stable", "why", "mallory", UsageError, "mallory is not a release manager"),
    ],
)
def test_a_halt_that_is_refused(
    release: Release, client: Any, channel: str, reason: str, by: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        release.interventions.halt(channel, reason, by)
    assert read(client) == Orders()


def test_a_channel_is_halted_once(release: Release) -> None:
    release.interventions.halt("stable", "first", "alice")
    with pytest.raises(RefusedError, match="is halted since .* by alice: first"):
        release.interventions.halt("stable", "second", "bob")


def test_a_halt_of_stable_ends_with_two_signatures(release: Release, two: Any, client: Any) -> None:
    before = release.manifest("stable")
    release.interventions.halt("stable", "wrong labels", "alice")
    one = release.interventions.resume("stable", "the labels were right", ["alice"])
    assert isinstance(one, Pending)
    assert read(client).halted, "one person cannot let content run again"
    assert release.approvals.approve("stable", "bob") is None
    assert read(client).halted == {}
    after = release.manifest("stable")
    assert before is not None and after is not None
    assert (after.version, after.workflows) == (before.version + 1, before.workflows)
    published, resumed = release.desk.log.entries()[-2:]
    assert (published.action, published.reason) == ("publish", "resume: the labels were right")
    assert (resumed.action, resumed.actor, resumed.reason) == ("resume", "alice, bob", "the labels were right")


def test_a_halt_of_canary_ends_with_the_builders_signature(release: Release, two: Any, client: Any) -> None:
    release.interventions.halt("canary", "wrong labels", "alice")
    release.interventions.resume("canary", "the labels were right", ["bob"])
    assert read(client).halted == {}


def test_what_is_not_halted_is_not_resumed(release: Release, two: Any) -> None:
    with pytest.raises(RefusedError, match="stable is not halted"):
        release.interventions.resume("stable", "", ["alice"])


def test_a_rejected_resumption_leaves_the_halt(release: Release, two: Any, client: Any) -> None:
    release.interventions.halt("stable", "wrong labels", "alice")
    release.interventions.resume("stable", "", ["alice"])
    release.approvals.reject("stable", "bob", "not yet")
    assert "stable" in read(client).halted


def test_a_rollback_is_a_new_version_with_older_content(release: Release, two: Any, builder: Any, client: Any) -> None:
    old, _ = two
    one = release.interventions.rollback("stable", 1, "more deferrals", ["alice"])
    assert isinstance(one, Pending)
    assert release.approvals.approve("stable", "bob") is None
    manifest = release.manifest("stable")
    assert manifest is not None
    assert (manifest.version, build(manifest)) == (3, builder.digest(old))
    assert parse(FleetManifest, client.read("stable/manifest.json")["stable/manifest.json"]) == manifest
    assert release.desk.log.entries()[-1].reason == "rollback: to version 1: more deferrals"


def test_a_rollback_in_one_go(release: Release, two: Any, builder: Any) -> None:
    manifest = release.interventions.rollback("stable", 1, "more deferrals", BOTH)
    assert isinstance(manifest, FleetManifest)
    assert build(release.manifest("stable")) == builder.digest(two[0])


def test_a_rollback_of_canary_needs_one(release: Release, two: Any, builder: Any) -> None:
    release.interventions.rollback("canary", 1, "more deferrals", ["carol"])
    assert build(release.manifest("canary")) == builder.digest(two[0])


@pytest.mark.parametrize("version", [0, 3, 99])
def test_a_rollback_to_what_never_was(release: Release, two: Any, version: int) -> None:
    with pytest.raises(RefusedError, match=rf"knows no version {version}; there are: 1, 2"):
        release.interventions.rollback("stable", version, "why", BOTH)


def test_a_rollback_to_what_there_is(release: Release, two: Any) -> None:
    with pytest.raises(RefusedError, match="stable has what version 2 says already"):
        release.interventions.rollback("stable", 2, "why", BOTH)


def test_a_rollback_to_a_revoked_build(release: Release, two: Any, builder: Any) -> None:
    release.interventions.revoke(builder.digest(two[0]), "wrong labels", "alice")
    with pytest.raises(RefusedError, match="version 1 cannot come back: .* was revoked: wrong labels"):
        release.interventions.rollback("stable", 1, "why", BOTH)


def test_a_rollback_to_an_altered_manifest(release: Release, two: Any, public: Path) -> None:
    digest = next(one.digest for one in release.desk.log.entries() if (one.channel, one.version) == ("stable", 1))
    assert digest is not None
    path = public / "targets" / "stable" / f"{digest.removeprefix('sha256:')}.manifest.json"
    path.write_bytes(path.read_bytes().replace(b"0.6", b"0.1"))
    with pytest.raises(Exception, match="the release log says"):
        release.interventions.rollback("stable", 1, "why", BOTH)


def test_a_rollback_to_a_build_whose_evidence_is_altered(
    release: Release, two: Any, public: Path, builder: Any
) -> None:
    older = release.desk.earlier("stable")[-1]
    blob = older.workflows["triage"].builds[PROFILE].evidence[0]
    path = public / "blobs" / "sha256" / blob.digest.removeprefix("sha256:")
    path.write_bytes(b"{}")
    with pytest.raises(RefusedError, match="triage--edge-x86-vnni: "):
        release.interventions.rollback("stable", 1, "why", BOTH)
    assert build(release.manifest("stable")) == builder.digest(two[1])


def test_a_revocation_is_an_order_at_once_and_a_manifest_after(
    release: Release, two: Any, builder: Any, client: Any
) -> None:
    old, new = (builder.digest(one) for one in two)
    done = release.interventions.revoke(new, "trained on wrong labels", "carol")
    assert read(client).stops == {new: "trained on wrong labels"}
    assert [one.channel for one in done.published] == ["canary"]
    assert done.pending is not None and done.problems == ()
    canary = release.manifest("canary")
    assert canary is not None
    assert build(canary) == old, "the approved build before it takes its place"
    assert {one.bundle: one.reason for one in canary.revocations} == {new: "trained on wrong labels"}
    assert build(release.manifest("stable")) == new, "stable needs two signatures"
    assert release.approvals.approve("stable", "bob") is None
    stable = release.manifest("stable")
    assert build(stable) == old
    assert stable is not None and [one.bundle for one in stable.revocations] == [new]


def test_a_revoked_build_without_predecessor_stays_named(release: Release, builder: Any) -> None:
    one = builder.candidate()
    release.promote("canary", [one], {"triage": builder.entry()})
    release.interventions.revoke(builder.digest(one), "wrong labels", "alice")
    canary = release.manifest("canary")
    assert canary is not None
    assert build(canary) == builder.digest(one) == canary.revocations[0].bundle


def test_a_predecessor_that_was_revoked_too_does_not_come_back(release: Release, two: Any, builder: Any) -> None:
    old, new = (builder.digest(one) for one in two)
    release.interventions.revoke(old, "wrong labels", "alice")
    release.interventions.revoke(new, "wrong labels too", "alice")
    assert build(release.manifest("canary")) == new
    assert set(release.interventions.orders().stops) == {old, new}


def test_what_was_revoked_enters_no_channel_again(release: Release, two: Any, builder: Any) -> None:
    release.interventions.revoke(builder.digest(two[1]), "wrong labels", "alice")
    for channel in ("canary", "candidates"):
        with pytest.raises(RefusedError, match="revoked: .* was revoked: wrong labels"):
            if channel == "canary":
                release.promote("canary", [two[1]], {"triage": builder.entry()})
            else:
                release.offer([two[1]], {"triage": builder.entry()})


def test_a_revocation_twice_says_and_publishes_nothing_new(
    release: Release, two: Any, builder: Any, public: Path, files_of: Any
) -> None:
    digest = builder.digest(two[1])
    release.interventions.revoke(digest, "wrong labels", "alice")
    release.approvals.approve("stable", "bob")
    before, entries = files_of(public), release.desk.log.entries()
    done = release.interventions.revoke(digest, "said again", "bob")
    assert (done.published, done.pending) == ((), None)
    assert files_of(public) == before
    assert release.desk.log.entries() == entries


def test_a_revocation_while_something_is_pending_is_an_order_all_the_same(
    release: Release, two: Any, builder: Any, client: Any
) -> None:
    release.propose([builder.candidate(content="newest")], {"triage": builder.entry()}, ["alice"])
    done = release.interventions.revoke(builder.digest(two[1]), "wrong labels", "alice")
    assert set(read(client).stops) == {builder.digest(two[1])}
    assert len(done.problems) == 1 and "is pending already" in done.problems[0]


def test_a_digest_may_be_given_by_its_beginning(release: Release, two: Any, builder: Any) -> None:
    digest = builder.digest(two[1])
    assert release.interventions.revoke(digest[7:19], "wrong labels", "alice").digest == digest


@pytest.mark.parametrize("text", ["", "abc", "sha256:", "0123456789ab", "sha256:" + "0" * 63, "../../etc"])
def test_what_is_no_digest_revokes_nothing(release: Release, two: Any, client: Any, text: str) -> None:
    with pytest.raises(UsageError, match="expected the digest of a bundle or pack"):
        release.interventions.revoke(text, "wrong labels", "alice")
    assert read(client) == Orders()


def test_a_revoked_retriever_takes_its_packs_along_and_the_old_ones_come_back(release: Release, builder: Any) -> None:
    old, new = builder.retriever("old"), builder.retriever("new")
    packs = [builder.pack_candidate(old, "first"), builder.pack_candidate(new, "second")]
    for retriever, pack in zip((old, new), packs, strict=True):
        release.promote("canary", [retriever], builder.sops(), packs=[pack])
    release.interventions.revoke(builder.digest(new), "wrong torque", "alice")
    canary = release.manifest("canary")
    assert build(canary, "sops") == builder.digest(old)
    assert canary is not None and [one.blob.digest for one in canary.knowledge_packs] == [builder.digest(packs[0])]


def test_a_revoked_pack_is_replaced_by_the_one_before(release: Release, builder: Any) -> None:
    retriever = builder.retriever()
    first, second = builder.pack_candidate(retriever, "first"), builder.pack_candidate(retriever, "second")
    release.promote("canary", [retriever], builder.sops(), packs=[first])
    release.promote("canary", [], {}, packs=[second])
    release.interventions.revoke(builder.digest(second), "wrong torque", "alice")
    canary = release.manifest("canary")
    assert canary is not None and [one.blob.digest for one in canary.knowledge_packs] == [builder.digest(first)]
    assert [one.bundle for one in canary.revocations] == [builder.digest(second)]


def test_the_orders_of_a_lost_tree_come_back_from_the_log(
    release: Release, two: Any, builder: Any, public: Path, keys: Keys, clock: Any
) -> None:
    release.interventions.revoke(builder.digest(two[1]), "wrong labels", "alice")
    release.interventions.halt("stable", "until we know", "bob")
    release.interventions.halt("canary", "briefly", "bob")
    release.interventions.resume("canary", "known", ["bob"])
    before = release.interventions.orders()
    shutil.rmtree(public)
    again = Release(public, Keys(keys.folder), release.policy, now=clock)
    assert again.init()
    assert again.interventions.orders() == before
    assert set(before.halted) == {"stable"} and digest_of(b"") not in before.stops


def test_orders_are_signed_by_the_online_key_alone(release: Release, two: Any, public: Path) -> None:
    """The builder, a manager or a hash bin cannot give orders."""
    state = release.repository.state()
    assert state.owner(ORDERS_TARGET) == "sites"
    online = {release.keys["online"].public.keyid}
    assert set(state.targets("sites").signatures) == online
