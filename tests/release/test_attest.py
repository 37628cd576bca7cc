"""Evidence: bound to one bundle, one key and its own gates; readable by in-toto's own library."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2 as test_result
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope

from fleet_manifests import Gate, IntegrityError, Verdict, digest_of, dump
from release import Keys, attest, verify_evidence
from release.attest import evidence_descriptor

pytestmark = pytest.mark.unit
BUNDLE = digest_of(b"a bundle")
OTHER = digest_of(b"another bundle")


def payload_of(envelope: bytes) -> dict[str, Any]:
    return json.loads(base64.b64decode(json.loads(envelope)["payload"]))


def resign(envelope: bytes, key: Any, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Change the statement and sign it properly: what a dishonest holder of the key could do."""
    statement = payload_of(envelope)
    change(statement)
    fresh = Envelope(json.dumps(statement).encode(), "application/vnd.in-toto+json", {})
    fresh.sign(key.signer)
    return json.dumps(fresh.to_dict()).encode()


@pytest.mark.parametrize("kind", ["accuracy", "latency"])
@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_report_survives_the_envelope(builder: Any, keys: Keys, kind: str, verdict: Verdict) -> None:
    report = builder.report(kind, BUNDLE, verdict=verdict)
    envelope = attest(report, keys["builder"])
    assert verify_evidence(envelope, keys["builder"].public_pem, BUNDLE) == report


def test_evidence_of_an_older_version_with_fewer_fields_still_holds(builder: Any, keys: Keys) -> None:
    report = builder.report("accuracy", BUNDLE)

    def older(statement: dict[str, Any]) -> None:
        enclosed = statement["predicate"]["configuration"][0]
        fields = json.loads(base64.b64decode(enclosed["content"]))
        assert fields.pop("slices") == []
        raw = json.dumps(fields).encode()
        enclosed["content"] = base64.b64encode(raw).decode()
        enclosed["digest"] = {"sha256": digest_of(raw).removeprefix("sha256:")}

    envelope = resign(attest(report, keys["builder"]), keys["builder"], older)
    assert verify_evidence(envelope, keys["builder"].public_pem, BUNDLE) == report


@pytest.mark.parametrize(
    ("verdict", "result", "tests"),
    [(Verdict.PASS, "PASSED", "passedTests"), (Verdict.INCONCLUSIVE, "WARNED", "warnedTests"),
     (Verdict.FAIL, "FAILED", "failedTests")],
)  # fmt: skip
def test_the_statement_is_an_in_toto_test_result(
    builder: Any, keys: Keys, verdict: Verdict, result: str, tests: str
) -> None:
    raw = payload_of(attest(builder.report("accuracy", BUNDLE, verdict=verdict), keys["builder"]))
    statement = json_format.ParseDict(raw, statement_pb2.Statement())
    Statement.copy_from_pb(statement).validate()
    assert statement.predicate_type == "https://in-toto.io/attestation/test-result/v0.1"
    assert dict(statement.subject[0].digest) == {"sha256": BUNDLE.removeprefix("sha256:")}
    assert statement.subject[0].name == "triage--edge-x86-vnni"
    predicate = json_format.ParseDict(raw["predicate"], test_result.TestResult())
    assert predicate.result == result
    assert "accuracy-margin" in raw["predicate"][tests]
    content = predicate.configuration[0].content
    assert digest_of(content) == f"sha256:{predicate.configuration[0].digest['sha256']}"


def test_evidence_of_another_bundle_is_refused(builder: Any, keys: Keys) -> None:
    envelope = attest(builder.report("accuracy", OTHER), keys["builder"])
    with pytest.raises(IntegrityError, match=f"is about bundle {OTHER}"):
        verify_evidence(envelope, keys["builder"].public_pem, BUNDLE)


def test_evidence_by_another_key_is_refused(builder: Any, keys: Keys) -> None:
    keys.ensure(["other"])
    envelope = attest(builder.report("accuracy", BUNDLE), keys["other"])
    with pytest.raises(IntegrityError, match="not signed by the builder's key"):
        verify_evidence(envelope, keys["builder"].public_pem, BUNDLE)


