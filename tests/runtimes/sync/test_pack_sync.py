"""What an honest publisher and a site do together about knowledge packs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import DataClass, RefusedError, Revocation, StorageError, UnreachableError, Verdict
from runtimes.sync import load_active, status
from runtimes.sync.active import bundle_folder, pack_folder

pytestmark = pytest.mark.unit

FLOW = "sop_assistant"
NAME = "sop_assistant--edge-x86-vnni--branch"


@pytest.fixture(params=["folder", "http"])
def site(request: pytest.FixtureRequest) -> Any:
    """A site that runs a retriever and its first pack, with both kinds of source."""
    return request.getfixturevalue("reading" if request.param == "folder" else "web_reading")


def next_pack(site: Any, content: str = "second", version: int = 3) -> Any:
    """An SOP changed: a new pack, and nothing else."""
    ref = site.repository.add_pack(content)
    site.repository.release(version)
    return ref


def blobs(site: Any) -> set[str]:
    return {path.name for path in (site.state / "blobs/sha256").iterdir()}


def test_a_first_sync_brings_the_pack(site: Any) -> None:
    active = load_active(site.state)
    pack = active.workflows[FLOW].pack
    assert (pack.name, pack.digest) == (NAME, site.repository.packs[NAME].blob.digest)
    assert active.workflows["exception_triage"].pack is None
    folder = pack_folder(site.state, active, FLOW)
    assert folder == site.state / "versions" / active.version / "packs" / NAME
    assert sorted(path.name for path in folder.iterdir()) == [
        "bm25_terms.txt", "embedding_codes.npy", "pack.json", "passages.jsonl",
    ]  # fmt: skip
    assert site.passages() == "first"
    assert site.tried_packs == [NAME]
    with pytest.raises(KeyError):
        pack_folder(site.state, active, "exception_triage")


def test_a_poll_without_news_is_two_requests(web_reading: Any, web: Any) -> None:
    web.requests.clear()
    assert not web_reading.sync().changed
    assert [path for path, _ in web.requests] == ["/metadata/2.root.json", "/metadata/timestamp.json"]
    assert web_reading.tried_packs == [NAME]


def test_a_new_pack_fetches_the_pack_and_nothing_of_the_bundle(web_reading: Any, web: Any) -> None:
    before = blobs(web_reading)
    next_pack(web_reading)
    web.requests.clear()
    result = web_reading.sync()
    asked = {path.removeprefix("/blobs/sha256/") for path, _ in web.requests if path.startswith("/blobs/")}
    pack = result.active.workflows[FLOW].pack
    assert asked == {digest.removeprefix("sha256:") for digest in pack.blobs} - before
    assert len(asked) == 4, "OCI manifest, signature, passages, embeddings; not pack.json, not the words"
    assert result.changed
    assert web_reading.passages() == "second"


def test_a_new_pack_shares_the_bundles_blobs_and_copies_none(site: Any) -> None:
    active = load_active(site.state)
    model = bundle_folder(site.state, active, FLOW) / "model.onnx"
    next_pack(site)
    result = site.sync()
    again = bundle_folder(site.state, result.active, FLOW) / "model.onnx"
    assert again.stat().st_ino == model.stat().st_ino
    assert again.stat().st_nlink == 3, "the blob and both versions"
    passages = pack_folder(site.state, result.active, FLOW) / "passages.jsonl"
    assert (passages.stat().st_nlink, passages.stat().st_mode & 0o777) == (2, 0o444)
    assert result.active.workflows[FLOW].bundle == active.workflows[FLOW].bundle


def test_a_server_that_read_before_the_switch_still_finds_its_pack(reading: Any) -> None:
    active = load_active(reading.state)
    next_pack(reading)
    reading.sync()
    assert (pack_folder(reading.state, active, FLOW) / "passages.jsonl").read_bytes() == b"first" * 1000


def test_packs_of_the_two_versions_that_stay_are_kept_and_older_ones_go(reading: Any) -> None:
    first = load_active(reading.state).workflows[FLOW].pack
    second = next_pack(reading)
    reading.sync()
    assert set(names(first.blobs)) <= blobs(reading), "the way back"
    third = next_pack(reading, "third", 4)
    reading.sync()
    kept = blobs(reading)
    assert {names([ref.blob.digest])[0] for ref in (second, third)} <= kept
    assert names([first.digest])[0] not in kept
    active = load_active(reading.state)
    used = {name for entry in active.workflows.values() for name in names(entry.needed)}
    assert used <= kept
    assert len(kept - used) == 4 + 2, (
        "what only the build before needs (pack: OCI manifest, signature, two files); manifests"
    )


def names(digests: Any) -> list[str]:
    return [digest.removeprefix("sha256:") for digest in digests]


def test_a_new_retriever_comes_with_its_pack(site: Any) -> None:
    site.repository.add_retriever("embeds better")
    site.repository.add_pack("of the new one")
    site.repository.release(3)
    assert site.sync().changed
    assert (site.content(FLOW), site.passages()) == ("embeds better", "of the new one")


def test_a_rollback_of_a_pack_is_a_new_version(reading: Any) -> None:
    first = dict(reading.repository.packs)
    next_pack(reading)
    reading.sync()
    reading.repository.packs = first
    reading.repository.release(4)
    result = reading.sync()
    assert (result.active.manifest_version, reading.passages()) == (4, "first")


@pytest.mark.parametrize(
    ("ref", "assignment", "reason"),
    [
        (None, {}, "the manifest has no knowledge pack for site class branch on profile edge-x86-vnni"),
        ({}, {"site_class": "depot"}, "the manifest has no knowledge pack for site class depot"),
        ({"verdict": Verdict.INCONCLUSIVE}, {}, "the evidence of its knowledge pack says inconclusive, not pass"),
        ({"data_class": DataClass.PRICING}, {}, "data class pricing of its knowledge pack is not allowed"),
        ({}, {"data_classes": (DataClass.PUBLIC,)}, "data class internal of its knowledge pack is not allowed"),
    ],
)
def test_without_a_pack_only_that_workflow_is_left_out(
    station: Any, ref: dict[str, Any] | None, assignment: dict[str, Any], reason: str
) -> None:
    repository = station.repository
    repository.add_retriever()
    if ref is not None:
        repository.add_pack("first", **ref)
    repository.assign(2, **assignment)
    repository.release(2)
    active = station.sync().active
    assert list(active.workflows) == ["exception_triage"]
    assert active.skipped[FLOW].startswith(reason)
    layers = {raw for path in (station.state / "blobs/sha256").iterdir() if (raw := path.read_bytes())[:5] == b"first"}
    assert layers == set(), "nothing of a pack that may not be here is even fetched"
    assert not station.sync().changed


def test_a_pack_that_goes_takes_its_workflow_with_it(reading: Any) -> None:
    reading.repository.packs.clear()
    reading.repository.release(3)
    active = reading.sync().active
    assert list(active.workflows) == ["exception_triage"]
    assert "has no knowledge pack" in active.skipped[FLOW]


def test_a_site_moves_to_another_class(reading: Any) -> None:
    repository = reading.repository
    repository.add_pack("for depots", "depot")
    repository.assign(2, site_class="depot")
    repository.release(3)
    active = reading.sync().active
    assert (active.workflows[FLOW].pack.name, reading.passages()) == (NAME.replace("branch", "depot"), "for depots")


def test_the_centre_has_a_pack_of_its_own(tmp_path: Path, station: Any) -> None:
    repository = station.repository
    repository.profiles = {
        name: one.model_copy(update={"kind": "central"}) for name, one in repository.profiles.items()
    }
    repository.add_retriever()
    repository.add_pack("for all", "centre")
    repository.assign(1, path_site="headquarters", site="headquarters", kind="central", site_class="centre")
    repository.release(2)
    central = type(station)(tmp_path / "central", repository)
    central.enroll(site="headquarters", kind="central")
    assert central.sync().active.kind == "central"
    assert central.passages() == "for all"


def test_a_failed_case_of_a_pack_never_becomes_current(reading: Any) -> None:
    next_pack(reading)
    reading.pack_failures = ["smoke case 1 of the pack: wh-017/occupied first expected, found wh-020/late"]
    with pytest.raises(RefusedError, match=f"with pack {NAME} .* fails on this machine: smoke case 1 of the pack"):
        reading.sync()
    assert reading.passages() == "first"


def test_a_revoked_pack_stops_even_when_its_successor_cannot_be_fetched(reading: Any) -> None:
    repository = reading.repository
    old = repository.packs[NAME].blob.digest
    new = repository.add_pack("second")
    repository.revocations = [Revocation(bundle=old, reason="wrong torque")]
    repository.release(3)
    missing = repository.blob_file(new.signature.digest)
    signature = missing.read_bytes()
    missing.unlink()
    with pytest.raises(UnreachableError, match="has no blobs/sha256"):
        reading.sync()
    active = load_active(reading.state)
    assert list(active.workflows) == ["exception_triage"]
    assert active.skipped == {FLOW: "its knowledge pack was revoked: wrong torque"}
    missing.write_bytes(signature)
    assert reading.sync().changed
    assert reading.passages() == "second"


def test_a_pack_revoked_without_a_successor_stays_stopped_and_is_not_installed_again(reading: Any) -> None:
    repository = reading.repository
    repository.revocations = [Revocation(bundle=repository.packs[NAME].blob.digest, reason="wrong torque")]
    repository.release(3)
    active = reading.sync().active
    assert active.skipped == {FLOW: "its knowledge pack was revoked: wrong torque"}
    assert not reading.sync().changed
    assert load_active(reading.state).skipped == active.skipped
    assert FLOW not in load_active(reading.state).workflows


@pytest.mark.parametrize("file", ["pack.json", None])
def test_a_damaged_pack_folder_is_put_right(reading: Any, file: str | None) -> None:
    folder = pack_folder(reading.state, load_active(reading.state), FLOW)
    shutil.rmtree(folder) if file is None else (folder / file).unlink()
    assert f"packs/{NAME}/pack.json is missing; run `sync` again" in status(reading.state).problem
    assert reading.sync().changed
    assert reading.passages() == "first"


def test_an_altered_blob_of_a_pack_is_fetched_again(reading: Any) -> None:
    next_pack(reading)
    for digest in load_active(reading.state).workflows[FLOW].pack.blobs:
        path = reading.state / "blobs/sha256" / digest.removeprefix("sha256:")
        path.chmod(0o600)
        path.write_bytes(b"rot" + path.read_bytes()[3:])
    reading.sync()
    assert reading.passages() == "second"
    words = pack_folder(reading.state, load_active(reading.state), FLOW) / "bm25_terms.txt"
    assert words.read_bytes().startswith(b"the words")


def test_a_pack_that_does_not_fit_on_the_disk(reading: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    real = os.statvfs

    def small(path: Any) -> Any:
        found = list(real(path))
        found[4] = 0  # blocks that are free to this user
        return os.statvfs_result(found)

    next_pack(reading)
    monkeypatch.setattr(os, "statvfs", small)
    with pytest.raises(StorageError, match="the disk is full; free some space"):
        reading.sync()
    monkeypatch.undo()
    assert reading.passages() == "first"
    reading.sync()
    assert reading.passages() == "second"


def write_key(tmp_path: Path, identity: Any, comment: str = "") -> Path:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.key"
    path.write_text(f"{comment}{identity}\n")
    return path


def release_sealed(site: Any, key: Any, data_class: DataClass = DataClass.CUSTOMER, version: int = 2) -> None:
    """A release whose pack is encrypted for the site class."""
    repository = site.repository
    if not repository.packs:
        repository.add_retriever()
    config = repository.pack_config(data_class=data_class, encrypted=True)
    repository.add_pack("sealed", config=config, recipient=key.to_public())
    repository.release(version)


@pytest.mark.parametrize("data_class", [DataClass.CUSTOMER, DataClass.INTERNAL])
def test_an_encrypted_pack_without_the_key_leaves_out_that_workflow(
    station: Any, site_class_key: Any, tmp_path: Path, data_class: DataClass
) -> None:
    right, _ = site_class_key
    release_sealed(station, right, data_class)
    active = station.sync().active
    assert list(active.workflows) == ["exception_triage"]
    assert active.skipped == {
        FLOW: "its knowledge pack is encrypted and the key of site class branch is not here; "
        "ask the publisher for it and enroll again with --pack-key-file"
    }
    assert station.tried_packs == []
    assert not station.sync().changed, "what is known to be missing is not asked for at every poll"
    station.enroll(pack_key=write_key(tmp_path, right, "# created: 2026-11-25\n# public key: age1...\n"))
    assert station.sync().changed
    pack = load_active(station.state).workflows[FLOW].pack
    assert (pack.encrypted, pack.data_class, station.tried_packs) == (True, data_class, [NAME])
    assert not station.sync().changed


def test_a_poll_without_the_key_is_two_requests(web_station: Any, web: Any, site_class_key: Any) -> None:
    release_sealed(web_station, site_class_key[0], DataClass.INTERNAL)
    web_station.sync()
    web.requests.clear()
    assert not web_station.sync().changed
    assert len(web.requests) == 2


def test_a_pack_that_is_open_again_needs_no_key(station: Any, site_class_key: Any) -> None:
    release_sealed(station, site_class_key[0], DataClass.INTERNAL)
    station.sync()
    next_pack(station, "open")
    assert station.sync().changed
    assert station.passages() == "open"


def test_a_pack_that_becomes_encrypted_stops_the_workflow_where_there_is_no_key(
    reading: Any, site_class_key: Any
) -> None:
    release_sealed(reading, site_class_key[0], version=3)
    active = reading.sync().active
    assert list(active.workflows) == ["exception_triage"]
    assert "is encrypted" in active.skipped[FLOW]


def test_a_key_that_was_taken_away_stops_the_workflow(station: Any, site_class_key: Any, tmp_path: Path) -> None:
    right, _ = site_class_key
    release_sealed(station, right, DataClass.INTERNAL)
    station.enroll(pack_key=write_key(tmp_path, right))
    station.sync()
    (station.state / "pack-key").unlink()
    assert station.sync().changed
    assert "is encrypted" in load_active(station.state).skipped[FLOW]


def test_a_wrong_key_is_refused_and_replaced(station: Any, site_class_key: Any, tmp_path: Path) -> None:
    right, wrong = site_class_key
    station.sync()
    release_sealed(station, right)
    station.enroll(pack_key=write_key(tmp_path, wrong))
    with pytest.raises(RefusedError, match=f"with pack {NAME} .* encrypted for another key"):
        station.sync()
    assert load_active(station.state).manifest_version == 1
    station.enroll(pack_key=write_key(tmp_path, right))
    assert station.sync().active.manifest_version == 2


def test_the_key_is_nowhere_but_in_its_file(
    station: Any, site_class_key: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    right, wrong = site_class_key
    release_sealed(station, right)
    station.enroll(pack_key=write_key(tmp_path, wrong))
    with caplog.at_level(0), pytest.raises(RefusedError) as caught:
        station.sync()
    station.enroll(pack_key=write_key(tmp_path, right))
    station.sync()
    said = [str(caught.value), caplog.text, status(station.state).model_dump_json()]
    files = [path.read_bytes() for path in station.state.rglob("*") if path.is_file() and path.name != "pack-key"]
    for secret in (str(right), str(wrong)):
        body = secret.removeprefix("AGE-SECRET-KEY-1")
        assert not any(body in text for text in said)
        assert not any(body.encode() in raw for raw in files)
    assert (station.state / "pack-key").read_text() == f"{right}\n"
