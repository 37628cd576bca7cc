"""Packs: laid out, identified and signed like bundles, and never to be taken for one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import DataClass, DataError, IntegrityError, PackConfig, dump, parse, sha256_of
from fleet_manifests.bundle import CONFIG_TYPE, DOC_TYPE, WEIGHT_CONFIG_TYPE, WEIGHT_TYPE
from fleet_manifests.signature import verify_bundle
from fleet_manifests.wire import digest_of
from release import Keys, assemble, assemble_pack, open_bundle, open_pack_folder, sign_bundle

pytestmark = pytest.mark.unit
NAME = "sops--edge-x86-vnni--branch"
RETRIEVER = digest_of(b"retriever")


def made(builder: Any, out: Path, **changes: Any) -> Path:
    config = builder.pack_config(changes.pop("retriever", RETRIEVER), **changes)
    assemble_pack(builder.pack_files(encrypted=config.encrypted), config, out)
    return out


def test_the_layout_is_what_a_site_expects(builder: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = builder.pack_config(RETRIEVER)
    manifest = assemble_pack(builder.pack_files(), config, out)
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "config.json",
        "manifest.json",
        f"{NAME}/bm25_scores.npy",
        f"{NAME}/bm25_terms.txt",
        f"{NAME}/embedding_codes.npy",
        f"{NAME}/embedding_scales.npy",
        f"{NAME}/pack.json",
        f"{NAME}/passages.jsonl",
    ]
    assert parse(PackConfig, (out / NAME / "pack.json").read_bytes()) == config
    assert manifest.digest == sha256_of(out / "manifest.json")
    assert open_pack_folder(out) == (manifest, config)


@pytest.mark.parametrize("encrypted", [False, True])
def test_embeddings_are_weights_and_passages_documents(builder: Any, tmp_path: Path, encrypted: bool) -> None:
    changes = {"encrypted": True, "data_class": "customer"} if encrypted else {}
    manifest, _ = open_pack_folder(made(builder, tmp_path / "out", **changes))
    found = {layer.path.removesuffix(".age"): layer.media_type for layer in manifest.layers}
    assert found == {
        "bm25_scores.npy": WEIGHT_CONFIG_TYPE,
        "bm25_terms.txt": WEIGHT_CONFIG_TYPE,
        "embedding_codes.npy": WEIGHT_TYPE,
        "embedding_scales.npy": WEIGHT_TYPE,
        "pack.json": WEIGHT_CONFIG_TYPE,
        "passages.jsonl": DOC_TYPE,
    }


def test_the_config_is_a_modelpack_config(builder: Any, tmp_path: Path) -> None:
    out = made(builder, tmp_path / "out")
    manifest, _ = open_pack_folder(out)
    assert manifest.config.media_type == CONFIG_TYPE
    document = json.loads((out / "config.json").read_text())
    assert document["modelfs"] == {"type": "layers", "diffIds": [layer.digest for layer in manifest.layers]}
    assert document["descriptor"] == {"name": "sops", "title": NAME, "family": "knowledge-pack"}


def test_the_same_pack_gives_the_same_bytes(
    builder: Any, tmp_path: Path, files_of: Callable[[Path], dict[str, str]]
) -> None:
    files, config = builder.pack_files(), builder.pack_config(RETRIEVER)
    assemble_pack(files, config, tmp_path / "one")
    os.utime(files["passages.jsonl"], (1, 1))
    assemble_pack(dict(reversed(files.items())), config, tmp_path / "two")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


@pytest.mark.parametrize("change", [{"defer_threshold": 0.7}, {"retriever": digest_of(b"x")}, {"smoke": ()}])
def test_whatever_changes_the_answers_changes_the_identity(
    builder: Any, tmp_path: Path, change: dict[str, Any]
) -> None:
    one, _ = open_pack_folder(made(builder, tmp_path / "one"))
    two, _ = open_pack_folder(made(builder, tmp_path / "two", **change))
    assert one.digest != two.digest


@pytest.mark.parametrize("path", ["pack.json", "bundle.json", "../up", ".hidden", "a//b", "modèle"])
def test_odd_paths_are_refused(builder: Any, tmp_path: Path, path: str) -> None:
    files = builder.pack_files()
    with pytest.raises(DataError, match="may not be the path of a file given to a pack"):
        assemble_pack({**files, path: files["passages.jsonl"]}, builder.pack_config(RETRIEVER), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bundle_cannot_hold_a_packs_configuration(builder: Any, tmp_path: Path) -> None:
    """Names may coincide (`a--b--c`); a signature over one kind is never one over the other."""
    files = builder.files()
    with pytest.raises(DataError, match=r"'pack\.json' may not be the path of a file given to a bundle"):
        assemble({**files, "pack.json": files["tokenizer.json"]}, builder.config(), tmp_path / "out")


def test_a_pack_without_files_is_refused(builder: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no files"):
        assemble_pack({}, builder.pack_config(RETRIEVER), tmp_path / "out")


@pytest.mark.parametrize("data_class", [DataClass.CUSTOMER, DataClass.PRICING, DataClass.CONTRACT, DataClass.PERSONAL])
def test_what_is_above_internal_is_encrypted(builder: Any, tmp_path: Path, data_class: DataClass) -> None:
    with pytest.raises(ValueError, match=f"data class {data_class.value} must be encrypted"):
        builder.pack_config(RETRIEVER, data_class=data_class)
    closed = made(builder, tmp_path / "closed", data_class=data_class, encrypted=True)
    assert open_pack_folder(closed)[1].data_class is data_class


def test_what_is_said_to_be_encrypted_is(builder: Any, tmp_path: Path) -> None:
    files = builder.pack_files(encrypted=True)
    config = builder.pack_config(RETRIEVER, data_class="customer", encrypted=True)
    files["embedding_codes.npy"] = builder.pack_files()["embedding_codes.npy"]
    with pytest.raises(DataError, match=r"embedding_codes\.npy: is not encrypted, pack\.json says that it is"):
        assemble_pack(files, config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def rewritten(out: Path, path: str, raw: bytes) -> None:
    """Change a file and let the manifest agree with it, as someone could who has not the key."""
    file = out / NAME / path
    old, size = sha256_of(file), file.stat().st_size
    file.write_bytes(raw)
    text = (out / "manifest.json").read_text()
    before, after = text[: text.index(old)], text[text.index(old) :]
    after = after.replace(old, sha256_of(file), 1).replace(f'"size":{size}', f'"size":{len(raw)}', 1)
    (out / "manifest.json").write_text(before + after)


def in_the_clear(out: Path) -> None:
    """The flag stays, the cipher goes."""
    rewritten(out, "passages.jsonl.age", b"customer Meyer owes 4,000")


def flag_gone(out: Path) -> None:
    config = json.loads((out / NAME / "pack.json").read_text())
    rewritten(out, "pack.json", json.dumps(config | {"encrypted": False}).encode())


@pytest.mark.parametrize(
    ("attack", "match"),
    [(in_the_clear, "is not encrypted, pack.json says that it is"), (flag_gone, "must be encrypted")],
)
def test_a_customers_data_in_the_clear_does_not_open(
    builder: Any, tmp_path: Path, attack: Callable[[Path], None], match: str
) -> None:
    out = made(builder, tmp_path / "out", data_class="customer", encrypted=True)
    open_pack_folder(out)
    attack(out)
    with pytest.raises(IntegrityError, match=match):
        open_pack_folder(out)


def alter(out: Path) -> None:
    (out / NAME / "passages.jsonl").write_text("other")


def alter_config(out: Path) -> None:
    path = out / NAME / "pack.json"
    path.write_bytes(path.read_bytes().replace(b'"passages":3', b'"passages":4'))


def add(out: Path) -> None:
    (out / NAME / "more.json").write_text("{}")


def take(out: Path) -> None:
    (out / NAME / "embedding_codes.npy").unlink()


def link(out: Path) -> None:
    (out / NAME / "passages.jsonl").rename(out / "elsewhere")
    (out / NAME / "passages.jsonl").symlink_to(out / "elsewhere")


def other_site_class(out: Path) -> None:
    """Files and manifest agree; the folder is another class's."""
    config = parse(PackConfig, (out / NAME / "pack.json").read_bytes())
    rewritten(out, "pack.json", dump(config.model_copy(update={"site_class": "depot"})))


