"""Bundles: the same bytes from the same build, plain files only, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import (
    BundleConfig,
    DataError,
    IntegrityError,
    OciManifest,
    StorageError,
    WordEmbeddings,
    dump,
    parse,
    sha256_of,
)
from fleet_manifests.bundle import CONFIG_TYPE, FILEPATH, WEIGHT_CONFIG_TYPE, WEIGHT_TYPE
from release import assemble, open_bundle

pytestmark = pytest.mark.unit
NAME = "triage--edge-x86-vnni"


def test_the_layout_is_what_a_site_expects(builder: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = assemble(builder.files(), builder.config(), out)
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "config.json",
        "manifest.json",
        f"{NAME}/bundle.json",
        f"{NAME}/data_card.json",
        f"{NAME}/model.onnx",
        f"{NAME}/tokenizer.json",
    ]
    assert parse(BundleConfig, (out / NAME / "bundle.json").read_bytes()) == builder.config()
    assert (out / "manifest.json").read_bytes() == dump(manifest)
    assert manifest.digest == sha256_of(out / "manifest.json")


def test_every_file_is_a_layer_with_path_digest_and_size(builder: Any, tmp_path: Path) -> None:
    manifest = assemble(builder.files(), builder.config(), tmp_path / "out")
    for layer in manifest.layers:
        file = tmp_path / "out" / NAME / layer.path
        assert (layer.digest, layer.size) == (sha256_of(file), file.stat().st_size)
    kinds = {layer.annotations[FILEPATH]: layer.media_type for layer in manifest.layers}
    assert kinds["model.onnx"] == WEIGHT_TYPE
    assert kinds["tokenizer.json"] == WEIGHT_CONFIG_TYPE
    assert [layer.path for layer in manifest.layers] == sorted(kinds)


def test_the_config_is_a_modelpack_config(builder: Any, tmp_path: Path) -> None:
    manifest = assemble(builder.files(), builder.config(), tmp_path / "out")
    config = tmp_path / "out" / "config.json"
    assert manifest.config.media_type == CONFIG_TYPE
    assert (manifest.config.digest, manifest.config.size) == (sha256_of(config), config.stat().st_size)
    document = json.loads(config.read_text())
    assert document["modelfs"] == {"type": "layers", "diffIds": [layer.digest for layer in manifest.layers]}
    assert document["config"] == {"format": "onnx", "quantization": "int8"}
    assert document["descriptor"]["licenses"] == ["Apache-2.0"]


def test_a_classical_model_claims_no_base(builder: Any, tmp_path: Path) -> None:
    assemble(builder.files(), builder.config().model_copy(update={"kind": "classical"}), tmp_path / "out")
    document = json.loads((tmp_path / "out" / "config.json").read_text())
    assert document["descriptor"]["family"] == "classical"
    assert "licenses" not in document["descriptor"]


def test_the_same_build_gives_the_same_bytes(
    builder: Any, tmp_path: Path, files_of: Callable[[Path], dict[str, str]]
) -> None:
    files = builder.files()
    one = assemble(files, builder.config(), tmp_path / "one")
    os.utime(files["model.onnx"], (1, 1))
    two = assemble(dict(reversed(files.items())), builder.config(), tmp_path / "two")
    assert one.digest == two.digest
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


@pytest.mark.parametrize("change", [{"recipe": "fp32"}, {"labels": ("lost", "late")}, {"max_tokens": 64}])
def test_whatever_changes_the_answers_changes_the_identity(
    builder: Any, tmp_path: Path, change: dict[str, Any]
) -> None:
    one = assemble(builder.files(), builder.config(), tmp_path / "one")
    two = assemble(builder.files(), builder.config().model_copy(update=change), tmp_path / "two")
    assert one.digest != two.digest


def test_folders_inside_a_bundle_are_kept(builder: Any, tmp_path: Path) -> None:
    files = builder.files()
    manifest = assemble({**files, "parts/more.json": files["tokenizer.json"]}, builder.config(), tmp_path / "out")
    assert "parts/more.json" in [layer.path for layer in manifest.layers]
    assert open_bundle(tmp_path / "out")[0] == manifest


@pytest.mark.parametrize(
    "path",
    [
        "../up.json",
        "/etc/x",
        ".hidden",
        "a/.git/x",
        "a//b",
        "a/",
        "",
        "modèle.json",
        "a\\b",
        "c:x",
        "a\nb",
        "bundle.json",
    ],
)
def test_odd_paths_are_refused(builder: Any, tmp_path: Path, path: str) -> None:
    files = builder.files()
    with pytest.raises(DataError, match="may not be the path"):
        assemble({**files, path: files["tokenizer.json"]}, builder.config(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_paths_that_differ_only_in_case_are_refused(builder: Any, tmp_path: Path) -> None:
    files = builder.files()
    with pytest.raises(DataError, match="differ only in case"):
        assemble({**files, "Model.onnx": files["model.onnx"]}, builder.config(), tmp_path / "out")


@pytest.mark.parametrize("kind", ["symlink", "folder", "fifo", "missing"])
def test_only_plain_files_go_in(builder: Any, tmp_path: Path, kind: str) -> None:
    files, odd = builder.files(), tmp_path / "odd"
    if kind == "symlink":
        odd.symlink_to(files["model.onnx"])
    elif kind == "folder":
        odd.mkdir()
    elif kind == "fifo":
        os.mkfifo(odd)
    with pytest.raises(DataError, match=r"plain file|No such file"):
        assemble({**files, "odd.json": odd}, builder.config(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "data_card.json"])
def test_what_the_configuration_names_must_be_there(builder: Any, tmp_path: Path, name: str) -> None:
    files = builder.files()
    del files[name]
    with pytest.raises(DataError, match=f"names {name}"):
        assemble(files, builder.config(), tmp_path / "out")


def test_word_embeddings_that_the_configuration_names_must_be_there(builder: Any, tmp_path: Path) -> None:
    files, table = builder.files(), WordEmbeddings(initializer="table", dtype="int8", shape=(4, 2))
    config = builder.config().model_copy(update={"word_embeddings": table})
    with pytest.raises(DataError, match=r"names word_embeddings\.bin"):
        assemble(files, config, tmp_path / "out")
    manifest = assemble({**files, table.file: files["tokenizer.json"]}, config, tmp_path / "out")
    assert WEIGHT_TYPE in {layer.media_type for layer in manifest.layers if layer.path == table.file}


def test_another_data_card_is_refused(builder: Any, tmp_path: Path) -> None:
    files = builder.files()
    files["data_card.json"].write_text('{"rows":4}')
    with pytest.raises(DataError, match=r"data_card\.json: digest is"):
        assemble(files, builder.config(), tmp_path / "out")


def test_a_folder_that_is_there_is_replaced_as_a_whole(builder: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assemble({**builder.files(), "old.json": builder.files()["tokenizer.json"]}, builder.config(), out)
    (out / "model.sig").write_text("of the old bundle")
    manifest = assemble(builder.files(), builder.config(), out)
    assert open_bundle(out)[0] == manifest
    assert not (out / "model.sig").exists()


def test_a_full_disk_leaves_the_old_bundle(
    builder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_of: Callable[[Path], dict[str, str]]
) -> None:
    out = tmp_path / "out"
    assemble(builder.files(), builder.config(), out)
    before = files_of(tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageError, match="No space left on device"):
        assemble(builder.files(), builder.config(), out)
    assert files_of(tmp_path) == before


def alter(out: Path) -> None:
    (out / NAME / "model.onnx").write_text("other")


def add(out: Path) -> None:
    (out / NAME / "more.json").write_text("{}")


def take(out: Path) -> None:
    (out / NAME / "tokenizer.json").unlink()


def link(out: Path) -> None:
    (out / NAME / "model.onnx").rename(out / "elsewhere")
    (out / NAME / "model.onnx").symlink_to(out / "elsewhere")


def link_folder(out: Path) -> None:
    (out / NAME / "parts").symlink_to(out)


def other_config(out: Path) -> None:
    (out / "config.json").write_text("{}")


def loose_manifest(out: Path) -> None:
    raw = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps(raw, indent=1))


def no_manifest(out: Path) -> None:
    (out / "manifest.json").unlink()


def renamed(out: Path) -> None:
    """Everything says another profile, except the configuration inside."""
    (out / NAME).rename(out / "triage--edge-arm64")
    manifest = parse(OciManifest, (out / "manifest.json").read_bytes())
    other = manifest.model_copy(update={"annotations": {"org.opencontainers.image.title": "triage--edge-arm64"}})
    (out / "manifest.json").write_bytes(dump(other))


def escaping(out: Path) -> None:
    manifest = parse(OciManifest, (out / "manifest.json").read_bytes())
    other = manifest.model_copy(update={"annotations": {"org.opencontainers.image.title": "../out"}})
    (out / "manifest.json").write_bytes(dump(other))


ATTACKS = [alter, add, take, link, link_folder, other_config, loose_manifest, no_manifest, renamed, escaping]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_bundle_that_was_touched_does_not_open(builder: Any, tmp_path: Path, attack: Callable[[Path], None]) -> None:
    out = tmp_path / "out"
    assemble(builder.files(), builder.config(), out)
    open_bundle(out)
    attack(out)
    with pytest.raises(IntegrityError):
        open_bundle(out)


def test_a_bundle_for_openvino_holds_its_own_files(builder: Any, tmp_path: Path) -> None:
    told = {"engine": "openvino", "model": "model.xml", "weights": ("model.bin",)}
    config = builder.config().model_copy(update=told)
    files = builder.files()
    ours = {**files, "model.xml": files["model.onnx"], "model.bin": files["model.onnx"]}
    del ours["model.onnx"]
    manifest = assemble(ours, config, tmp_path / "out")
    kinds = {layer.path: layer.media_type for layer in manifest.layers}
    assert kinds["model.xml"] == kinds["model.bin"] == WEIGHT_TYPE
    assert json.loads((tmp_path / "out" / "config.json").read_bytes())["config"]["format"] == "openvino"
    assert open_bundle(tmp_path / "out") == (manifest, config)
    with pytest.raises(DataError, match=r"names model\.bin; it is not among the files"):
        assemble({name: path for name, path in ours.items() if name != "model.bin"}, config, tmp_path / "less")
