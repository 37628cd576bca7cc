"""The attack list: each test is one attack, and after each the site serves what it served before."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner

from fleet_manifests import BundleRef, IntegrityError, LadingError, RefusedError, UnreachableError, dump
from runtimes.sync import enroll, load_active, status

pytestmark = pytest.mark.unit

DAY = timedelta(days=1)


@pytest.fixture(params=["folder", "http"])
def victim(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A site that runs release 1, with either kind of source; whatever happens, that is what it runs afterwards."""
    site = request.getfixturevalue("station" if request.param == "folder" else "web_station")
    site.sync()
    yield site
    active = load_active(site.state)
    assert (active.manifest_version, site.content()) == (1, "one")
    assert (site.state / "current").readlink() == Path("versions/000001-stable-1")


def refused(site: Any, kind: type[LadingError], match: str, **more: Any) -> None:
    """The sync is refused for that reason, and the record of the last sync says so."""
    with pytest.raises(kind, match=match) as caught:
        site.sync(**more)
    last = status(site.state).last_sync
    assert (last.ok, last.error, last.error_kind) == (False, str(caught.value), type(caught.value).__name__)


def next_release(site: Any, content: str = "two") -> BundleRef:
    """A proper release 2 to spoil."""
    ref = site.repository.add_bundle(content)
    site.repository.release(2)
    return ref


def target_file(site: Any, name: str) -> Path:
    """Where the bytes of the newest document of that name are."""
    for metadata in site.repository.metadata.values():
        target = getattr(metadata.signed, "targets", {})
        if isinstance(target, dict) and name in target:
            folder, _, base = name.rpartition("/")
            return site.repository.folder / "targets" / folder / f"{target[name].hashes['sha256']}.{base}"
    raise AssertionError(name)


def test_tampered_document(victim: Any) -> None:
    next_release(victim)
    path = target_file(victim, "stable/manifest.json")
    path.write_bytes(path.read_bytes().replace(b'"version":2', b'"version":9'))
    refused(victim, IntegrityError, "hash")


def test_document_of_the_wrong_length(victim: Any) -> None:
    next_release(victim)
    path = target_file(victim, "stable/manifest.json")
    path.write_bytes(path.read_bytes()[:-1])
    refused(victim, IntegrityError, "length")


def test_endless_document(web_station: Any, web: Any) -> None:
    web_station.sync()
    next_release(web_station)
    web.endless = "manifest.json"
    refused(web_station, IntegrityError, "exceeding the maximum allowed length")


@pytest.mark.parametrize("ending", ["timestamp.json", "root.json"])
def test_endless_metadata(web_station: Any, web: Any, ending: str) -> None:
    web_station.sync()
    web.replace = {ending: b"{"}
    web.endless = ending
    refused(web_station, IntegrityError, "exceeding the maximum allowed length")


def test_endless_blob(web_station: Any, web: Any) -> None:
    web_station.sync()
    next_release(web_station)
    web.endless = blob_of(web_station, "model.onnx")
    refused(web_station, IntegrityError, "goes on after its 3000 bytes")
    assert part_sizes(web_station) in ([], [0])


def test_tampered_blob(victim: Any) -> None:
    next_release(victim)
    path = victim.repository.folder / "blobs/sha256" / blob_of(victim, "model.onnx")
    path.write_bytes(b"x" * path.stat().st_size)
    refused(victim, IntegrityError, "other bytes were received than the publisher signed")
    assert part_sizes(victim) == []


def test_registry_answers_a_digest_with_another_blob(victim: Any) -> None:
    next_release(victim)
    blobs = victim.repository.folder / "blobs/sha256"
    shutil.copyfile(blobs / blob_of(victim, "shared/base.bin"), blobs / blob_of(victim, "model.onnx"))
    refused(victim, IntegrityError, "goes on after its")


def test_truncated_blob(victim: Any) -> None:
    next_release(victim)
    path = victim.repository.folder / "blobs/sha256" / blob_of(victim, "model.onnx")
    path.write_bytes(path.read_bytes()[:-1])
    refused(victim, UnreachableError, "ends before its 3000 bytes; 2999 bytes are kept")


