"""Reading the published tree: what is not what the manifest says is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import FleetManifest, IntegrityError
from fleet_manifests.manifest import BuildEntry
from release import Keys, Published, Release

pytestmark = pytest.mark.unit


@pytest.fixture
def held(release: Release, builder: Any) -> FleetManifest:
    retriever = builder.retriever()
    pack = builder.pack_candidate(retriever)
    found: FleetManifest = release.promote("canary", [retriever], builder.sops(), packs=[pack])
    return found


@pytest.fixture
def published(release: Release) -> Published:
    return Published(release.repository.public, release.keys["builder"].public_pem)


def build(held: FleetManifest) -> BuildEntry:
    (found,) = held.workflows["sops"].builds.values()
    return found


def blob(release: Release, digest: str) -> Path:
    return release.repository.public / "blobs" / "sha256" / digest.removeprefix("sha256:")


def test_bundle_and_pack_are_read(held: FleetManifest, published: Published) -> None:
    assert published.config(build(held)).workflow == "sops"
    assert published.pack(held.knowledge_packs[0]).passages == 3
    assert [report.kind for report in published.evidence(held.knowledge_packs[0])] == ["knowledge"]


def test_a_missing_blob_is_named(held: FleetManifest, published: Published, release: Release) -> None:
    path = blob(release, build(held).bundle.digest)
    path.unlink()
    with pytest.raises(IntegrityError, match=path.name):
        published.config(build(held))


def test_an_altered_blob_is_refused(held: FleetManifest, published: Published, release: Release) -> None:
    for found in build(held).evidence:
        path = blob(release, found.digest)
        path.write_bytes(path.read_bytes().replace(b"payload", b"PAYLOAD"))
    with pytest.raises(IntegrityError, match="is not the blob"):
        published.evidence(build(held))


def test_evidence_of_another_builder_is_refused(held: FleetManifest, release: Release, tmp_path: Path) -> None:
    other = Keys(tmp_path / "other")
    other.ensure(["builder"])
    with pytest.raises(IntegrityError, match="not signed by the builder"):
        Published(release.repository.public, other["builder"].public_pem).evidence(build(held))


def test_evidence_about_something_else_is_refused(held: FleetManifest, published: Published) -> None:
    swapped = build(held).model_copy(update={"evidence": held.knowledge_packs[0].evidence})
    with pytest.raises(IntegrityError, match="is about bundle"):
        published.evidence(swapped)


def test_a_pack_is_not_taken_for_a_bundle(held: FleetManifest, published: Published) -> None:
    ref = build(held).bundle.model_copy(update={"manifest": held.knowledge_packs[0].blob})
    with pytest.raises(IntegrityError, match="has no bundle.json"):
        published.config(build(held).model_copy(update={"bundle": ref}))