def test_another_keys_signature_under_our_key_id_is_refused(builder: Any, keys: Keys) -> None:
    keys.ensure(["other"])
    forged = json.loads(attest(builder.report("accuracy", BUNDLE), keys["other"]))
    forged["signatures"][0]["keyid"] = keys["builder"].public.keyid
    with pytest.raises(IntegrityError, match="not signed by the builder's key"):
        verify_evidence(json.dumps(forged).encode(), keys["builder"].public_pem, BUNDLE)


def test_an_altered_report_is_refused(builder: Any, keys: Keys) -> None:
    envelope = json.loads(attest(builder.report("accuracy", BUNDLE, verdict=Verdict.FAIL), keys["builder"]))
    better = payload_of(attest(builder.report("accuracy", BUNDLE), keys["builder"]))
    envelope["payload"] = base64.b64encode(json.dumps(better).encode()).decode()
    with pytest.raises(IntegrityError, match="not signed by the builder's key"):
        verify_evidence(json.dumps(envelope).encode(), keys["builder"].public_pem, BUNDLE)


def better_result(statement: dict[str, Any]) -> None:
    statement["predicate"]["result"] = "PASSED"


def no_failures(statement: dict[str, Any]) -> None:
    statement["predicate"]["failedTests"] = []


def other_subject(statement: dict[str, Any]) -> None:
    statement["subject"][0]["digest"]["sha256"] = OTHER.removeprefix("sha256:")


def other_name(statement: dict[str, Any]) -> None:
    statement["subject"][0]["name"] = "routing--edge-arm64"


def two_subjects(statement: dict[str, Any]) -> None:
    statement["subject"] *= 2


def other_digest(statement: dict[str, Any]) -> None:
    statement["predicate"]["configuration"][0]["digest"]["sha256"] = "0" * 64


def no_report(statement: dict[str, Any]) -> None:
    del statement["predicate"]["configuration"][0]["content"]


def odd_report(statement: dict[str, Any]) -> None:
    statement["predicate"]["configuration"][0]["content"] = "%%%"


def other_predicate(statement: dict[str, Any]) -> None:
    statement["predicateType"] = "https://slsa.dev/provenance/v1"


def two_reports(statement: dict[str, Any]) -> None:
    statement["predicate"]["configuration"] *= 2


def inner_bundle(statement: dict[str, Any]) -> None:
    """The statement is about this bundle, the report in it about another."""
    enclosed = statement["predicate"]["configuration"][0]
    report = json.loads(base64.b64decode(enclosed["content"]))
    raw = json.dumps(report | {"bundle": OTHER}).encode()
    enclosed["content"] = base64.b64encode(raw).decode()
    enclosed["digest"]["sha256"] = digest_of(raw).removeprefix("sha256:")


CHANGES = [
    better_result, no_failures, other_subject, other_name, two_subjects, other_digest, no_report, odd_report,
    other_predicate, two_reports, inner_bundle,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_statement_that_contradicts_its_report_is_refused(
    builder: Any, keys: Keys, change: Callable[[dict[str, Any]], None]
) -> None:
    honest = attest(builder.report("accuracy", BUNDLE, verdict=Verdict.FAIL), keys["builder"])
    same = resign(honest, keys["builder"], lambda statement: None)
    assert verify_evidence(same, keys["builder"].public_pem, BUNDLE).verdict is Verdict.FAIL
    changed = resign(honest, keys["builder"], change)
    with pytest.raises(IntegrityError, match="evidence"):
        verify_evidence(changed, keys["builder"].public_pem, BUNDLE)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b"\xff", b'{"payload":1,"payload":2}', b"{" * 3000])
def test_bytes_that_are_no_envelope_are_refused(keys: Keys, raw: bytes) -> None:
    with pytest.raises(IntegrityError, match="evidence"):
        verify_evidence(raw, keys["builder"].public_pem, BUNDLE)


