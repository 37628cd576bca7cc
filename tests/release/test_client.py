"""What any TUF client makes of the tree: python-tuf's own Updater over plain files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tuf.api.exceptions import DownloadError, ExpiredMetadataError, LengthOrHashMismatchError, RepositoryError
from tuf.api.metadata import Metadata

from fleet_manifests import Assignment, FleetManifest, OciManifest, digest_of, parse
from fleet_manifests.signature import verify_bundle
from release import Keys, Release

pytestmark = pytest.mark.unit
CANARY, SITE, KEY = "canary/manifest.json", "sites/s1.json", "trust/builder.pub"


@pytest.fixture
def manifest(release: Release, builder: Any) -> FleetManifest:
    """A release with one workflow in canary and one site."""
    release.assign([builder.assignment("s1", channel="canary")])
    return release.promote("canary", [builder.candidate()], {"triage": builder.entry()})


def test_a_new_fleet_names_the_builders_key_and_nothing_else(client: Any, keys: Keys) -> None:
    found = client.read(CANARY, SITE, KEY)
    assert found == {CANARY: None, SITE: None, KEY: keys["builder"].public_pem}


def test_from_the_first_root_to_a_verified_bundle(client: Any, manifest: FleetManifest, tmp_path: Path) -> None:
    """All that a site does, with nothing but tuf, the contract and the static files."""
    found = client.read(CANARY, SITE, KEY)
    assignment = parse(Assignment, found[SITE])
    read = parse(FleetManifest, found[f"{assignment.channel}/manifest.json"])
    assert read == manifest
    blobs = client.public / "blobs" / "sha256"
    bundle = read.workflows["triage"].builds["edge-x86-vnni"].bundle
    raw = (blobs / bundle.digest.removeprefix("sha256:")).read_bytes()
    assert (digest_of(raw), len(raw)) == (bundle.digest, bundle.manifest.size)
    folder = tmp_path / "staged" / bundle.name
    for layer in parse(OciManifest, raw).layers:
        blob = (blobs / layer.digest.removeprefix("sha256:")).read_bytes()
        assert (digest_of(blob), len(blob)) == (layer.digest, layer.size)
        (folder / layer.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / layer.path).write_bytes(blob)
    signature = blobs / bundle.signature.digest.removeprefix("sha256:")
    verify_bundle(folder, signature, found[KEY], name=bundle.name)


def test_the_files_have_consistent_snapshot_names(client: Any, manifest: FleetManifest) -> None:
    client.read(CANARY, SITE, KEY)
    asked = client.fetcher.asked
    assert {"timestamp.json", "3.snapshot.json", "1.targets.json", "2.canary.json", "1.sites.json"} <= set(asked)
    targets = {
        path.relative_to(client.public / "targets").as_posix() for path in (client.public / "targets").rglob("*.*")
    }
    digests = {name.split("/")[-1].split(".")[0] for name in targets}
    assert all(len(digest) == 64 for digest in digests)
    assert any(name.startswith("canary/") and name.endswith(".manifest.json") for name in targets)
    assert any(name.startswith("sites/") and name.endswith(".s1.json") for name in targets)
    assert any(name.startswith("trust/") and name.endswith(".builder.pub") for name in targets)


def test_an_unchanged_poll_costs_two_requests(client: Any, manifest: FleetManifest) -> None:
    client.read(CANARY, SITE)
    client.fetcher.asked.clear()
    client.read(CANARY, SITE)
    metadata = [name for name in client.fetcher.asked if not name.endswith((".manifest.json", ".s1.json"))]
    assert metadata == ["2.root.json", "timestamp.json"]


def test_every_file_of_the_tree_can_be_read_by_a_web_server(client: Any, manifest: FleetManifest) -> None:
    files = [path for path in client.public.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in files)
    assert not list(client.public.rglob(".*"))


def test_no_private_key_and_no_path_of_this_machine_is_published(client: Any, manifest: FleetManifest) -> None:
    for path in client.public.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            assert b"PRIVATE" not in raw, path
            assert str(client.public.parent.parent).encode() not in raw, path


def test_the_tree_may_move(client: Any, manifest: FleetManifest, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    shutil.copytree(client.public, stick)
    moved = type(client)(stick, tmp_path / "other-client")
    assert parse(FleetManifest, moved.read(CANARY)[CANARY]) == manifest


def test_an_old_copy_is_refused_by_a_client_that_saw_a_newer_one(
    client: Any, release: Release, manifest: FleetManifest, builder: Any, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    shutil.copytree(client.public, stick)
    release.promote("canary", [builder.candidate(content="new")], {"triage": builder.entry()})
    client.read(CANARY)
    client.public = stick
    with pytest.raises(RepositoryError):
        client.read(CANARY)


def test_a_frozen_tree_expires(client: Any, release: Release, clock: Any) -> None:
    clock.forward(days=-40)
    release.refresh()
    with pytest.raises(ExpiredMetadataError):
        client.read(CANARY)
    clock.forward(days=40)
    release.refresh("canary")
    assert client.read(CANARY) == {CANARY: None}


def test_a_tampered_manifest_is_refused(client: Any, manifest: FleetManifest) -> None:
    path = next((client.public / "targets" / "canary").iterdir())
    path.write_bytes(path.read_bytes().replace(b"0.6", b"0.0"))
    with pytest.raises(LengthOrHashMismatchError):
        client.read(CANARY)


def test_mixed_snapshots_are_refused(client: Any, release: Release, manifest: FleetManifest, builder: Any) -> None:
    metadata = client.public / "metadata"
    release.promote("canary", [builder.candidate(content="new")], {"triage": builder.entry()})
    shutil.copy(metadata / "2.canary.json", metadata / "3.canary.json")
    # a longer or a shorter file than was signed: signatures differ in length by a byte or two
    with pytest.raises((RepositoryError, DownloadError)):
        client.read(CANARY)


def rewrite(path: Path, keys: Keys, signer: str, change: Any) -> bytes:
    """Change a role's metadata and sign it with one key, as its thief would."""
    document = Metadata.from_file(str(path))
    change(document.signed)
    document.signatures.clear()
    document.sign(keys[signer].signer)
    return document.to_bytes()