@pytest.mark.parametrize("poison", [b"y" * 100, b"y" * 3000, b"y" * 4000])
def test_truncated_and_resumed_over_a_poisoned_part(running: Any, poison: bytes) -> None:
    next_release(running)
    part = running.state / "blobs/sha256" / f"{blob_of(running, 'model.onnx')}.part"
    part.write_bytes(poison)
    assert running.sync().changed
    assert running.content() == "two"


def test_rollback_by_an_older_tree(victim: Any, tmp_path: Path) -> None:
    old = shutil.copytree(victim.repository.folder, tmp_path / "old")
    victim.repository.publish()
    victim.sync()
    for kept in (victim.repository.folder / "metadata").iterdir():
        kept.unlink()
    shutil.copytree(old / "metadata", victim.repository.folder / "metadata", dirs_exist_ok=True)
    refused(victim, IntegrityError, "older metadata than this site has seen")


@pytest.mark.parametrize("role", ["snapshot", "stable", "targets"])
def test_rollback_of_one_role_with_its_real_keys(victim: Any, role: str) -> None:
    repository = victim.repository
    repository.publish()
    victim.sync()
    if role == "snapshot":
        repository.metadata["snapshot"].signed.version -= 3
    else:
        repository.metadata[role].signed.version -= 1
        repository.sign(role)
    repository.seal()
    refused(victim, IntegrityError, "older metadata than this site has seen")


def test_rollback_of_the_manifest_by_its_real_signers(running: Any) -> None:
    running.repository.release(5)
    running.sync()
    running.repository.add_bundle("older")
    running.repository.release(4)
    refused(running, IntegrityError, "version 4 is offered, this site has accepted 5; a rollback is a new")
    assert load_active(running.state).manifest_version == 5


def test_another_manifest_under_a_version_already_seen(victim: Any) -> None:
    victim.repository.add_bundle("two")
    victim.repository.release(1)
    refused(victim, IntegrityError, "publish the change under a new version")


def test_old_usb_stick_on_a_newer_site(running: Any, tmp_path: Path) -> None:
    stick = shutil.copytree(running.repository.folder, tmp_path / "stick")
    next_release(running)
    running.sync()
    refused(running, IntegrityError, "older metadata than this site has seen", source=str(stick))
    assert running.content() == "two"


def test_old_usb_stick_on_a_newer_site_that_lost_its_metadata(running: Any, tmp_path: Path) -> None:
    stick = shutil.copytree(running.repository.folder, tmp_path / "stick")
    next_release(running)
    running.sync()
    shutil.rmtree(running.state / "metadata")
    refused(running, IntegrityError, "version 1 is offered, this site has accepted 2", source=str(stick))


def test_old_usb_stick_on_a_newer_site_that_lost_metadata_and_floor(running: Any, tmp_path: Path) -> None:
    stick = shutil.copytree(running.repository.folder, tmp_path / "stick")
    next_release(running)
    running.sync()
    shutil.rmtree(running.state / "metadata")
    (running.state / "floor.json").unlink()
    refused(running, IntegrityError, "version 1 is offered, this site has accepted 2", source=str(stick))


def test_old_assignment_by_its_real_signer(running: Any) -> None:
    running.repository.assign(4)
    running.repository.publish()
    running.sync()
    running.repository.assign(3, central="https://elsewhere.example")
    running.repository.publish()
    refused(running, IntegrityError, "version 3 is offered, this site has followed 4")
    assert load_active(running.state).central is None


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "stable", "sites", "root"])
def test_freeze(victim: Any, role: str) -> None:
    repository = victim.repository
    for name, metadata in repository.metadata.items():
        metadata.signed.expires += (1 if name == role else 90) * DAY
    repository.add_bundle("two")
    if role == "root":
        repository.metadata["root"].signed.version = 2
        repository.sign("root")
    repository.release(2, expires=repository.expires + 90 * DAY)
    after = repository.expires + 2 * DAY
    refused(victim, IntegrityError, "is expired; nothing new is installed", now=after)


def test_freeze_does_not_depend_on_the_clock_of_the_system(running: Any) -> None:
    """tuf's reference time is set through a private attribute: this fails if that stops working."""
    last = running.repository.expires
    assert not running.sync(last - timedelta(seconds=1)).changed
    refused(running, IntegrityError, "expired", now=last + timedelta(seconds=1))


