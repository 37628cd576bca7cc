"""Receipts on the wire, and the key that signs them."""

from __future__ import annotations

import base64
import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2 as test_result
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from fleet_manifests import HostFacts, IntegrityError, Machine, Receipt, RefusedError, UsageError, digest_of
from fleet_manifests.receipt import key_fingerprint
from runtimes.device import KEY_FILE, DeviceKey, ensure_key, load_key
from runtimes.measure.latency import Outcome
from runtimes.measure.receipt import claimed, open_receipt, seal

pytestmark = pytest.mark.unit
BUNDLE = digest_of(b"bundle")
OUTCOME = Outcome(objective_ms=(1.0, 2.0), workload_ms=(1.5,), tokens=16)


@pytest.fixture
def key(tmp_path: Path) -> DeviceKey:
    ensure_key(tmp_path)
    return load_key(tmp_path)


@pytest.fixture
def receipt() -> Receipt:
    host = HostFacts(architecture="x86_64", features=("avx2",), cpu_model="x", cores=2, memory_mb=900)
    return Receipt(
        id="ab" * 16, site="store-017", workflow="triage", profile="edge", bundle=BUNDLE, cases=digest_of(b"cases"),
        manifest=3, taken=datetime(2027, 1, 4, tzinfo=UTC), machine=Machine(host=host, isa="x86-64-v3"),
    )  # fmt: skip


def test_a_receipt_survives_the_envelope(key: DeviceKey, receipt: Receipt) -> None:
    raw = seal(receipt, b"outputs", OUTCOME, key.signer)
    found = open_receipt(raw, key.public_pem, site="store-017")
    assert (found.receipt, found.outputs, found.latency, found.digest) == (receipt, b"outputs", OUTCOME, digest_of(raw))
    assert claimed(raw) == receipt


def test_it_is_an_in_toto_test_result_that_judges_nothing(key: DeviceKey, receipt: Receipt) -> None:
    said = json.loads(base64.b64decode(json.loads(seal(receipt, b"o", OUTCOME, key.signer))["payload"]))
    statement = json_format.ParseDict(said, statement_pb2.Statement())
    Statement.copy_from_pb(statement).validate()
    assert statement.subject[0].name == "triage--edge"
    assert dict(statement.subject[0].digest) == {"sha256": BUNDLE.removeprefix("sha256:")}
    predicate = json_format.ParseDict(said["predicate"], test_result.TestResult())
    assert predicate.result == "WARNED" and not predicate.passed_tests and not predicate.failed_tests
    assert [one.name for one in predicate.configuration] == ["receipt", "outputs", "latency"]
    for one in predicate.configuration:
        assert digest_of(one.content) == f"sha256:{one.digest['sha256']}"


def test_another_key_or_another_site_is_refused(key: DeviceKey, receipt: Receipt, tmp_path: Path) -> None:
    raw = seal(receipt, b"o", OUTCOME, key.signer)
    (tmp_path / "other").mkdir()
    ensure_key(tmp_path / "other")
    with pytest.raises(IntegrityError, match="not signed by the device key of site store-017"):
        open_receipt(raw, load_key(tmp_path / "other").public_pem, site="store-017")
    with pytest.raises(IntegrityError, match="is of site store-017, but signed by the device key of site store-018"):
        open_receipt(raw, key.public_pem, site="store-018")


def test_what_the_factory_would_not_take_is_not_signed(
    key: DeviceKey, receipt: Receipt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtimes.measure.receipt.MAX_RECEIPT_BYTES", 5000)
    with pytest.raises(RefusedError, match="the factory takes 5000"):
        seal(receipt, b"x" * 9000, OUTCOME, key.signer)


def test_a_larger_receipt_than_any_is_refused_unread(key: DeviceKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimes.measure.receipt.MAX_RECEIPT_BYTES", 100)
    for read in (claimed, lambda raw: open_receipt(raw, key.public_pem, site="x")):
        with pytest.raises(IntegrityError, match="receipt: 101 bytes; a document has at most 100"):
            read(b"x" * 101)


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    ensure_key(tmp_path)
    first = (tmp_path / KEY_FILE).read_bytes()
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    ensure_key(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == first
    assert b"PRIVATE" not in load_key(tmp_path).public_pem


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    ensure_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(RefusedError, match="others may read the device key"):
        load_key(tmp_path)


def test_no_key_and_no_such_key_are_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no device key yet; run `lading-site enroll` again"):
        load_key(tmp_path)
    (tmp_path / KEY_FILE).write_bytes(b"no key")
    (tmp_path / KEY_FILE).chmod(0o600)
    with pytest.raises(UsageError, match="expected the private key of this device"):
        load_key(tmp_path)


def test_a_fingerprint_is_of_the_key_and_not_of_its_spelling(key: DeviceKey) -> None:
    noted = b"the key of store-017\n" + key.public_pem.replace(b"\n", b"\r\n")
    assert key_fingerprint(noted) == key_fingerprint(key.public_pem)
    with pytest.raises(UsageError, match="expected the public key of a device"):
        key_fingerprint(b"nothing")


def test_a_key_on_another_curve_is_refused() -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(serialization.Encoding.PEM, form)
    with pytest.raises(UsageError, match="on the curve P-256"):
        key_fingerprint(public)
