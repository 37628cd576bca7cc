"""Approval by several people, one at a time: what publishes, and everything that does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import FleetManifest, IntegrityError, RefusedError, StorageError, UsageError, digest_of, parse
from release import Candidate, Keys, Policy, Release
from release.pending import FOLDER, Pending

pytestmark = pytest.mark.unit
Files = Callable[[Path], dict[str, str]]
STABLE = "stable/manifest.json"


@pytest.fixture
def folder(public: Path) -> Path:
    """Where the pending version of `stable` is."""
    return public.parent / FOLDER / "stable"


@pytest.fixture
def candidate(builder: Any) -> Candidate:
    """A build that may be promoted."""
    made: Candidate = builder.candidate()
    return made


@pytest.fixture
def proposed(release: Release, builder: Any, candidate: Candidate) -> Pending:
    """A version of `stable` that alice proposed."""
    one = release.propose([candidate], {"triage": builder.entry()}, ["alice"])
    assert one is not None
    return one


def test_two_people_one_after_the_other(release: Release, proposed: Pending, client: Any, folder: Path) -> None:
    assert client.read(STABLE) == {STABLE: None}
    assert release.approvals.signatures(proposed).signed == ("alice",)
    assert release.approvals.signatures(proposed).waiting == ("bob", "carol")
    assert release.approvals.signatures(proposed).missing == 1
    assert release.approvals.approve("stable", "bob", digest=proposed.digest) is None
    raw = client.read(STABLE)[STABLE]
    assert raw == proposed.raw
    assert parse(FleetManifest, raw) == release.manifest("stable")
    assert release.approvals.signers("stable") == ("alice", "bob")
    assert not folder.exists()


def test_every_blob_of_what_was_approved_is_published(release: Release, proposed: Pending, public: Path) -> None:
    release.approvals.approve("stable", "bob")
    index = json.loads((public / "index.json").read_text())["manifests"]
    assert next(iter(proposed.manifest.bundles())) in {one["digest"] for one in index}
    for one in index:
        raw = (public / "blobs" / "sha256" / one["digest"].removeprefix("sha256:")).read_bytes()
        assert digest_of(raw) == one["digest"]


def test_until_the_last_approval_readers_see_nothing(
    release: Release, builder: Any, candidate: Candidate, public: Path, files_of: Files
) -> None:
    before = files_of(public)
    release.propose([candidate], {"triage": builder.entry()}, ["alice"])
    after = files_of(public)
    assert {name for name in after if name not in before} == {
        name for name in after if name.startswith("blobs/") and name not in before
    }
    assert {name: after[name] for name in before} == before


def test_the_log_says_who_did_what(release: Release, proposed: Pending) -> None:
    release.approvals.approve("stable", "bob")
    told = [(one.actor, one.action, one.version, one.digest) for one in release.desk.log.entries()]
    version, digest = proposed.manifest.version, proposed.digest
    assert told == [
        ("alice", "propose", version, digest),
        ("bob", "approve", version, digest),
        ("alice, bob", "publish", version, digest),
    ]
    assert release.desk.verify_log() == 3


def test_three_of_three_sign_the_same_bytes(public: Path, keys: Keys, clock: Any, builder: Any, tmp_path: Path) -> None:
    policy = Policy(managers=("alice", "bob", "carol"), stable_threshold=3)
    release = Release(tmp_path / "other" / "public", Keys(tmp_path / "keys-3"), policy, now=clock)
    release.init()
    builder.keys = release.keys
    one = release.propose([builder.candidate()], {"triage": builder.entry()}, ["alice"])
    assert one is not None
    second = release.approvals.approve("stable", "bob")
    assert second is not None
    assert second.document.signed_bytes == one.document.signed_bytes
    assert release.approvals.signatures(second).missing == 1
    assert release.approvals.approve("stable", "carol") is None
    assert release.approvals.signers("stable") == ("alice", "bob", "carol")


def test_the_same_person_does_not_count_twice(release: Release, proposed: Pending) -> None:
    with pytest.raises(RefusedError, match="alice has signed this version already; 2 different"):
        release.approvals.approve("stable", "alice")
    assert release.manifest("stable") is None


def test_the_same_person_proposes_once(release: Release, builder: Any, candidate: Candidate) -> None:
    with pytest.raises(RefusedError, match="name different release managers"):
        release.propose([candidate], {"triage": builder.entry()}, ["alice", "alice"])


def test_an_approver_who_is_no_release_manager(release: Release, proposed: Pending) -> None:
    with pytest.raises(UsageError, match="mallory is not a release manager; the fleet policy names alice, bob, carol"):
        release.approvals.approve("stable", "mallory")


def test_two_names_for_one_key(release: Release, proposed: Pending, keys: Keys, public: Path, clock: Any) -> None:
    (keys.folder / "manager-bob.pem").write_bytes((keys.folder / "manager-alice.pem").read_bytes())
    again = Release(public, Keys(keys.folder), release.policy, now=clock)
    with pytest.raises(RefusedError, match="keys manager-alice and manager-bob are the same key"):
        again.approvals.approve("stable", "bob")
    assert again.manifest("stable") is None


def test_a_key_that_the_repository_does_not_trust(
    release: Release, proposed: Pending, keys: Keys, public: Path, clock: Any, tmp_path: Path
) -> None:
    """A fresh key under a manager's name is nobody's signature."""
    other = Keys(tmp_path / "other-keys")
    other.ensure(["manager-bob"])
    (keys.folder / "manager-bob.pem").write_bytes((other.folder / "manager-bob.pem").read_bytes())
    again = Release(public, Keys(keys.folder), release.policy, now=clock)
    with pytest.raises(RefusedError, match="manager-bob: is not among the keys that the repository trusts"):
        again.approvals.approve("stable", "bob")
    assert again.manifest("stable") is None


def test_a_manager_whose_key_is_not_here(release: Release, proposed: Pending, keys: Keys) -> None:
    (keys.folder / "manager-bob.pem").unlink()
    with pytest.raises(UsageError, match="the key of bob is not in .*; bob has to do this where that key is"):
        release.approvals.approve("stable", "bob")


def test_a_channel_that_changed_meanwhile(
    release: Release, proposed: Pending, builder: Any, public: Path, files_of: Files
) -> None:
    workflows = {"routing": builder.entry("Routing")}
    release.promote("stable", [builder.candidate("routing")], workflows, managers=["bob", "carol"])
    before = files_of(public)
    with pytest.raises(RefusedError, match="stable changed meanwhile: .* version 1 .*, and 2 is published"):
        release.approvals.approve("stable", "bob")
    assert files_of(public) == before
    assert release.approvals.problem(proposed) is not None


def test_another_version_than_the_one_that_was_read(release: Release, proposed: Pending) -> None:
    with pytest.raises(RefusedError, match="was read and .* is pending"):
        release.approvals.approve("stable", "bob", digest=digest_of(b"what bob has read"))


def _blobs(public: Path, manifest: FleetManifest) -> list[Path]:
    (ref,) = manifest.bundles().values()
    layout = json.loads((public / "blobs" / "sha256" / ref.digest.removeprefix("sha256:")).read_bytes())
    digests = [ref.signature.digest, *(layer["digest"] for layer in layout["layers"])]
    return [public / "blobs" / "sha256" / digest.removeprefix("sha256:") for digest in digests]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_an_altered_blob(release: Release, proposed: Pending, public: Path, index: int) -> None:
    path = _blobs(public, proposed.manifest)[index]
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    with pytest.raises(RefusedError, match="triage--edge-x86-vnni: "):
        release.approvals.approve("stable", "bob")
    assert release.manifest("stable") is None
    assert release.approvals.signatures(release.approvals.pending() or proposed).signed == ("alice",)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_missing_blob(release: Release, proposed: Pending, public: Path, index: int) -> None:
    _blobs(public, proposed.manifest)[index].unlink()
    with pytest.raises(RefusedError, match="expected a published blob"):
        release.approvals.approve("stable", "bob")
    assert release.manifest("stable") is None


def test_evidence_that_expired_meanwhile(release: Release, proposed: Pending, clock: Any) -> None:
    strict = release.policy.model_copy(update={"evidence_days": 10})
    clock.forward(days=20)
    later = Release(release.repository.public, release.keys, strict, now=clock)
    later.refresh()
    with pytest.raises(RefusedError, match="freshness: accuracy was measured on .*, 21 days ago"):
        later.approvals.approve("stable", "bob")
    assert later.manifest("stable") is None


def test_a_bundle_that_was_revoked_meanwhile(release: Release, proposed: Pending) -> None:
    digest = next(iter(proposed.manifest.bundles()))
    release.interventions.revoke(digest, "wrong labels", "carol")
    with pytest.raises(RefusedError, match="was revoked: wrong labels"):
        release.approvals.approve("stable", "bob")
    assert release.manifest("stable") is None


def test_a_pending_version_that_has_expired(release: Release, proposed: Pending, clock: Any) -> None:
    clock.forward(days=46)
    release.refresh()
    with pytest.raises(RefusedError, match="has expired: less than half of its lifetime would be left"):
        release.approvals.approve("stable", "bob")
    assert release.manifest("stable") is None


@pytest.mark.parametrize("name", ["pending.json", "manifest.json", "stable.json"])
@pytest.mark.parametrize("raw", [None, b"", b"{}"])
def test_a_pending_version_with_a_damaged_part(
    release: Release, proposed: Pending, folder: Path, name: str, raw: bytes | None
) -> None:
    if raw is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(raw)
    with pytest.raises(IntegrityError):
        release.approvals.approve("stable", "bob")
    assert release.manifest("stable") is None
    assert release.approvals.reject("stable", "bob", "damaged") is None
    assert not folder.exists()


def test_an_altered_manifest_is_not_what_was_signed(release: Release, proposed: Pending, folder: Path) -> None:
    (folder / "manifest.json").write_bytes(proposed.raw.replace(b'"defer_threshold":0.6', b'"defer_threshold":0.1'))
    with pytest.raises(IntegrityError, match="missing or altered"):
        release.approvals.approve("stable", "bob")


def test_signed_metadata_that_was_altered_has_no_signature(release: Release, proposed: Pending, folder: Path) -> None:
    """Bob's signature over other bytes does not add to alice's."""
    document = json.loads((folder / "stable.json").read_text())
    document["signed"]["expires"] = "2099-01-01T00:00:00Z"
    (folder / "stable.json").write_text(json.dumps(document))
    left = release.approvals.approve("stable", "bob")
    assert left is not None
    assert release.approvals.signatures(left).signed == ("bob",)
    assert release.manifest("stable") is None


def test_a_rejected_version_is_gone_and_its_reason_is_kept(
    release: Release, proposed: Pending, folder: Path, builder: Any, candidate: Candidate
) -> None:
    assert release.approvals.reject("stable", "carol", "wait for the new corpus") is not None
    assert not folder.exists()
    entry = release.desk.log.entries()[-1]
    assert (entry.actor, entry.action, entry.reason) == ("carol", "reject", "wait for the new corpus")
    with pytest.raises(RefusedError, match="nothing is pending"):
        release.approvals.approve("stable", "bob")
    assert release.propose([candidate], {"triage": builder.entry()}, ["bob"]) is not None


def test_a_rejection_says_why(release: Release, proposed: Pending) -> None:
    with pytest.raises(UsageError, match="say why"):
        release.approvals.reject("stable", "carol", "  ")


def test_one_version_waits_at_a_time(release: Release, proposed: Pending, builder: Any) -> None:
    with pytest.raises(RefusedError, match="version 1 is pending already, proposed by alice"):
        release.propose([builder.candidate(content="new")], {"triage": builder.entry()}, ["bob"])


def test_what_changes_nothing_is_not_proposed(release: Release, builder: Any, candidate: Candidate) -> None:
    workflows = {"triage": builder.entry()}
    release.promote("stable", [candidate], workflows, managers=["alice", "bob"])
    assert release.propose([candidate], workflows, ["alice"]) is None
    assert release.approvals.pending() is None


def test_a_threshold_of_one_publishes_at_once(tmp_path: Path, clock: Any, builder: Any) -> None:
    policy = Policy(managers=("alice",), stable_threshold=1)
    release = Release(tmp_path / "one" / "public", Keys(tmp_path / "keys-1"), policy, now=clock)
    release.init()
    builder.keys = release.keys
    manifest = release.promote("stable", [builder.candidate()], {"triage": builder.entry()}, managers=["alice"])
    assert release.manifest("stable") == manifest
    assert release.approvals.pending() is None


def test_a_publisher_that_died_after_publishing(
    release: Release, proposed: Pending, folder: Path, monkeypatch: pytest.MonkeyPatch, public: Path, files_of: Files
) -> None:
    def dies(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("release.approvals.Approvals._published", dies)
        with pytest.raises(KeyboardInterrupt):
            release.approvals.approve("stable", "bob")
    assert folder.exists()
    before = files_of(public)
    assert release.approvals.pending() is None
    assert not folder.exists()
    assert files_of(public) == before
    assert release.desk.verify_log() == 3


def test_a_full_disk_while_proposing_leaves_nothing(
    release: Release,
    builder: Any,
    candidate: Candidate,
    monkeypatch: pytest.MonkeyPatch,
    public: Path,
    files_of: Files,
    folder: Path,
) -> None:
    before = files_of(public)

    def full(*args: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("release.pending.write", full)
    with pytest.raises(StorageError):
        release.propose([candidate], {"triage": builder.entry()}, ["alice"])
    assert files_of(public) == before
    assert not folder.exists()
    assert release.desk.log.entries() == ()


def test_a_full_disk_while_publishing_keeps_the_version_pending(
    release: Release, proposed: Pending, monkeypatch: pytest.MonkeyPatch, public: Path, files_of: Files
) -> None:
    before = files_of(public)

    def full(*args: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("release.tree.Tree.settle", full)
        with pytest.raises(StorageError):
            release.approvals.approve("stable", "bob")
    assert files_of(public) == before
    assert release.approvals.approve("stable", "bob") is None
    assert release.manifest("stable") is not None


def test_a_document_of_another_version_is_not_adopted(release: Release, proposed: Pending) -> None:
    raw, files = proposed.document.to_bytes(), {STABLE: proposed.raw}
    with pytest.raises(RefusedError, match="stable was signed by 1/2 keys"), release.repository.edit() as edit:
        edit.adopt("stable", raw, files)
    proposed.document.sign(release.keys["manager-bob"].signer, append=True)
    raw = proposed.document.to_bytes()
    with pytest.raises(RefusedError, match="propose it anew"), release.repository.edit() as edit:
        edit.adopt("stable", raw, {STABLE: b"{}"})
    with release.repository.edit() as edit:
        edit.adopt("stable", raw, files)
    with pytest.raises(RefusedError, match="version 2 is signed, 3 is the next"), release.repository.edit() as edit:
        edit.adopt("stable", raw, files)
    assert release.manifest("stable") == proposed.manifest


def test_an_expired_document_is_not_adopted(release: Release, proposed: Pending, clock: Any) -> None:
    proposed.document.sign(release.keys["manager-bob"].signer, append=True)
    clock.forward(days=91)
    with pytest.raises(RefusedError, match="role stable: expired on"), release.repository.edit() as edit:
        edit.adopt("stable", proposed.document.to_bytes(), {STABLE: proposed.raw})
