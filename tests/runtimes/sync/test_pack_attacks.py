"""Attacks on knowledge packs: after each the site serves the pack that it served before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fleet_manifests import DataClass, IntegrityError, LadingError, PackConfig, RefusedError, UnreachableError, dump
from fleet_manifests.bundle import FILEPATH
from runtimes.sync import load_active, status

pytestmark = pytest.mark.unit

FLOW = "sop_assistant"
BUNDLE = "sop_assistant--edge-x86-vnni"
NAME = f"{BUNDLE}--branch"


@pytest.fixture(params=["folder", "http"])
def victim(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A site that runs release 2 with its first pack; whatever happens, that is what it runs afterwards."""
    site = request.getfixturevalue("reading" if request.param == "folder" else "web_reading")
    yield site
    active = load_active(site.state)
    assert (active.manifest_version, site.passages(), site.content(FLOW)) == (2, "first", "embeds")
    assert (site.state / "current").readlink() == Path("versions/000001-stable-2")
    assert site.tried_packs == [NAME], "what is not the signed pack is never opened"


def refused(site: Any, kind: type[LadingError], match: str) -> None:
    """The sync is refused for that reason, and the record of the last sync says so."""
    with pytest.raises(kind, match=match) as caught:
        site.sync()
    last = status(site.state).last_sync
    assert (last.ok, last.error, last.error_kind) == (False, str(caught.value), type(caught.value).__name__)


def blob_of(site: Any, path: str) -> Path:
    """Where the published bytes of a file of the newest pack are."""
    layout = json.loads(site.repository.blob_file(site.repository.packs[NAME].blob.digest).read_bytes())
    for layer in layout["layers"]:
        if layer["annotations"][FILEPATH] == path:
            return site.repository.blob_file(layer["digest"])
    raise AssertionError(path)


def test_a_pack_of_another_retriever_by_the_manifest(victim: Any) -> None:
    repository = victim.repository
    other = "sha256:" + "9" * 64
    repository.add_pack("second", config=repository.pack_config(retriever=other), retriever=other)
    repository.release(3)
    refused(victim, IntegrityError, f"is bound to retriever {other}, the build's bundle is {repository.retriever()}")


def test_a_pack_of_another_retriever_under_the_right_ones_digest(victim: Any) -> None:
    """The manifest says that it fits; the pack itself says that it does not."""
    repository = victim.repository
    repository.add_pack("second", config=repository.pack_config(retriever="sha256:" + "9" * 64))
    repository.release(3)
    refused(victim, IntegrityError, rf"pack {NAME}: pack\.json: retriever is sha256:9+, {repository.retriever()} was")


def test_a_new_retriever_with_the_pack_of_the_old_one(victim: Any) -> None:
    victim.repository.add_retriever("embeds better")
    victim.repository.release(3)
    refused(victim, IntegrityError, "is bound to retriever")


def test_an_old_pack_replayed_under_a_newer_manifest(victim: Any) -> None:
    """The newest manifest names a new retriever and, as if it were bound to it, the pack of the old one."""
    repository = victim.repository
    old = repository.packs[NAME]
    repository.add_retriever("embeds better")
    repository.packs[NAME] = old.model_copy(update={"retriever": repository.retriever()})
    repository.release(3)
    refused(victim, IntegrityError, rf"pack\.json: retriever is {old.retriever}, {repository.retriever()} was")


def test_an_old_packs_bytes_under_the_new_ones_digest(victim: Any) -> None:
    """What the source gives does not matter: the digest is in the signed manifest."""
    repository = victim.repository
    old = repository.blob_file(repository.packs[NAME].blob.digest)
    new = repository.add_pack("second")
    shutil.copyfile(old, repository.blob_file(new.blob.digest))
    repository.release(3)
    refused(victim, IntegrityError, "other bytes were received than the publisher signed")


def test_the_pack_of_another_site_class(victim: Any) -> None:
    repository = victim.repository
    depot = repository.add_pack("for depots", "depot")
    repository.packs[NAME] = depot.model_copy(update={"name": NAME, "site_classes": ("branch",)})
    repository.release(3)
    refused(victim, IntegrityError, f"it is for bundle '{BUNDLE}--depot'")


def test_a_pack_that_says_of_itself_that_it_is_for_another_site_class(victim: Any) -> None:
    """Signed under the right name, by mistake."""
    repository = victim.repository
    repository.add_pack("for depots", config=repository.pack_config("depot"))
    repository.release(3)
    refused(victim, IntegrityError, r"pack\.json: site_class is depot, branch was expected")


def test_the_pack_of_another_site_class_by_its_own_name(victim: Any) -> None:
    repository = victim.repository
    repository.add_pack("for depots", "depot", site_classes=("branch",))
    del repository.packs[NAME]
    repository.release(3)
    refused(victim, IntegrityError, f"knowledge pack {NAME}: has the name '{BUNDLE}--depot'")


