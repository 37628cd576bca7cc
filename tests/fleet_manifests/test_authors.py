"""The signing policy: what it does not allow is refused, and what it says that is unknown too."""

from __future__ import annotations

import json

import pytest

from fleet_manifests import IntegrityError, dump, parse
from fleet_manifests.authors import ACTS, BY_KEY, Author, Authors, Identity, SignerPolicy, Trust

pytestmark = pytest.mark.unit
PEM = b"a public key"
ISSUER = "https://token.example.org"
CI = {"identity": "https://ci.example.org/acme/build.yml@main", "issuer": ISSUER}


def policy(*authors: dict[str, object]) -> SignerPolicy:
    return parse(SignerPolicy, json.dumps({"schema_version": 1, "authors": authors}).encode())


def test_without_a_policy_the_builders_key_signs_everything() -> None:
    trust = Trust(PEM)
    assert trust.policy == BY_KEY
    for act in ACTS:
        assert trust.authors("triage", act) == Authors(PEM, (), None, trust.authors("triage", act).what)


def test_a_public_key_stands_for_itself() -> None:
    assert Trust.of(PEM) == Trust(PEM)
    assert Authors.of(PEM) == Authors(PEM)
    trust = Trust(PEM)
    assert Trust.of(trust) is trust


def test_an_author_signs_what_is_said_and_nothing_else() -> None:
    trust = Trust(
        PEM,
        policy(
            {"key": "builder", "workflows": ["*"], "signs": ["evidence"]},
            {**CI, "workflows": ["triage"], "signs": ["bundle", "provenance"]},
        ),
        b"{}",
    )
    assert trust.authors("triage", "bundle").identities == (Identity(**CI),)
    assert trust.authors("triage", "bundle").key is None
    assert trust.authors("routing", "bundle").identities == ()
    assert trust.authors("triage", "evidence").identities == ()
    assert trust.authors("routing", "evidence").key == PEM
    assert trust.authors("triage", "model-card") == Authors(None, (), b"{}", "a model card of workflow triage")


def test_identities_without_a_trusted_root_are_refused() -> None:
    with pytest.raises(IntegrityError, match=r"no trust/trusted_root\.json"):
        Trust(PEM, policy({**CI, "workflows": ["*"], "signs": ["bundle"]}))


@pytest.mark.parametrize(
    "author",
    [
        {},
        {"key": "builder", **CI},
        {"identity": CI["identity"]},
        {"issuer": ISSUER},
        {"key": "online"},
        {"identity": "", "issuer": ISSUER},
        {"identity": "a@b", "issuer": "not a url"},
        {"key": "builder", "until": "2030-01-01"},
        {"key": "builder", "workflows": []},
        {"key": "builder", "signs": []},
        {"key": "builder", "signs": ["everything"]},
        {"key": "builder", "workflows": ["../x"]},
    ],
    ids=str,
)
def test_an_author_that_is_none_is_refused(author: dict[str, object]) -> None:
    with pytest.raises(IntegrityError):
        policy({"workflows": ["*"], "signs": ["bundle"], **author})


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"critical": ["x"]}, {"authors": []}])
def test_a_policy_that_says_more_than_we_know_is_refused(change: dict[str, object]) -> None:
    """A limit that an older site does not read would not hold there."""
    raw = json.loads(dump(BY_KEY)) | change
    with pytest.raises(IntegrityError):
        parse(SignerPolicy, json.dumps(raw).encode())


def test_round_trip() -> None:
    found = policy({**CI, "workflows": ["triage"], "signs": ["bundle"]})
    assert parse(SignerPolicy, dump(found)) == found
    assert parse(SignerPolicy, dump(BY_KEY)) == BY_KEY
    assert Author(key="builder", workflows=("*",), signs=("bundle",)).may("any", "bundle")
