"""The core of the centre: answer, queue for a person, write everything down once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fleet_manifests import IntegrityError, UsageError
from runtimes.central.service import STORE_FILE, Centre
from runtimes.central.store import Store
from runtimes.deferrals import CentralAnswer, Deferral
from runtimes.problems import ConflictError, NotFoundError, UnavailableError

pytestmark = pytest.mark.unit

Make = Callable[..., Deferral]


def test_the_central_bundle_answers_what_it_is_sure_of(centre: Centre, deferral: Make) -> None:
    said = centre.take(deferral())
    assert (said.status, said.label) == ("answered", "damage")
    assert said.confidence == pytest.approx(0.4955, abs=1e-3)
    by = said.produced_by
    assert (by.where, by.channel, by.manifest_version, by.profile) == ("central", "stable", 7, "central-test")
    assert by.bundle == centre.serving.active().workflows["exception_triage"].bundle


def test_what_it_is_not_sure_of_goes_to_a_person(centre: Centre, deferral: Make) -> None:
    said = centre.take(deferral(text="where is the canteen"))
    assert (said.status, said.label) == ("human", None)
    assert "below the threshold 0.400" in said.reason
    (question,) = centre.store.queue()
    assert question.deferral.text == "where is the canteen"
    assert question.deferral.opinion.label == "damage"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"workflow": "unheard_of"}, "'unheard_of' is unknown"),
        ({"text": "short " * 300}, "at most 1000 characters"),
        ({"text": ""}, "text: empty"),
    ],
)
def test_what_no_bundle_can_take_goes_to_a_person(
    centre: Centre, deferral: Make, changes: dict[str, Any], reason: str
) -> None:
    said = centre.take(deferral(**changes))
    assert said.status == "human"
    assert reason in said.reason


def test_without_a_text_it_is_recorded(centre: Centre, deferral: Make) -> None:
    assert centre.take(deferral(text=None)).status == "recorded"
    assert centre.store.queue() == []


def test_the_same_deferral_again_gets_the_same_answer_and_one_line(centre: Centre, deferral: Make) -> None:
    first = centre.take(deferral())
    assert centre.take(deferral()) == first
    assert len(centre.store.ledger.records()) == 1


def test_two_sites_may_use_one_id(centre: Centre, deferral: Make) -> None:
    centre.take(deferral())
    centre.take(deferral(site="store-018"))
    assert centre.store.counts()["answered"] == 2


def test_another_content_under_the_same_id_is_a_conflict(centre: Centre, deferral: Make) -> None:
    centre.take(deferral())
    with pytest.raises(ConflictError, match="with another content"):
        centre.take(deferral(text="late"))


def test_at_once_from_many_threads_it_is_kept_once(centre: Centre, deferral: Make) -> None:
    answers: list[CentralAnswer] = []
    threads = [threading.Thread(target=lambda: answers.append(centre.take(deferral()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(set(map(str, answers))) == 1
    assert len(centre.store.ledger.records()) == 1


def test_nothing_active_is_unavailable_and_nothing_is_kept(make_tree: Callable[[str], Any], deferral: Make) -> None:
    tree = make_tree("central")
    centre = Centre(tree.state)
    with pytest.raises(UnavailableError):
        centre.take(deferral())
    assert centre.store.counts()["records"] == 0
    tree.activate(1, workflows={"exception_triage": {"defer_threshold": 0.4}})
    assert centre.take(deferral()).status == "answered"
    centre.close()


def test_a_new_version_answers_the_next_deferral(centre: Centre, central_tree: Any, deferral: Make) -> None:
    centre.take(deferral())
    central_tree.activate(8, workflows={"exception_triage": {"defer_threshold": 0.9}})
    assert centre.take(deferral("r2")).status == "human"
    assert centre.take(deferral()).produced_by.manifest_version == 7


def test_a_person_answers_once(centre: Centre, deferral: Make) -> None:
    centre.take(deferral(text="canteen"))
    with pytest.raises(UsageError, match="'lunch' is not one of exception_triage: damage, late, short"):
        centre.answer("store-017", "r1", label="lunch", person="maria")
    said = centre.answer("store-017", "r1", label="late", person="maria")
    assert (said.status, said.label, said.produced_by.person) == ("answered", "late", "maria")
    assert centre.store.find("store-017", "r1") == said
    assert centre.store.queue() == []
    with pytest.raises(ConflictError, match="it is answered"):
        centre.answer("store-017", "r1", label="short", person="john")
    with pytest.raises(NotFoundError):
        centre.answer("store-017", "r2", label="late", person="maria")
    assert [record.kind for record in centre.store.ledger.records()] == ["deferral", "person"]


def test_a_new_label_must_be_wanted(centre: Centre, deferral: Make) -> None:
    centre.take(deferral(text="canteen"))
    assert centre.answer("store-017", "r1", label="lunch", person="maria", new=True).label == "lunch"


def test_the_audit_holds_everything_but_the_text(centre: Centre, deferral: Make) -> None:
    centre.take(deferral(text="short and damage secretword"))
    (line,) = centre.store.ledger.records()
    assert line.id == "store-017/r1"
    assert line.body["deferral"]["chain"] == "0" * 64
    assert line.body["answer"]["label"] == "damage"
    path = centre.store.ledger.path
    centre.close()
    assert not any(b"secretword" in one.read_bytes() for one in path.parent.glob(STORE_FILE + "*"))


def test_a_changed_audit_is_found(centre: Centre, deferral: Make) -> None:
    for n in range(3):
        centre.take(deferral(f"r{n}"))
    assert centre.store.ledger.verify()[0] == 3
    with sqlite3.connect(centre.store.ledger.path) as thief:
        thief.execute("DROP TRIGGER records_are_not_changed")
        thief.execute("UPDATE records SET body = replace(body, 'damage', 'short') WHERE seq = 2")
    with pytest.raises(IntegrityError, match=r"central\.db: record 2 is not what was written"):
        centre.store.ledger.verify()


def test_a_token_is_stored_as_a_digest_and_replaced_by_the_next(centre: Centre) -> None:
    store: Store = centre.store
    first = store.new_token("store-017")
    assert store.site_of(first) == "store-017"
    second = store.new_token("store-017")
    assert store.site_of(first) is None
    assert store.site_of(second) == "store-017"
    store.revoke_token("store-017")
    assert store.site_of(second) is None
    with pytest.raises(UsageError, match="has no token"):
        store.revoke_token("store-017")
    assert len(store.ledger.records("token")) == 3
    path = store.ledger.path
    store.close()
    stored = b"".join(one.read_bytes() for one in path.parent.glob(STORE_FILE + "*"))
    assert first.encode() not in stored
    assert second.encode() not in stored
