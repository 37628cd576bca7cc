"""The page on which a person asks: what it shows, and whom it does not serve."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest

from runtimes.edge.http import app
from runtimes.edge.service import Site
from runtimes.web import MAX_BYTES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

pytestmark = pytest.mark.unit
TRIAGE = "exception_triage"


@pytest.fixture
def client(site: Site) -> TestClient:
    return TestClient(app(site, background=False), base_url="http://127.0.0.1:8470")


def test_the_form_names_the_workflows_of_this_site(client: TestClient) -> None:
    found = client.get("/ask")
    assert found.status_code == 200
    assert 'value="exception_triage"' in found.text and "Exception triage" in found.text
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy
    assert "<script" not in found.text


def test_an_answer_is_shown_with_what_gave_it(client: TestClient, site: Site) -> None:
    found = client.post("/ask", data={"workflow": TRIAGE, "text": "short on the pallet"})
    assert '<p class="big">short</p>' in found.text
    request = re.search(r"request ([0-9a-f]{32})", found.text)
    assert request and site.request(request[1]).label == "short", "it is in the audit like any other"


def test_a_deferral_is_shown(client: TestClient, line: Any) -> None:
    line.mode = "down"
    found = client.post("/ask", data={"workflow": TRIAGE, "text": "short and damage both"})
    assert "Not answered here" in found.text


@pytest.mark.parametrize("text", ["", "   "])
def test_a_problem_is_shown_on_the_page(client: TestClient, text: str) -> None:
    found = client.post("/ask", data={"workflow": TRIAGE, "text": text})
    assert found.status_code == 200
    assert "text: is empty" in found.text


def test_an_unknown_workflow_is_a_problem_on_the_page(client: TestClient) -> None:
    found = client.post("/ask", data={"workflow": "nonsense", "text": "x"})
    assert "is unknown" in found.text


def test_what_a_person_typed_is_escaped(client: TestClient, line: Any) -> None:
    line.mode = "down"
    found = client.post("/ask", data={"workflow": TRIAGE, "text": "<script>alert(1)</script>"})
    assert "<script>" not in found.text and "&lt;script&gt;" in found.text


def test_a_form_of_another_page_is_refused(client: TestClient, site: Site) -> None:
    before = site.outbox.counts()
    found = client.post("/ask", data={"workflow": TRIAGE, "text": "short"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert found.status_code == 403
    assert site.outbox.counts() == before


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 400),
        (b"workflow=\xff", "application/x-www-form-urlencoded", 400),
        (b"text=" + b"a" * (MAX_BYTES + 1), "application/x-www-form-urlencoded", 413),
        (b"&".join(b"f%d=1" % n for n in range(40)), "application/x-www-form-urlencoded", 400),
    ],
)
def test_what_is_not_this_form_is_refused(client: TestClient, content: bytes, kind: str, status: int) -> None:
    found = client.post("/ask", content=content, headers={"Content-Type": kind})
    assert found.status_code == status


def test_another_host_name_is_not_served(site: Site) -> None:
    elsewhere = TestClient(app(site, background=False), base_url="http://rebound.example")
    assert elsewhere.get("/ask").status_code == 403


def test_where_a_token_is_needed_the_page_needs_it_too(site: Site) -> None:
    locked = TestClient(app(site, background=False, api_token="secret"), base_url="http://127.0.0.1:8470")
    assert locked.get("/ask").status_code == 401
