"""The TUF repository on disk: roles and thresholds, interrupted publications, locks, expiry, distrust of the tree."""

from __future__ import annotations

import errno
import itertools
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, Root, Targets

from fleet_manifests import IntegrityError, RefusedError, StorageError, UsageError
from release import Keys, Policy, Release
from release.repository import Repository

pytestmark = pytest.mark.unit
Files = Callable[[Path], dict[str, str]]


def load(public: Path, name: str) -> Metadata[Any]:
    return Metadata.from_file(str(public / "metadata" / name))


def test_thresholds_and_keys_are_those_of_the_design(public: Path, keys: Keys) -> None:
    root: Root = load(public, "1.root.json").signed
    assert {name: (role.threshold, len(role.keyids)) for name, role in root.roles.items()} == {
        "root": (2, 3),
        "targets": (2, 3),
        "snapshot": (1, 1),
        "timestamp": (1, 1),
    }
    assert root.consistent_snapshot is True
    targets: Targets = load(public, "1.targets.json").signed
    assert targets.delegations is not None
    assert targets.delegations.roles is not None
    found = {name: (role.threshold, role.paths, role.keyids) for name, role in targets.delegations.roles.items()}
    managers = [keys[f"manager-{name}"].public.keyid for name in ("alice", "bob", "carol")]
    assert found == {
        "candidates": (1, ["candidates/*.json"], [keys["builder"].public.keyid]),
        "canary": (1, ["canary/*.json"], [keys["builder"].public.keyid]),
        "stable": (2, ["stable/*.json"], managers),
        "sites": (1, ["sites/*.json"], [keys["online"].public.keyid]),
    }
    assert all(role.terminating for role in targets.delegations.roles.values())
    assert list(targets.targets) == ["trust/builder.pub"]


def test_offline_and_online_keys_are_apart(public: Path, keys: Keys) -> None:
    root: Root = load(public, "1.root.json").signed
    online, builder = keys["online"].public.keyid, keys["builder"].public.keyid
    assert online not in root.roles["root"].keyids + root.roles["targets"].keyids
    assert builder not in root.keys


def test_sites_are_sixteen_hash_bins(public: Path) -> None:
    sites: Targets = load(public, "1.sites.json").signed
    assert sites.delegations is not None
    assert sites.delegations.succinct_roles is not None
    assert sites.delegations.succinct_roles.bit_length == 4
    bins = sorted(path.name for path in (public / "metadata").glob("1.sites-bin-*.json"))
    assert bins == [f"1.sites-bin-{index:x}.json" for index in range(16)]


@pytest.mark.parametrize(
    ("role", "days"),
    [("root", 365), ("targets", 180), ("stable", 90), ("canary", 30), ("candidates", 30), ("sites", 30),
     ("sites-bin-7", 30), ("snapshot", 7)],
)  # fmt: skip
def test_expiry_is_that_of_the_table(public: Path, clock: Any, role: str, days: int) -> None:
    assert load(public, f"1.{role}.json").signed.expires == clock() + timedelta(days=days)


def test_the_timestamp_lasts_for_the_longest_outage(tmp_path: Path, keys: Keys, clock: Any) -> None:
    policy = Policy(managers=("a", "b"), max_offline_hours=48)
    Release(tmp_path / "public", keys, policy, now=clock).init()
    assert load(tmp_path / "public", "timestamp.json").signed.expires == clock() + timedelta(hours=48)


def test_two_roles_with_one_key_are_refused(tmp_path: Path, keys: Keys, policy: Policy) -> None:
    keys.ensure(["online"])
    shutil.copy(keys.folder / "online.pem", keys.folder / "builder.pem")
    with pytest.raises(RefusedError, match="are the same key"):
        Repository(tmp_path / "public", Keys(keys.folder), policy).create()
    assert not (tmp_path / "public" / "metadata").exists()


def test_a_repository_is_created_once(release: Release) -> None:
    with pytest.raises(UsageError, match="holds a repository already"):
        release.repository.create()


def test_an_edit_that_changes_nothing_writes_nothing(release: Release, public: Path, files_of: Files) -> None:
    before = files_of(public)
    with release.repository.edit():
        pass
    assert files_of(public) == before