def test_expired_manifest_under_fresh_metadata(victim: Any) -> None:
    victim.repository.add_bundle("two")
    victim.repository.release(2, expires=victim.repository.expires - 40 * DAY)
    refused(victim, IntegrityError, "version 2 expired on 2026-12-25 08:00 UTC")


def test_mix_and_match_of_channels(victim: Any) -> None:
    repository = victim.repository
    repository.add_bundle("untested")
    repository.set_target("stable", "stable/manifest.json", dump(repository.manifest(2, "canary")))
    repository.publish()
    refused(victim, IntegrityError, "says it is the manifest of channel canary")


def test_mix_and_match_of_snapshots(victim: Any) -> None:
    repository = victim.repository
    next_release(victim)
    version = repository.metadata["stable"].signed.version
    folder = repository.folder / "metadata"
    shutil.copyfile(folder / f"{version - 1}.stable.json", folder / f"{version}.stable.json")
    refused(victim, IntegrityError, "Expected stable v")


def test_assignment_of_another_site(victim: Any) -> None:
    victim.repository.assign(2, site="store-018", central="https://elsewhere.example")
    victim.repository.publish()
    refused(victim, IntegrityError, "is the assignment of edge store-018, this is edge store-017")


def test_assignment_of_another_kind(victim: Any) -> None:
    victim.repository.assign(2, kind="central")
    victim.repository.publish()
    refused(victim, IntegrityError, "is the assignment of central store-017, this is edge")


def test_no_assignment_at_all(station: Any) -> None:
    for role in station.repository.bins.get_roles():
        station.repository.metadata[role].signed.targets.clear()
    station.repository.publish()
    refused(station, RefusedError, "nobody who may do so has published sites/store-017.json")


def test_stable_with_one_signature_less_than_the_threshold(victim: Any) -> None:
    repository = victim.repository
    next_release(victim)
    repository.metadata["stable"].signed.version += 1
    repository.sign("stable", repository.signers["stable"][:1])
    repository.seal()
    refused(victim, IntegrityError, "not enough valid signatures: stable was signed by 1/2 keys")


def test_the_same_manager_signs_twice(victim: Any) -> None:
    repository = victim.repository
    next_release(victim)
    repository.metadata["stable"].signed.version += 1
    raw = json.loads(repository.sign("stable", repository.signers["stable"][:1]))
    raw["signatures"] *= 2
    version = repository.metadata["stable"].signed.version
    (repository.folder / "metadata" / f"{version}.stable.json").write_text(json.dumps(raw))
    repository.seal()
    refused(victim, IntegrityError, "Multiple signatures found")


def test_delegation_escape(victim: Any) -> None:
    """The canary and the sites key each publish a stable manifest, and a builder key."""
    repository = victim.repository
    repository.add_bundle("evil")
    evil = dump(repository.manifest(2))
    del repository.metadata["stable"].signed.targets["stable/manifest.json"]
    for role in ("canary", "sites", *repository.bins.get_roles()):
        repository.set_target(role, "stable/manifest.json", evil)
    repository.publish()
    refused(victim, RefusedError, r"nobody who may do so has published stable/manifest\.json")


def test_a_builder_key_that_only_a_delegate_names(victim: Any) -> None:
    repository = victim.repository
    next_release(victim)
    key = repository.metadata["targets"].signed.targets.pop("trust/builder.pub")
    repository.metadata["stable"].signed.targets["trust/builder.pub"] = key
    repository.publish()
    refused(victim, RefusedError, r"nobody who may do so has published trust/builder\.pub")


def test_key_removed(victim: Any) -> None:
    repository = victim.repository
    old = repository.rotate("timestamp")
    repository.signers["timestamp"], new = old, repository.signers["timestamp"]
    next_release(victim)
    refused(victim, IntegrityError, "not enough valid signatures: timestamp was signed by 0/1 keys")
    repository.signers["timestamp"] = new
    repository.builds.clear()


def test_key_of_a_manager_removed(victim: Any) -> None:
    repository = victim.repository
    old = repository.signers["stable"][0]
    repository.signers["stable"][0] = CryptoSigner.generate_ed25519()
    repository.metadata["targets"].signed.delegations = repository._delegations()
    repository.signers["stable"][0] = old
    next_release(victim)
    refused(victim, IntegrityError, "not enough valid signatures: stable was signed by 1/2 keys")


