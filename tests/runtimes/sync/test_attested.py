"""A site whose fleet requires attestations: there, signed by who may, about this bundle, or nothing is installed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner

from fleet_manifests import Descriptor, IntegrityError, Orders, RefusedError, Stop, digest_of, dump
from fleet_manifests.attested import KIND, PREDICATES
from fleet_manifests.authors import SIGNERS, SignerPolicy
from fleet_manifests.bundle import bundle_name
from fleet_manifests.dsse import ENVELOPE_TYPE, seal_payload
from runtimes.sync import load_active

pytestmark = pytest.mark.unit
WORKFLOW = "exception_triage"
PROFILE = "edge-x86-vnni"
ALL = ("provenance", "model-card", "evidence")


def statement(act: str, digest: str, **changes: Any) -> dict[str, Any]:
    subject = {"name": bundle_name(WORKFLOW, PROFILE), "digest": {"sha256": digest.removeprefix("sha256:")}}
    said = {"_type": "https://in-toto.io/Statement/v1", "subject": [subject], "predicateType": PREDICATES[act]}
    return said | {"predicate": {"result": "PASSED"} if act == "evidence" else {}} | changes


def seal(site: Any, said: dict[str, Any], key: Any = None) -> bytes:
    return seal_payload(json.dumps(said).encode(), CryptoSigner(key or site.repository.builder))


def attach(site: Any, act: str, raw: bytes) -> Descriptor:
    """Put an envelope into the tree and name it in the workflow's build."""
    repository = site.repository
    blob: Descriptor = repository.blob(raw, ENVELOPE_TYPE)
    build = repository.builds[WORKFLOW, PROFILE]
    if act == "evidence":
        changes = {"evidence": (*build.evidence, blob)}
    else:
        blob = blob.model_copy(update={"annotations": {KIND: act}})
        changes = {"attestations": (*build.attestations, blob)}
    repository.builds[WORKFLOW, PROFILE] = build.model_copy(update=changes)
    return blob


def build(site: Any, content: str, acts: tuple[str, ...] = ALL) -> str:
    """A build with attestations; its digest."""
    digest: str = site.repository.add_bundle(content).digest
    for act in acts:
        attach(site, act, seal(site, statement(act, digest)))
    return digest


def require(site: Any, *acts: str, signs: tuple[str, ...] = ("bundle", *ALL)) -> None:
    author = {"key": "builder", "workflows": ["*"], "signs": list(signs)}
    policy = SignerPolicy.model_validate({"authors": [author], "require": list(acts)})
    site.repository.set_target("targets", SIGNERS, dump(policy))
    site.repository.publish()


def refused(site: Any, match: str, kind: type[Exception] = IntegrityError) -> None:
    site.repository.release(2)
    with pytest.raises(kind, match=match):
        site.sync()
    active = load_active(site.state)
    assert active is not None
    assert (active.manifest_version, site.content()) == (1, "one")


def test_what_is_required_and_there_is_kept_beside_the_bundle(running: Any) -> None:
    require(running, *ALL)
    build(running, "two")
    running.repository.release(2)
    assert running.sync().changed
    active = load_active(running.state)
    assert active is not None
    made = running.repository.builds[WORKFLOW, PROFILE]
    digests = {one.digest for one in (*made.attestations, *made.evidence)}
    assert digests <= set(active.workflows[WORKFLOW].blobs)
    assert not running.sync().changed


def test_what_is_not_required_is_not_fetched(running: Any) -> None:
    build(running, "two")
    running.repository.release(2)
    running.sync()
    made = running.repository.builds[WORKFLOW, PROFILE]
    for one in (*made.attestations, *made.evidence):
        assert not (running.state / "blobs/sha256" / one.digest.removeprefix("sha256:")).exists()


@pytest.mark.parametrize("act", ALL)
def test_a_bundle_without_what_is_required(running: Any, act: str) -> None:
    require(running, *ALL)
    build(running, "two", tuple(one for one in ALL if one != act))
    refused(running, f"requires {act}, and the manifest names none", RefusedError)


@pytest.mark.parametrize("act", ALL)
def test_an_attestation_by_another_key(running: Any, act: str) -> None:
    require(running, act)
    digest = build(running, "two", ())
    attach(running, act, seal(running, statement(act, digest), ec.generate_private_key(ec.SECP256R1())))
    refused(running, "is not signed by the builder's key")


@pytest.mark.parametrize("act", ALL)
def test_an_attestation_by_somebody_who_may_not_sign_such_a_thing(running: Any, act: str) -> None:
    require(running, act, signs=("bundle",))
    build(running, "two")
    refused(running, "the signing policy lets no key sign")


@pytest.mark.parametrize("act", ALL)
def test_an_attestation_of_another_bundle(running: Any, act: str) -> None:
    require(running, act)
    build(running, "two", ())
    attach(running, act, seal(running, statement(act, digest_of(b"another"))))
    refused(running, "is about exception_triage--edge-x86-vnni")


def test_an_attestation_of_another_kind_under_this_name(running: Any) -> None:
    require(running, "provenance")
    digest = build(running, "two", ())
    attach(running, "provenance", seal(running, statement("model-card", digest)))
    refused(running, "the signed predicate is https://cyclonedx.org/bom")


def test_one_of_two_that_does_not_hold(running: Any) -> None:
    require(running, "evidence")
    digest = build(running, "two")
    attach(running, "evidence", seal(running, statement("evidence", digest, predicate={"result": "FAILED"})))
    refused(running, "its result is FAILED")


@pytest.mark.parametrize("raw", [b"{}", b"[]", b"not JSON", b'{"mediaType": "text/plain"}'])
def test_an_attestation_that_is_none(running: Any, raw: bytes) -> None:
    require(running, "provenance")
    build(running, "two", ())
    attach(running, "provenance", raw)
    refused(running, "provenance of|is signed keyless")


def test_an_altered_attestation(running: Any) -> None:
    require(running, "provenance")
    digest = build(running, "two", ())
    envelope = json.loads(seal(running, statement("provenance", digest)))
    envelope["payload"] = envelope["payload"][:-8] + "AAAAAAA="
    attach(running, "provenance", json.dumps(envelope).encode())
    refused(running, "provenance of")


def test_the_build_before_comes_back_with_its_attestations_only(running: Any) -> None:
    """Release 1 has none, release 2 has; what is required since holds for what comes back too."""
    build(running, "two")
    require(running, *ALL)
    running.repository.release(2)
    running.sync()
    third = build(running, "three")
    running.repository.release(3)
    running.sync()
    since = running.repository.expires
    stops = tuple(Stop(bundle=one, reason="wrong", by="alice", since=since) for one in (third,))
    running.repository.order(Orders(revoked=stops))
    running.sync()
    assert running.content() == "two"


def test_the_build_before_lacks_what_is_required_since(running: Any) -> None:
    require(running, *ALL)
    second = build(running, "two")
    running.repository.release(2)
    running.sync()
    stop = Stop(bundle=second, reason="wrong", by="alice", since=running.repository.expires)
    running.repository.order(Orders(revoked=(stop,)))
    active = running.sync().active
    assert active.workflows == {}
    assert "requires provenance, and the manifest names none" in active.absent[WORKFLOW]