def test_an_abort_leaves_nothing_behind(release: Release, public: Path, files_of: Files) -> None:
    before = files_of(public)
    with pytest.raises(ZeroDivisionError), release.repository.edit() as edit:
        edit.target("sites/s1.json", b"{}")
        raise ZeroDivisionError
    assert files_of(public) == before


def test_an_edit_raises_only_what_it_changed(release: Release, public: Path) -> None:
    with release.repository.edit() as edit:
        edit.target("canary/manifest.json", b"{}")
    snapshot = load(public, "2.snapshot.json").signed
    versions = {name: meta.version for name, meta in snapshot.meta.items()}
    assert versions.pop("canary.json") == 2
    assert set(versions.values()) == {1}
    assert load(public, "timestamp.json").signed.version == 2


def test_old_versions_stay_for_readers_in_between(release: Release, public: Path) -> None:
    before = set((public / "metadata").iterdir())
    with release.repository.edit() as edit:
        edit.target("canary/manifest.json", b"{}")
    assert before <= set((public / "metadata").iterdir())


@pytest.mark.parametrize("managers", [[], ["alice"]])
def test_threshold_minus_one_is_refused(release: Release, public: Path, files_of: Files, managers: list[str]) -> None:
    before = files_of(public)
    with (
        pytest.raises(RefusedError, match=f"stable was signed by {len(managers)}/2 keys"),
        release.repository.edit(managers=managers) as edit,
    ):
        edit.target("stable/manifest.json", b"{}")
    assert files_of(public) == before


def test_the_same_signature_twice_is_one(release: Release, public: Path, files_of: Files) -> None:
    before = files_of(public)
    with (
        pytest.raises(RefusedError, match="stable was signed by 1/2 keys"),
        release.repository.edit(managers=["alice", "alice"]) as edit,
    ):
        edit.target("stable/manifest.json", b"{}")
    assert files_of(public) == before


def test_another_builder_key_cannot_publish(release: Release, public: Path, keys: Keys, files_of: Files) -> None:
    keys.ensure(["other"])
    shutil.copy(keys.folder / "other.pem", keys.folder / "builder.pem")
    thief = Repository(public, Keys(keys.folder), release.policy, now=release.now)
    before = files_of(public)
    with pytest.raises(RefusedError, match="canary was signed by 0/1 keys"), thief.edit() as edit:
        edit.target("canary/manifest.json", b"{}")
    assert files_of(public) == before


def test_a_target_outside_every_delegation_is_refused(release: Release) -> None:
    with pytest.raises(IntegrityError, match="does not name role elsewhere"), release.repository.edit() as edit:
        edit.target("elsewhere/manifest.json", b"{}")