def test_root_that_the_old_root_did_not_sign(victim: Any) -> None:
    repository = victim.repository
    repository.rotate("root")
    repository.sign("root", repository.signers["root"])
    refused(victim, IntegrityError, "not enough valid signatures: root was signed by 0/1 keys")


def test_rotated_keys_are_followed_from_the_enrolled_root(running: Any) -> None:
    for role in ("root", "timestamp", "snapshot", "root"):
        running.repository.rotate(role)
    next_release(running)
    assert running.sync().changed
    assert running.content() == "two"


def test_clock_set_back(victim: Any) -> None:
    seen = load_active(victim.state).seen
    refused(victim, IntegrityError, "set the clock, then sync again", now=seen - timedelta(seconds=1))
    refused(victim, IntegrityError, "but it was already 2027-01-04", now=seen - 30 * 365 * DAY)


def test_clock_before_this_release_was_made(station: Any) -> None:
    refused(station, IntegrityError, "but it was already 2026-11-01", now=load_epoch())


def test_restored_metadata_cannot_undo_the_floor(running: Any, tmp_path: Path) -> None:
    image = shutil.copytree(running.state / "metadata", tmp_path / "image", symlinks=True)
    old = shutil.copytree(running.repository.folder, tmp_path / "old")
    next_release(running)
    running.sync()
    shutil.rmtree(running.state / "metadata")
    shutil.copytree(image, running.state / "metadata", symlinks=True)
    refused(running, IntegrityError, "this site has accepted 2", source=str(old))
    assert running.content() == "two"


def extra(files: dict[str, bytes]) -> None:
    files["evil.py"] = b"import os"


def missing(files: dict[str, bytes]) -> None:
    del files["shared/base.bin"]


def renamed(files: dict[str, bytes]) -> None:
    files["shared/other.bin"] = files.pop("shared/base.bin")


def changed(files: dict[str, bytes]) -> None:
    files["model.onnx"] = b"evil"


@pytest.mark.parametrize("spoil", [extra, missing, renamed, changed])
def test_bundle_with_other_files_than_were_signed(victim: Any, spoil: Any) -> None:
    repository = victim.repository
    files = repository.files("two")
    signature = repository.sign_bundle("exception_triage--edge-x86-vnni", files)
    spoil(files)
    repository.add_bundle(files=files, signature=signature)
    repository.release(2)
    refused(victim, IntegrityError, "bundle exception_triage--edge-x86-vnni")
    assert victim.tried == ["exception_triage--edge-x86-vnni"], "it is never loaded"


@pytest.mark.parametrize(
    "path",
    ["../../evil", "/etc/evil", ".git/evil.py", "a/../../evil", "a\\b", "c:evil", "", "shared/./x", "nul\x00", "é"],
)
def test_path_traversal_in_a_layer(victim: Any, path: str) -> None:
    repository = victim.repository
    files = repository.files("two")
    layers = [repository.blob(raw, path=name) for name, raw in files.items()]
    repository.add_bundle(files=files, layers=[*layers, repository.blob(b"evil", path=path)])
    repository.release(2)
    refused(victim, IntegrityError, "is not a path inside a bundle")
    assert not list(victim.state.parent.rglob("evil*"))


def test_a_layer_that_is_a_file_and_a_folder(victim: Any) -> None:
    repository = victim.repository
    files = repository.files("two")
    layers = [repository.blob(raw, path=name) for name, raw in files.items()]
    repository.add_bundle(files=files, layers=[*layers, repository.blob(b"x", path="Shared")])
    repository.release(2)
    refused(victim, IntegrityError, "Shared is a file and a folder")


def test_a_bundle_without_its_config(victim: Any) -> None:
    files = {"model.onnx": b"x"}
    victim.repository.add_bundle(files=files)
    victim.repository.release(2)
    refused(victim, IntegrityError, r"no layer is its bundle\.json")


