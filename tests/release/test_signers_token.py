"""Keys in a PKCS#11 token, tried with SoftHSM2 (Debian: softhsm2, opensc; PyPI: PyKCS11)."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleet_manifests import UsageError
from fleet_manifests.signature import verify_bundle
from release import Keys, Policy, Release, assemble, attest, sign_bundle, verify_evidence

MODULES = [Path(folder, "softhsm/libsofthsm2.so") for folder in ("/usr/lib", "/usr/lib64", "/usr/local/lib")]
MODULE = next((path for path in MODULES if path.exists()), None)
_MISSING = [
    name
    for name, there in {
        "softhsm2-util": shutil.which("softhsm2-util") and MODULE,
        "PyKCS11": importlib.util.find_spec("PyKCS11"),
    }.items()
    if not there
]
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {' and '.join(_MISSING)}"),
]
PIN = "3141592653"
NAME = "triage--edge-x86-vnni"


@pytest.fixture(scope="module")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ec.EllipticCurvePrivateKey]:
    """A token with one EC key, `alice`; gives the private key that was put in.

    A process reads SoftHSM's configuration once, so there is one token for all tests.
    """
    tmp_path = tmp_path_factory.mktemp("softhsm")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
        yield _filled(tmp_path)


@pytest.fixture
def token(softhsm: ec.EllipticCurvePrivateKey, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The private key in the token, and its URI."""
    monkeypatch.setenv("ALICE_PIN", PIN)
    return softhsm, f"pkcs11:token=release;object=alice?module-path={MODULE}&pin-source=env:ALICE_PIN"


def _filled(tmp_path: Path) -> ec.EllipticCurvePrivateKey:
    util = ["softhsm2-util"]
    init = [*util, "--init-token", "--free", "--label", "release", "--pin", PIN, "--so-pin", "271828"]
    subprocess.run(init, check=True, capture_output=True)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = tmp_path / "alice.key"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(key.private_bytes(*form))
    place = [*util, "--import", str(pem), "--token", "release", "--label", "alice", "--id", "0a", "--pin", PIN]
    subprocess.run(place, check=True, capture_output=True)
    pem.unlink()
    return key


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def keys_with(tmp_path: Path, role: str, public: bytes, uri: str) -> Keys:
    (tmp_path / "keys").mkdir(mode=0o700, exist_ok=True)
    name = role if role == "builder" else f"manager-{role}"
    (tmp_path / "keys" / f"{name}.pub").write_bytes(public)
    return Keys(tmp_path / "keys", signers={role: uri})


def test_a_release_manager_approves_with_a_token(token: Any, tmp_path: Path) -> None:
    """TUF metadata of `stable`, signed on the token, verified by tuf."""
    key, uri = token
    keys = keys_with(tmp_path, "alice", public_pem(key), uri)
    release = Release(tmp_path / "project" / "public", keys, Policy(managers=("alice", "bob")))
    assert release.init()
    stable = release.repository.state().targets("stable")
    assert keys["manager-alice"].public.keyid in stable.signatures
    assert not (keys.folder / "manager-alice.pem").exists()


def test_a_builder_signs_bundles_and_evidence_with_a_token(token: Any, builder: Any, tmp_path: Path) -> None:
    key, uri = token
    found = keys_with(tmp_path, "builder", public_pem(key), uri)["builder"]
    assemble(builder.files(), builder.config(), tmp_path / "out")
    signature = sign_bundle(tmp_path / "out", found)
    verify_bundle(tmp_path / "out" / NAME, signature, public_pem(key), name=NAME)
    report = builder.report("accuracy", "sha256:" + "a" * 64)
    assert verify_evidence(attest(report, found), public_pem(key), report.bundle) == report


def test_another_key_than_the_public_half_says(token: Any, tmp_path: Path) -> None:
    _, uri = token
    other = public_pem(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(UsageError, match=r"another key than manager-alice\.pub says"):
        _ = keys_with(tmp_path, "alice", other, uri)["manager-alice"].signer


@pytest.mark.parametrize(
    ("old", "new"),
    [("token=release", "token=other"), ("object=alice", "object=bob"), ("libsofthsm2", "libnothing")],
)
def test_a_token_or_key_that_is_not_there(token: Any, tmp_path: Path, old: str, new: str) -> None:
    key, uri = token
    with pytest.raises(UsageError, match="the token does not open, or has no such key") as refused:
        _ = keys_with(tmp_path, "alice", public_pem(key), uri.replace(old, new))["manager-alice"].signer
    assert PIN not in str(refused.value)


def test_a_wrong_pin_is_refused_and_never_shown(token: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own: a token that is open already asks for no PIN."""
    key, uri = token
    monkeypatch.setenv("ALICE_PIN", "999888777")
    found = keys_with(tmp_path, "alice", public_pem(key), uri)
    said = f"import sys; from pathlib import Path; from release import Keys; keys = Keys(Path({str(found.folder)!r}), "
    said += f"signers={{'alice': {uri!r}}}); keys['manager-alice'].signer.sign(b'data')"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "UsageError: key manager-alice: the token does not open" in done.stderr
    assert "999888777" not in done.stderr + done.stdout


def test_two_keys_of_one_token_in_one_process(token: Any, tmp_path: Path) -> None:
    key, uri = token
    keys_with(tmp_path, "alice", public_pem(key), uri)
    again = keys_with(tmp_path, "builder", public_pem(key), uri)
    first = Keys(tmp_path / "keys", signers={"alice": uri})["manager-alice"].signer
    second = again["builder"].signer
    for signer in (first, second, first):
        signer.public_key.verify_signature(signer.sign(b"data"), b"data")


def test_a_missing_pin_is_named(token: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, uri = token
    monkeypatch.delenv("ALICE_PIN")
    with pytest.raises(UsageError, match="ALICE_PIN is not set"):
        _ = keys_with(tmp_path, "alice", public_pem(key), uri)["manager-alice"].signer
