"""Bundle manifests: identity and the paths that a layer may have."""

from __future__ import annotations

import json

import pytest

from fleet_manifests import Descriptor, IntegrityError, OciManifest, Wire, digest_of, dump, parse
from fleet_manifests.bundle import FILEPATH, WEIGHT_TYPE

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "./a",
        ".git/config",
        "a/.hidden",
        "a\\b",
        "c:x",
        "a\nb",
        "n\u00e9.onnx",
        "a/",
    ],
)
def test_path_that_could_leave_the_bundle(path: str) -> None:
    layer = Descriptor(media_type=WEIGHT_TYPE, digest="sha256:" + "0" * 64, size=1, annotations={FILEPATH: path})
    with pytest.raises(IntegrityError, match="not a path inside a bundle"):
        _ = layer.path


@pytest.mark.parametrize("path", ["model.onnx", "weights/base.bin"])
def test_ordinary_path(path: str) -> None:
    layer = Descriptor(media_type=WEIGHT_TYPE, digest="sha256:" + "0" * 64, size=1, annotations={FILEPATH: path})
    assert layer.path == path


def test_two_layers_of_one_path_are_refused(documents: dict[str, Wire]) -> None:
    data = json.loads(dump(documents["oci_manifest.v1"]))
    data["layers"][1]["annotations"][FILEPATH] = "MODEL.onnx"
    with pytest.raises(IntegrityError, match="same path"):
        parse(OciManifest, json.dumps(data).encode())


def test_identity_is_the_digest_of_the_canonical_bytes(documents: dict[str, Wire]) -> None:
    manifest = documents["oci_manifest.v1"]
    assert isinstance(manifest, OciManifest)
    assert manifest.digest == digest_of(dump(manifest))
    assert manifest.size == 120


def test_label_twice_is_refused(documents: dict[str, Wire]) -> None:
    data = json.loads(dump(documents["bundle.v1"])) | {"labels": ["a", "a"]}
    with pytest.raises(IntegrityError, match="label appears twice"):
        parse(type(documents["bundle.v1"]), json.dumps(data).encode())