def no_config(out: Path) -> None:
    (out / NAME / "pack.json").unlink()


@pytest.mark.parametrize(
    "attack", [alter, alter_config, add, take, link, other_site_class, no_config], ids=lambda attack: attack.__name__
)
def test_a_pack_that_was_touched_does_not_open(builder: Any, tmp_path: Path, attack: Callable[[Path], None]) -> None:
    out = made(builder, tmp_path / "out")
    open_pack_folder(out)
    attack(out)
    with pytest.raises(IntegrityError):
        open_pack_folder(out)


def test_neither_kind_opens_as_the_other(builder: Any, tmp_path: Path) -> None:
    bundle = builder.bundle("sops")
    with pytest.raises(IntegrityError, match=r"pack\.json"):
        open_pack_folder(bundle)
    with pytest.raises(IntegrityError, match=r"bundle\.json"):
        open_bundle(made(builder, tmp_path / "out"))


def test_one_function_signs_both(builder: Any, keys: Keys, tmp_path: Path) -> None:
    out = made(builder, tmp_path / "out")
    signature = sign_bundle(out, keys["builder"])
    verify_bundle(out / NAME, signature, keys["builder"].public_pem, name=NAME)
    kept = signature.read_bytes()
    assert sign_bundle(out, keys["builder"]).read_bytes() == kept, "a signature that holds is kept"
    alter(out)
    with pytest.raises(IntegrityError, match=r"passages\.jsonl is not what the manifest says"):
        sign_bundle(out, keys["builder"])


def test_what_is_no_artifact_is_not_signed(keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="is not an assembled artifact"):
        sign_bundle(tmp_path, keys["builder"])