@pytest.mark.parametrize(
    ("field", "value"),
    [("workflow", "other_flow"), ("profile", "edge-arm64"), ("data_class", "public"), ("dimension", 5)],
)
def test_a_pack_that_is_for_something_else(victim: Any, field: str, value: Any) -> None:
    repository = victim.repository
    config = repository.pack_config(**{field: value})
    repository.add_pack("second", config=config, data_class=DataClass.INTERNAL)
    repository.release(3)
    refused(victim, IntegrityError, rf"pack\.json: {field} is {value}, .* was expected")


def test_an_altered_file(victim: Any) -> None:
    victim.repository.add_pack("second")
    victim.repository.release(3)
    path = blob_of(victim, "passages.jsonl")
    path.write_bytes(b"x" * path.stat().st_size)
    refused(victim, IntegrityError, "other bytes were received than the publisher signed")


def test_an_altered_pack_json(victim: Any) -> None:
    repository = victim.repository
    repository.add_pack("second", config=repository.pack_config(defer_threshold=0.5))
    repository.release(3)
    path = blob_of(victim, "pack.json")
    path.write_bytes(path.read_bytes().replace(b'"defer_threshold":0.5', b'"defer_threshold":0.1'))
    refused(victim, IntegrityError, "other bytes were received than the publisher signed")


def altered(files: dict[str, bytes]) -> None:
    files["passages.jsonl"] = b"load it by hand"


def altered_config(files: dict[str, bytes]) -> None:
    config = PackConfig.model_validate_json(files["pack.json"])
    files["pack.json"] = dump(config.model_copy(update={"defer_threshold": 0.9}))


def extra(files: dict[str, bytes]) -> None:
    files["evil.py"] = b"import os"


def missing(files: dict[str, bytes]) -> None:
    del files["bm25_terms.txt"]


def renamed(files: dict[str, bytes]) -> None:
    files["terms.txt"] = files.pop("bm25_terms.txt")


@pytest.mark.parametrize("spoil", [altered, altered_config, extra, missing, renamed], ids=lambda spoil: spoil.__name__)
def test_other_files_than_were_signed(victim: Any, spoil: Callable[[dict[str, bytes]], None]) -> None:
    """Whoever signs manifests cannot make packs: the digests agree, the builder's signature does not."""
    repository = victim.repository
    files = repository.pack_files("second", repository.pack_config())
    signature = repository.sign_bundle(NAME, files)
    spoil(files)
    repository.add_pack(files=files, signature=signature)
    repository.release(3)
    refused(victim, IntegrityError, f"bundle {NAME}: ")


def test_a_bundles_signature_on_a_pack(victim: Any) -> None:
    """Over the pack's own files, under the name of the bundle that searches it."""
    repository = victim.repository
    files = repository.pack_files("second", repository.pack_config())
    repository.add_pack(files=files, signature=repository.sign_bundle(BUNDLE, files))
    repository.release(3)
    refused(victim, IntegrityError, f"it is for bundle '{BUNDLE}'")


def test_the_very_signature_of_the_bundle_on_its_pack(victim: Any) -> None:
    repository = victim.repository
    bundle = repository.builds[FLOW, "edge-x86-vnni"].bundle
    repository.add_pack("second", signature=repository.blob_file(bundle.signature.digest).read_bytes())
    repository.release(3)
    refused(victim, IntegrityError, f"it is for bundle '{BUNDLE}'")


def test_a_packs_signature_on_a_bundle(victim: Any) -> None:
    repository = victim.repository
    pack = repository.packs[NAME]
    repository.add_retriever("evil", signature=repository.blob_file(pack.signature.digest).read_bytes())
    repository.add_pack("second")
    repository.release(3)
    refused(victim, IntegrityError, f"it is for bundle '{NAME}'")


def test_a_signature_by_another_key(victim: Any) -> None:
    victim.repository.builder = ec.generate_private_key(ec.SECP256R1())
    victim.repository.add_pack("second")
    victim.repository.release(3)
    refused(victim, IntegrityError, f"bundle {NAME}")


def test_a_pack_in_place_of_a_bundle(victim: Any) -> None:
    """Signed by the builder and named by the manifest, it still is no bundle."""
    repository = victim.repository
    key = (FLOW, "edge-x86-vnni")
    pack, build = repository.packs[NAME], repository.builds[key]
    ref = build.bundle.model_copy(update={"manifest": pack.blob, "signature": pack.signature})
    repository.builds[key] = build.model_copy(update={"bundle": ref})
    repository.packs[NAME] = pack.model_copy(update={"retriever": ref.digest})
    repository.release(3)
    refused(victim, IntegrityError, r"no layer is its bundle\.json")


def test_a_bundle_in_place_of_a_pack(victim: Any) -> None:
    repository = victim.repository
    bundle = repository.builds[FLOW, "edge-x86-vnni"].bundle
    changes = {"blob": bundle.manifest, "signature": bundle.signature}
    repository.packs[NAME] = repository.packs[NAME].model_copy(update=changes)
    repository.release(3)
    refused(victim, IntegrityError, rf"pack {NAME}: no layer is its pack\.json")


