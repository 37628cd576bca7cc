"""Provenance and model card: about this bundle, signed by somebody who may, and in the forms that others read."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import BundleConfig, Descriptor, IntegrityError, RefusedError, Verdict, digest_of, dsse, sha256_of
from fleet_manifests.attested import verify_attested
from fleet_manifests.authors import SignerPolicy, Trust
from release import Keys, Policy, Release, admit, check_candidate
from release.attestations import FILES, attest_bundle, attestation_descriptor, verify_attestation
from release.gc import collect
from release.provenance import Origin
from release.published import blob_path, read_blob
from release.recheck import recheck
from release.signing import Author
from runtimes.sync.plan import Chosen
from tests.release.ceremonies import Site

pytestmark = pytest.mark.unit
DIGEST = "sha256:" + "b" * 64
ORIGIN = Origin(
    builder="urn:lading:key:1234",
    version="0.1.0",
    corpus="sha256:" + "c" * 64,
    libraries={"onnxruntime": "1.32.0", "torch": "2.13.0+cpu"},
    commit="d" * 40,
)


@pytest.fixture
def author(keys: Keys) -> Author:
    return Author(keys["builder"], Trust(keys["builder"].public_pem))


@pytest.fixture
def config(builder: Any) -> BundleConfig:
    found: BundleConfig = builder.config()
    return found


@pytest.fixture
def made(config: BundleConfig, author: Author) -> dict[Any, bytes]:
    return attest_bundle(config, DIGEST, ORIGIN, author)


def statement(envelope: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    return found


def resealed(envelope: bytes, author: Author, change: Any) -> bytes:
    """What a dishonest holder of the key could sign."""
    document = statement(envelope)
    change(document)
    return dsse.seal_payload(json.dumps(document).encode(), author.signer.signer)


def test_both_hold(made: dict[Any, bytes], config: BundleConfig, keys: Keys) -> None:
    assert sorted(made) == ["model-card", "provenance"] == sorted(FILES)
    for act, envelope in made.items():
        assert verify_attestation(envelope, keys["builder"].public_pem, config, DIGEST)[0] == act
        found = attestation_descriptor(envelope, act)
        assert (found.digest, found.size) == (digest_of(envelope), len(envelope))


def test_the_same_build_says_the_same(config: BundleConfig, author: Author, made: dict[Any, bytes]) -> None:
    again = attest_bundle(config, DIGEST, ORIGIN, author)
    assert {act: statement(raw) for act, raw in again.items()} == {act: statement(raw) for act, raw in made.items()}


def test_provenance_is_slsa_v1(made: dict[Any, bytes], config: BundleConfig) -> None:
    """in-toto's own types read it, without a field to spare."""
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1.statement_pb2 import Statement as StatementPb

    document = statement(made["provenance"])
    parsed = json_format.ParseDict(document, StatementPb())
    Statement.copy_from_pb(parsed).validate()
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    found = json_format.ParseDict(document["predicate"], provenance_pb2.Provenance())
    assert found.run_details.builder.id == ORIGIN.builder
    assert dict(found.build_definition.external_parameters) == {
        "workflow": "triage", "profile": "edge-x86-vnni", "isa": config.isa.value,
    }  # fmt: skip
    inputs = {one.name: dict(one.digest) for one in found.build_definition.resolved_dependencies}
    assert inputs == {
        "corpus": {"sha256": "c" * 64},
        "data-card": {"sha256": config.data_card.removeprefix("sha256:")},
        "base": {"sha256": config.base.digest.removeprefix("sha256:")},
        "onnxruntime": {},
        "torch": {},
        "project": {"gitCommit": "d" * 40},
    }
    uris = {one.name: one.uri for one in found.build_definition.resolved_dependencies}
    assert uris["torch"] == "pkg:pypi/torch@2.13.0%2Bcpu"


def test_a_project_in_no_repository_names_no_commit(config: BundleConfig, author: Author) -> None:
    made = attest_bundle(config, DIGEST, replace(ORIGIN, commit=None), author)
    names = [
        one["name"] for one in statement(made["provenance"])["predicate"]["buildDefinition"]["resolvedDependencies"]
    ]
    assert "project" not in names


