"""The core of a site: answer, defer, remember, deliver exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import LadingError, StorageError, UsageError, dump
from runtimes.central.service import Centre
from runtimes.deferrals import MAX_BYTES
from runtimes.edge.flush import Background, deferral_of
from runtimes.edge.service import OUTBOX_FILE, TOKEN_FILE, Site
from runtimes.problems import ConflictError, ForbiddenError, NotFoundError, TooLargeError, UnavailableError

pytestmark = pytest.mark.unit

TRIAGE = "exception_triage"
SURE = "short on the pallet"
UNSURE = "short and damage both"
UNKNOWN = "where is the canteen"
CENTRAL = "https://central.example"


def records(site: Site, kind: str) -> list[dict[str, Any]]:
    return [record.body for record in site.outbox.ledger.records(kind)]


def test_a_sure_answer_is_given_here_and_says_what_gave_it(site: Site, tree: Any) -> None:
    said = site.answer(TRIAGE, SURE)
    assert (said.status, said.label) == ("answered", "short")
    assert said.confidence == pytest.approx(0.9647, abs=1e-3)
    by = said.produced_by
    assert (by.where, by.channel, by.manifest_version, by.profile) == ("edge", "stable", 1, "edge-test")
    assert by.bundle == site.serving.active().workflows[TRIAGE].bundle
    assert "0.8" in said.reason


def test_the_audit_line_has_the_outcome_and_not_the_text(site: Site, tree: Any) -> None:
    said = site.answer(TRIAGE, SURE, role="clerk")
    (line,) = records(site, "request")
    assert line["status"] == "answered"
    assert line["role"] == "clerk"
    assert line["confidence"] == said.confidence
    assert line["text"].startswith("hmac-sha256:")
    site.close()
    stored = b"".join(path.read_bytes() for path in tree.state.glob(OUTBOX_FILE + "*"))
    assert SURE.encode() not in stored
    assert b"answered" in stored


def test_below_the_threshold_the_centre_answers_when_it_is_up(site: Site, line: Any) -> None:
    said = site.answer(TRIAGE, UNSURE)
    assert said.status == "answered"
    assert said.produced_by.where == "central"
    assert said.produced_by.manifest_version == 7
    assert "below the threshold 0.800" in said.reason
    (sent,) = line.sent
    assert (sent.text, sent.opinion.label) == (UNSURE, "damage")
    assert sent.chain == site.outbox.ledger.record("request", said.id).hash  # type: ignore[union-attr]


def test_the_manifests_minimum_holds_whatever_the_build_says(tree: Any, make_site: Callable[..., Site]) -> None:
    tree.activate(1, workflows={TRIAGE: {"defer_threshold": 0.1, "guardrails": {"minimum_confidence": 0.99}}})
    said = make_site().answer(TRIAGE, SURE)
    assert said.status == "deferred"
    assert said.label is None
    assert "minimum 0.990" in said.reason


def test_central_down_is_queued_delivered_later_and_retrievable(site: Site, line: Any, centre: Centre) -> None:
    line.mode = "down"
    said = site.answer(TRIAGE, UNSURE)
    assert (said.status, said.label, said.produced_by.where) == ("deferred", None, "edge")
    assert site.courier.flush().problem == "central: connection refused"
    assert site.request(said.id).status == "deferred"

    line.mode = "up"
    flushed = site.courier.flush()
    assert (flushed.delivered, flushed.left, flushed.problem) == (1, 0, None)
    later = site.request(said.id)
    assert (later.status, later.produced_by.where) == ("answered", "central")
    assert site.courier.flush().delivered == 0
    assert centre.store.counts()["answered"] == 1


def test_exactly_once_even_when_the_response_is_lost(site: Site, line: Any, centre: Centre) -> None:
    line.mode = "lost"
    said = site.answer(TRIAGE, UNSURE)
    assert said.status == "deferred"
    assert site.courier.flush().left == 1
    line.mode = "up"
    assert site.courier.flush().delivered == 1
    assert len(line.sent) == 3
    assert centre.store.counts()["answered"] == 1
    assert len(centre.store.ledger.records("deferral")) == 1
    assert len(site.outbox.ledger.records("delivery-answered")) == 1
    assert site.request(said.id).status == "answered"


def test_a_restart_forgets_nothing(site: Site, line: Any, make_site: Callable[..., Site]) -> None:
    line.mode = "down"
    ids = [site.answer(TRIAGE, f"{UNSURE} {n}").id for n in range(5)]
    site.close()
    line.mode = "up"
    again = make_site()
    assert again.courier.flush().delivered == 5
    assert {again.request(one).status for one in ids} == {"answered"}
    assert sorted(sent.id for sent in line.sent) == sorted(ids)


@pytest.mark.parametrize("foreign", [False, True], ids=["unknown token", "token of another site"])
def test_a_wrong_token_keeps_the_queue_until_it_is_right(site: Site, line: Any, centre: Centre, foreign: bool) -> None:
    right = line.token
    line.token = centre.store.new_token("store-099") if foreign else "nonsense"
    said = site.answer(TRIAGE, UNSURE)
    assert said.status == "deferred"
    assert "40" in (site.courier.flush().problem or "")
    assert site.outbox.counts()["queued"] == 1
    line.token = right
    assert site.courier.flush().delivered == 1
    assert site.request(said.id).status == "answered"


def test_text_export_never_sends_a_record_without_text(
    tree: Any, make_site: Callable[..., Site], line: Any, centre: Centre
) -> None:
    tree.activate(1, workflows={TRIAGE: {"text_export": "never"}}, central=CENTRAL)
    site = make_site()
    said = site.answer(TRIAGE, UNSURE)
    assert said.status == "deferred"
    assert "may not leave this site" in said.reason
    assert [sent.text for sent in line.sent] == [None]
    assert centre.store.counts() == {"answered": 0, "human": 0, "recorded": 1, "records": 2}
    site.close()
    for folder in (tree.state, centre.store.ledger.path.parent):
        assert not any(UNSURE.encode() in path.read_bytes() for path in folder.glob("*.db*"))


def test_a_delivered_text_is_erased_from_the_site(site: Site, tree: Any, line: Any) -> None:
    line.mode = "down"
    said = site.answer(TRIAGE, UNSURE)
    query = "SELECT text FROM deferrals WHERE id = ?"
    assert site.outbox.ledger.rows(query, said.id)[0]["text"] == UNSURE.encode()
    line.mode = "up"
    site.courier.flush()
    assert site.outbox.ledger.rows(query, said.id)[0]["text"] is None
    assert not any(UNSURE.encode() in path.read_bytes() for path in tree.state.glob(OUTBOX_FILE + "*"))


def test_a_person_answers_what_the_centre_cannot(site: Site, centre: Centre) -> None:
    said = site.answer(TRIAGE, UNKNOWN)
    assert said.status == "pending"
    assert site.courier.flush().answered == 0
    centre.answer("store-017", said.id, label="late", person="maria")
    assert site.courier.flush().answered == 1
    later = site.request(said.id)
    assert (later.status, later.label, later.produced_by.person) == ("answered", "late", "maria")
    assert later.confidence is None
    assert site.outbox.ledger.verify()[0] == len(site.outbox.ledger.records(last=99))


def test_what_the_centre_never_takes_does_not_block_the_rest(site: Site, line: Any, centre: Centre) -> None:
    line.mode = "down"
    first = site.answer(TRIAGE, UNSURE)
    second = site.answer(TRIAGE, UNSURE + " again")
    line.mode = "up"
    waiting = next(one for one in site.outbox.waiting("queued") if one.record.id == first.id)
    centre.take(deferral_of(waiting).model_copy(update={"text": "something else came under this id"}))
    flushed = site.courier.flush()
    assert (flushed.delivered, flushed.refused, flushed.left) == (1, 1, 0)
    assert site.request(first.id).status == "deferred"
    assert "does not take it" in site.request(first.id).reason
    assert site.request(second.id).status == "answered"


def test_while_the_line_is_down_only_the_first_caller_waits(site: Site, line: Any) -> None:
    line.mode = "down"
    attempts = []
    original = line.send
    line.send = lambda *args, **kwargs: (attempts.append(1), original(*args, **kwargs))[1]
    for n in range(4):
        assert site.answer(TRIAGE, f"{UNSURE} {n}").status == "deferred"
    assert len(attempts) == 1
    assert site.outbox.counts()["queued"] == 4


def test_without_a_centre_or_a_token_it_is_deferred(tree: Any, make_site: Callable[..., Site], line: Any) -> None:
    tree.activate(1)
    assert make_site().answer(TRIAGE, UNSURE).status == "deferred"
    tree.activate(2, central=CENTRAL)
    site = make_site()
    (tree.state / TOKEN_FILE).unlink()
    said = site.answer(TRIAGE, UNSURE)
    assert said.status == "deferred"
    assert line.sent == []
    assert "this site has no token" in (site.courier.flush().problem or "")


def test_too_long_without_the_repository_defers_everything(tree: Any, make_site: Callable[..., Site]) -> None:
    active = tree.activate(1, max_offline_hours=24)
    later = datetime.now(UTC) + timedelta(hours=25)
    site = make_site(clock=lambda: later)
    said = site.answer(TRIAGE, SURE)
    assert said.status == "deferred"
    assert said.confidence is None
    assert "not seen for 25 hours" in said.reason
    tree.write(active.model_copy(update={"seen": later - timedelta(hours=1)}))
    assert site.answer(TRIAGE, SURE).status == "answered"


def test_nothing_active_is_unavailable_until_sync_has_run(tree: Any, make_site: Callable[..., Site]) -> None:
    site = make_site()
    with pytest.raises(UnavailableError, match="run `sync`"):
        site.answer(TRIAGE, SURE)
    tree.activate(1)
    assert site.answer(TRIAGE, SURE).status == "answered"


def test_a_switch_of_current_is_served_by_the_next_request(site: Site, tree: Any) -> None:
    assert site.answer(TRIAGE, SURE).label == "short"
    tree.activate(2, labels=("damage", "late", "missing"))
    said = site.answer(TRIAGE, SURE)
    assert (said.label, said.produced_by.manifest_version) == ("missing", 2)


def test_a_switch_keeps_the_engines_of_bundles_that_stay(tree: Any, make_site: Callable[..., Site]) -> None:
    from runtimes.engine import load

    loads: list[Path] = []
    site = make_site(load=lambda folder: (loads.append(folder), load(folder))[1])
    tree.activate(1, workflows={TRIAGE: {}, "second": {}})
    site.warm_up()
    assert len(loads) == 2
    tree.activate(2, workflows={TRIAGE: {}})
    assert site.answer(TRIAGE, SURE).produced_by.manifest_version == 2
    assert len(loads) == 2
    assert len(site.serving.loaded()) == 1


def test_a_revoked_workflow_stops_at_once(site: Site, tree: Any) -> None:
    active = site.serving.active()
    tree.write(active.model_copy(update={"workflows": {}, "skipped": {TRIAGE: "its bundle was revoked: wrong data"}}))
    with pytest.raises(NotFoundError, match="revoked: wrong data"):
        site.answer(TRIAGE, SURE)


def test_what_a_revoked_workflow_is_asked_goes_to_the_centre(tree: Any, make_site: Callable[..., Site]) -> None:
    active = tree.activate(1, central=CENTRAL)
    reason = {TRIAGE: "its bundle was revoked: wrong data"}
    tree.write(active.model_copy(update={"workflows": {}, "skipped": reason, "stopped": active.workflows}))
    said = make_site().answer(TRIAGE, SURE)
    assert (said.status, said.produced_by.where) == ("answered", "central")
    assert "the site deferred: its bundle was revoked: wrong data" in said.reason


def test_without_a_centre_a_revoked_workflow_defers_with_the_reason(site: Site, tree: Any) -> None:
    active = site.serving.active()
    reason = {TRIAGE: "its bundle was revoked: wrong data"}
    stopped = {"workflows": {}, "skipped": reason, "stopped": active.workflows, "central": None}
    tree.write(active.model_copy(update=stopped))
    said = site.answer(TRIAGE, SURE)
    assert (said.status, said.label) == ("deferred", None)
    assert said.reason.startswith("its bundle was revoked: wrong data")


def test_a_bundle_that_does_not_load_defers_and_leaves_an_exception_record(
    tree: Any, make_site: Callable[..., Site]
) -> None:
    active = tree.activate(1, central=CENTRAL)
    model = tree.folder(active) / "model.onnx"
    model.unlink()
    model.write_bytes(b"not a model")
    site = make_site()
    said = site.answer(TRIAGE, SURE)
    assert (said.status, said.produced_by.where) == ("answered", "central")
    assert "the bundle cannot be run here" in said.reason
    (problem,) = records(site, "exception")
    assert problem["bundle"] == active.workflows[TRIAGE].bundle


@pytest.mark.parametrize(
    ("workflow", "text", "error", "said"),
    [
        (TRIAGE, "", UsageError, "text: is empty"),
        (TRIAGE, " \n", UsageError, "text: is empty"),
        (TRIAGE, 7, UsageError, "a string is expected, found int"),
        (TRIAGE, "half \ud800", UsageError, "surrogate"),
        (TRIAGE, "short " * 200, TooLargeError, "at most 1000 characters are allowed, found 1200"),
        ("nothing", SURE, NotFoundError, "known here: exception_triage"),
    ],
)
def test_requests_that_cannot_be_used(
    site: Site, workflow: str, text: Any, error: type[LadingError], said: str
) -> None:
    with pytest.raises(error, match=said):
        site.answer(workflow, text)
    assert site.outbox.counts()["records"] == 0


def test_only_roles_of_the_manifest_may_ask(tree: Any, make_site: Callable[..., Site]) -> None:
    tree.activate(1, workflows={TRIAGE: {"roles": ("clerk", "lead")}})
    site = make_site()
    assert site.answer(TRIAGE, SURE, role="lead").status == "answered"
    with pytest.raises(ForbiddenError, match="answers to clerk, lead; found 'guest'"):
        site.answer(TRIAGE, SURE, role="guest")
    with pytest.raises(ForbiddenError, match="none was given"):
        site.answer(TRIAGE, SURE)
    assert len(records(site, "exception")) == 2


def test_the_same_id_again_gives_the_same_answer(site: Site, line: Any) -> None:
    first = site.answer(TRIAGE, SURE, request_id="order-7.1")
    assert site.answer(TRIAGE, SURE, request_id="order-7.1") == first
    deferred = site.answer(TRIAGE, UNSURE, request_id="order-7.2")
    assert site.answer(TRIAGE, UNSURE, request_id="order-7.2") == deferred
    assert len(line.sent) == 1
    with pytest.raises(ConflictError, match="used for another request"):
        site.answer(TRIAGE, UNSURE, request_id="order-7.1")


def test_a_text_that_no_deferral_could_carry_is_refused(tree: Any, make_site: Callable[..., Site]) -> None:
    tree.activate(1, workflows={TRIAGE: {"guardrails": {"max_characters": 10**9}}})
    with pytest.raises(TooLargeError, match="at most 100000 characters"):
        make_site().answer(TRIAGE, "a" * 100_001)


def test_a_role_is_valid_unicode(site: Site) -> None:
    with pytest.raises(UsageError, match="role: holds half of a surrogate pair"):
        site.answer(TRIAGE, SURE, role="clerk\ud800")


def test_the_longest_text_fits_the_line(tree: Any, make_site: Callable[..., Site], line: Any) -> None:
    entry = {"guardrails": {"max_characters": 10**6, "minimum_confidence": 1.0}}
    active = tree.activate(1, workflows={TRIAGE: entry}, central=CENTRAL)
    config = tree.folder(active) / "bundle.json"
    raw = config.read_bytes().replace(b'"max_characters":5000', b'"max_characters":1000000')
    config.unlink()
    config.write_bytes(raw)
    line.mode = "down"
    site = make_site()
    said = site.answer(TRIAGE, "\u0001" * 99_999 + "a")
    assert said.status == "deferred"
    (waiting,) = site.outbox.waiting("queued")
    assert len(dump(deferral_of(waiting))) < MAX_BYTES


@pytest.mark.parametrize("wrong", ["", "a b", "x" * 65, "../up", "-x", "é"])
def test_an_id_is_a_plain_word(site: Site, wrong: str) -> None:
    with pytest.raises(UsageError, match=r"^id:"):
        site.answer(TRIAGE, SURE, request_id=wrong)


def test_an_unknown_id_is_not_found(site: Site) -> None:
    with pytest.raises(NotFoundError, match="was not made at this site"):
        site.request("nobody")


def test_what_cannot_be_recorded_is_not_answered(site: Site) -> None:
    pages = site.outbox.ledger.rows("PRAGMA page_count")[0][0]
    site.outbox.ledger.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match=r"disk is full; free some space"):
        for n in range(500):
            site.answer(TRIAGE, SURE, request_id=f"r{n}")
    asked = site.outbox.counts()["records"]
    assert 0 < asked < 500
    site.outbox.ledger.rows("PRAGMA max_page_count = 100000")
    assert site.outbox.ledger.verify()[0] == asked
    assert site.answer(TRIAGE, SURE, request_id=f"r{asked}").status == "answered"


def test_the_state_of_a_site_is_its_owners_only(site: Site, tree: Any) -> None:
    site.answer(TRIAGE, SURE)
    for name in (OUTBOX_FILE, TOKEN_FILE):
        assert (tree.state / name).stat().st_mode & 0o077 == 0


def test_the_background_delivers_when_the_line_comes_back(site: Site, line: Any) -> None:
    line.mode = "down"
    said = site.answer(TRIAGE, UNSURE)
    background = Background(site.courier, idle=0.02, longest=0.1)
    background.start()
    time.sleep(0.1)
    assert site.request(said.id).status == "deferred"
    line.mode = "up"
    deadline = time.monotonic() + 5
    while site.request(said.id).status != "answered" and time.monotonic() < deadline:
        time.sleep(0.02)
    background.stop()
    assert site.request(said.id).status == "answered"
    assert not background.is_alive()


def test_the_background_waits_ever_longer_while_the_line_is_down(site: Site) -> None:
    background = Background(site.courier, idle=10, longest=300)
    assert 5 <= background.delay(0) <= 10
    assert 40 <= background.delay(3) <= 80
    assert 150 <= background.delay(50) <= 300
