"""A published bundle laid out again: every byte hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import BundleRef, Descriptor, IntegrityError, OciManifest, digest_of, dump
from fleet_manifests.bundle import FILEPATH, MANIFEST_TYPE
from release import unpack
from release.published import blob_path

pytestmark = pytest.mark.unit


@pytest.fixture
def shipped(release: Any, builder: Any) -> tuple[Any, Any]:
    candidate = builder.candidate()
    manifest = release.promote("canary", [candidate], {"triage": builder.entry()})
    return candidate, manifest.workflows["triage"].builds["edge-x86-vnni"].bundle


def test_a_bundle_comes_back_as_it_was(shipped: Any, public: Path, tmp_path: Path, files_of: Any) -> None:
    candidate, ref = shipped
    out = tmp_path / "out"
    out.mkdir()
    config = unpack(public, ref, out)
    assert (config.workflow, config.profile) == ("triage", "edge-x86-vnni")
    assert files_of(out) == files_of(candidate.folder / candidate.name)


def test_a_blob_that_is_not_what_it_says_is_refused(shipped: Any, public: Path, tmp_path: Path) -> None:
    candidate, ref = shipped
    out = tmp_path / "out"
    out.mkdir()
    weights = (candidate.folder / candidate.name / "model.onnx").read_bytes()
    (blob,) = [path for path in (public / "blobs/sha256").iterdir() if path.read_bytes() == weights]
    blob.write_bytes(weights + b"!")
    with pytest.raises(IntegrityError, match="holds sha256:.*publish the bundle again"):
        unpack(public, ref, out)
    blob.unlink()
    with pytest.raises(IntegrityError, match="expected a published blob"):
        unpack(public, ref, out)


@pytest.mark.parametrize("path", ["../../evil", "/etc/evil", "a/../../evil", ".git/evil", "a\\..\\evil", "c:evil", ""])
def test_archive_traversal_on_unpack(shipped: Any, public: Path, tmp_path: Path, path: str) -> None:
    """A manifest that the publisher never made, under a digest that somebody names."""
    _, ref = shipped

    def put(raw: bytes, kind: str, **annotations: str) -> Descriptor:
        blob_path(public, digest_of(raw)).write_bytes(raw)
        return Descriptor(media_type=kind, digest=digest_of(raw), size=len(raw), annotations=annotations)

    layer = put(b"evil", "application/octet-stream", **{FILEPATH: path})
    raw = dump(OciManifest.model_construct(config=put(b"{}", "x"), layers=(layer,)))
    forged = BundleRef(name=ref.name, manifest=put(raw, MANIFEST_TYPE), signature=ref.signature)
    out = tmp_path / "out" / "deep"
    out.mkdir(parents=True)
    with pytest.raises(IntegrityError, match="is not a path inside a bundle"):
        unpack(public, forged, out)
    assert not list(tmp_path.rglob("evil*"))