def test_a_project_with_changes_says_so(config: BundleConfig, author: Author) -> None:
    made = attest_bundle(config, DIGEST, replace(ORIGIN, changed=True), author)
    *_, project = statement(made["provenance"])["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert project["annotations"] == {"changed": "true"}


@pytest.mark.parametrize("kind", ["transformer", "classical"])
def test_the_model_card_is_cyclonedx_1_6(config: BundleConfig, author: Author, kind: str) -> None:
    """Held to the schema that cyclonedx-python-lib brings; the library itself knows no model card."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    made = attest_bundle(config.model_copy(update={"kind": kind}), DIGEST, ORIGIN, author)
    bom = statement(made["model-card"])["predicate"]
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(bom)) is None
    assert validator.validate_str(json.dumps(bom | {"bomFormat": "SPDX"})) is not None
    card = bom["metadata"]["component"]["modelCard"]
    assert card["modelParameters"]["task"] == "text-classification"
    assert card["modelParameters"]["datasets"] == [{"ref": "corpus"}]
    assert ("base" in {one["bom-ref"] for one in bom["components"]}) == (kind == "transformer")


def other_subject(document: dict[str, Any]) -> None:
    document["subject"][0]["digest"]["sha256"] = "e" * 64


def other_name(document: dict[str, Any]) -> None:
    document["subject"][0]["name"] = "routing--edge-x86-vnni"


def two_subjects(document: dict[str, Any]) -> None:
    document["subject"] *= 2


def other_type(document: dict[str, Any]) -> None:
    document["_type"] = "https://in-toto.io/Statement/v0.1"


def unknown_predicate(document: dict[str, Any]) -> None:
    document["predicateType"] = "https://example.org/approval"


def no_predicate(document: dict[str, Any]) -> None:
    document["predicate"] = {}


@pytest.mark.parametrize(
    "change", [other_subject, other_name, two_subjects, other_type, unknown_predicate, no_predicate],
    ids=lambda change: change.__name__,
)  # fmt: skip
@pytest.mark.parametrize("act", ["provenance", "model-card"])
def test_a_statement_about_something_else_is_refused(
    made: dict[Any, bytes], config: BundleConfig, author: Author, act: str, change: Any
) -> None:
    with pytest.raises(IntegrityError):
        verify_attestation(resealed(made[act], author, change), author.trust, config, DIGEST)


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": "int4"},
        {"profile": "edge-arm64"},
        {"data_card": "sha256:" + "f" * 64},
        {"kind": "classical"},
        {"workflow": "routing"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_provenance_of_another_build_is_refused(
    made: dict[Any, bytes], config: BundleConfig, keys: Keys, changes: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError):
        verify_attestation(made["provenance"], keys["builder"].public_pem, config.model_copy(update=changes), DIGEST)


def test_another_base_is_refused(made: dict[Any, bytes], config: BundleConfig, keys: Keys) -> None:
    other = config.model_copy(update={"base": config.base.model_copy(update={"revision": "other"})})
    for envelope in made.values():
        with pytest.raises(IntegrityError, match="base|resolvedDependencies"):
            verify_attestation(envelope, keys["builder"].public_pem, other, DIGEST)


def test_another_key_is_refused(made: dict[Any, bytes], config: BundleConfig, keys: Keys) -> None:
    keys.ensure(["other"])
    for envelope in made.values():
        with pytest.raises(IntegrityError, match="not signed by the builder's key"):
            verify_attestation(envelope, keys["other"].public_pem, config, DIGEST)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"payload": 1}', b'{"payload": "?"}', b'{"payload": "e30="}'])
def test_an_envelope_that_is_none_is_refused(config: BundleConfig, keys: Keys, raw: bytes) -> None:
    with pytest.raises(IntegrityError):
        verify_attestation(raw, keys["builder"].public_pem, config, DIGEST)


def test_an_author_signs_only_the_acts_it_may(config: BundleConfig, keys: Keys) -> None:
    policy = SignerPolicy.model_validate({"authors": [{"key": "builder", "workflows": ["*"], "signs": ["provenance"]}]})
    with pytest.raises(IntegrityError, match="does not let key builder sign a model card of workflow triage"):
        attest_bundle(config, DIGEST, ORIGIN, Author(keys["builder"], Trust(keys["builder"].public_pem, policy)))


@pytest.fixture
def candidate(builder: Any, author: Author, tmp_path: Path) -> Any:
    """A build with evidence and both attestations."""
    found = builder.candidate()
    made = attest_bundle(builder.config(), sha256_of(found.folder / "manifest.json"), ORIGIN, author)
    for act, envelope in made.items():
        (tmp_path / FILES[act]).write_bytes(envelope)
    return replace(found, attestations=tuple(tmp_path / name for name in FILES.values()))


@pytest.fixture
def demanding(keys: Keys) -> Trust:
    """A policy that lets nothing in without provenance and model card, and nothing run without evidence beside them."""
    authors = [{"key": "builder", "workflows": ["*"], "signs": ["bundle", "evidence", "provenance", "model-card"]}]
    policy = SignerPolicy.model_validate({"authors": authors, "require": ["provenance", "model-card", "evidence"]})
    return Trust(keys["builder"].public_pem, policy)


def test_they_travel_with_the_build(candidate: Any, demanding: Trust) -> None:
    checked = check_candidate(candidate, demanding)
    admit([checked], "canary")
    assert checked.entry is not None
    assert {one.annotations["lading.attestation.kind"] for one in checked.entry.attestations} == set(FILES)
    paths = {blob.digest: path for path, blob in checked.blobs}
    for one in checked.entry.attestations:
        assert sha256_of(paths[one.digest]) == one.digest
    assert checked.published is not None
    assert all(one in checked.published[1] for one in checked.entry.attestations)


def test_a_site_takes_what_the_promotion_takes(candidate: Any, demanding: Trust) -> None:
    checked = check_candidate(candidate, demanding)
    entry = checked.entry
    assert entry is not None
    paths = {blob.digest: path for path, blob in checked.blobs}
    proofs = Chosen(entry=None, build=entry).proofs(demanding.policy.require)  # type: ignore[arg-type]
    assert {act: len(found) for act, found in proofs.items()} == {"provenance": 1, "model-card": 1, "evidence": 2}
    for act, found in proofs.items():
        for one in found:
            by = demanding.authors("triage", act)
            raw = paths[one.digest].read_bytes()
            verify_attested(raw, by, act, name=entry.bundle.name, digest=entry.bundle.digest)
            with pytest.raises(IntegrityError, match="is about"):
                verify_attested(raw, by, act, name=entry.bundle.name, digest=DIGEST)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_one_keeps_a_build_out(candidate: Any, demanding: Trust, missing: int) -> None:
    lacking = replace(candidate, attestations=tuple(
        path for place, path in enumerate(candidate.attestations) if place != missing
    ))  # fmt: skip
    with pytest.raises(RefusedError, match="the signing policy asks for it and there is none"):
        admit([check_candidate(lacking, demanding)], "candidates")


def test_a_build_from_before_there_were_any_enters_where_nobody_asks(candidate: Any, keys: Keys) -> None:
    checked = check_candidate(replace(candidate, attestations=()), keys["builder"].public_pem)
    assert checked.verdict is Verdict.PASS
    assert checked.entry is not None
    assert checked.entry.attestations == ()


def test_a_false_one_keeps_a_build_out_even_where_nobody_asks(candidate: Any, keys: Keys) -> None:
    path = candidate.attestations[0]
    path.write_bytes(path.read_bytes().replace(b"payload", b"pbyload", 1))
    with pytest.raises(RefusedError, match="attestation"):
        admit([check_candidate(candidate, keys["builder"].public_pem)], "canary")


def test_two_of_one_kind_are_refused(candidate: Any, keys: Keys) -> None:
    twice = replace(candidate, attestations=candidate.attestations[:1] * 2)
    with pytest.raises(RefusedError, match="there are two of kind"):
        admit([check_candidate(twice, keys["builder"].public_pem)], "canary")


@pytest.fixture
def published(
    candidate: Any, demanding: Trust, keys: Keys, policy: Policy, tmp_path: Path, clock: Any, builder: Any
) -> Release:
    """A fleet that demands both, with the build in `canary`."""
    said = policy.model_copy(update={"authors": demanding.policy})
    made = Release(tmp_path / "project" / "public", keys, said, now=clock)
    made.init()
    made.promote("canary", [candidate], {"triage": builder.entry()})
    return made


def attached(release: Release) -> list[Descriptor]:
    manifest = release.manifest("canary")
    assert manifest is not None
    return list(manifest.workflows["triage"].builds["edge-x86-vnni"].attestations)


def test_they_are_published_and_found_by_oci_tools(published: Release) -> None:
    public = published.repository.public
    assert len(attached(published)) == 2
    for blob in attached(published):
        assert digest_of(read_blob(public, blob)) == blob.digest
    listed = json.loads((public / "index.json").read_text())["manifests"]
    referred = [json.loads(read_blob(public, Descriptor.model_validate(one))) for one in listed]
    layers = {layer["digest"] for one in referred for layer in one.get("layers", [])}
    assert {blob.digest for blob in attached(published)} <= layers


def test_a_site_of_a_fleet_that_demands_them_pulls_and_keeps_them(
    published: Release, builder: Any, tmp_path: Path, clock: Any
) -> None:
    published.assign([builder.assignment("s2", channel="canary")])
    site = Site(tmp_path / "s2", published.repository.public, clock, name="s2").enroll()
    entry = site.sync().active.workflows["triage"]
    assert {blob.digest for blob in attached(published)} <= set(entry.blobs)


def test_they_are_never_collected(published: Release) -> None:
    collect(published.repository, dry_run=False)
    for blob in attached(published):
        read_blob(published.repository.public, blob)


def test_they_are_checked_again_from_the_tree(published: Release, demanding: Trust, tmp_path: Path) -> None:
    """Between a proposal and its last approval, as everything else."""
    manifest, public = published.manifest("canary"), published.repository.public
    assert manifest is not None
    again = {"known": (), "rules": published.desk.rules(), "scratch": tmp_path / "scratch"}
    recheck(manifest, public, demanding, **again)
    workflow = manifest.workflows["triage"]
    build = workflow.builds["edge-x86-vnni"].model_copy(update={"attestations": ()})
    less = workflow.model_copy(update={"builds": {"edge-x86-vnni": build}})
    with pytest.raises(RefusedError, match="the signing policy asks for it and there is none"):
        recheck(manifest.model_copy(update={"workflows": {"triage": less}}), public, demanding, **again)
    blob_path(public, attached(published)[0].digest).unlink()
    with pytest.raises(RefusedError, match="expected a published blob"):
        recheck(manifest, public, demanding, **again)