def test_the_online_key_cannot_introduce_content(
    client: Any, manifest: FleetManifest, keys: Keys, release: Release
) -> None:
    """Its thief can sign snapshot and timestamp, but no client takes a canary that the builder did not sign."""
    metadata = client.public / "metadata"
    forged = rewrite(metadata / "2.canary.json", keys, "online", lambda signed: setattr(signed, "version", 3))
    (metadata / "3.canary.json").write_bytes(forged)

    def name_it(signed: Any) -> None:
        signed.version = 4
        signed.meta["canary.json"] = type(signed.meta["canary.json"]).from_data(3, forged, ["sha256"])

    snapshot = rewrite(metadata / "3.snapshot.json", keys, "online", name_it)
    (metadata / "4.snapshot.json").write_bytes(snapshot)

    def point(signed: Any) -> None:
        signed.version = 4
        signed.snapshot_meta = type(signed.snapshot_meta).from_data(4, snapshot, ["sha256"])

    (metadata / "timestamp.json").write_bytes(rewrite(metadata / "timestamp.json", keys, "online", point))
    with pytest.raises(RepositoryError, match="canary was signed by 0/1 keys"):
        client.read(CANARY)


def test_a_delegation_cannot_escape_its_paths(client: Any, release: Release) -> None:
    """What the online key puts under a channel's name in its own bins is never found."""
    with release.repository.edit() as edit:
        edit.target("sites/s1.json", b"{}")
        role = edit.state.owner("sites/s1.json")
        signed = edit.state.targets(role).signed
        signed.targets["stable/manifest.json"] = signed.targets["sites/s1.json"]
    found = client.read("stable/manifest.json", "sites/s1.json")
    assert found == {"stable/manifest.json": None, "sites/s1.json": b"{}"}


def test_sites_are_spread_over_the_bins_and_each_is_found(client: Any, release: Release, builder: Any) -> None:
    sites = [f"site-{index}" for index in range(40)]
    release.assign([builder.assignment(site) for site in sites])
    found = client.read(*[f"sites/{site}.json" for site in sites])
    assert [parse(Assignment, raw).site for raw in found.values()] == sites
    bins = [name for name in client.fetcher.asked if "sites-bin" in name]
    assert len(set(bins)) > 8


def test_the_tree_is_an_oci_layout(client: Any, manifest: FleetManifest) -> None:
    layout = json.loads((client.public / "oci-layout").read_text())
    index = json.loads((client.public / "index.json").read_text())
    assert layout == {"imageLayoutVersion": "1.0.0"}
    blobs = client.public / "blobs" / "sha256"
    for entry in index["manifests"]:
        raw = (blobs / entry["digest"].removeprefix("sha256:")).read_bytes()
        assert (digest_of(raw), len(raw)) == (entry["digest"], entry["size"])
        document = json.loads(raw)
        assert document.get("artifactType") == entry.get("artifactType")
        for blob in document.get("manifests") or (document["config"], *document["layers"]):
            content = (blobs / blob["digest"].removeprefix("sha256:")).read_bytes()
            assert (digest_of(content), len(content)) == (blob["digest"], blob["size"])


def test_signature_and_evidence_are_referrers_of_the_bundle(client: Any, manifest: FleetManifest) -> None:
    blobs = client.public / "blobs" / "sha256"
    entries = json.loads((client.public / "index.json").read_text())["manifests"]
    documents = [json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_bytes()) for entry in entries]
    build = manifest.workflows["triage"].builds["edge-x86-vnni"]
    attached = {
        d["layers"][0]["digest"] for d in documents if d.get("subject", {}).get("digest") == build.bundle.digest
    }
    assert attached == {build.bundle.signature.digest, *(blob.digest for blob in build.evidence)}
    names = [entry["annotations"].get("org.opencontainers.image.ref.name") for entry in entries]
    short = f"triage--edge-x86-vnni.{build.bundle.digest[7:19]}"
    own = {f"{build.bundle.digest[7:19]}.{blob.digest[7:19]}" for blob in (build.bundle.signature, *build.evidence)}
    assert set(names) == {short, *own, build.bundle.digest.replace(":", "-")}
