"""A published bundle laid out again: every byte hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import IntegrityError
from release import unpack

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
