"""Keys in AWS KMS, tried with moto's: securesystemslib and boto3 are unmodified.

One thing moto has not: a digest (`MessageType: DIGEST`) it hashes once more. The service here signs it as it is, as AWS does.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from fleet_manifests import UnreachableError, UsageError
from fleet_manifests.signature import verify_bundle
from release import Keys, Policy, Release, assemble, attest, sign_bundle, verify_evidence

pytestmark = pytest.mark.integration
NAME = "triage--edge-x86-vnni"
KEYS = ("builder", "alice", "online")


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    """A key service on loopback, with one EC P-256 key for each name; gives a client of it."""
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    boto3 = pytest.importorskip("boto3")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": "http://{}:{}".format(*running.get_host_and_port()),
            "AWS_ACCESS_KEY_ID": "one",
            "AWS_SECRET_ACCESS_KEY": "hush",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }.items():
            patch.setenv(name, value)
        patch.setattr("moto.kms.utils.ECDSAPrivateKey.sign", _sign_digest)
        client = boto3.client("kms")
        for name in KEYS:
            made = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
            client.create_alias(AliasName=f"alias/{name}", TargetKeyId=made["KeyMetadata"]["KeyId"])
        yield client
    running.stop()


def _sign_digest(key: Any, digest: bytes, algorithm: str) -> bytes:
    """What AWS does with 32 bytes of type DIGEST; it refuses other lengths, as here."""
    assert algorithm == "ECDSA_SHA_256"
    signature: bytes = key.private_key.sign(digest, ec.ECDSA(Prehashed(SHA256())))
    return signature


@pytest.fixture
def half(service: Any) -> Callable[[str], bytes]:
    """The public half of a key in the service, PEM."""

    def found(name: str) -> bytes:
        raw = service.get_public_key(KeyId=f"alias/{name}")["PublicKey"]
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return serialization.load_der_public_key(raw).public_bytes(serialization.Encoding.PEM, form)

    return found


@pytest.fixture
def keys(half: Callable[[str], bytes], tmp_path: Path) -> Keys:
    """A key store whose builder, online key and release manager Alice are in the service."""
    (tmp_path / "kms").mkdir(mode=0o700)
    for name in KEYS:
        file = f"manager-{name}" if name == "alice" else name
        (tmp_path / "kms" / f"{file}.pub").write_bytes(half(name))
    return Keys(tmp_path / "kms", signers={name: f"awskms:alias/{name}" for name in KEYS})


def named(keys: Keys, uri: str) -> Keys:
    """The same key store, with another key for the builder."""
    return Keys(keys.folder, signers={"builder": uri})


def test_the_service_signs_the_metadata_of_a_release(keys: Keys, tmp_path: Path) -> None:
    """What it signs is verified by tuf before it is published, and by whoever reads it afterwards."""
    release = Release(tmp_path / "project" / "public", keys, Policy(managers=("alice", "bob")))
    assert release.init()
    assert not {f"{name}.pem" for name in (*KEYS, "manager-alice")} & {path.name for path in keys.folder.iterdir()}
    state = release.repository.state()
    for role, key in (("stable", "manager-alice"), ("canary", "builder"), ("sites", "online")):
        document = state.get(role)
        found = state.delegator(role).signed.get_verification_result(role, document.signed_bytes, document.signatures)
        assert keys[key].public.keyid in found.signed
    timestamp = state.get("timestamp")
    state.root.signed.verify_delegate("timestamp", timestamp.signed_bytes, timestamp.signatures)


def test_the_service_signs_a_bundle_and_its_evidence(
    keys: Keys, half: Callable[[str], bytes], builder: Any, tmp_path: Path
) -> None:
    found, public = keys["builder"], half("builder")
    assemble(builder.files(), builder.config(), tmp_path / "out")
    verify_bundle(tmp_path / "out" / NAME, sign_bundle(tmp_path / "out", found), public, name=NAME)
    report = builder.report("accuracy", "sha256:" + "a" * 64)
    assert verify_evidence(attest(report, found), public, report.bundle) == report


def test_the_service_signs_with_another_key(keys: Keys) -> None:
    signer = named(keys, "awskms:alias/alice")["builder"].signer
    with pytest.raises(UsageError, match=r"awskms signs with another key than .*builder\.pub says; correct the URI"):
        signer.sign(b"data")


def test_a_key_that_the_service_does_not_have(keys: Keys) -> None:
    signer = named(keys, "awskms:alias/nobody")["builder"].signer
    with pytest.raises(UnreachableError, match="key builder: awskms did not sign: NotFoundException"):
        signer.sign(b"data")


def test_a_key_that_is_not_for_signing(keys: Keys, service: Any) -> None:
    made = service.create_key(KeySpec="SYMMETRIC_DEFAULT", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    with pytest.raises(UnreachableError, match="key builder: awskms did not sign"):
        named(keys, f"awskms:{made}")["builder"].signer.sign(b"data")


def test_a_machine_without_credentials(keys: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UnreachableError, match="awskms did not sign: NoCredentialsError"):
        keys["builder"].signer.sign(b"data")


def test_a_service_that_cannot_be_reached_is_one_error(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, as in a terminal: the libraries' own words do not come on top, and no secret does."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    said = f"from pathlib import Path; from release import Keys; keys = Keys(Path({str(keys.folder)!r}), "
    said += "signers={'builder': 'awskms:alias/builder'}); signer = keys['builder'].signer\n"
    said += "from fleet_manifests import UnreachableError\n"
    said += "try: signer.sign(b'data')\nexcept UnreachableError as exc: print(exc)"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("key builder: awskms did not sign: EndpointConnectionError: ")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert "hush" not in done.stdout
