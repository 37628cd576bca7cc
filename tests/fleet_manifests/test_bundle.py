"""Bundle manifests: identity and the paths that a layer may have."""

from __future__ import annotations

import json

import pytest

from fleet_manifests import BundleConfig, Descriptor, IntegrityError, OciManifest, Wire, digest_of, dump, parse
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


def test_a_classical_model_has_no_base_of_its_own_and_counts_characters(documents: dict[str, Wire]) -> None:
    config = documents["bundle.v1"]
    assert isinstance(config, BundleConfig)
    assert config.built_on == config.base
    assert (config.length_of(128), config.length_of(9000)) == (128, config.max_tokens)
    changed = {"kind": "classical", "tokens_per_piece": 5, "max_tokens": 1000}
    classical = config.model_copy(update=changed)
    assert classical.built_on is None
    assert (classical.length_of(128), classical.length_of(9000)) == (640, 1000)


def test_a_kind_of_tomorrow_is_read_today(documents: dict[str, Wire]) -> None:
    data = json.loads(dump(documents["bundle.v1"])) | {"kind": "state-space"}
    assert parse(BundleConfig, json.dumps(data).encode()).kind == "state-space"


def test_a_bundle_names_its_engine_and_an_unknown_one_is_refused(documents: dict[str, Wire]) -> None:
    said = json.loads(dump(documents["bundle.v1"]))
    assert said["engine"] == "onnxruntime"
    ours = said | {"engine": "openvino", "model": "model.xml", "weights": ["model.bin"]}
    assert parse(BundleConfig, json.dumps(ours).encode()).files == ("model.xml", "tokenizer.json", "model.bin")
    with pytest.raises(IntegrityError, match=r"bundle\.json: engine: Input should be 'onnxruntime' or 'openvino'"):
        parse(BundleConfig, json.dumps(said | {"engine": "later"}).encode(), where="bundle.json")


def test_only_onnxruntime_shares_a_table(documents: dict[str, Wire]) -> None:
    table = {"initializer": "words", "dtype": "int8", "shape": [4, 2]}
    said = json.loads(dump(documents["bundle.v1"])) | {"engine": "openvino", "word_embeddings": table}
    with pytest.raises(IntegrityError, match="engine openvino has them inside the model"):
        parse(BundleConfig, json.dumps(said).encode())
