"""Garbage collection: what goes, and above all what stays."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import FleetManifest, IntegrityError, StorageError, UsageError, parse
from release import Keys, Policy, Release, layout, unpack
from release.gc import Keep, collect, named_in
from release.published import blob_path, read_blob
from release.tree import locked

pytestmark = pytest.mark.unit
Files = Callable[[Path], dict[str, str]]
CANARY = "canary/manifest.json"


@pytest.fixture
def policy() -> Policy:
    """Builds of years, by evidence that was taken when the tests began."""
    return Policy(managers=("alice", "bob", "carol"), evidence_days=3650)


@pytest.fixture
def aged(release: Release, builder: Any, clock: Any) -> list[FleetManifest]:
    """Eleven releases, of which the last three have not expired."""
    made = []
    for number in range(11):
        clock.forward(days=11)
        release.refresh("canary", "candidates")
        made.append(publish(release, builder, f"release {number}"))
    release.assign([builder.assignment("s1", channel="canary")])
    return made


def publish(release: Release, builder: Any, content: str) -> FleetManifest:
    return release.promote("canary", [builder.candidate(content=content)], {"triage": builder.entry()})


def digest(manifest: FleetManifest) -> str:
    return manifest.workflows["triage"].builds["edge-x86-vnni"].bundle.digest


def require_whole(public: Path, manifest: FleetManifest, out: Path) -> None:
    """Every byte that a site needs for a manifest is there."""
    build = manifest.workflows["triage"].builds["edge-x86-vnni"]
    out.mkdir(parents=True)
    unpack(public, build.bundle, out)
    for blob in (build.bundle.signature, *build.evidence, manifest.updates):
        read_blob(public, blob)


def require_listed(public: Path) -> None:
    """Everything that the index leads to is there."""
    index = parse(layout.Index, (public / "index.json").read_bytes())
    assert index.manifests
    for entry in index.manifests:
        document = json.loads(read_blob(public, entry))
        for blob in document.get("manifests", [document.get("config"), *document.get("layers", [])]):
            assert blob_path(public, blob["digest"]).is_file()


def gone(public: Path, manifest: FleetManifest) -> bool:
    return not blob_path(public, digest(manifest)).exists()


def test_a_dry_run_says_what_a_real_one_removes(
    release: Release, aged: list[FleetManifest], public: Path, files_of: Files
) -> None:
    before = files_of(public)
    said = collect(release.repository, dry_run=True)
    assert files_of(public) == before
    assert said.dry_run
    assert said.bytes > 1000
    done = collect(release.repository, dry_run=False)
    assert (done.removed, done.bytes, done.kept) == (said.removed, said.bytes, said.kept)
    assert set(before) - set(files_of(public)) == set(done.removed)
    assert collect(release.repository, dry_run=False).removed == ()


def test_what_an_unexpired_manifest_names_stays(
    release: Release, aged: list[FleetManifest], public: Path, tmp_path: Path
) -> None:
    collect(release.repository, dry_run=False)
    for number, manifest in enumerate(aged[-3:]):
        require_whole(public, manifest, tmp_path / str(number))
    require_listed(public)
    # the first build stays as well: the others are held to it
    assert [gone(public, manifest) for manifest in aged] == [False] + [True] * 7 + [False] * 3


def test_a_site_that_is_ten_versions_behind_still_updates(
    release: Release, builder: Any, clock: Any, client: Any, public: Path, tmp_path: Path
) -> None:
    publish(release, builder, "to which the others are held")
    first = publish(release, builder, "first")
    assert parse(FleetManifest, client.read(CANARY)[CANARY]).version == first.version
    for number in range(10):
        clock.forward(days=40)
        release.refresh("canary", "candidates", "targets", "root")
        newest = publish(release, builder, f"later {number}")
        collect(release.repository, Keep(snapshots=1), dry_run=False)
    assert gone(public, first)
    read = parse(FleetManifest, client.read(CANARY)[CANARY])
    assert read == newest
    assert read.version == first.version + 10
    require_whole(public, read, tmp_path / "out")


def test_a_channel_can_be_rolled_back_to_the_version_before(
    release: Release, aged: list[FleetManifest], public: Path, clock: Any, tmp_path: Path
) -> None:
    """Also where both have expired."""
    clock.forward(days=50)
    release.refresh("canary", "candidates")
    collect(release.repository, dry_run=False)
    require_whole(public, aged[-1], tmp_path / "last")
    require_whole(public, aged[-2], tmp_path / "before")
    assert gone(public, aged[-3])


def test_what_a_site_reports_stays(release: Release, aged: list[FleetManifest], public: Path, tmp_path: Path) -> None:
    oldest, second, third = aged[1:4]
    keep = Keep(frozenset({digest(oldest)}), frozenset({("canary", second.version), ("stable", third.version)}))
    collect(release.repository, keep, dry_run=False)
    require_whole(public, second, tmp_path / "second")
    (tmp_path / "oldest").mkdir()
    unpack(public, oldest.workflows["triage"].builds["edge-x86-vnni"].bundle, tmp_path / "oldest")
    read_blob(public, oldest.workflows["triage"].builds["edge-x86-vnni"].bundle.signature)
    assert gone(public, third)
    require_listed(public)


def test_what_pending_releases_and_reports_name_is_found(tmp_path: Path, aged: list[FleetManifest]) -> None:
    reports, pending = tmp_path / "reports", tmp_path / "pending" / "stable-3"
    reports.mkdir()
    pending.mkdir(parents=True)
    (reports / "s1.json").write_text(json.dumps({"channel": "canary", "manifest_version": 4, "problem": None}))
    (pending / "manifest.json").write_text(json.dumps({"bundle": {"manifest": {"digest": digest(aged[0])}}}))
    (pending / "note.txt").write_text("why")
    found = named_in([reports, tmp_path / "pending"])
    assert found == Keep(frozenset({digest(aged[0])}), frozenset({("canary", 4)}))
    assert named_in([]) == Keep()


def test_a_report_that_cannot_be_read_stops_it(tmp_path: Path) -> None:
    (tmp_path / "s1.json").write_bytes(b"\xff\xfe")
    with pytest.raises(IntegrityError, match=r"s1\.json: what it needs cannot be read"):
        named_in([tmp_path])


def test_every_root_stays_and_old_metadata_goes(release: Release, aged: list[FleetManifest], public: Path) -> None:
    release.refresh("root")
    collect(release.repository, Keep(snapshots=2), dry_run=False)
    names = [path.name for path in (public / "metadata").iterdir()]
    assert {name for name in names if "root" in name} == {"1.root.json", "2.root.json"}
    newest = release.repository.state().snapshot.signed.version
    assert {name for name in names if "snapshot" in name} == {f"{newest - 1}.snapshot.json", f"{newest}.snapshot.json"}
    assert len(names) < 40
    assert release.status().sites == ("s1",)


def test_a_reader_in_between_ends_with_the_snapshot_that_it_began(
    release: Release, builder: Any, client: Any, public: Path
) -> None:
    release.assign([builder.assignment("s1")])
    stale = (public / "metadata" / "timestamp.json").read_bytes()
    for channel in ("canary", "stable") * 5:
        release.assign([builder.assignment("s1", channel=channel)])
    collect(release.repository, dry_run=False)
    (public / "metadata" / "timestamp.json").write_bytes(stale)
    assert client.read("sites/s1.json")["sites/s1.json"] is not None


def test_one_that_was_broken_off_leaves_a_whole_release_and_the_next_one_ends_it(
    release: Release,
    aged: list[FleetManifest],
    public: Path,
    client: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, calls = Path.unlink, iter(range(1000))

    def failing(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.is_relative_to(public / "blobs") and next(calls) == 5:
            raise PermissionError(13, "Permission denied", str(path))
        real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", failing)
        with pytest.raises(StorageError, match="Permission denied"):
            collect(release.repository, dry_run=False)
    require_listed(public)
    require_whole(public, parse(FleetManifest, client.read(CANARY)[CANARY]), tmp_path / "out")
    assert collect(release.repository, dry_run=False).removed
    assert collect(release.repository, dry_run=False).removed == ()


def test_publishing_goes_on_afterwards(
    release: Release, builder: Any, aged: list[FleetManifest], public: Path, tmp_path: Path
) -> None:
    collect(release.repository, Keep(snapshots=1), dry_run=False)
    require_whole(public, publish(release, builder, "after"), tmp_path / "out")


def test_a_tree_that_is_not_whole_is_left_as_it_is(
    release: Release, aged: list[FleetManifest], public: Path, files_of: Files
) -> None:
    blob_path(public, digest(aged[-1])).write_bytes(b"rot")
    before = files_of(public)
    with pytest.raises(IntegrityError, match="is not the blob that its name says"):
        collect(release.repository, dry_run=False)
    assert files_of(public) == before


def test_a_file_that_somebody_put_there_keeps_nothing(
    release: Release, aged: list[FleetManifest], public: Path
) -> None:
    forged = public / "targets" / "canary" / f"{'0' * 64}.manifest.json"
    forged.write_bytes(json.dumps({"version": 1}).encode())
    collect(release.repository, dry_run=False)
    assert not forged.exists()


def test_it_waits_for_no_publisher(release: Release, aged: list[FleetManifest], public: Path) -> None:
    with locked(public), pytest.raises(StorageError, match="held by process"):
        collect(release.repository, dry_run=False)


def test_there_has_to_be_a_release(tmp_path: Path, keys: Keys, policy: Policy) -> None:
    with pytest.raises(UsageError, match="there is no repository"):
        collect(Release(tmp_path / "nowhere", keys, policy).repository, dry_run=True)


def test_the_tree_of_another_publisher_is_not_touched(
    release: Release, aged: list[FleetManifest], public: Path, tmp_path: Path, policy: Policy, files_of: Files
) -> None:
    other = Release(tmp_path / "other" / "public", Keys(tmp_path / "other-keys"), policy)
    other.init()
    shutil.rmtree(other.repository.public)
    shutil.copytree(public, other.repository.public)
    before = files_of(public)
    with pytest.raises(IntegrityError):
        collect(other.repository, dry_run=False)
    assert files_of(other.repository.public) == before
