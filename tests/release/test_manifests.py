"""Composing the next manifest: pure, merged, ever rising."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet_manifests import FleetManifest, IsaClass, Revocation, UsageError, digest_of, dump, parse
from release import Checked, Keys, Policy, check_candidate
from release.manifests import compose, same_content

pytestmark = pytest.mark.unit
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def made(builder: Any, keys: Keys) -> Any:
    """Checked candidates by what they hold."""

    def make(workflow: str = "triage", **changes: Any) -> Checked:
        return check_candidate(builder.candidate(workflow, **changes), keys["builder"].public_pem)

    return make


def composed(
    policy: Policy,
    checked: list[Checked],
    workflows: dict[str, Any],
    current: FleetManifest | None = None,
    **changes: Any,
) -> FleetManifest:
    said = {"first_version": 1, "issued": NOW} | changes
    return compose("canary", checked, workflows, current=current, policy=policy, **said)


def test_the_first_manifest(policy: Policy, builder: Any, made: Any) -> None:
    manifest = composed(policy, [made()], {"triage": builder.entry()})
    assert (manifest.version, manifest.channel, manifest.issued) == (1, "canary", NOW)
    assert manifest.expires == NOW + timedelta(days=30)
    assert manifest.profiles == {"edge-x86-vnni": builder.profile()}
    assert manifest.workflows["triage"].bases["edge"].name == "mini"
    assert parse(FleetManifest, dump(manifest)) == manifest


def test_a_model_without_a_base_takes_the_place_of_one_with(policy: Policy, builder: Any, made: Any) -> None:
    first = composed(policy, [made()], {"triage": builder.entry()})
    classical = dataclasses.replace(made(), base=None)
    second = composed(policy, [classical], {"triage": builder.entry()}, current=first)
    assert second.workflows["triage"].bases == {}


def test_a_rebuilt_repository_starts_above_what_ever_was(policy: Policy, builder: Any, made: Any) -> None:
    assert composed(policy, [made()], {"triage": builder.entry()}, first_version=41).version == 41


def test_versions_rise_by_one(policy: Policy, builder: Any, made: Any) -> None:
    first = composed(policy, [made()], {"triage": builder.entry()}, first_version=7)
    assert composed(policy, [], {"triage": builder.entry("T")}, first, first_version=7).version == 8


def test_limits_come_from_the_policy(builder: Any, made: Any) -> None:
    policy = Policy(managers=("a", "b"), max_offline_hours=48, minimum_agent="0.9.0")
    manifest = composed(policy, [made()], {"triage": builder.entry()})
    assert (manifest.max_offline_hours, manifest.minimum_agent) == (48, "0.9.0")


def test_what_is_not_given_stays(policy: Policy, builder: Any, made: Any) -> None:
    first = composed(policy, [made(), made("routing")], {"triage": builder.entry(), "routing": builder.entry("R")})
    revoked = first.model_copy(update={"revocations": (Revocation(bundle=digest_of(b"x"), reason="unsafe"),)})
    second = composed(policy, [made(content="new")], {"triage": builder.entry("New")}, revoked)
    assert second.workflows["routing"] == first.workflows["routing"]
    assert second.revocations == revoked.revocations
    assert second.workflows["triage"].title == "New"
    assert second.workflows["triage"].builds != first.workflows["triage"].builds


def build_of(manifest: FleetManifest) -> Any:
    return manifest.workflows["triage"].builds["edge-x86-vnni"]


def test_successors_are_held_to_the_first_build_until_someone_renews_it(
    policy: Policy, builder: Any, made: Any
) -> None:
    entries = {"triage": builder.entry()}
    first = composed(policy, [made(content="one")], entries)
    second = composed(policy, [made(content="two")], entries, first)
    third = composed(policy, [made(content="three")], entries, second)
    assert build_of(first).reference is None
    assert build_of(second).reference == build_of(third).reference == build_of(first).bundle
    renewed = composed(policy, [made(content="four")], entries, third, renew_reference=True)
    assert build_of(renewed).reference is None
    fifth = composed(policy, [made(content="five")], entries, renewed)
    assert build_of(fifth).reference == build_of(renewed).bundle


def test_a_return_to_the_first_build_is_its_own_reference(policy: Policy, builder: Any, made: Any) -> None:
    entries = {"triage": builder.entry()}
    first = composed(policy, [made(content="one")], entries)
    second = composed(policy, [made(content="two")], entries, first)
    assert build_of(composed(policy, [made(content="one")], entries, second)).reference is None


def test_candidates_have_no_reference(policy: Policy, builder: Any, made: Any) -> None:
    said = {"first_version": 1, "policy": policy, "issued": NOW}
    entries = {"triage": builder.entry()}
    first = compose("candidates", [made(content="one")], entries, current=None, **said)
    assert build_of(compose("candidates", [made(content="two")], entries, current=first, **said)).reference is None


def test_a_build_for_another_profile_stays_with_its_profile(policy: Policy, builder: Any, made: Any) -> None:
    avx2 = builder.profile("edge-x86-avx2", IsaClass.X86_64_V3)
    first = composed(policy, [made(profile=avx2)], {"triage": builder.entry()})
    second = composed(policy, [made()], {"triage": builder.entry()}, first)
    assert list(second.workflows["triage"].builds) == ["edge-x86-avx2", "edge-x86-vnni"]
    assert list(second.profiles) == ["edge-x86-avx2", "edge-x86-vnni"]


def test_a_workflow_without_a_build_is_left_out(policy: Policy, builder: Any, made: Any) -> None:
    manifest = composed(policy, [made()], {"triage": builder.entry(), "routing": builder.entry()})
    assert list(manifest.workflows) == ["triage"]


def test_a_candidate_of_no_described_workflow_is_refused(policy: Policy, builder: Any, made: Any) -> None:
    with pytest.raises(UsageError, match="workflow triage"):
        composed(policy, [made()], {"routing": builder.entry()})


def test_the_base_that_is_written_out_wins(policy: Policy, builder: Any, made: Any) -> None:
    base = builder.config().base.model_copy(update={"name": "larger"})
    manifest = composed(policy, [made()], {"triage": builder.entry(bases={"edge": base})})
    assert manifest.workflows["triage"].bases == {"edge": base}


def test_dates_and_version_are_no_content(policy: Policy, builder: Any, made: Any) -> None:
    first = composed(policy, [made()], {"triage": builder.entry()})
    later = composed(policy, [], {"triage": builder.entry()}, first, issued=NOW + timedelta(days=3))
    assert later.version == 2
    assert same_content(first, later)
    assert not same_content(first, composed(policy, [], {"triage": builder.entry("T")}, first))


def test_the_order_in_which_things_are_given_does_not_matter(policy: Policy, builder: Any, made: Any) -> None:
    one, two = made(), made("routing")
    workflows = {"triage": builder.entry(), "routing": builder.entry("R")}
    reverse = dict(reversed(workflows.items()))
    assert dump(composed(policy, [one, two], workflows)) == dump(composed(policy, [two, one], reverse))
