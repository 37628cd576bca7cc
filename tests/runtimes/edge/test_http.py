"""The site's HTTP API: right codes, one clear message, nothing for strangers."""

from __future__ import annotations

import json
import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from runtimes.edge.http import app
from runtimes.edge.service import Site
from runtimes.web import MAX_BYTES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

pytestmark = pytest.mark.unit

URL = "/v1/workflows/exception_triage"
SURE = {"text": "short on the pallet"}
UNSURE = {"text": "short and damage both"}


def client_of(site: Site, **changes: Any) -> TestClient:
    return TestClient(app(site, background=False, **changes), base_url="http://127.0.0.1:8470")


@pytest.fixture
def client(site: Site) -> TestClient:
    return client_of(site)


def test_answered(client: TestClient) -> None:
    said = client.post(URL, json=SURE | {"id": "r-1", "role": "clerk"})
    assert said.status_code == 200
    body = said.json()
    assert {"id", "status", "label", "confidence", "reason", "produced_by"} <= set(body)
    assert (body["id"], body["status"], body["label"]) == ("r-1", "answered", "short")
    assert body["produced_by"]["where"] == "edge"
    assert {"bundle", "manifest_version", "channel", "profile"} <= set(body["produced_by"])
    assert client.get("/v1/requests/r-1").json() == body


def test_deferred_then_answered_by_the_centre(client: TestClient, site: Site, line: Any) -> None:
    line.mode = "down"
    body = client.post(URL, json=UNSURE).json()
    assert (body["status"], body["label"]) == ("deferred", None)
    line.mode = "up"
    site.courier.flush()
    later = client.get(f"/v1/requests/{body['id']}").json()
    assert (later["status"], later["produced_by"]["where"]) == ("answered", "central")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "not a JSON document"),
        (b"\xff\xfe", 400, "not a JSON document"),
        (b"[" * 100_000, 400, "not a JSON document"),
        (b"{}", 422, "text: Field required"),
        (b"[]", 422, "body"),
        (b'{"text": 7}', 422, "text: Input should be a valid string"),
        (b'{"text": null}', 422, "text"),
        (b'{"text": ""}', 422, "text: is empty"),
        (b'{"text": "\\ud800"}', 422, "text"),
        (b'{"text": "a", "text": "b"}', 422, "appears twice"),
        (b'{"text": "a", "id": "no spaces"}', 422, "id:"),
        (b'{"text": "a", "role": 3}', 422, "role"),
        (json.dumps({"text": "short " * 200}).encode(), 413, "at most 1000 characters"),
        (b'{"text": "' + b"a" * MAX_BYTES + b'"}', 413, "larger than 1048576 bytes"),
    ],
)
def test_bodies_that_cannot_be_used(client: TestClient, body: bytes, status: int, said: str) -> None:
    response = client.post(URL, content=body, headers={"content-type": "application/json"})
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert said in response.json()["error"]


def test_a_body_without_a_length_is_cut_off_at_the_limit(client: TestClient) -> None:
    sent = 0

    def endless() -> Any:
        nonlocal sent
        while sent < 100 * MAX_BYTES:
            sent += 65536
            yield b"a" * 65536

    response = client.post(URL, content=endless(), headers={"content-type": "application/json"})
    assert response.status_code == 413


@pytest.mark.parametrize("declared", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_form_of_a_foreign_page_is_no_request(client: TestClient, declared: str) -> None:
    response = client.post(URL, content=json.dumps(SURE), headers={"content-type": declared})
    assert response.status_code == 400
    assert "application/json expected" in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/workflows/nothing", 404),
        ("GET", "/v1/requests/nobody", 404),
        ("GET", "/nowhere", 404),
        ("GET", URL, 405),
    ],
)
def test_unknown_names(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path, json=SURE if method == "POST" else None)
    assert response.status_code == status
    assert "error" in response.json()


def test_a_role_that_may_not_ask(tree: Any, make_site: Callable[..., Site]) -> None:
    tree.activate(1, workflows={"exception_triage": {"roles": ("clerk",)}})
    response = client_of(make_site()).post(URL, json=SURE | {"role": "guest"})
    assert response.status_code == 403