@pytest.mark.parametrize("field", ["payload", "payloadType", "signatures"])
@pytest.mark.parametrize("value", [None, "", 0, [], {}, "!!", ["x"], [{}], [{"keyid": "a", "sig": "%%"}]], ids=str)
def test_no_damage_to_an_envelope_escapes_the_seam(builder: Any, keys: Keys, field: str, value: Any) -> None:
    envelope = json.loads(attest(builder.report("latency", BUNDLE), keys["builder"]))
    envelope[field] = value
    with pytest.raises(IntegrityError, match="evidence"):
        verify_evidence(json.dumps(envelope).encode(), keys["builder"].public_pem, BUNDLE)


@pytest.mark.parametrize("public", [b"", b"no key"])
def test_a_key_that_is_none_is_refused(builder: Any, keys: Keys, public: bytes) -> None:
    envelope = attest(builder.report("latency", BUNDLE), keys["builder"])
    with pytest.raises(IntegrityError, match="not signed by the builder's key"):
        verify_evidence(envelope, public, BUNDLE)


@pytest.mark.parametrize("gates", [(), (Gate(name="floor", verdict=Verdict.FAIL, reason="below"),)])
def test_a_verdict_that_its_gates_do_not_carry_is_not_signed(builder: Any, keys: Keys, gates: tuple[Gate, ...]) -> None:
    report = builder.report("accuracy", BUNDLE).model_copy(update={"gates": gates})
    with pytest.raises(IntegrityError, match="says pass, its gates say"):
        attest(report, keys["builder"])


def test_the_descriptor_names_kind_digest_and_size(builder: Any, keys: Keys) -> None:
    report = builder.report("latency", BUNDLE)
    envelope = attest(report, keys["builder"])
    descriptor = evidence_descriptor(envelope, report)
    assert (descriptor.digest, descriptor.size) == (digest_of(envelope), len(envelope))
    assert descriptor.annotations == {"lading.evidence.kind": "latency"}


def test_the_enclosed_bytes_are_the_reports_canonical_json(builder: Any, keys: Keys) -> None:
    report = builder.report("accuracy", BUNDLE)
    enclosed = payload_of(attest(report, keys["builder"]))["predicate"]["configuration"][0]
    assert base64.b64decode(enclosed["content"]) == dump(report)
    assert enclosed["mediaType"] == "application/vnd.lading.accuracy-report.v1+json"


def test_evidence_about_a_pack(builder: Any, keys: Keys) -> None:
    """A third kind: its subject is the pack, by the pack's name and digest."""
    retriever = digest_of(b"retriever")
    pack = builder.pack(retriever)
    digest = digest_of((pack / "manifest.json").read_bytes())
    envelope = builder.knowledge(pack, retriever).read_bytes()
    report = verify_evidence(envelope, keys["builder"].public_pem, digest)
    assert (report.kind, report.subject, report.retriever) == ("knowledge", "sops--edge-x86-vnni--branch", retriever)
    statement = payload_of(envelope)
    assert statement["subject"] == [
        {"name": "sops--edge-x86-vnni--branch", "digest": {"sha256": digest.removeprefix("sha256:")}}
    ]
    enclosed = statement["predicate"]["configuration"][0]
    assert enclosed["mediaType"] == "application/vnd.lading.knowledge-report.v1+json"
    assert evidence_descriptor(envelope, report).annotations == {"lading.evidence.kind": "knowledge"}
    with pytest.raises(IntegrityError, match=f"is about bundle {digest}"):
        verify_evidence(envelope, keys["builder"].public_pem, OTHER)


def test_a_statement_that_names_the_bundle_instead_of_the_pack_is_refused(builder: Any, keys: Keys) -> None:
    pack = builder.pack(BUNDLE)
    digest = digest_of((pack / "manifest.json").read_bytes())

    def bundle_name(statement: dict[str, Any]) -> None:
        statement["subject"][0]["name"] = "sops--edge-x86-vnni"

    changed = resign(builder.knowledge(pack, BUNDLE).read_bytes(), keys["builder"], bundle_name)
    with pytest.raises(IntegrityError, match="says something else than the report in it"):
        verify_evidence(changed, keys["builder"].public_pem, digest)
