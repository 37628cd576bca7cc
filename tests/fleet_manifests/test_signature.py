"""Bundle signatures: every way in which a folder can differ from what was signed is refused."""

from __future__ import annotations

import base64
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fleet_manifests import IntegrityError
from fleet_manifests.signature import strict_hashing, verify_bundle

pytestmark = pytest.mark.unit
NAME = "triage--edge-x86-vnni"
Key = ec.EllipticCurvePrivateKey


def private_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: Any) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def fill(folder: Path) -> Path:
    (folder / "parts").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"weights" * 1000)
    (folder / "bundle.json").write_text("{}")
    (folder / "parts" / "labels.json").write_text('["late"]')
    return folder


def sign(folder: Path, signature: Path, key: Key, **ignored: Any) -> Path:
    """Sign with model_signing itself: strictly, or with its own choice of what to ignore."""
    from model_signing import hashing, signing

    key_file = signature.with_suffix(".pem")
    key_file.write_bytes(private_pem(key))
    config = signing.Config().use_elliptic_key_signer(private_key=key_file)
    chosen = hashing.Config().set_ignored_paths(**ignored) if ignored else strict_hashing()
    config.set_hashing_config(chosen).sign(folder, signature)
    return signature


def resign(signature: Path, key: Key, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the signed statement and sign it properly: what a dishonest holder of the key could do."""
    document = json.loads(signature.read_text())
    envelope = document["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(statement)
    payload = json.dumps(statement).encode()
    kind = envelope["payloadType"]
    encoded = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    envelope["payload"] = base64.b64encode(payload).decode()
    envelope["signatures"][0]["sig"] = base64.b64encode(key.sign(encoded, ec.ECDSA(hashes.SHA256()))).decode()
    signature.write_text(json.dumps(document))


@pytest.fixture(scope="module")
def key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / NAME)


@pytest.fixture
def signature(folder: Path, tmp_path: Path, key: Key) -> Path:
    return sign(folder, tmp_path / "model.sig", key)


def test_the_signed_folder_is_accepted(folder: Path, signature: Path, key: Key) -> None:
    verify_bundle(folder, signature, public_pem(key), name=NAME)


def test_what_is_signed_is_written_strictly(signature: Path) -> None:
    payload = json.loads(base64.b64decode(json.loads(signature.read_text())["dsseEnvelope"]["payload"]))
    assert payload["predicate"]["serialization"] == {"method": "files", "hash_type": "sha256", "allow_symlinks": False}


def test_the_folder_may_lie_under_another_name(folder: Path, signature: Path, key: Key) -> None:
    moved = folder.rename(folder.with_name("staging-1"))
    verify_bundle(moved, signature, public_pem(key), name=NAME)


def test_upstream_accepts_our_strict_signature(folder: Path, signature: Path, key: Key, tmp_path: Path) -> None:
    public = tmp_path / "key.pub"
    public.write_bytes(public_pem(key))
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    done = subprocess.run(
        [*command, "--signature", str(signature), "--public_key", str(public), "--no-ignore-git-paths"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_replay_under_another_name_is_refused(folder: Path, signature: Path, key: Key) -> None:
    with pytest.raises(IntegrityError, match="it is for bundle 'triage--edge-x86-vnni'"):
        verify_bundle(folder, signature, public_pem(key), name="triage--edge-arm64")


def test_another_key_is_refused(folder: Path, signature: Path) -> None:
    with pytest.raises(IntegrityError):
        verify_bundle(folder, signature, public_pem(ec.generate_private_key(ec.SECP256R1())), name=NAME)


def test_another_key_with_the_hint_of_ours_is_refused(folder: Path, signature: Path, key: Key, tmp_path: Path) -> None:
    forged = sign(folder, tmp_path / "forged.sig", ec.generate_private_key(ec.SECP256R1()))
    document, ours = json.loads(forged.read_text()), json.loads(signature.read_text())
    document["verificationMaterial"] = ours["verificationMaterial"]
    forged.write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match="not by the builder's key"):
        verify_bundle(folder, forged, public_pem(key), name=NAME)


@pytest.mark.parametrize("public", [b"", b"not a key", None])
def test_a_key_that_is_no_ec_key_is_refused(folder: Path, signature: Path, public: bytes | None) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(IntegrityError):
        verify_bundle(folder, signature, public_pem(other) if public is None else public, name=NAME)


def tampered(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"Weights" * 1000)


def shortened(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"weights" * 999)


def extra(folder: Path) -> None:
    (folder / "plugin.py").write_text("print('hello')")


def extra_deep(folder: Path) -> None:
    (folder / "parts" / "more").mkdir()
    (folder / "parts" / "more" / "x.json").write_text("{}")


def missing(folder: Path) -> None:
    (folder / "bundle.json").unlink()


def renamed(folder: Path) -> None:
    (folder / "bundle.json").rename(folder / "bundle2.json")


def swapped(folder: Path) -> None:
    """The subject digest covers digests but no names; the names must still be compared."""
    texts = [folder / "bundle.json", folder / "parts" / "labels.json"]
    contents = [path.read_bytes() for path in texts]
    for path, content in zip(texts, reversed(contents), strict=True):
        path.write_bytes(content)


def symlinked(folder: Path) -> None:
    target = folder.parent / "elsewhere.onnx"
    shutil.move(folder / "model.onnx", target)
    (folder / "model.onnx").symlink_to(target)


def linked_folder(folder: Path) -> None:
    shutil.move(folder / "parts", folder.parent / "elsewhere")
    (folder / "parts").symlink_to(folder.parent / "elsewhere")


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def git_folder(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "evil.py").write_text("print('hello')")


def git_file(folder: Path) -> None:
    (folder / ".gitattributes").write_text("* evil")


def empty_folder(folder: Path) -> None:
    (folder / "plugins").mkdir()


def unicode_name(folder: Path) -> None:
    (folder / "modèle.onnx").write_bytes(b"x")


def bytes_name(folder: Path) -> None:
    (Path(os.fsdecode(os.fsencode(folder) + b"/model-\xff.onnx"))).write_bytes(b"x")


ATTACKS = [
    tampered, shortened, extra, extra_deep, missing, renamed, swapped, symlinked, linked_folder, fifo,
    git_folder, git_file, empty_folder, unicode_name, bytes_name,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_changed_folder_is_refused(folder: Path, signature: Path, key: Key, attack: Callable[[Path], None]) -> None:
    attack(folder)
    with pytest.raises(IntegrityError, match=NAME):
        verify_bundle(folder, signature, public_pem(key), name=NAME)


@pytest.mark.parametrize("attack", [git_folder, git_file], ids=lambda attack: attack.__name__)
def test_git_files_are_refused_even_when_the_signature_ignores_them(
    folder: Path, tmp_path: Path, key: Key, attack: Callable[[Path], None]
) -> None:
    lax = sign(folder, tmp_path / "lax.sig", key, paths=[], ignore_git_paths=True)
    with pytest.raises(IntegrityError, match="ignore_paths"):
        verify_bundle(folder, lax, public_pem(key), name=NAME)
    attack(folder)
    with pytest.raises(IntegrityError):
        verify_bundle(folder, lax, public_pem(key), name=NAME)


def test_an_ignored_path_of_one_bundle_does_not_leak_into_the_next(
    folder: Path, signature: Path, tmp_path: Path, key: Key
) -> None:
    other = fill(tmp_path / "routing--edge-x86-vnni")
    lax = sign(other, tmp_path / "lax.sig", key, paths=["plugins"])
    with pytest.raises(IntegrityError, match="ignore_paths"):
        verify_bundle(other, lax, public_pem(key), name=other.name)
    verify_bundle(folder, signature, public_pem(key), name=NAME)
    (folder / "plugins").mkdir()
    (folder / "plugins" / "evil.py").write_text("print('hello')")
    with pytest.raises(IntegrityError, match=r"plugins/evil\.py"):
        verify_bundle(folder, signature, public_pem(key), name=NAME)


def test_a_link_to_the_signed_folder_is_refused(folder: Path, signature: Path, key: Key, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(IntegrityError, match="is not a folder"):
        verify_bundle(tmp_path / "link", signature, public_pem(key), name=NAME)


def test_a_missing_folder_is_refused(signature: Path, key: Key, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="cannot be read"):
        verify_bundle(tmp_path / "gone", signature, public_pem(key), name=NAME)


def test_a_signature_inside_the_folder_is_refused(folder: Path, signature: Path, key: Key) -> None:
    inside = folder / "model.sig"
    shutil.copy(signature, inside)
    with pytest.raises(IntegrityError, match=r"model\.sig"):
        verify_bundle(folder, inside, public_pem(key), name=NAME)


def test_a_missing_signature_is_refused(folder: Path, key: Key, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="no signature can be read"):
        verify_bundle(folder, tmp_path / "gone.sig", public_pem(key), name=NAME)


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"{" * 5000, b'{"a":1,"a":2}', b"x" * 5_000_000]
)
def test_a_file_that_is_no_signature_is_refused(folder: Path, signature: Path, key: Key, raw: bytes) -> None:
    signature.write_bytes(raw)
    with pytest.raises(IntegrityError):
        verify_bundle(folder, signature, public_pem(key), name=NAME)


def every_path(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON document."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(below for name, child in children for below in every_path(child, (*path, name)))]


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of a document with another value at one place."""
    changed = copy.deepcopy(document)
    if not path:
        return value
    node = changed
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return changed


@pytest.mark.parametrize("value", [None, "", 0, [], {}, "AAAA", ["x"]], ids=str)
def test_no_damage_to_the_signature_file_escapes_the_seam(folder: Path, signature: Path, key: Key, value: Any) -> None:
    document = json.loads(signature.read_text())
    harmless = {("verificationMaterial", "tlogEntries"), ("dsseEnvelope", "signatures", 0, "keyid")}
    for path in every_path(document):
        if path in harmless:
            continue
        signature.write_text(json.dumps(put(document, path, value)))
        with pytest.raises(IntegrityError):
            verify_bundle(folder, signature, public_pem(key), name=NAME)


def second_spelling(document: dict[str, Any]) -> None:
    """model_signing's parser knows each field by two names; a second envelope could hide behind the other."""
    document["dsse_envelope"] = copy.deepcopy(document["dsseEnvelope"])


def second_signature(document: dict[str, Any]) -> None:
    document["dsseEnvelope"]["signatures"] *= 2


def no_hint(document: dict[str, Any]) -> None:
    document["verificationMaterial"] = {"publicKey": {}, "tlogEntries": []}


def certificate(document: dict[str, Any]) -> None:
    document["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}


def other_payload_type(document: dict[str, Any]) -> None:
    document["dsseEnvelope"]["payloadType"] = "application/json"


FORMS = [second_spelling, second_signature, no_hint, certificate, other_payload_type]


@pytest.mark.parametrize("change", FORMS, ids=lambda change: change.__name__)
def test_a_signature_file_of_another_form_is_refused(
    folder: Path, signature: Path, key: Key, change: Callable[[dict[str, Any]], None]
) -> None:
    document = json.loads(signature.read_text())
    change(document)
    signature.write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match="signature of bundle"):
        verify_bundle(folder, signature, public_pem(key), name=NAME)


def allow_symlinks(statement: dict[str, Any]) -> None:
    statement["predicate"]["serialization"]["allow_symlinks"] = True


def ignore_nothing(statement: dict[str, Any]) -> None:
    statement["predicate"]["serialization"]["ignore_paths"] = []


def other_hash(statement: dict[str, Any]) -> None:
    statement["predicate"]["serialization"]["hash_type"] = "blake2"


def shards(statement: dict[str, Any]) -> None:
    statement["predicate"]["serialization"] |= {"method": "shards", "shard_size": 10}


def old_predicate(statement: dict[str, Any]) -> None:
    """The predicate of model_signing 0.2 has neither name nor serialization, and is still read by 1.1.1."""
    statement["predicateType"] = "https://model_signing/Digests/v0.1"
    resources = statement["predicate"]["resources"]
    statement["subject"] = [{"name": r["name"], "digest": {"sha256": r["digest"]}} for r in resources]
    statement["predicate"] = {"unused": "x"}


def two_subjects(statement: dict[str, Any]) -> None:
    statement["subject"] *= 2


def fewer_resources(statement: dict[str, Any]) -> None:
    statement["predicate"]["resources"].pop()


def other_statement(statement: dict[str, Any]) -> None:
    statement["_type"] = "https://in-toto.io/Statement/v0.1"


STATEMENTS = [
    allow_symlinks, ignore_nothing, other_hash, shards, old_predicate, two_subjects, fewer_resources, other_statement,
]  # fmt: skip


@pytest.mark.parametrize("change", STATEMENTS, ids=lambda change: change.__name__)
def test_a_lax_statement_is_refused_though_the_builder_signed_it(
    folder: Path, signature: Path, key: Key, change: Callable[[dict[str, Any]], None]
) -> None:
    resign(signature, key, lambda statement: None)
    verify_bundle(folder, signature, public_pem(key), name=NAME)
    resign(signature, key, change)
    with pytest.raises(IntegrityError):
        verify_bundle(folder, signature, public_pem(key), name=NAME)


def test_importing_the_module_does_not_load_model_signing() -> None:
    code = "import sys, fleet_manifests.signature; print('model_signing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_killed_while_it_verifies_it_leaves_nothing_behind(
    folder: Path, signature: Path, key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it need a folder to write into."""
    from model_signing import hashing

    before = sorted(tmp_path.rglob("*"))
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(hashing.Config, "hash", lambda *args, **more: os.kill(os.getpid(), signal.SIGKILL))
        tempfile.tempdir = str(tmp_path)
        try:
            verify_bundle(folder, signature, public_pem(key), name=NAME)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, "it was killed between signature and files"
    assert sorted(tmp_path.rglob("*")) == before
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    verify_bundle(folder, signature, public_pem(key), name=NAME)