def test_an_id_used_for_something_else(client: TestClient) -> None:
    client.post(URL, json=SURE | {"id": "one"})
    assert client.post(URL, json=UNSURE | {"id": "one"}).status_code == 409


def test_nothing_active_is_503_until_sync(tree: Any, make_site: Callable[..., Site]) -> None:
    client = client_of(make_site())
    for response in (client.post(URL, json=SURE), client.get("/healthz")):
        assert response.status_code == 503
        assert response.headers["retry-after"] == "30"
        assert "run `sync`" in response.json()["error"]
    assert client.get("/v1/status").json()["serving"] is False
    assert client.get("/").status_code == 200
    tree.activate(1)
    assert client.post(URL, json=SURE).status_code == 200
    assert client.get("/healthz").json() == {"status": "ok", "manifest_version": 1}


def test_a_damaged_version_is_503_and_says_what_to_do(tree: Any, make_site: Callable[..., Site]) -> None:
    active = tree.activate(1)
    client = client_of(make_site())
    assert client.post(URL, json=SURE).status_code == 200
    path = tree.state / "versions" / active.version / "active.json"
    part = path.with_suffix(".part")
    part.write_text("{")
    part.replace(path)
    response = client.post(URL, json=SURE)
    assert response.status_code == 503
    assert "active.json" in response.json()["error"]


def test_reload_while_serving(client: TestClient, tree: Any) -> None:
    assert client.post(URL, json=SURE).json()["produced_by"]["manifest_version"] == 1
    tree.activate(2)
    assert client.post(URL, json=SURE).json()["produced_by"]["manifest_version"] == 2


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8470", "127.0.0.1.evil.example"])
def test_a_page_that_rebinds_dns_is_refused(client: TestClient, host: str) -> None:
    for path in ("/v1/status", "/"):
        assert client.get(path, headers={"host": host}).status_code == 403
    assert client.post(URL, json=SURE, headers={"host": host}).status_code == 403


def test_with_a_token_every_caller_needs_it(site: Site) -> None:
    client = client_of(site, api_token="s3cret")
    assert client.post(URL, json=SURE).status_code == 401
    assert client.get("/").status_code == 401
    wrong = client.post(URL, json=SURE, headers={"authorization": "Bearer guess"})
    assert wrong.status_code == 401
    assert "s3cret" not in wrong.text
    right = {"authorization": "Bearer s3cret", "host": "store-017.example"}
    assert client.post(URL, json=SURE, headers=right).status_code == 200
    assert client.get("/healthz").status_code == 200


def test_status_tells_what_runs(client: TestClient, line: Any) -> None:
    line.mode = "down"
    client.post(URL, json=UNSURE)
    said = client.get("/v1/status").json()
    assert said["workflows"]["exception_triage"]["loaded"] is True
    assert said["workflows"]["exception_triage"]["threshold"] == 0.8
    assert said["outbox"]["queued"] == 1
    assert said["line"]["problem"] == "central: connection refused"


def test_the_page_escapes_what_it_shows(tree: Any, make_site: Callable[..., Site]) -> None:
    tree.activate(1, workflows={"exception_triage": {"title": "<script>alert(1)</script>"}})
    page = client_of(make_site()).get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "store-017" in page.text


def test_a_fault_of_ours_is_500_and_keeps_its_cause_to_itself(site: Site) -> None:
    client = TestClient(app(site, background=False), base_url="http://localhost", raise_server_exceptions=False)
    site.answer = lambda *args, **kwargs: {}["secret key"]  # type: ignore[method-assign]
    response = client.post(URL, json=SURE)
    assert response.status_code == 500
    assert "secret" not in response.text


def test_texts_are_not_logged(client: TestClient, line: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    line.mode = "down"
    for text in ("short secretword", "short damage secretword", "secretword " * 200):
        client.post(URL, json={"text": text})
    client.post(URL, content=b'{"text": "secretword', headers={"content-type": "application/json"})
    assert caplog.records
    assert "secretword" not in caplog.text


def test_the_background_runs_with_the_server(site: Site, line: Any) -> None:
    with TestClient(app(site), base_url="http://127.0.0.1") as client:
        assert client.post(URL, json=SURE).status_code == 200
        names = {thread.name for thread in threading.enumerate()}
        assert "outbox" in names
    names = {thread.name for thread in threading.enumerate()}
    assert "outbox" not in names
