"""What `lading release` prints for a person: who has to do what next."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console, RenderableType

from fleet_manifests import Gate, Halt, Orders, Stop, Verdict, digest_of
from pipelines.cli import tables
from pipelines.steps.approvals import Done, Stopped, Waiting
from pipelines.steps.diffs import Diff, Told
from pipelines.steps.standing import ChannelStanding, Offered, Standing
from release import LogEntry

pytestmark = pytest.mark.unit
WHEN = datetime(2026, 5, 4, 12, tzinfo=UTC)
DIGEST = digest_of(b"manifest")
CHANGE = Told(section="build", name="triage--edge", kind="changed", said=("another corpus", "defers below 0.6"))


def text(shown: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(shown)
    return out.getvalue()


def waiting(**changes: Any) -> Waiting:
    said = {
        "channel": "stable",
        "version": 4,
        "digest": DIGEST,
        "action": "promote",
        "reason": "",
        "by": ("alice",),
        "proposed": WHEN,
        "expires": WHEN,
        "signed": ("alice",),
        "waiting": ("bob", "carol"),
        "missing": 1,
    }
    return Waiting.model_validate({**said, **changes})


def test_a_pending_version_says_what_changes_and_who_is_next() -> None:
    shown = text(tables.done(Done(pending=waiting(), changes=(CHANGE,))))
    assert "stable version 4 waits: promotion, by alice, 2026-05-04 12:00 UTC" in shown
    assert "signed by alice; 1 signature more needed, of bob, carol" in shown
    assert f"digest {DIGEST}" in shown
    assert "next: lading release approve stable --as bob" in shown
    assert "another corpus" in shown


def test_what_cannot_be_approved_any_more_says_why_and_asks_nobody() -> None:
    shown = text(tables.waiting(waiting(problem="stable changed meanwhile", missing=2)))
    assert "cannot be approved any more: stable changed meanwhile" in shown
    assert "2 signatures more needed" in shown
    assert "next:" not in shown


@pytest.mark.parametrize(
    ("action", "word"), [("rollback", "rollback"), ("revoke", "revocation"), ("resume", "end of the halt")]
)
def test_an_act_by_its_word_and_reason(action: str, word: str) -> None:
    assert f"waits: {word}, by alice, 2026-05-04 12:00 UTC (because)" in text(
        tables.waiting(waiting(action=action, reason="because"))
    )


def test_nothing_changes() -> None:
    assert text(tables.done(Done())) == "nothing changes\n"
    shown = text(tables.diff(Diff(channel="stable", before="stable 1", after="stable 2", changes=())))
    assert "stable 1 -> stable 2: nothing but version and dates" in shown


def test_a_revocation_says_what_holds_and_what_is_left_to_do() -> None:
    stop = Stop(bundle=DIGEST, reason="wrong labels", by="alice", since=WHEN)
    shown = text(
        tables.stopped(
            Stopped(
                digest=DIGEST,
                orders=Orders(revoked=(stop,)),
                published=(),
                pending=waiting(action="revoke"),
                problems=("canary: version 3 is pending already",),
            )
        )
    )
    assert f"{DIGEST} is revoked: sites stop it at their next sync" in shown
    assert "wrong labels" in shown
    assert "lading release approve stable --as bob" in shown
    assert "no manifest that says so yet: canary: version 3 is pending already" in shown


def test_orders_that_stand_and_none() -> None:
    assert text(tables.orders(Orders())) == "no orders stand\n"
    halt = Halt(reason="two sites report wrong labels", by="carol", since=WHEN)
    shown = text(tables.orders(Orders(halted={"stable": halt})))
    assert all(word in shown for word in ("halted", "stable", "carol", "two sites report wrong labels"))


def test_candidates_name_the_points_that_do_not_hold() -> None:
    gates = (
        Gate(name="signature", verdict=Verdict.PASS, reason="verified"),
        Gate(name="freshness", verdict=Verdict.INCONCLUSIVE, reason="measured long ago"),
        Gate(name="licence", verdict=Verdict.FAIL, reason="base is under GPL-3.0"),
    )
    one = Offered(name="triage--edge", digest=DIGEST, verdict=Verdict.FAIL, gates=gates, channels=("canary",))
    shown = text(tables.candidates([one]))
    assert "triage--edge: fail in freshness, licence; `lading release show triage--edge` says why" in shown
    every = text(tables.candidate(one))
    assert all(gate.reason in every for gate in gates)


def test_status_names_what_is_revoked_and_what_expires() -> None:
    channel = ChannelStanding(
        channel="stable",
        version=4,
        digest=DIGEST,
        issued=WHEN,
        expires=WHEN,
        signed=("alice", "bob"),
        builds=("triage--edge",),
        packs=0,
        revoked=("triage--edge",),
    )
    standing = Standing.model_validate({"release": 9, "channels": (channel,), "due": ()})
    shown = text(tables.standing(standing))
    assert "alice, bob" in shown
    assert "stable: triage--edge is revoked and runs nowhere" in shown
    assert "nothing waits for approval" in shown


def test_the_log_says_who_did_what_and_why() -> None:
    entry = LogEntry(
        number=7, when=WHEN, actor="carol", action="halt", channel="stable", reason="wrong labels", previous=DIGEST
    )
    shown = text(tables.log([entry]))
    assert all(word in shown for word in ("7", "2026-05-04 12:00", "carol", "halt", "stable", "wrong labels"))
    assert "3 entries, whole and in order" in text(tables.verified(3))
