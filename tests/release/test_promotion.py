"""The gate: nothing that a candidate says of itself is believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import IsaClass, Measurement, RefusedError, Verdict, digest_of
from release import Candidate, Checked, Keys, admit, attest, check_candidate, sign_bundle
from release.bundles import assemble

pytestmark = pytest.mark.unit
NAME = "triage--edge-x86-vnni"


def failures(checked: Checked) -> dict[str, str]:
    return {gate.name: gate.reason for gate in checked.gates if gate.verdict is Verdict.FAIL}


def check(candidate: Candidate, keys: Keys) -> Checked:
    return check_candidate(candidate, keys["builder"].public_pem)


def test_a_sound_candidate_passes_every_point(builder: Any, keys: Keys) -> None:
    checked = check(builder.candidate(), keys)
    assert [gate.name for gate in checked.gates] == [
        "bundle", "signature", "evidence", "evidence", "accuracy", "latency",
    ]  # fmt: skip
    assert checked.verdict is Verdict.PASS
    assert checked.entry is not None
    assert checked.entry.verdict is Verdict.PASS
    admit([checked], "stable")


def test_the_entry_leads_to_every_blob(builder: Any, keys: Keys) -> None:
    checked = check(builder.candidate(), keys)
    assert checked.entry is not None
    for path, blob in checked.blobs:
        raw = path.read_bytes()
        assert (digest_of(raw), len(raw)) == (blob.digest, blob.size)
    named = {blob.digest for _, blob in checked.blobs}
    bundle = checked.entry.bundle
    assert {bundle.digest, bundle.signature.digest, *(blob.digest for blob in checked.entry.evidence)} <= named
    assert len(checked.blobs) == 4 + 3 + 2


def tampered(candidate: Candidate) -> None:
    (candidate.folder / NAME / "model.onnx").write_text("poisoned")


def tampered_with_manifest(candidate: Candidate) -> None:
    """File and manifest agree again; the signature does not."""
    card, path = candidate.folder / NAME / "data_card.json", candidate.folder / "manifest.json"
    digest = digest_of(card.read_bytes())
    card.write_text('{"rows":9}')
    path.write_text(path.read_text().replace(digest, digest_of(card.read_bytes())))


def extra(candidate: Candidate) -> None:
    (candidate.folder / NAME / "plugin.py").write_text("print('hello')")


def git(candidate: Candidate) -> None:
    (candidate.folder / NAME / ".git").mkdir()
    (candidate.folder / NAME / ".git" / "evil.py").write_text("print('hello')")


def missing(candidate: Candidate) -> None:
    (candidate.folder / NAME / "tokenizer.json").unlink()


def symlinked(candidate: Candidate) -> None:
    model = candidate.folder / NAME / "model.onnx"
    model.rename(candidate.folder.parent / "moved.onnx")
    model.symlink_to(candidate.folder.parent / "moved.onnx")


def other_config(candidate: Candidate) -> None:
    (candidate.folder / "config.json").write_text("{}")


def no_manifest(candidate: Candidate) -> None:
    (candidate.folder / "manifest.json").write_text("{}")


@pytest.mark.parametrize(
    "attack",
    [tampered, tampered_with_manifest, extra, git, missing, symlinked, other_config, no_manifest],
    ids=lambda attack: attack.__name__,
)
def test_a_bundle_that_was_touched_is_refused_by_every_channel(
    builder: Any, keys: Keys, attack: Callable[[Candidate], None]
) -> None:
    candidate = builder.candidate()
    attack(candidate)
    checked = check(candidate, keys)
    assert failures(checked).keys() & {"bundle", "signature"}
    assert checked.entry is None
    for channel in ("candidates", "canary", "stable"):
        with pytest.raises(RefusedError, match=NAME):
            admit([checked], channel)


def test_an_unsigned_bundle_is_refused(builder: Any, keys: Keys) -> None:
    candidate = builder.candidate()
    (candidate.folder / "model.sig").unlink()
    assert "no signature can be read" in failures(check(candidate, keys))["signature"]


def test_a_bundle_signed_by_someone_else_is_refused(builder: Any, keys: Keys) -> None:
    keys.ensure(["other"])
    candidate = builder.candidate()
    sign_bundle(candidate.folder, keys["other"])
    assert "signature" in failures(check(candidate, keys))


def test_the_signature_of_another_bundle_is_refused(builder: Any, keys: Keys) -> None:
    one, two = builder.candidate(content="one"), builder.candidate(content="two")
    shutil.copy(one.folder / "model.sig", two.folder / "model.sig")
    assert "Hash mismatch for 'model.onnx'" in failures(check(two, keys))["signature"]


def test_a_candidate_that_names_another_workflow_or_profile_is_refused(builder: Any, keys: Keys) -> None:
    candidate = builder.candidate()
    assert "holds bundle triage" in failures(check(replace(candidate, workflow="routing"), keys))["bundle"]
    arm = builder.profile("edge-arm64", IsaClass.ARM64_DOTPROD)
    assert "holds bundle triage" in failures(check(replace(candidate, profile=arm), keys))["bundle"]


def test_a_variant_is_never_assigned_to_another_isa(builder: Any, keys: Keys) -> None:
    candidate = builder.candidate()
    other = builder.profile("edge-x86-vnni", IsaClass.X86_64_V3)
    assert "was built for isa avx512-vnni" in failures(check(replace(candidate, profile=other), keys))["bundle"]


def test_evidence_of_another_bundle_is_refused(builder: Any, keys: Keys) -> None:
    one, two = builder.candidate(content="one"), builder.candidate(content="two")
    checked = check(replace(two, evidence=one.evidence), keys)
    assert "is about bundle" in failures(checked)["evidence"]
    assert checked.verdict is Verdict.FAIL


def test_altered_evidence_is_refused(builder: Any, keys: Keys) -> None:
    candidate = builder.candidate(verdict=Verdict.FAIL)
    better = builder.candidate(content="other")
    honest, nicer = json.loads(candidate.evidence[0].read_text()), json.loads(better.evidence[0].read_text())
    candidate.evidence[0].write_text(json.dumps(honest | {"payload": nicer["payload"]}))
    assert "not signed by the builder's key" in failures(check(candidate, keys))["evidence"]


def test_evidence_signed_by_someone_else_is_refused(builder: Any, keys: Keys) -> None:
    keys.ensure(["other"])
    candidate = builder.candidate()
    bundle = digest_of((candidate.folder / "manifest.json").read_bytes())
    candidate.evidence[0].write_bytes(attest(builder.report("accuracy", bundle), keys["other"]))
    assert "not signed by the builder's key" in failures(check(candidate, keys))["evidence"]


def test_missing_evidence_files_are_refused(builder: Any, keys: Keys, tmp_path: Path) -> None:
    candidate = replace(builder.candidate(), evidence=(tmp_path / "gone.json",))
    assert "No such file" in failures(check(candidate, keys))["evidence"]


@pytest.mark.parametrize("kept", [0, 1])
def test_both_kinds_of_evidence_are_needed(builder: Any, keys: Keys, kept: int) -> None:
    candidate = builder.candidate()
    checked = check(replace(candidate, evidence=(candidate.evidence[kept],)), keys)
    assert checked.verdict is Verdict.INCONCLUSIVE
    assert checked.entry is not None
    assert checked.entry.verdict is Verdict.INCONCLUSIVE
    admit([checked], "candidates")
    with pytest.raises(RefusedError, match=f"{('latency', 'accuracy')[kept]}: there is no evidence; measure"):
        admit([checked], "canary")


def test_two_reports_of_one_kind_are_refused(builder: Any, keys: Keys) -> None:
    candidate = builder.candidate()
    checked = check(replace(candidate, evidence=(*candidate.evidence, candidate.evidence[0])), keys)
    assert "there are 2 reports" in failures(checked)["accuracy"]


def test_a_report_about_another_profile_is_refused(builder: Any, keys: Keys) -> None:
    candidate = builder.candidate()
    builder.evidence(candidate.folder, profile="edge-arm64")
    assert "the report is about triage--edge-arm64" in failures(check(candidate, keys))["accuracy"]


@pytest.mark.parametrize("measurement", [Measurement.EMULATED, Measurement.ABSENT])
def test_only_measured_can_give_pass(builder: Any, keys: Keys, measurement: Measurement) -> None:
    checked = check(builder.candidate(measurement=measurement), keys)
    assert failures(checked).keys() == {"accuracy", "latency"}
    assert f"was {measurement}, not measured" in failures(checked)["latency"]


def test_emulated_and_inconclusive_is_an_honest_candidate(builder: Any, keys: Keys) -> None:
    candidate = builder.candidate(measurement=Measurement.EMULATED, verdict=Verdict.INCONCLUSIVE)
    checked = check(candidate, keys)
    assert checked.verdict is Verdict.INCONCLUSIVE
    admit([checked], "candidates")
    with pytest.raises(RefusedError, match="the margin is inconclusive"):
        admit([checked], "stable")


def test_a_pass_from_another_machine_is_refused(builder: Any, keys: Keys) -> None:
    older = builder.report("accuracy", digest_of(b"x")).machine.host.model_copy(update={"features": ("avx2",)})
    reasons = failures(check(builder.candidate(host=older), keys))
    assert "the machine does not match: isa avx512-vnni is needed" in reasons["accuracy"]
    assert "the machine does not match: isa avx512-vnni is needed" in reasons["latency"]


def test_latency_needs_the_profiles_cores_and_accuracy_does_not(builder: Any, keys: Keys) -> None:
    small = builder.report("accuracy", digest_of(b"x")).machine.host.model_copy(update={"cores": 1})
    reasons = failures(check(builder.candidate(host=small), keys))
    assert reasons.keys() == {"latency"}
    assert "2 cores are needed" in reasons["latency"]


def test_a_candidate_given_twice_is_refused(builder: Any, keys: Keys) -> None:
    one, two = builder.candidate(content="one"), builder.candidate(content="two")
    with pytest.raises(RefusedError, match=f"{NAME}: given twice"):
        admit([check(one, keys), check(two, keys)], "canary")


def test_reassembling_invalidates_signature_and_evidence(builder: Any, keys: Keys) -> None:
    candidate = builder.candidate()
    kept = {path: path.read_bytes() for path in (candidate.folder / "model.sig", *candidate.evidence)}
    assemble(builder.files("other"), builder.config(), candidate.folder)
    for path, raw in kept.items():
        path.write_bytes(raw)
    assert "signature" in failures(check(candidate, keys))