def test_something_that_is_both(victim: Any) -> None:
    repository = victim.repository
    files = repository.pack_files("second", repository.pack_config()) | {"bundle.json": b"{}"}
    repository.add_pack(files=files)
    repository.release(3)
    refused(victim, IntegrityError, rf"pack {NAME}: has a bundle\.json, which a pack never has")


@pytest.mark.parametrize("data_class", ["customer", "pricing", "contract", "personal"])
def test_a_pack_above_internal_in_the_clear(victim: Any, data_class: str) -> None:
    repository = victim.repository
    honest = repository.pack_config()
    said = json.loads(dump(honest)) | {"data_class": data_class}
    files = repository.pack_files("second", honest) | {"pack.json": json.dumps(said).encode()}
    repository.add_pack(files=files)
    repository.assign(2, data_classes=("internal", data_class))
    repository.release(3)
    refused(victim, IntegrityError, f"a pack of data class {data_class} must be encrypted")


def test_a_pack_above_internal_that_the_manifest_calls_internal(victim: Any) -> None:
    """So that it passes a site that may not have it."""
    repository = victim.repository
    config = repository.pack_config(data_class="pricing", encrypted=True)
    repository.add_pack("second", config=config, data_class=DataClass.INTERNAL)
    repository.release(3)
    (victim.state / "pack-key").write_text("any")
    refused(victim, IntegrityError, r"pack\.json: data_class is pricing, internal was expected")


@pytest.mark.parametrize("path", ["../../evil", "/etc/evil", ".git/evil.py", "a/../../evil", "c:evil", ""])
def test_path_traversal_in_a_layer(victim: Any, path: str) -> None:
    repository = victim.repository
    files = repository.pack_files("second", repository.pack_config())
    layers = [repository.blob(raw, path=name) for name, raw in files.items()]
    repository.add_pack(files=files, layers=[*layers, repository.blob(b"evil", path=path)])
    repository.release(3)
    refused(victim, IntegrityError, "is not a path inside a bundle")
    assert not list(victim.state.parent.rglob("evil*"))


@pytest.mark.parametrize("what", ["its OCI manifest", r"its pack\.json"])
def test_a_huge_document(victim: Any, what: str) -> None:
    repository = victim.repository
    files = repository.pack_files("second", repository.pack_config())
    layers = [repository.blob(raw, path=name) for name, raw in files.items()]
    huge = [layer.model_copy(update={"size": 10**12}) if layer.path == "pack.json" else layer for layer in layers]
    ref = repository.add_pack(files=files, layers=huge if "json" in what else layers)
    if "json" not in what:
        blob = ref.blob.model_copy(update={"size": 10**12})
        repository.packs[NAME] = ref.model_copy(update={"blob": blob})
    repository.release(3)
    refused(victim, IntegrityError, f"pack {NAME}: {what} has 1000000000000 bytes")


@pytest.mark.parametrize("field", ["workflow", "profile", "signature", "retriever"])
def test_a_reference_that_lacks_something(victim: Any, field: str) -> None:
    ref = victim.repository.add_pack("second")
    victim.repository.packs[NAME] = ref.model_copy(update={field: None})
    victim.repository.release(3)
    refused(victim, IntegrityError, f"knowledge pack {NAME}: {field} is missing")


@pytest.mark.parametrize("raw", [b"{}", b"[]", b'{"passages":1,"passages":2}', b"\xff"])
def test_a_pack_json_that_is_none(victim: Any, raw: bytes) -> None:
    repository = victim.repository
    files = repository.pack_files("second", repository.pack_config()) | {"pack.json": raw}
    repository.add_pack(files=files)
    repository.release(3)
    refused(victim, IntegrityError, rf"{NAME}/pack\.json: ")


def test_a_truncated_pack(victim: Any) -> None:
    victim.repository.add_pack("second")
    victim.repository.release(3)
    path = blob_of(victim, "passages.jsonl")
    path.write_bytes(path.read_bytes()[:-1])
    refused(victim, UnreachableError, "ends before its 6000 bytes; 5999 bytes are kept")


def test_a_link_in_place_of_a_staged_file_is_not_followed(reading: Any, tmp_path: Path) -> None:
    reading.repository.add_pack("second")
    reading.repository.release(3)
    outside = tmp_path / "outside"
    outside.write_bytes(b"second" * 1000)
    (reading.state / "blobs/sha256" / blob_of(reading, "passages.jsonl").name).symlink_to(outside)
    reading.sync()
    active = load_active(reading.state)
    path = reading.state / "versions" / active.version / "packs" / NAME / "passages.jsonl"
    assert not path.is_symlink()


def test_a_key_of_another_site_class_opens_nothing(reading: Any, site_class_key: Any, tmp_path: Path) -> None:
    """The pack of class branch, for a site that was given the key of another class."""
    right, wrong = site_class_key
    repository = reading.repository
    config = repository.pack_config(data_class="customer", encrypted=True)
    repository.add_pack("second", config=config, recipient=right.to_public())
    repository.release(3)
    key = tmp_path / "key"
    key.write_text(f"{wrong}\n")
    reading.enroll(pack_key=key)
    refused(reading, RefusedError, "encrypted for another key")
    assert reading.passages() == "first"
