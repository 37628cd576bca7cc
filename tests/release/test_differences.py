"""What changes from one manifest to the next, as an approver reads it."""

from __future__ import annotations

from typing import Any

import pytest

from fleet_manifests import FleetManifest, Guardrails, Revocation, digest_of
from release import Release, differences

pytestmark = pytest.mark.unit
BUNDLE = "triage--edge-x86-vnni"


@pytest.fixture
def first(release: Release, builder: Any) -> FleetManifest:
    """A manifest with one build."""
    return release.promote("canary", [builder.candidate()], {"triage": builder.entry()})


def said(before: FleetManifest | None, after: FleetManifest) -> dict[tuple[str, str, str], str]:
    return {(one.section, one.name, one.kind): "; ".join(one.said) for one in differences(before, after)}


def test_nothing_changes(first: FleetManifest) -> None:
    again = first.model_copy(update={"version": first.version + 1, "expires": first.expires.replace(year=2099)})
    assert differences(first, again) == ()


def test_everything_is_new_at_first(first: FleetManifest) -> None:
    told = said(None, first)
    assert set(told) == {("build", BUNDLE, "new"), ("workflow", "triage", "new")}
    assert next(iter(first.bundles())) in told["build", BUNDLE, "new"]
    assert "Exception triage, owner Service" in told["workflow", "triage", "new"]


def test_another_build(first: FleetManifest, release: Release, builder: Any) -> None:
    after = release.promote("canary", [builder.candidate(content="new")], {"triage": builder.entry()})
    told = said(first, after)
    assert set(told) == {("build", BUNDLE, "changed")}
    old, new = (next(iter(one.bundles())).removeprefix("sha256:")[:12] for one in (first, after))
    assert f"{old} then, {new} now" in told["build", BUNDLE, "changed"]
    assert "evidence: " in told["build", BUNDLE, "changed"]


def test_new_evidence_about_the_same_files(first: FleetManifest, release: Release, builder: Any) -> None:
    candidate = builder.candidate()
    builder.taken = builder.taken.replace(hour=(builder.taken.hour + 1) % 24)
    after = release.promote("canary", [builder.candidate()], {"triage": builder.entry()})
    told = said(first, after)
    assert set(told) == {("build", BUNDLE, "changed")}
    assert told["build", BUNDLE, "changed"].startswith("the very same files; evidence: ")
    assert builder.digest(candidate) == next(iter(after.bundles()))


def test_a_threshold_without_other_files(first: FleetManifest) -> None:
    build = first.workflows["triage"].builds["edge-x86-vnni"].model_copy(update={"defer_threshold": 0.9})
    entry = first.workflows["triage"].model_copy(update={"builds": {"edge-x86-vnni": build}})
    told = said(first, first.model_copy(update={"workflows": {"triage": entry}}))
    assert told == {("build", BUNDLE, "changed"): "the very same files; defer_threshold: 0.6 then, 0.9 now"}


def test_what_holds_for_a_workflow(first: FleetManifest, release: Release, builder: Any) -> None:
    entry = builder.entry("Triage", guardrails=Guardrails(minimum_confidence=0.7), roles=("clerk",))
    told = said(first, release.promote("canary", [], {"triage": entry}))
    assert told == {
        ("workflow", "triage", "changed"): (
            "guardrails.minimum_confidence: 0.0 then, 0.7 now; roles: nothing then, clerk now; "
            "title: Exception triage then, Triage now"
        )
    }


def test_what_is_left_out(first: FleetManifest) -> None:
    told = said(first, first.model_copy(update={"workflows": {}}))
    assert told == {
        ("build", BUNDLE, "gone"): "left out: sites stop running it",
        ("workflow", "triage", "gone"): "left out: sites stop running it",
    }


def test_revocations_come_first(first: FleetManifest) -> None:
    digest = next(iter(first.bundles()))
    after = first.model_copy(update={"revocations": (Revocation(bundle=digest, reason="wrong labels"),)})
    told = said(first, after)
    assert told == {("revocation", BUNDLE, "new"): f"{digest} must stop wherever it runs: wrong labels"}
    assert set(said(after, first)) == {("revocation", BUNDLE, "gone")}


def test_limits_and_profiles_of_the_channel(first: FleetManifest) -> None:
    profile = first.profiles["edge-x86-vnni"].model_copy(update={"cores": 4})
    after = first.model_copy(update={"max_offline_hours": 48, "profiles": {"edge-x86-vnni": profile}})
    assert said(first, after) == {
        ("channel", "canary", "changed"): (
            "max_offline_hours: 720 then, 48 now; profiles.edge-x86-vnni.cores: 2 then, 4 now"
        )
    }


def test_a_pack_for_another_class_of_sites(release: Release, builder: Any) -> None:
    retriever = builder.retriever()
    pack = builder.pack_candidate(retriever)
    before = release.promote("canary", [retriever], builder.sops(), packs=[pack])
    more = builder.pack_candidate(retriever, "others", site_class="warehouse")
    told = said(before, release.promote("canary", [], {}, packs=[more]))
    assert set(told) == {("knowledge", "sops--edge-x86-vnni--warehouse", "new")}
    assert (
        digest_of((more.folder / "manifest.json").read_bytes())
        in told["knowledge", "sops--edge-x86-vnni--warehouse", "new"]
    )