class Failing:
    """`os.replace` that fails at the n-th call, as a full disk or a dying process would."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.at = at
        self.error = error
        self.calls = 0
        self.real = os.replace

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        self.real(*args, **kwargs)


def test_a_full_disk_at_any_step_leaves_the_old_release_whole(
    release: Release, builder: Any, client: Any, public: Path, files_of: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflows = {"triage": builder.entry()}
    release.promote("canary", [builder.candidate(content="first")], workflows)
    old, before = client.read("canary/manifest.json"), files_of(public)
    candidate = builder.candidate(content="second")
    for at in itertools.count(1):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", Failing(at, OSError(errno.ENOSPC, "No space left on device")))
            with pytest.raises(StorageError, match="No space left on device") as failed:
                release.promote("canary", [candidate], workflows)
        if "is published" in str(failed.value):
            break
        assert files_of(public) == before
        assert client.read("canary/manifest.json") == old
    assert at >= 14, "blobs, target, role, snapshot, index and timestamp come before the note in the key store"
    assert release.promote("canary", [candidate], workflows).version == 2
    assert client.read("canary/manifest.json") != old


def test_a_disk_that_fills_while_writing_leaves_the_old_release_whole(
    release: Release, builder: Any, public: Path, files_of: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate, before = builder.candidate(), files_of(public)
    for at in (1, 3, 8, 12):
        calls = iter(range(1, 1000))

        def full(descriptor: int, at: int = at, calls: Any = calls) -> None:
            if next(calls) >= at:
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StorageError, match="No space left on device"):
                release.promote("canary", [candidate], {"triage": builder.entry()})
        assert files_of(public) == before


def test_an_interrupt_is_undone_too(
    release: Release, builder: Any, public: Path, files_of: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate, before = builder.candidate(), files_of(public)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", Failing(9, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            release.promote("canary", [candidate], {"triage": builder.entry()})
    assert files_of(public) == before


def killed_at(at: int, release: Release, candidate: Any, workflows: dict[str, Any]) -> None:
    """Publish in this process, and die without a word at the n-th file."""
    real, calls = os.replace, iter(range(1, 1000))

    def replace(*args: Any, **kwargs: Any) -> None:
        if next(calls) == at:
            os._exit(9)
        real(*args, **kwargs)

    os.replace = replace
    release.promote("canary", [candidate], workflows)


@pytest.mark.parametrize("at", [1, 8, 11, 14])
def test_a_killed_publisher_leaves_one_whole_release_and_the_next_one_succeeds(
    release: Release, builder: Any, client: Any, public: Path, at: int
) -> None:
    workflows = {"triage": builder.entry()}
    release.promote("canary", [builder.candidate(content="first")], workflows)
    old = client.read("canary/manifest.json")
    candidate = builder.candidate(content="second")
    child = multiprocessing.get_context("fork").Process(target=killed_at, args=(at, release, candidate, workflows))
    child.start()
    child.join(60)
    assert child.exitcode == 9
    assert client.read("canary/manifest.json") == old
    assert release.promote("canary", [candidate], workflows).version == 2
    assert client.read("canary/manifest.json") != old
    assert not list(public.rglob(".*.tmp"))


def test_two_publishers_exclude_each_other(release: Release, builder: Any, public: Path, files_of: Files) -> None:
    before = files_of(public)
    lock = public.parent / ".public.lock"
    with (
        release.repository.edit(),
        pytest.raises(StorageError, match=f"{lock}: held by process {os.getpid()}"),
        release.repository.edit(),
    ):
        pass
    assert files_of(public) == before
    release.assign([builder.assignment("s1")])


def test_the_lock_of_a_dead_process_does_not_hold(release: Release, public: Path, builder: Any) -> None:
    (public.parent / ".public.lock").write_text("99999")
    release.assign([builder.assignment("s1")])


def test_refresh_renews_what_the_online_key_signs(release: Release, client: Any, clock: Any, public: Path) -> None:
    client.read()
    clock.forward(days=6)
    release.refresh()
    versions = {role.role: role.version for role in release.status().roles}
    assert (versions["timestamp"], versions["snapshot"], versions["sites-bin-3"]) == (2, 2, 1)
    clock.forward(days=10)
    release.refresh()
    versions = {role.role: role.version for role in release.status().roles}
    assert (versions["timestamp"], versions["sites"], versions["sites-bin-3"]) == (3, 2, 2)
    assert (versions["canary"], versions["stable"], versions["targets"]) == (1, 1, 1)
    client.read()


def test_a_role_above_that_has_expired_is_said(release: Release, builder: Any, clock: Any) -> None:
    clock.forward(days=200)
    with pytest.raises(RefusedError, match=r"role targets expired on .*; renew it first"):
        release.assign([builder.assignment("s1")])
    release.refresh("targets")
    (assigned,) = release.assign([builder.assignment("s1")])
    assert assigned.site == "s1"


def test_assigning_renews_what_delegates_to_the_bins(release: Release, builder: Any, clock: Any, client: Any) -> None:
    clock.forward(days=40)
    release.assign([builder.assignment("s1")])
    versions = {role.role: role.version for role in release.status().roles}
    assert versions["sites"] == 2
    assert "sites" not in release.status().expired


def test_a_long_neglected_fleet_is_renewed_from_the_root(
    release: Release, builder: Any, clock: Any, client: Any
) -> None:
    client.read()
    clock.forward(days=400)
    with pytest.raises(RefusedError, match="role root expired"):
        release.refresh("targets")
    release.refresh("root", "targets", "canary", "candidates")
    assert set(release.status().expired) == {"stable"}
    builder.taken = clock()
    assert release.promote("canary", [builder.candidate()], {"triage": builder.entry()}).version == 2
    client.read()


def test_refresh_does_not_approve_for_the_managers(release: Release, public: Path, files_of: Files) -> None:
    before = files_of(public)
    with pytest.raises(RefusedError, match="stable was signed by 0/2 keys"):
        release.refresh("stable")
    assert files_of(public) == before


def flip(public: Path, name: str) -> None:
    """Change one signed value of a document on the server."""
    path = public / "metadata" / name
    document = json.loads(path.read_bytes())
    document["signed"]["expires"] = "2099-01-01T00:00:00Z"
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("name", ["timestamp.json", "1.snapshot.json", "1.targets.json", "1.sites.json"])
def test_what_the_server_altered_is_not_signed_anew(release: Release, builder: Any, public: Path, name: str) -> None:
    flip(public, name)
    with pytest.raises(IntegrityError, match="cannot be trusted"):
        release.assign([builder.assignment("s1")])


def test_a_signed_document_that_was_never_released_is_not_built_upon(
    release: Release, public: Path, keys: Keys
) -> None:
    """What a killed publisher left, or the builder signed elsewhere, under the released version number."""
    with release.repository.edit() as edit:
        edit.target("canary/manifest.json", b"{}")
    document = load(public, "2.canary.json")
    document.signed.targets = {}
    document.sign(keys["builder"].signer)
    document.to_file(str(public / "metadata" / "2.canary.json"))
    with pytest.raises(IntegrityError, match=r"2\.canary\.json: cannot be trusted"):
        release.manifest("canary")


def test_an_altered_assignment_is_not_taken_for_the_published_one(release: Release, builder: Any, public: Path) -> None:
    release.assign([builder.assignment("s1")])
    path = next((public / "targets" / "sites").glob("*.s1.json"))
    path.write_bytes(path.read_bytes().replace(b"branch", b"brunch"))
    with pytest.raises(IntegrityError, match=r"is not what sites-bin-. signed"):
        release.assign([builder.assignment("s1")])


def test_another_fleets_tree_is_not_taken(release: Release, tmp_path: Path, keys: Keys, policy: Policy) -> None:
    other = Release(tmp_path / "theirs", Keys(tmp_path / "their-keys"), policy)
    other.init()
    mixed = Release(other.repository.public, keys, policy)
    with pytest.raises(IntegrityError):
        mixed.status()


def test_a_tree_without_its_keys_is_not_taken(release: Release, public: Path, tmp_path: Path) -> None:
    bare = Release(public, Keys(tmp_path / "no-keys"), release.policy)
    with pytest.raises(UsageError, match="remembers no root of trust"):
        bare.status()


def test_a_forged_next_root_is_refused(release: Release, public: Path, tmp_path: Path, policy: Policy) -> None:
    other = Release(tmp_path / "theirs", Keys(tmp_path / "their-keys"), policy)
    other.init()
    other.refresh("root")
    shutil.copy(other.repository.public / "metadata" / "2.root.json", public / "metadata" / "2.root.json")
    with pytest.raises(IntegrityError, match="the chain of roots is broken"):
        release.status()


def test_an_older_copy_of_the_tree_is_refused(release: Release, builder: Any, public: Path, tmp_path: Path) -> None:
    shutil.copytree(public, tmp_path / "backup")
    release.assign([builder.assignment("s1")])
    shutil.rmtree(public)
    shutil.copytree(tmp_path / "backup", public)
    with pytest.raises(IntegrityError, match="holds release 1, but 2 was published"):
        release.assign([builder.assignment("s2")])


def test_a_lost_tree_is_rebuilt_and_enrolled_sites_follow(
    release: Release, builder: Any, public: Path, client: Any
) -> None:
    candidate, workflows = builder.candidate(), {"triage": builder.entry()}
    before = release.promote("canary", [candidate], workflows)
    release.assign([builder.assignment("s1")])
    release.refresh("root")
    client.read("canary/manifest.json", "sites/s1.json")
    shutil.rmtree(public)
    assert release.init() is True
    after = release.promote("canary", [candidate], workflows)
    (assigned,) = release.assign([builder.assignment("s1")])
    assert after.version > before.version
    assert assigned.version > 1
    found = client.read("canary/manifest.json", "sites/s1.json")
    assert found["canary/manifest.json"]
    assert found["sites/s1.json"]
    assert (public / "metadata" / "1.root.json").read_bytes() == client.root
