"""Encrypted packs: what is on the disk, who can open them, and what a message gives away."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from pyrage import decrypt, x25519

from fleet_manifests import DataClass, IntegrityError, PackConfig, RefusedError, StorageError, UsageError, dump
from fleet_manifests.knowledge import PACK_FILE
from runtimes.knowledge import FILES, encrypt_files, open_pack
from runtimes.knowledge import layout as names
from runtimes.knowledge.sealed import SUFFIX
from tests.runtimes.knowledge.conftest import RETRIEVER, Asker, embed, open_files, procedures, write_pack

pytestmark = pytest.mark.unit


def opened(folder: Path, identity: bytes | None) -> Asker:
    return Asker(open_pack(folder, retriever=RETRIEVER, identity=identity))


def secret(key: Any) -> bytes:
    return str(key).encode()


def test_files_become_age_files_and_the_plain_ones_go(sealed: Path) -> None:
    assert sorted(path.name for path in sealed.iterdir()) == sorted([PACK_FILE, *(name + SUFFIX for name in FILES)])
    for name in FILES:
        assert (sealed / (name + SUFFIX)).read_bytes().startswith(b"age-encryption.org/v1\n")


def test_any_age_program_can_read_them(tmp_path: Path, key: Any) -> None:
    folder = write_pack(tmp_path / "pack", procedures())
    plain = {name: (folder / name).read_bytes() for name in FILES}
    encrypt_files(folder, str(key.to_public()))
    assert {name: decrypt((folder / (name + SUFFIX)).read_bytes(), [key]) for name in FILES} == plain


def test_no_plain_text_is_on_the_disk(sealed: Path, key: Any) -> None:
    asker = opened(sealed, secret(key))
    assert asker.search("read the probe").hits[0].passage.text.startswith("Read the probe")
    for path in sealed.rglob("*"):
        if path.name != PACK_FILE:
            assert b"probe" not in path.read_bytes()
    assert not any(str(sealed) in line for line in Path("/proc/self/maps").read_text().splitlines())


def test_an_encrypted_pack_finds_what_the_plain_one_finds(folder: Path, key: Any) -> None:
    plain = opened(folder, None)
    before = [plain.search(question) for question in ("probe", "full location", "zebra")]
    rankings = plain.pack.rankings(embed(["pallet"])[0], "pallet")
    config = PackConfig.model_validate_json((folder / PACK_FILE).read_bytes())
    encrypt_files(folder, str(key.to_public()))
    sealed_config = config.model_copy(update={"encrypted": True, "data_class": DataClass.PRICING})
    (folder / PACK_FILE).write_bytes(dump(sealed_config))
    asker = opened(folder, secret(key))
    assert [asker.search(question) for question in ("probe", "full location", "zebra")] == before
    assert asker.pack.rankings(embed(["pallet"])[0], "pallet") == rankings
    assert list(asker.pack.passages()) == list(plain.pack.passages())


@pytest.mark.parametrize("form", ["{key}\n", "# created: now\n# public key: age1...\n{key}\n", "\r\n {key} \r\n"])
def test_keys_are_read_as_age_keygen_writes_them(sealed: Path, key: Any, form: str) -> None:
    assert opened(sealed, form.format(key=key).encode()).ids("probe")[0] == "cc-002/reading-the-probe"


def test_without_a_key_the_site_class_is_named(sealed: Path) -> None:
    with pytest.raises(RefusedError, match="the key of site class 'warehouse' is missing"):
        opened(sealed, None)


def test_the_key_of_others_is_refused(sealed: Path) -> None:
    with pytest.raises(RefusedError, match="the key of site class 'warehouse' is needed"):
        opened(sealed, secret(x25519.Identity.generate()))


@pytest.mark.parametrize(
    "raw", [b"", b"# only a comment\n", b"nonsense", b"AGE-SECRET-KEY-1WRONG", b"\xff\xfe", b"age1abc", b"a\nb\n"]
)
def test_what_is_no_key_is_refused_and_not_shown(sealed: Path, raw: bytes) -> None:
    with pytest.raises(RefusedError, match="key of site class 'warehouse'") as caught:
        opened(sealed, raw)
    assert caught.value.__cause__ is None
    for word in ("nonsense", "WRONG", "age1abc"):
        assert word not in str(caught.value)


def test_two_keys_are_refused_and_not_shown(sealed: Path, key: Any) -> None:
    with pytest.raises(RefusedError, match="found 2") as caught:
        opened(sealed, secret(key) + b"\n" + secret(x25519.Identity.generate()))
    assert str(key) not in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_found(sealed: Path, key: Any, name: str) -> None:
    path = sealed / (name + SUFFIX)
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)
    with pytest.raises(IntegrityError, match=f"{name}{SUFFIX}: damaged"):
        opened(sealed, secret(key))


def test_a_full_disk_while_opening_is_not_called_damage(
    sealed: Path, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", no_room)
    before = open_files()
    with pytest.raises(StorageError, match="free some space"):
        opened(sealed, secret(key))
    assert open_files() == before


@pytest.mark.parametrize("keep", [0, 10, 100, -1])
def test_a_file_that_was_cut_is_found(sealed: Path, key: Any, keep: int) -> None:
    path = sealed / (names.CODES + SUFFIX)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(IntegrityError, match="damaged"):
        opened(sealed, secret(key))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(sealed: Path, key: Any, name: str) -> None:
    (sealed / (name + SUFFIX)).unlink()
    with pytest.raises(IntegrityError, match=f"no file '{name}{SUFFIX}'"):
        opened(sealed, secret(key))


def test_files_of_the_same_key_that_were_swapped_are_found(sealed: Path, key: Any) -> None:
    one, other = (sealed / (name + SUFFIX) for name in (names.CODES, names.SCALES))
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    with pytest.raises(IntegrityError, match="was expected, found"):
        opened(sealed, secret(key))


def test_a_plain_file_beside_an_encrypted_pack_is_refused(sealed: Path, key: Any) -> None:
    (sealed / names.PASSAGES).write_bytes(b"left behind")
    with pytest.raises(IntegrityError, match="in the clear"):
        opened(sealed, secret(key))


def test_a_pack_that_says_it_is_plain_but_is_not(sealed: Path) -> None:
    config = PackConfig.model_validate_json((sealed / PACK_FILE).read_bytes())
    (sealed / PACK_FILE).write_bytes(dump(config.model_copy(update={"encrypted": False})))
    with pytest.raises(IntegrityError, match=f"no file '{names.PASSAGES}'"):
        opened(sealed, None)


def test_the_retriever_is_checked_before_the_key(sealed: Path) -> None:
    with pytest.raises(IntegrityError, match="retriever"):
        open_pack(sealed, retriever="sha256:" + "0" * 64)


def test_a_key_is_not_needed_for_a_plain_pack(folder: Path, key: Any) -> None:
    assert opened(folder, secret(key)).ids("probe") == opened(folder, None).ids("probe")


@pytest.mark.parametrize("recipient", ["", "age1", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1"])
def test_what_is_no_public_key_changes_nothing(folder: Path, recipient: str) -> None:
    with pytest.raises(UsageError, match="age1"):
        encrypt_files(folder, recipient)
    assert sorted(path.name for path in folder.iterdir()) == sorted([PACK_FILE, *FILES])


def test_an_incomplete_folder_is_not_encrypted(folder: Path, key: Any) -> None:
    (folder / names.SCORES).unlink()
    with pytest.raises(IntegrityError, match=names.SCORES):
        encrypt_files(folder, str(key.to_public()))
    assert not list(folder.glob("*" + SUFFIX))


def test_encrypting_leaves_no_partial_file(sealed: Path) -> None:
    assert not [path for path in sealed.iterdir() if "partial" in path.name]