def test_a_link_in_place_of_a_staged_file_is_not_followed(running: Any, tmp_path: Path) -> None:
    """What the blob store holds is hashed as the bytes it is; a link there never enters a version."""
    next_release(running)
    blob = running.state / "blobs/sha256" / blob_of(running, "model.onnx")
    outside = tmp_path / "outside"
    outside.write_bytes(b"two" * 1000)
    blob.symlink_to(outside)
    running.sync()
    active = load_active(running.state)
    model = running.state / "versions" / active.version / active.workflows["exception_triage"].folder / "model.onnx"
    assert not model.is_symlink()


def test_a_signature_by_another_key(victim: Any) -> None:
    victim.repository.builder = ec.generate_private_key(ec.SECP256R1())
    next_release(victim)
    refused(victim, IntegrityError, "bundle exception_triage--edge-x86-vnni")


def test_replay_of_another_bundle_under_this_name(victim: Any) -> None:
    repository = victim.repository
    files = repository.files("two")
    signature = repository.sign_bundle("other_flow--edge-x86-vnni", files)
    repository.add_bundle(files=files, signature=signature)
    repository.release(2)
    refused(victim, IntegrityError, "other_flow--edge-x86-vnni")


def test_a_manifest_that_points_to_the_bundle_of_another_workflow(victim: Any) -> None:
    victim.repository.add_bundle("two", name="other_flow--edge-x86-vnni")
    victim.repository.release(2)
    refused(victim, IntegrityError, "names the bundle 'other_flow--edge-x86-vnni'")


@pytest.mark.parametrize(
    ("field", "value"),
    [("workflow", "other_flow"), ("profile", "edge-arm64"), ("task", "retrieve"), ("isa", "arm64-dotprod")],
)
def test_a_bundle_that_is_for_something_else(victim: Any, field: str, value: str) -> None:
    files = victim.repository.files("two", **{field: value})
    victim.repository.add_bundle(files=files)
    victim.repository.release(2)
    refused(victim, IntegrityError, rf"bundle\.json: {field} is {value}, the manifest says")


def test_unknown_critical_field(victim: Any) -> None:
    victim.repository.add_bundle("two")
    raw = json.loads(dump(victim.repository.manifest(2)))
    raw |= {"quarantine": True, "critical": ["quarantine"]}
    victim.repository.release(2, raw=json.dumps(raw).encode())
    refused(victim, IntegrityError, "critical field quarantine is not known to this version; update lading")


def test_unknown_field_is_ignored(running: Any) -> None:
    running.repository.add_bundle("two")
    raw = json.loads(dump(running.repository.manifest(2))) | {"quarantine": True}
    running.repository.release(2, raw=json.dumps(raw).encode())
    assert running.sync().changed


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"version": 1, "version": 2}', "appears twice"),
        (b'{"version": NaN}', "NaN is not a JSON number"),
        (b"\xff", "not a JSON document"),
        (b"[" * 100_000, "not a JSON document"),
    ],
)
def test_documents_that_two_readers_could_read_differently(victim: Any, raw: bytes, reason: str) -> None:
    victim.repository.release(2, raw=raw)
    refused(victim, IntegrityError, reason)


def test_minimum_agent_too_new(victim: Any) -> None:
    victim.repository.add_bundle("two")
    victim.repository.release(2, minimum_agent="0.2")
    refused(victim, RefusedError, r"needs lading 0\.2 or newer, this is 0\.1\.0; update lading")


def test_workflow_name_that_leaves_its_folder(victim: Any) -> None:
    raw = dump(victim.repository.manifest(2))
    victim.repository.release(2, raw=raw.replace(b'"exception_triage":', b'"../../evil":'))
    refused(victim, IntegrityError, r"workflows\.\.\./\.\./evil.*should match pattern")


