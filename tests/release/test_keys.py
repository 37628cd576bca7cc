"""The key store: private, complete, apart from what is published, never overwritten."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from fleet_manifests import RefusedError, StorageError, UsageError
from release.keys import Keys, distinct, manager_key

pytestmark = pytest.mark.unit


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, password: bytes | None = None) -> bytes:
    secret = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)


def test_folder_and_keys_are_their_owners_alone(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        store = Keys(tmp_path / "a" / "keys")
        store.ensure(["builder"])
    finally:
        os.umask(previous)
    assert mode(store.folder) == 0o700
    assert mode(store.folder / "builder.pem") == 0o600


def test_only_missing_keys_are_made(keys: Keys) -> None:
    before = (keys.folder / "builder.pem").read_bytes()
    assert keys.ensure(["builder", "online"]) == ["online"]
    assert (keys.folder / "builder.pem").read_bytes() == before
    assert keys.ensure(["builder", "online"]) == []


def test_two_makers_at_once_agree_on_one_key(tmp_path: Path) -> None:
    stores = [Keys(tmp_path / "keys") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda store: store.ensure(["builder"]), stores))
    assert len({store["builder"].public_pem for store in stores}) == 1
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["builder.pem"]


def test_a_key_signs_what_its_public_half_verifies(keys: Keys) -> None:
    signature = keys["builder"].signer.sign(b"data")
    keys["builder"].public.verify_signature(signature, b"data")
    assert signature.keyid == keys["builder"].public.keyid


@pytest.mark.parametrize("bits", [0o750, 0o705, 0o770, 0o777, 0o710])
def test_a_folder_that_others_may_touch_is_refused(keys: Keys, bits: int) -> None:
    keys.folder.chmod(bits)
    with pytest.raises(UsageError, match="chmod 700"):
        Keys(keys.folder)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_may_read_is_refused(keys: Keys, bits: int) -> None:
    (keys.folder / "builder.pem").chmod(bits)
    with pytest.raises(UsageError, match="chmod 600"):
        _ = keys["builder"].public_pem


def test_a_missing_key_says_where_it_was_looked_for(keys: Keys) -> None:
    with pytest.raises(UsageError, match=r"online\.pem: No such file.*restore the key, or set LADING_KEYS"):
        _ = keys["online"].signer
    assert "online" not in keys
    assert "builder" in keys


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"not a key", "not an unencrypted PEM private key"),
        (pem(ec.generate_private_key(ec.SECP256R1()), b"secret"), "not an unencrypted PEM private key"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "not an EC P-256 key"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "not an EC P-256 key"),
    ],
)
def test_a_file_that_is_no_such_key_is_refused(keys: Keys, raw: bytes, message: str) -> None:
    (keys.folder / "builder.pem").write_bytes(raw)
    with pytest.raises(UsageError, match=message) as refused:
        _ = keys["builder"].private
    assert "PRIVATE" not in str(refused.value)


@pytest.mark.parametrize("inside", ["", "public", "public/keys", ".lading/keys"])
def test_a_key_store_inside_the_project_is_refused(tmp_path: Path, inside: str) -> None:
    project = tmp_path / "project"
    with pytest.raises(UsageError, match="overlap"):
        Keys(project / inside, outside=[project])


def test_a_link_into_the_project_is_seen_through(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "keys").mkdir(parents=True)
    (tmp_path / "keys").symlink_to(project / "keys")
    with pytest.raises(UsageError, match="overlap"):
        Keys(tmp_path / "keys", outside=[project])


def test_a_published_tree_inside_the_key_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="overlap"):
        Keys(tmp_path, outside=[tmp_path / "public"])


def test_the_folder_is_the_argument_then_the_variable_then_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LADING_KEYS", raising=False)
    assert Keys.of_project("acme").folder == tmp_path / "home" / ".config" / "lading" / "keys" / "acme"
    monkeypatch.setenv("LADING_KEYS", str(tmp_path / "variable"))
    assert Keys.of_project("acme").folder == tmp_path / "variable"
    assert Keys.of_project("acme", folder=tmp_path / "given").folder == tmp_path / "given"


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"builder\.pem cannot be written"):
        Keys(tmp_path / "file" / "keys").ensure(["builder"])


def test_a_full_disk_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Keys(tmp_path / "keys")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        store.ensure(["builder"])
    assert list(store.folder.iterdir()) == []


def test_distinct_names_must_be_distinct_keys(keys: Keys) -> None:
    keys.ensure([manager_key("alice"), manager_key("bob")])
    distinct([keys["manager-alice"], keys["manager-bob"], keys["manager-alice"]])
    (keys.folder / "manager-carol.pem").write_bytes((keys.folder / "manager-bob.pem").read_bytes())
    (keys.folder / "manager-carol.pem").chmod(0o600)
    with pytest.raises(RefusedError, match="manager-bob and manager-carol are the same key"):
        distinct([keys["manager-alice"], keys["manager-bob"], keys["manager-carol"]])


def test_the_store_remembers_roots_in_order(keys: Keys) -> None:
    assert keys.roots() == {}
    for version in (10, 9, 1):
        keys.store(f"{version}.root.json", str(version).encode(), replace=False)
    keys.store("1.root.json", b"another", replace=False)
    assert keys.roots() == {1: b"1", 9: b"9", 10: b"10"}
    assert list(keys.roots()) == [1, 9, 10]


def test_what_may_be_replaced_is_replaced_whole(keys: Keys) -> None:
    assert keys.read("last-release") is None
    keys.store("last-release", b"1", replace=True)
    keys.store("last-release", b"2", replace=True)
    assert keys.read("last-release") == b"2"
    assert sorted(path.name for path in keys.folder.iterdir()) == ["builder.pem", "last-release"]
