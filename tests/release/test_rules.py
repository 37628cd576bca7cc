"""What is asked of what enters, beside being whole, signed and passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet_manifests import BaseRef, RefusedError, Verdict, digest_of
from release import Policy, Release
from release.rules import Rules

pytestmark = pytest.mark.unit
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
CARD = b'{"licences":["CC-BY-4.0"]}'


def base(licence: str = "Apache-2.0") -> BaseRef:
    return BaseRef(name="mini", revision="1", digest=digest_of(b"base"), licence=licence)


def rules(**changes: Any) -> Rules:
    return Rules(**{"now": NOW, "evidence_days": 90, **changes})


@pytest.mark.parametrize(("days", "verdict"), [(0, Verdict.PASS), (90, Verdict.PASS), (91, Verdict.INCONCLUSIVE)])
def test_evidence_counts_for_so_many_days(builder: Any, days: int, verdict: Verdict) -> None:
    builder.taken = NOW - timedelta(days=days)
    report = builder.report("accuracy", digest_of(b"bundle"))
    gate = rules().fresh([report])
    assert gate.verdict is verdict
    if verdict is not Verdict.PASS:
        assert gate.reason == (
            "accuracy was measured on 2026-02-02, 91 days ago; evidence counts for 90 days: measure again"
        )


@pytest.mark.parametrize(
    ("found", "card", "allowed", "verdict", "said"),
    [
        (base(), CARD, (), Verdict.PASS, "stated and allowed"),
        (base(), b'{"licences":[]}', (), Verdict.PASS, "stated and allowed"),
        (None, CARD, (), Verdict.PASS, "stated and allowed"),
        (base(), CARD, ("Apache-2.0", "CC-BY-4.0"), Verdict.PASS, "stated and allowed"),
        (base("NOASSERTION"), CARD, (), Verdict.INCONCLUSIVE, "no licence is stated for base mini"),
        (base(""), b"{}", (), Verdict.INCONCLUSIVE, "no licence is stated for base mini and corpus"),
        (base(), b"{}", (), Verdict.INCONCLUSIVE, "no licence is stated for corpus"),
        (base(), None, (), Verdict.INCONCLUSIVE, "no licence is stated for corpus"),
        (base(), b'{"licences":["NOASSERTION"]}', (), Verdict.INCONCLUSIVE, "no licence is stated for corpus"),
        (base("GPL-3.0"), CARD, ("CC-BY-4.0",), Verdict.FAIL, "base mini is under GPL-3.0; fleet.yaml allows"),
        (base(), CARD, ("Apache-2.0",), Verdict.FAIL, "corpus is under CC-BY-4.0"),
        (base(), b"not json", (), Verdict.FAIL, "data card: not a JSON document"),
    ],
)
def test_licences(
    found: BaseRef | None, card: bytes | None, allowed: tuple[str, ...], verdict: Verdict, said: str
) -> None:
    gate = rules(licences=allowed).licensed(found, card)
    assert gate.verdict is verdict
    assert said in gate.reason


def test_what_was_revoked_fails_with_the_reason() -> None:
    digest = digest_of(b"bundle")
    assert rules().standing(digest) is None
    gate = rules(revoked={digest: "wrong labels"}).standing(digest)
    assert gate is not None
    assert (gate.verdict, gate.reason) == (Verdict.FAIL, f"{digest} was revoked: wrong labels")


def test_all_points_that_fail_are_told_at_once(release: Release, builder: Any, clock: Any) -> None:
    stale = builder.candidate(verdict=Verdict.INCONCLUSIVE)
    clock.forward(days=100)
    release.refresh("canary")
    strict = Release(
        release.repository.public,
        release.keys,
        release.policy.model_copy(update={"licences": ("MIT",)}),
        now=clock,
    )
    with pytest.raises(RefusedError) as caught:
        strict.promote("canary", [stale], {"triage": builder.entry()})
    said = str(caught.value)
    for point in (
        "accuracy: ",
        "latency: ",
        "licence: base mini is under Apache-2.0",
        "freshness: accuracy was measured",
    ):
        assert f"triage--edge-x86-vnni: {point}" in said


def test_stale_evidence_enters_no_channel_but_candidates(release: Release, builder: Any, clock: Any) -> None:
    candidate, workflows = builder.candidate(), {"triage": builder.entry()}
    clock.forward(days=91)
    release.refresh("canary", "candidates")
    with pytest.raises(RefusedError, match="freshness: accuracy was measured on .*, 92 days ago"):
        release.promote("canary", [candidate], workflows)
    offered = release.offer([candidate], workflows)
    assert offered.workflows["triage"].builds["edge-x86-vnni"].verdict is Verdict.INCONCLUSIVE


def test_the_default_is_ninety_days() -> None:
    assert Policy(managers=("alice", "bob")).evidence_days == 90
