"""Keys by URI: files, encrypted files, variables, devices, and keys of which only the public half is here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, Signature

from fleet_manifests import IntegrityError, MissingExtraError, UnreachableError, UsageError
from fleet_manifests.signature import verify_bundle
from release import Keys, assemble, attest, sign_bundle, verify_evidence
from release.keys import key_name
from release.signers import EnvironmentKey, FileKey, PublicKey
from release.signers_uri import REMOTE, DeviceKey, _Checked

pytestmark = pytest.mark.unit
SECRET = "correct horse battery staple"
NAME = "triage--edge-x86-vnni"
Key = ec.EllipticCurvePrivateKey


def private_pem(key: Any, secret: str | None = None) -> bytes:
    locked = serialization.BestAvailableEncryption(secret.encode()) if secret else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)


def public_pem(key: Any) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def keep(path: Path, raw: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(raw)
    path.chmod(0o600)
    return path


@pytest.fixture
def key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir(mode=0o700)
    return tmp_path / "keys"


def signs_as(found: Any, key: Key) -> None:
    """The key signs what the other half verifies, and says the right public half."""
    found.public.verify_signature(found.signer.sign(b"data"), b"data")
    assert found.public_pem == public_pem(key)


def test_without_signers_everything_is_where_it_was(folder: Path) -> None:
    keys = Keys(folder)
    assert keys.ensure(["builder"]) == ["builder"]
    assert isinstance(keys["builder"], FileKey)
    assert keys["builder"].path == folder / "builder.pem"


def test_a_file_elsewhere(folder: Path, tmp_path: Path, key: Key) -> None:
    path = keep(tmp_path / "vault" / "my key.pem", private_pem(key))
    keys = Keys(folder, signers={"builder": f"file:{str(path).replace(' ', '%20')}"})
    signs_as(keys["builder"], key)


def test_a_file_beside_the_others(folder: Path, key: Key) -> None:
    keep(folder / "shared.pem", private_pem(key))
    signs_as(Keys(folder, signers={"builder": "file:shared.pem"})["builder"], key)


def test_an_encrypted_file(folder: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(folder / "locked.pem", private_pem(key, SECRET))
    monkeypatch.setenv("BUILDER_PASSPHRASE", SECRET)
    signs_as(Keys(folder, signers={"builder": "file:locked.pem?passphrase=BUILDER_PASSPHRASE"})["builder"], key)


@pytest.mark.parametrize("value", [None, "", "wrong passphrase"])
def test_a_wrong_passphrase_is_refused_and_never_shown(
    folder: Path, key: Key, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    keep(folder / "locked.pem", private_pem(key, SECRET))
    monkeypatch.delenv("BUILDER_PASSPHRASE", raising=False)
    if value is not None:
        monkeypatch.setenv("BUILDER_PASSPHRASE", value)
    found = Keys(folder, signers={"builder": "file:locked.pem?passphrase=BUILDER_PASSPHRASE"})["builder"]
    with pytest.raises(UsageError, match="BUILDER_PASSPHRASE") as refused:
        _ = found.signer
    assert not value or value not in str(refused.value)
    assert value is None or "PRIVATE" not in repr(found)


def test_a_passphrase_for_a_key_that_has_none_is_refused(
    folder: Path, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(folder / "open.pem", private_pem(key))
    monkeypatch.setenv("P", SECRET)
    with pytest.raises(UsageError, match="passphrase in P opens"):
        _ = Keys(folder, signers={"builder": "file:open.pem?passphrase=P"})["builder"].signer


def test_an_encrypted_file_asks_nobody(folder: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    """Automation has no terminal: without the variable's name it is an error, not a prompt."""
    keep(folder / "builder.pem", private_pem(key, SECRET))
    monkeypatch.setattr("getpass.getpass", lambda *_: pytest.fail("asked for a passphrase"))
    with pytest.raises(UsageError, match="not an unencrypted PEM private key; name the variable of its passphrase"):
        _ = Keys(folder)["builder"].signer


