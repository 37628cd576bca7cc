"""What a fleet publishes about its signers: signed by role `targets`, read by sites, changed by a ceremony only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import IntegrityError, RefusedError, parse
from fleet_manifests.authors import BUILDER_KEY, SIGNERS, TRUSTED_ROOT, SignerPolicy
from release import Keys, Policy, Release
from release.signers_trust import trust_documents, trust_of

pytestmark = pytest.mark.unit
CI = {"identity": "https://ci.example.org/acme@main", "issuer": "https://ci.example.org"}


def signing(*authors: dict[str, Any]) -> SignerPolicy:
    return SignerPolicy.model_validate({"authors": authors})


KEYLESS = signing(
    {**CI, "workflows": ["*"], "signs": ["bundle"]}, {"key": "builder", "workflows": ["*"], "signs": ["evidence"]}
)


def test_by_default_only_the_builders_key_is_published(keys: Keys, policy: Policy) -> None:
    assert trust_documents(keys, policy) == {BUILDER_KEY: keys["builder"].public_pem}


def test_a_policy_and_its_trusted_root_are_published(keys: Keys, policy: Policy, tmp_path: Path, clock: Any) -> None:
    said = policy.model_copy(update={"authors": KEYLESS, "trusted_root": b'{"a":1}'})
    release = Release(tmp_path / "project" / "public", keys, said, now=clock)
    assert release.init()
    state = release.repository.state()
    assert state.target(TRUSTED_ROOT) == b'{"a":1}'
    raw = state.target(SIGNERS)
    assert raw is not None
    assert parse(SignerPolicy, raw) == KEYLESS
    assert {state.owner(name) for name in (SIGNERS, TRUSTED_ROOT, BUILDER_KEY)} == {"targets"}
    assert not release.init()


def test_another_policy_than_the_published_is_refused_until_it_is_adopted(
    release: Release, keys: Keys, policy: Policy, clock: Any
) -> None:
    changed = policy.model_copy(update={"authors": KEYLESS, "trusted_root": b"{}"})
    later = Release(release.repository.public, keys, changed, now=clock)
    with pytest.raises(RefusedError, match="signers"):
        later.init()
    assert release.repository.state().target(SIGNERS) is None
    later.adopt()
    assert not later.init()
    assert release.repository.state().target(SIGNERS) is not None
    release.adopt()  # and back: what is no longer said is no longer published
    assert release.repository.state().target(SIGNERS) is None
    assert release.repository.state().target(TRUSTED_ROOT) is None
    assert release.repository.state().target(BUILDER_KEY) == keys["builder"].public_pem


def test_identities_without_a_trusted_root_are_no_policy(keys: Keys, policy: Policy) -> None:
    with pytest.raises(ValueError, match="there is no trusted_root"):
        Policy(managers=("alice", "bob"), authors=KEYLESS)
    with pytest.raises(IntegrityError, match="trusted_root"):
        trust_of(keys, policy.model_copy(update={"authors": KEYLESS}))


def test_what_is_published_is_what_the_gate_holds_a_candidate_to(
    keys: Keys, policy: Policy, tmp_path: Path, clock: Any, builder: Any
) -> None:
    said = policy.model_copy(
        update={"authors": signing({"key": "builder", "workflows": ["routing"], "signs": ["bundle", "evidence"]})}
    )
    release = Release(tmp_path / "project" / "public", keys, said, now=clock)
    release.init()
    with pytest.raises(RefusedError, match="lets no key sign a bundle of workflow triage"):
        release.promote("canary", [builder.candidate()], {"triage": builder.entry()})
    release.promote("canary", [builder.candidate("routing")], {"routing": builder.entry()})
    assert json.loads(release.repository.state().target(SIGNERS) or b"")["authors"][0]["workflows"] == ["routing"]
