"""A site that answers with the build before a revoked one says so: to its callers, to the centre, and of itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from runtimes.edge import cli, page
from runtimes.edge.report import report
from runtimes.edge.service import Site
from runtimes.sync.active import Active, Before, Returned, bundle_folder

pytestmark = pytest.mark.unit

TRIAGE = "exception_triage"
SURE, UNSURE = "short on the pallet", "short and damage both"
REVOKED, MANIFEST = "sha256:" + "e" * 64, "sha256:" + "a" * 64
SAID = "its bundle was revoked: wrong labels; the build before it answers, which stable 1 approved"


@pytest.fixture
def active(tree: Any) -> Active:
    """Manifest 2 runs, and of its one workflow the build of manifest 1, in its own place."""
    made = tree.activate(2, central="https://central.example")
    entry = made.workflows[TRIAGE]
    before = Before(channel="stable", manifest_version=1, manifest=MANIFEST, bundle=entry.bundle, blobs=())
    returned = Returned(before=before, instead=REVOKED, reason="its bundle was revoked: wrong labels")
    now: Active = made.model_copy(update={"workflows": {TRIAGE: entry.model_copy(update={"returned": returned})}})
    place = bundle_folder(tree.state, now, TRIAGE)
    place.parent.mkdir(parents=True)
    tree.folder(made).rename(place)
    tree.write(now)
    return now


@pytest.fixture
def site(active: Active, make_site: Callable[..., Site]) -> Site:
    return make_site()


def test_an_answer_names_the_build_and_what_it_stands_in_for(site: Site, active: Active) -> None:
    said = site.answer(TRIAGE, SURE)
    by = said.produced_by
    assert (said.status, by.where, by.channel, by.manifest_version) == ("answered", "edge", "stable", 1)
    assert (by.bundle, by.instead_of) == (active.workflows[TRIAGE].bundle, REVOKED)


def test_the_centre_hears_of_it_with_what_is_deferred(site: Site, line: Any) -> None:
    site.answer(TRIAGE, UNSURE)
    (sent,) = line.sent
    assert (sent.produced_by.manifest_version, sent.produced_by.instead_of) == (1, REVOKED)


def test_the_report_and_the_page_say_it(site: Site) -> None:
    found = report(site)
    assert (found["serving"], found["manifest_version"]) == (True, 2)
    assert found["workflows"][TRIAGE]["returned"] == SAID
    assert SAID in page.page(found)


def test_the_command_line_says_it(site: Site, tree: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LADING_SITE_STATE", str(tree.state))

    def run(*words: str) -> str:
        with pytest.raises(SystemExit):
            cli.main(words)
        return str(capsys.readouterr().out)

    assert SAID in run("status")
    assert json.loads(run("status", "--json"))["active"]["workflows"][TRIAGE]["returned"]["instead"] == REVOKED
    assert f"stable 1, edge-test, {site.serving.active().workflows[TRIAGE].bundle[:19]} in place of {REVOKED[:19]}" in (
        run("ask", TRIAGE, "--text", SURE)
    )


def test_a_build_that_did_not_come_back_is_said_with_the_reason(site: Site, tree: Any, active: Active) -> None:
    why = "the build before it does not come back: the signature does not hold"
    stopped = {"workflows": {}, "skipped": {TRIAGE: "its bundle was revoked: wrong labels"}, "refused": {TRIAGE: why}}
    tree.write(active.model_copy(update={**stopped, "stopped": active.workflows}))
    said = site.answer(TRIAGE, SURE)
    assert said.produced_by.where == "central"
    assert f"its bundle was revoked: wrong labels; {why}" in said.reason
    assert report(site)["skipped"] == {TRIAGE: f"its bundle was revoked: wrong labels; {why}"}