def test_others_may_not_read_a_file_elsewhere(folder: Path, tmp_path: Path, key: Key) -> None:
    keep(tmp_path / "vault" / "b.pem", private_pem(key)).chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        _ = Keys(folder, signers={"builder": f"file:{tmp_path}/vault/b.pem"})["builder"].signer


def test_a_file_inside_the_project_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="keep keys apart"):
        Keys(folder, outside=[tmp_path / "project"], signers={"builder": f"file:{tmp_path}/project/b.pem"})


def test_a_variable(folder: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LADING_ONLINE_KEY", private_pem(key).decode())
    keys = Keys(folder, signers={"online": "env:LADING_ONLINE_KEY"})
    signs_as(keys["online"], key)
    assert isinstance(keys["online"], EnvironmentKey)


def test_a_missing_variable_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LADING_ONLINE_KEY", raising=False)
    keys = Keys(folder, signers={"online": "env:LADING_ONLINE_KEY"})
    assert keys.ensure(["online"]) == []
    with pytest.raises(UsageError, match="environment variable LADING_ONLINE_KEY is not set"):
        _ = keys["online"].signer


def test_a_release_manager_goes_by_name(folder: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", private_pem(key).decode())
    signs_as(Keys(folder, signers={"alice": "env:A"})["manager-alice"], key)
    assert [key_name(role) for role in ("root-1", "builder", "manager-bob", "bob")] == [
        "root-1", "builder", "manager-bob", "manager-bob",
    ]  # fmt: skip


def test_a_public_half_alone_can_be_delegated_to(folder: Path, key: Key) -> None:
    (folder / "manager-alice.pub").write_bytes(public_pem(key))
    keys = Keys(folder)
    assert keys.ensure(["manager-alice"]) == []
    assert (keys.knows("manager-alice"), "manager-alice" in keys) == (True, False)
    found = keys["manager-alice"]
    assert isinstance(found, PublicKey)
    assert found.public.keyid == CryptoSigner(key).public_key.keyid
    assert found.public_pem == public_pem(key)
    with pytest.raises(UsageError, match="only its public half is here.*signers: manager-alice: URI"):
        _ = found.signer


@pytest.mark.parametrize("raw", [b"", b"not a key", "p384", "private"])
def test_a_public_half_that_is_none_is_refused(folder: Path, key: Key, raw: bytes | str) -> None:
    other = public_pem(ec.generate_private_key(ec.SECP384R1()))
    content = {"p384": other, "private": private_pem(key)}.get(raw, raw)  # type: ignore[call-overload]
    (folder / "manager-alice.pub").write_bytes(content)
    with pytest.raises(UsageError, match=r"manager-alice\.pub is not"):
        _ = Keys(folder)["manager-alice"].public


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("gpg:ABCD", "scheme 'gpg' is not known; there are: file, env, pkcs11"),
        ("builder.pem", "scheme 'builder.pem' is not known"),
        ("file:", "expected file:NAME"),
        ("file:a.pem?pasphrase=X", "expected file:NAME or file:NAME\\?passphrase=VARIABLE"),
        ("env:", "expected env:NAME"),
        ("pkcs11:object=a?pin-value=1234", "a secret has no place in a URI"),
    ],
)
def test_a_uri_that_names_no_key_is_refused(folder: Path, uri: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        Keys(folder, signers={"builder": uri})
    assert "1234" not in str(refused.value)


@pytest.mark.parametrize("scheme", sorted(REMOTE))
def test_a_key_service_without_its_library_names_the_extra(folder: Path, key: Key, scheme: str) -> None:
    uri = {
        "gcpkms": "gcpkms:projects/p/x",
        "azurekms": "azurekms://v.vault.azure.net/keys/k/1",
        "hsm": "hsm:2?pin=env:P",
        "hv": "hv:key/1",
    }
    found = Keys(folder, signers={"builder": uri.get(scheme, f"{scheme}:some-key")})["builder"]
    (folder / "builder.pub").write_bytes(public_pem(key))
    if scheme in _installed():  # there without credentials and region: still no raw error of theirs
        with pytest.raises(UsageError, match=f"{scheme} does not know this key"):
            found.signer.sign(b"data")
        return
    with pytest.raises(MissingExtraError, match=r"pip install 'securesystemslib\[" + REMOTE[scheme][0]):
        found.signer.sign(b"data")


def _installed() -> set[str]:
    from importlib.util import find_spec

    modules = {"awskms": "boto3", "azurekms": "azure", "gcpkms": "google.cloud.kms", "hsm": "pkcs11", "hv": "hvac"}
    return {scheme for scheme, module in modules.items() if find_spec(module.split(".")[0]) and scheme != "gcpkms"}


def test_a_key_service_needs_the_public_half(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"builder\.pub: No such file.*put the public half"):
        _ = Keys(folder, signers={"builder": "awskms:some-key"})["builder"].public


class Elsewhere:
    """A signer as a key service would be."""

    def __init__(self, key: Key, error: Exception | None = None) -> None:
        self.signer, self.error = CryptoSigner(key), error

    def sign(self, payload: bytes) -> Signature:
        if self.error is not None:
            raise self.error
        return self.signer.sign(payload)


def checked(folder: Path, key: Key, inner: Any) -> Any:
    (folder / "builder.pub").write_bytes(public_pem(key))
    return _Checked(DeviceKey("builder", folder / "builder.pub", "awskms:some-key"), inner)


def test_what_a_key_service_signs_is_verified_at_once(folder: Path, key: Key) -> None:
    assert checked(folder, key, Elsewhere(key)).sign(b"data").keyid == CryptoSigner(key).public_key.keyid
    with pytest.raises(UsageError, match=r"signs with another key than .*builder\.pub says"):
        checked(folder, key, Elsewhere(ec.generate_private_key(ec.SECP256R1()))).sign(b"data")


@pytest.mark.parametrize("error", [ConnectionError("down"), ValueError("denied"), TimeoutError()])
def test_a_key_service_that_fails_is_unreachable(folder: Path, key: Key, error: Exception) -> None:
    with pytest.raises(UnreachableError, match="key builder: awskms did not sign"):
        checked(folder, key, Elsewhere(key, error)).sign(b"data")


def test_bundles_and_evidence_are_signed_by_any_key(
    folder: Path, key: Key, builder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """model_signing knows keys in files only; ours may be anywhere."""
    monkeypatch.setenv("BUILDER", private_pem(key, SECRET).decode())
    monkeypatch.setenv("P", SECRET)
    found = Keys(folder, signers={"builder": "env:BUILDER?passphrase=P"})["builder"]
    assemble(builder.files(), builder.config(), tmp_path / "out")
    signature = sign_bundle(tmp_path / "out", found)
    verify_bundle(tmp_path / "out" / NAME, signature, public_pem(key), name=NAME)
    report = builder.report("accuracy", "sha256:" + "a" * 64)
    assert verify_evidence(attest(report, found), public_pem(key), report.bundle) == report
    assert SECRET not in "".join(path.read_text(errors="ignore") for path in tmp_path.rglob("*") if path.is_file())


def test_a_bundle_of_a_key_elsewhere_is_not_anothers(
    folder: Path, key: Key, keys: Keys, builder: Any, tmp_path: Path
) -> None:
    assemble(builder.files(), builder.config(), tmp_path / "out")
    signature = sign_bundle(tmp_path / "out", keys["builder"])
    with pytest.raises(IntegrityError):
        verify_bundle(tmp_path / "out" / NAME, signature, public_pem(key), name=NAME)


def test_secrets_are_in_no_process_listing(folder: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    """The passphrase goes from the environment to the library; no child process sees it."""
    keep(folder / "locked.pem", private_pem(key, SECRET))
    monkeypatch.setenv("P", SECRET)
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("started a process"))
    _ = Keys(folder, signers={"builder": "file:locked.pem?passphrase=P"})["builder"].signer.sign(b"data")
