"""The gate for knowledge packs: nothing that a pack says of itself is believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import DataClass, IsaClass, Measurement, RefusedError, Verdict, digest_of
from release import CheckedPack, Keys, PackCandidate, admit, check_candidate, check_pack, sign_bundle

pytestmark = pytest.mark.unit
NAME = "sops--edge-x86-vnni--branch"
RETRIEVER = digest_of(b"retriever")
OTHER = digest_of(b"other")


def failures(checked: CheckedPack) -> dict[str, str]:
    return {gate.name: gate.reason for gate in checked.gates if gate.verdict is Verdict.FAIL}


def check(candidate: PackCandidate, keys: Keys, retriever: str = RETRIEVER) -> CheckedPack:
    return check_pack(candidate, keys["builder"].public_pem, retriever=retriever)


def refused_everywhere(checked: CheckedPack) -> None:
    for channel in ("candidates", "canary", "stable"):
        with pytest.raises(RefusedError, match=NAME):
            admit([checked], channel)


def test_a_sound_pack_passes_every_point(builder: Any, keys: Keys) -> None:
    checked = check(builder.pack_candidate(RETRIEVER), keys)
    assert [gate.name for gate in checked.gates] == ["pack", "signature", "retriever", "evidence", "knowledge"]
    assert checked.verdict is Verdict.PASS
    admit([checked], "stable")


def test_the_reference_says_all_that_a_site_asks(builder: Any, keys: Keys) -> None:
    candidate = builder.pack_candidate(RETRIEVER, data_class="pricing", encrypted=True)
    ref = check(candidate, keys).ref
    assert ref is not None
    assert (ref.name, ref.workflow, ref.profile, ref.site_classes) == (NAME, "sops", "edge-x86-vnni", ("branch",))
    assert (ref.retriever, ref.data_class, ref.verdict) == (RETRIEVER, DataClass.PRICING, Verdict.PASS)
    assert ref.blob.digest == builder.digest(candidate)
    assert ref.signature is not None
    assert ref.signature.digest == digest_of((candidate.folder / "model.sig").read_bytes())
    assert [blob.annotations for blob in ref.evidence] == [{"lading.evidence.kind": "knowledge"}]


def test_the_reference_leads_to_every_blob(builder: Any, keys: Keys) -> None:
    checked = check(builder.pack_candidate(RETRIEVER), keys)
    for path, blob in checked.blobs:
        raw = path.read_bytes()
        assert (digest_of(raw), len(raw)) == (blob.digest, blob.size)
    named = {blob.digest for _, blob in checked.blobs}
    ref = checked.ref
    assert {ref.blob.digest, ref.signature.digest, *(blob.digest for blob in ref.evidence)} <= named
    assert len(checked.blobs) == 6 + 3 + 1


def altered(candidate: PackCandidate) -> None:
    (candidate.folder / NAME / "passages.jsonl").write_text("load it by hand")


def altered_with_manifest(candidate: PackCandidate) -> None:
    """File and manifest agree again; the signature does not."""
    file, path = candidate.folder / NAME / "passages.jsonl", candidate.folder / "manifest.json"
    digest = digest_of(file.read_bytes())
    file.write_text("PASSAGES")
    path.write_text(path.read_text().replace(digest, digest_of(file.read_bytes())))


def altered_config(candidate: PackCandidate) -> None:
    """A lower threshold, in `pack.json` and in the manifest."""
    file, path = candidate.folder / NAME / "pack.json", candidate.folder / "manifest.json"
    digest = digest_of(file.read_bytes())
    file.write_bytes(file.read_bytes().replace(b'"target_precision":0', b'"target_precision":1'))
    path.write_text(path.read_text().replace(digest, digest_of(file.read_bytes())))


def extra(candidate: PackCandidate) -> None:
    (candidate.folder / NAME / "more.jsonl").write_text("{}")


def missing(candidate: PackCandidate) -> None:
    (candidate.folder / NAME / "embedding_codes.npy").unlink()


def symlinked(candidate: PackCandidate) -> None:
    file = candidate.folder / NAME / "passages.jsonl"
    file.rename(candidate.folder.parent / "moved.jsonl")
    file.symlink_to(candidate.folder.parent / "moved.jsonl")


def no_manifest(candidate: PackCandidate) -> None:
    (candidate.folder / "manifest.json").write_text("{}")


def unsigned(candidate: PackCandidate) -> None:
    (candidate.folder / "model.sig").unlink()


@pytest.mark.parametrize(
    "attack",
    [altered, altered_with_manifest, altered_config, extra, missing, symlinked, no_manifest, unsigned],
    ids=lambda attack: attack.__name__,
)
def test_a_pack_that_was_touched_is_refused_by_every_channel(
    builder: Any, keys: Keys, attack: Callable[[PackCandidate], None]
) -> None:
    candidate = builder.pack_candidate(RETRIEVER)
    attack(candidate)
    checked = check(candidate, keys)
    assert failures(checked).keys() & {"pack", "signature"}
    assert checked.ref is None
    refused_everywhere(checked)


def test_a_pack_signed_by_someone_else_is_refused(builder: Any, keys: Keys) -> None:
    keys.ensure(["other"])
    candidate = builder.pack_candidate(RETRIEVER)
    sign_bundle(candidate.folder, keys["other"])
    assert "signature" in failures(check(candidate, keys))


@pytest.mark.parametrize("kind", ["pack", "bundle"])
def test_a_signature_under_another_name_is_refused(builder: Any, keys: Keys, kind: str) -> None:
    """Of another site class, and of the retriever's own bundle; and the bundle with a pack's signature."""
    retriever = builder.retriever()
    candidate = builder.pack_candidate(retriever)
    other = retriever if kind == "bundle" else builder.pack_candidate(retriever, site_class="depot")
    own, foreign = candidate.folder / "model.sig", other.folder / "model.sig"
    kept = own.read_bytes()
    shutil.copy(foreign, own)
    checked = check(candidate, keys, builder.digest(retriever))
    assert f"it is for bundle '{other.name}'" in failures(checked)["signature"]
    refused_everywhere(checked)
    foreign.write_bytes(kept)
    if kind == "bundle":
        said = check_candidate(retriever, keys["builder"].public_pem)
        assert [f"it is for bundle '{NAME}'" in gate.reason for gate in said.gates] == [False, True]


@pytest.mark.parametrize("change", [{"workflow": "triage"}, {"site_class": "depot"}])
def test_a_candidate_that_names_something_else_is_refused(builder: Any, keys: Keys, change: dict[str, str]) -> None:
    candidate = replace(builder.pack_candidate(RETRIEVER), **change)
    reason = failures(check(candidate, keys))["pack"]
    assert reason == "holds pack sops on edge-x86-vnni for branch"


def test_a_candidate_that_names_another_profile_is_refused(builder: Any, keys: Keys) -> None:
    arm = builder.profile("edge-arm64", IsaClass.ARM64_DOTPROD)
    checked = check(replace(builder.pack_candidate(RETRIEVER), profile=arm), keys)
    assert "holds pack sops on edge-x86-vnni" in failures(checked)["pack"]


def test_a_pack_of_another_retriever_is_refused(builder: Any, keys: Keys) -> None:
    checked = check(builder.pack_candidate(OTHER), keys)
    assert f"is bound to retriever {OTHER}, the build's bundle is {RETRIEVER}" in failures(checked)["retriever"]
    assert checked.verdict is Verdict.FAIL
    refused_everywhere(checked)


def test_evidence_that_was_measured_with_another_retriever_is_refused(builder: Any, keys: Keys) -> None:
    checked = check(builder.pack_candidate(RETRIEVER, said={"retriever": OTHER}), keys)
    assert f"was measured with retriever {OTHER}" in failures(checked)["knowledge"]
    refused_everywhere(checked)


def test_evidence_of_another_pack_is_refused(builder: Any, keys: Keys) -> None:
    one, two = builder.pack_candidate(RETRIEVER, "one"), builder.pack_candidate(RETRIEVER, "two")
    checked = check(replace(two, evidence=one.evidence), keys)
    assert "is about bundle" in failures(checked)["evidence"]
    refused_everywhere(checked)


def test_evidence_about_another_site_class_is_refused(builder: Any, keys: Keys) -> None:
    checked = check(builder.pack_candidate(RETRIEVER, said={"site_class": "depot"}), keys)
    assert failures(checked)["knowledge"] == "the report is about sops--edge-x86-vnni--depot"


def test_evidence_of_a_bundle_does_not_stand_for_that_of_a_pack(builder: Any, keys: Keys) -> None:
    candidate = builder.pack_candidate(RETRIEVER)
    accuracy, _ = builder.evidence(candidate.folder, workflow="sops")
    checked = check(replace(candidate, evidence=(accuracy,)), keys)
    assert checked.verdict is Verdict.INCONCLUSIVE
    with pytest.raises(RefusedError, match="knowledge: there is no evidence; measure it first"):
        admit([checked], "canary")


def test_altered_evidence_is_refused(builder: Any, keys: Keys) -> None:
    candidate = builder.pack_candidate(RETRIEVER, verdict=Verdict.FAIL)
    better = builder.pack_candidate(RETRIEVER, "other")
    honest, nicer = json.loads(candidate.evidence[0].read_text()), json.loads(better.evidence[0].read_text())
    candidate.evidence[0].write_text(json.dumps(honest | {"payload": nicer["payload"]}))
    assert "not signed by the builder's key" in failures(check(candidate, keys))["evidence"]


def test_two_reports_are_refused(builder: Any, keys: Keys) -> None:
    candidate = builder.pack_candidate(RETRIEVER)
    checked = check(replace(candidate, evidence=candidate.evidence * 2), keys)
    assert "there are 2 reports" in failures(checked)["knowledge"]


@pytest.mark.parametrize("measurement", [Measurement.EMULATED, Measurement.ABSENT])
def test_only_measured_can_give_pass(builder: Any, keys: Keys, measurement: Measurement) -> None:
    checked = check(builder.pack_candidate(RETRIEVER, said={"measurement": measurement}), keys)
    assert f"was {measurement}, not measured" in failures(checked)["knowledge"]


def test_a_pass_from_another_machine_is_refused(builder: Any, keys: Keys) -> None:
    host = builder.report("accuracy", RETRIEVER).machine.host.model_copy(update={"features": ("avx2",)})
    checked = check(builder.pack_candidate(RETRIEVER, said={"host": host}), keys)
    assert "the machine does not match: isa avx512-vnni is needed" in failures(checked)["knowledge"]


@pytest.mark.parametrize("verdict", [Verdict.INCONCLUSIVE, Verdict.FAIL])
def test_only_pass_enters_canary_and_stable(builder: Any, keys: Keys, verdict: Verdict) -> None:
    checked = check(builder.pack_candidate(RETRIEVER, verdict=verdict), keys)
    for channel in ("canary", "stable"):
        with pytest.raises(RefusedError, match=f"{NAME}: knowledge: the margin is {verdict}"):
            admit([checked], channel)


def test_candidates_takes_what_is_not_measured_yet_and_nothing_that_fails(builder: Any, keys: Keys) -> None:
    bare = check(replace(builder.pack_candidate(RETRIEVER), evidence=()), keys)
    assert bare.verdict is Verdict.INCONCLUSIVE
    assert bare.ref.verdict is Verdict.INCONCLUSIVE
    admit([bare], "candidates")
    with pytest.raises(RefusedError, match="refused for candidates"):
        admit([check(builder.pack_candidate(RETRIEVER, verdict=Verdict.FAIL), keys)], "candidates")


def test_one_gate_says_all_reasons_of_both_kinds(builder: Any, keys: Keys) -> None:
    bundle = check_candidate(builder.retriever(verdict=Verdict.FAIL), keys["builder"].public_pem)
    pack = check(builder.pack_candidate(OTHER, verdict=Verdict.FAIL), keys)
    twice = [check(builder.pack_candidate(RETRIEVER, text), keys) for text in ("one", "two")]
    with pytest.raises(RefusedError) as refused:
        admit([bundle, pack, *twice], "canary")
    lines = str(refused.value).splitlines()
    assert [line.strip().split(": ")[:2] for line in lines[1:]] == [
        ["sops--edge-x86-vnni", "accuracy"],
        ["sops--edge-x86-vnni", "latency"],
        [NAME, "retriever"],
        [NAME, "knowledge"],
        [NAME, "given twice"],
    ]


@pytest.mark.parametrize("gone", ["evidence", "folder"])
def test_what_is_not_there_is_refused(builder: Any, keys: Keys, tmp_path: Path, gone: str) -> None:
    change = {"evidence": (tmp_path / "gone",)} if gone == "evidence" else {"folder": tmp_path / "gone"}
    checked = check(replace(builder.pack_candidate(RETRIEVER), **change), keys)
    assert failures(checked).keys() == {"evidence" if gone == "evidence" else "pack"}
