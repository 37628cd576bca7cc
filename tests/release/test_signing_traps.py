"""Traps of the signing libraries that have no test where their code is: each shows that we do not fall into it."""

from __future__ import annotations

import os
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleet_manifests import IntegrityError
from fleet_manifests.authors import Authors, Identity
from fleet_manifests.signature import strict_hashing, verify_bundle
from release import Keys, assemble, sign_bundle

pytestmark = pytest.mark.unit
NAME = "triage--edge-x86-vnni"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def out(builder: Any, tmp_path: Path) -> Path:
    assemble(builder.files(), builder.config(), tmp_path / "out")
    return tmp_path / "out"


def test_what_model_signing_needs_and_does_not_declare_is_declared() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert any(one.startswith("pyopenssl") for one in dependencies)


def test_the_tuf_that_forgets_to_verify_is_excluded() -> None:
    """7.0.0 reuses a cached delegated role for another delegator."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "tuf>=7.0.1" in dependencies
    assert "model-signing==1.1.1" in dependencies  # its traps were looked for in this version


def certificate(key: Any, issuer_key: Any, name: str, issuer: str, *, ca: bool, usage: Any = None) -> x509.Certificate:
    """A certificate that expired three years ago."""
    expired = datetime.now(UTC) - timedelta(days=3 * 365)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(expired - timedelta(days=365))
        .not_valid_after(expired)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def test_a_certificate_is_no_signer(out: Path, keys: Keys, tmp_path: Path) -> None:
    """model_signing's certificate method takes one that expired years ago, for TLS only; we take none at all."""
    from model_signing import signing

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = certificate(root_key, root_key, "root", "root", ca=True)
    leaf = certificate(key, root_key, "builder", "root", ca=False, usage=ExtendedKeyUsageOID.SERVER_AUTH)
    for name, one in {"root": root, "leaf": leaf}.items():
        (tmp_path / f"{name}.pem").write_bytes(one.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(*form))
    config = signing.Config().use_certificate_signer(
        private_key=tmp_path / "key.pem",
        signing_certificate=tmp_path / "leaf.pem",
        certificate_chain=[tmp_path / "root.pem"],
    )
    config.set_hashing_config(strict_hashing()).sign(out / NAME, out / "model.sig")
    identity = Identity(identity="builder", issuer="https://root")
    for by in (keys["builder"].public_pem, Authors(None, (identity,), b"{}"), Authors(keys["builder"].public_pem)):
        with pytest.raises(IntegrityError, match="signature of bundle"):
            verify_bundle(out / NAME, out / "model.sig", by, name=NAME)


def test_a_name_that_is_no_utf8_is_not_signed(out: Path, keys: Keys) -> None:
    Path(os.fsdecode(os.fsencode(out / NAME) + b"/model-\xff.onnx")).write_bytes(b"x")
    with pytest.raises(IntegrityError):
        sign_bundle(out, keys["builder"])
    assert not (out / "model.sig").exists()


def test_the_signature_is_never_inside_what_it_signs(out: Path, keys: Keys) -> None:
    assert sign_bundle(out, keys["builder"]).parent == out
    assert not list((out / NAME).rglob("*.sig"))


def test_names_of_files_are_bound(out: Path, keys: Keys) -> None:
    """The subject's digest covers the contents alone; two files changing places must still be noticed."""
    sign_bundle(out, keys["builder"])
    first, second = out / NAME / "tokenizer.json", out / NAME / "data_card.json"
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    with pytest.raises(IntegrityError, match=NAME):
        verify_bundle(out / NAME, out / "model.sig", keys["builder"].public_pem, name=NAME)
