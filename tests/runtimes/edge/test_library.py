"""A site that answers with passages: verbatim, cited, marked, or deferred; and what its audit keeps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from fleet_manifests import Guardrails, Passage
from runtimes.central.service import Centre
from runtimes.edge.http import app
from runtimes.edge.service import OUTBOX_FILE, Site
from runtimes.sync.site import PACK_KEY_FILE

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

pytestmark = pytest.mark.unit
TODAY = datetime.now(UTC).date()
STEPS = "1. Put the spill kit down.\n2. Ring the oil with the sock."


def passage(id_: str, section: str, text: str, **more: Any) -> Passage:
    document = more.pop("document", "HS-002")
    return Passage(
        id=id_, document=document, title="Spills", revision="3", section=(section,), page=2, text=text, **more
    )


LIBRARY = (
    passage("spill", "Oil spill", STEPS, owner="Safety officer"),
    passage("slot", "Pallet slot", "Pallet slot taken: use the next slot.", disagrees_with=("slot-old",)),
    passage("slot-old", "Pallet slot", "Pallet slot taken: wait.", document="WH-009", disagrees_with=("slot",)),
    passage("battery", "Battery charge", "Charge the battery over night.", review_by=TODAY - timedelta(days=5)),
    passage("lamp", "Lamp", "Lamp lamp lamp.", review_by=TODAY - timedelta(days=50)),
    passage("door", "Door", "The door door door.", effective_until=date(2020, 1, 1)),
)
RULES = Guardrails(max_characters=1000, max_knowledge_age_days=30)
OIL = "oil spill what now"


@pytest.fixture
def library(tree: Any, make_site: Callable[..., Site]) -> Site:
    """A site with the triage workflow and a library, and a centre without one."""
    active = tree.activate(1, central="https://central.example")
    tree.add_library(active, LIBRARY, guardrails=RULES)
    return make_site()


def test_a_question_is_answered_with_the_steps_and_where_they_stand(library: Site) -> None:
    said = library.answer("sop", OIL)
    assert (said.status, said.label) == ("answered", None)
    (found,) = said.passages
    assert found.text == STEPS
    assert (found.document, found.revision, found.section, found.page) == ("HS-002", "3", ("Oil spill",), 2)
    assert found.owner == "Safety officer"
    assert not found.stale and not found.disagrees
    assert said.produced_by.where == "edge"


def test_two_documents_that_disagree_are_both_named(library: Site) -> None:
    said = library.answer("sop", "pallet slot slot")
    assert {one.document for one in said.passages} == {"HS-002", "WH-009"}
    assert [one.disagrees for one in said.passages] == [False, True]
    assert "states something else" in said.reason


def test_a_stale_passage_is_marked_and_one_past_its_limit_is_not_given(library: Site, line: Any) -> None:
    line.mode = "down"
    (stale,) = library.answer("sop", "battery charge").passages
    assert stale.stale
    too_old = library.answer("sop", "lamp lamp")
    assert (too_old.status, too_old.passages) == ("deferred", ())
    assert "its review was due" in too_old.reason


def test_a_passage_that_no_longer_holds_is_never_given(library: Site, line: Any) -> None:
    line.mode = "down"
    assert all(one.id != "door" for one in library.answer("sop", "door door door").passages)


def test_what_the_library_does_not_answer_is_deferred(library: Site, line: Any) -> None:
    line.mode = "down"
    said = library.answer("sop", "who won the match on sunday")
    assert (said.status, said.passages) == ("deferred", ())
    assert "the library does not seem to answer this" in said.reason


def test_the_audit_keeps_which_passages_were_given_and_no_text(library: Site, tree: Any) -> None:
    said = library.answer("sop", OIL, role="picker")
    (record,) = library.outbox.ledger.records("request")
    assert [one["id"] for one in record.body["passages"]] == ["spill"]
    assert record.body["pack"].startswith("sha256:")
    library.close()
    stored = b"".join(path.read_bytes() for path in tree.state.glob(OUTBOX_FILE + "*"))
    assert b"Ring the oil" not in stored and OIL.encode() not in stored
    assert said.id.encode() in stored


def test_the_same_request_again_shows_the_same_passages(library: Site) -> None:
    said = library.answer("sop", OIL, request_id="r-1")
    assert library.answer("sop", OIL, request_id="r-1") == said
    assert library.request("r-1") == said


def test_after_a_new_pack_an_old_answer_says_that_the_library_changed(library: Site, tree: Any) -> None:
    said = library.answer("sop", OIL, request_id="r-1")
    active = library.serving.active()
    tree.add_library(active, tuple(one.model_copy(update={"revision": "4"}) for one in LIBRARY), guardrails=RULES)
    again = library.request("r-1")
    assert (again.status, again.passages) == ("answered", ())
    assert "the library has changed since" in again.reason
    (fresh,) = library.answer("sop", OIL).passages
    assert (fresh.revision, said.passages[0].revision) == ("4", "3")


def test_a_new_pack_leaves_the_retriever_warm(library: Site, tree: Any) -> None:
    library.answer("sop", OIL)
    before = library.serving.loaded()
    tree.add_library(library.serving.active(), LIBRARY[:2], guardrails=RULES)
    library.answer("sop", OIL)
    after = library.serving.loaded()
    retriever = library.serving.active().workflows["sop"].bundle
    assert retriever in before & after
    assert len(before - after) == len(after - before) == 1, "only the pack was changed for another"


def test_warming_up_loads_engines_and_packs(library: Site) -> None:
    library.warm_up()
    assert len(library.serving.loaded()) == 3


def test_a_pack_for_another_retriever_is_refused_and_the_question_deferred(library: Site, tree: Any, line: Any) -> None:
    line.mode = "down"
    active = library.serving.active()
    other = active.workflows["sop"].model_copy(update={"bundle": "sha256:" + "9" * 64})
    tree.write(active.model_copy(update={"workflows": {**active.workflows, "sop": other}}))
    said = library.answer("sop", OIL)
    assert said.status == "deferred"
    assert "the pack is for" in said.reason


def test_an_encrypted_pack_needs_the_key_of_the_site_class(
    tree: Any, make_site: Callable[..., Site], line: Any
) -> None:
    from pyrage import x25519

    key = x25519.Identity.generate()
    active = tree.activate(1, central="https://central.example")
    tree.add_library(active, LIBRARY, guardrails=RULES, recipient=str(key.to_public()))
    line.mode = "down"
    locked = make_site()
    assert locked.answer("sop", OIL).status == "deferred"
    (tree.state / PACK_KEY_FILE).write_text(f"{key}\n")
    said = make_site().answer("sop", OIL)
    assert said.passages[0].text == STEPS
    stored = b"".join(path.read_bytes() for path in tree.state.rglob("*") if path.is_file())
    assert b"Ring the oil" not in stored, "the text of a closed pack is nowhere on the disk"


def test_the_centre_answers_for_the_class_of_the_site_that_asks(
    library: Site, line: Any, centre: Centre, central_tree: Any
) -> None:
    passages = (
        passage("here", "Battery charge", "Battery charge for stores.", site_classes=("store",)),
        passage("there", "Battery charge", "Battery charge charge for depots.", site_classes=("depot",)),
    )
    central_tree.add_library(centre.serving.active(), passages)
    tree_rules = Guardrails(max_characters=1000, minimum_confidence=1.0)
    active = library.serving.active()
    strict = active.workflows["sop"].model_copy(update={"guardrails": tree_rules})
    (library.state / "versions" / active.version / "active.json").write_bytes(
        active.model_copy(update={"workflows": {**active.workflows, "sop": strict}}).model_dump_json().encode()
    )
    said = library.answer("sop", "battery charge")
    assert (said.status, said.produced_by.where) == ("answered", "central")
    assert [one.id for one in said.passages] == ["here"]
    assert line.sent[-1].site_class == "store"
    assert library.request(said.id).passages == said.passages


def test_the_http_api_and_the_page_show_passages(library: Site) -> None:
    client = TestClient(app(library, background=False), base_url="http://127.0.0.1:8470")
    body = client.post("/v1/workflows/sop", json={"text": OIL}).json()
    assert body["passages"][0]["text"] == STEPS
    assert body["passages"][0]["document"] == "HS-002"
    shown = client.post("/ask", data={"workflow": "sop", "text": "pallet slot slot"}).text
    assert "This procedure says something else" in shown
    assert "revision 3" in shown and "page 2" in shown
    stale = client.post("/ask", data={"workflow": "sop", "text": "battery charge"}).text
    assert "Its review was due on" in stale


def test_the_page_says_which_pack_answers_and_from_where_on(library: Site) -> None:
    from runtimes.edge.report import report

    said = report(library)["workflows"]
    pack = library.serving.active().workflows["sop"].pack
    assert pack is not None
    assert said["sop"]["pack"] == pack.digest
    assert said["sop"]["threshold"] == library.serving.threshold(library.serving.active(), "sop")
    assert not library.serving.loaded() - {pack.digest}, "looking loads no model"
    (triage,) = [one for name, one in said.items() if name != "sop"]
    assert triage["pack"] is None