def test_hash_of_a_document_that_leaves_the_cache(victim: Any, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")
    repository = victim.repository
    target = repository.set_target("stable", "stable/manifest.json", b"{}")
    target.hashes["sha256"] = os.path.relpath(precious, victim.state / "metadata" / "cache")
    repository.publish()
    refused(victim, IntegrityError, "with a sha256 was due")
    assert precious.read_text() == "data"


def test_huge_document(victim: Any) -> None:
    target = victim.repository.set_target("stable", "stable/manifest.json", b"{}")
    target.length = 10**12
    victim.repository.publish()
    refused(victim, IntegrityError, "a document of at most 4194304 bytes")


def test_huge_oci_manifest(victim: Any) -> None:
    repository = victim.repository
    repository.add_bundle("two")
    build = repository.builds["exception_triage", "edge-x86-vnni"]
    ref = build.bundle.model_copy(update={"manifest": build.bundle.manifest.model_copy(update={"size": 10**12})})
    repository.builds["exception_triage", "edge-x86-vnni"] = build.model_copy(update={"bundle": ref})
    repository.release(2)
    refused(victim, IntegrityError, "its OCI manifest has 1000000000000 bytes")


def test_redirect_to_another_host(web_station: Any, web: Any, make_web: Any, tmp_path: Path) -> None:
    """Requests go to the enrolled source and nowhere else."""
    web_station.sync()
    elsewhere = make_web(web.folder)
    web.status, web.location = 302, f"{elsewhere.address}/metadata/timestamp.json"
    refused(web_station, UnreachableError, "sends on to .*enrol with the final address")
    assert elsewhere.requests == []


def test_pipe_in_place_of_a_blob(running: Any) -> None:
    """A USB stick cannot make the site wait for ever."""
    next_release(running)
    path = running.repository.folder / "blobs/sha256" / blob_of(running, "model.onnx")
    path.unlink()
    os.mkfifo(path)
    refused(running, UnreachableError, "a regular file was expected")


@pytest.mark.parametrize("name", ["metadata/timestamp.json", "blob"])
def test_link_to_a_device_in_place_of_a_file(running: Any, name: str) -> None:
    """Nor can it make the site read for ever."""
    next_release(running)
    path = running.repository.folder / name
    if name == "blob":
        path = running.repository.folder / "blobs/sha256" / blob_of(running, "model.onnx")
    path.unlink()
    path.symlink_to("/dev/zero")
    refused(running, UnreachableError, "a regular file was expected")
    assert running.content() == "one"


def test_slow_retrieval(running: Any, make_web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that keeps every read alive and never gets anywhere is given up, and the running version stays."""
    from runtimes.sync import web as module

    next_release(running)
    server = make_web(running.repository.folder)
    server.trickle = 1
    original = module.HttpSource.__init__
    monkeypatch.setattr(
        module.HttpSource,
        "__init__",
        lambda self, address: original(self, address, slowest=10**9, grace=0.02),
    )
    refused(running, UnreachableError, "less than 1000000000 a second", source=server.address)
    assert running.content() == "one"


def test_exchanged_root_on_the_site(running: Any) -> None:
    (running.state / "root.json").write_bytes(b"{}")
    with pytest.raises(LadingError, match="was given at enrolment and is not here"):
        running.sync()
    assert running.content() == "one"


def test_poisoned_metadata_cache(running: Any) -> None:
    for path in (running.state / "metadata").rglob("*.json"):
        if not path.is_symlink():
            path.write_bytes(b"{}")
    for path in (running.state / "metadata" / "cache").iterdir():
        path.write_bytes(b"{}")
    next_release(running)
    assert running.sync().changed


def test_a_tree_of_another_publisher(victim: Any, tmp_path: Path) -> None:
    other = type(victim.repository)(tmp_path / "other")
    other.add_bundle("evil")
    other.release(9)
    refused(victim, IntegrityError, "not enough valid signatures: timestamp", source=str(other.folder))


def test_enrolment_is_not_changed_by_enrolling_again(running: Any, tmp_path: Path) -> None:
    other = type(running.repository)(tmp_path / "other")
    with pytest.raises(RefusedError, match="enrolled already with root"):
        enroll(running.state, root=other.root_file, source=str(running.repository.folder), site="store-017")
    assert not running.sync().changed


def load_epoch() -> Any:
    from datetime import UTC, datetime

    return datetime(1970, 1, 1, tzinfo=UTC)


def blob_of(site: Any, path: str) -> str:
    """The hex digest of a file of the newest bundle."""
    ref = site.repository.builds["exception_triage", "edge-x86-vnni"].bundle
    layout = json.loads(site.repository.blob_file(ref.digest).read_bytes())
    return next(
        layer["digest"].removeprefix("sha256:")
        for layer in layout["layers"]
        if layer["annotations"]["org.cncf.model.filepath"] == path
    )


def part_sizes(site: Any) -> list[int]:
    return [path.stat().st_size for path in (site.state / "blobs/sha256").glob("*.part")]
