"""The centre's HTTP API: who may say what, and how it is refused."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from runtimes.central.http import BadTokens, app
from runtimes.central.service import Centre
from runtimes.deferrals import MAX_BYTES, Deferral

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

pytestmark = pytest.mark.unit

URL = "/v1/deferrals"
Make = Callable[..., Deferral]


@pytest.fixture
def client(centre: Centre) -> TestClient:
    return TestClient(app(centre))


@pytest.fixture
def token(centre: Centre) -> dict[str, str]:
    return {"authorization": "Bearer " + centre.store.new_token("store-017")}


def sent(deferral: Deferral) -> dict[str, Any]:
    return deferral.model_dump(mode="json")


def test_a_deferral_is_answered_and_can_be_asked_for(client: TestClient, token: dict[str, str], deferral: Make) -> None:
    said = client.post(URL, json=sent(deferral()), headers=token)
    assert said.status_code == 200
    assert said.json()["label"] == "damage"
    assert client.post(URL, json=sent(deferral()), headers=token).json() == said.json()
    assert client.get("/v1/answers/store-017/r1", headers=token).json() == said.json()


def test_another_content_under_the_same_id_is_409(client: TestClient, token: dict[str, str], deferral: Make) -> None:
    client.post(URL, json=sent(deferral()), headers=token)
    assert client.post(URL, json=sent(deferral(text="late")), headers=token).status_code == 409


def test_a_site_speaks_for_itself_only(
    client: TestClient, token: dict[str, str], deferral: Make, centre: Centre
) -> None:
    response = client.post(URL, json=sent(deferral(site="store-018")), headers=token)
    assert response.status_code == 403
    assert "cannot speak for site store-018" in response.json()["error"]
    assert centre.store.counts()["records"] == 1
    assert client.get("/v1/answers/store-018/r1", headers=token).status_code == 403


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer guess", "Basic Zm9vOmJhcg==", "guess", "Bearer gu\xe9ss"],
)
def test_without_a_right_token_nothing_is_said(
    client: TestClient, deferral: Make, centre: Centre, header: str | None
) -> None:
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    for response in (
        client.post(URL, json=sent(deferral()), headers=headers),
        client.get("/v1/answers/store-017/r1", headers=headers),
        client.get("/v1/status", headers=headers),
    ):
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
    assert centre.store.counts()["records"] == 0


def test_the_token_is_checked_before_the_body_is_read(client: TestClient) -> None:
    response = client.post(URL, content=b"a" * (MAX_BYTES + 1), headers={"authorization": "Bearer guess"})
    assert response.status_code == 401


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"site": "Store 17"}, 422),
        ({"id": "a b"}, 422),
        ({"seq": 0}, 422),
        ({"chain": "short"}, 422),
        ({"text": 7}, 422),
        ({"asked": "yesterday"}, 422),
        ({"schema_version": 2}, 422),
        ({"text": "a" * MAX_BYTES}, 413),
    ],
)
def test_bodies_that_are_no_deferral(
    client: TestClient, token: dict[str, str], deferral: Make, changes: dict[str, Any], status: int
) -> None:
    response = client.post(URL, json=sent(deferral()) | changes, headers=token)
    assert response.status_code == status
    assert set(response.json()) == {"error"}


def test_not_json_is_400_and_unknown_is_404(client: TestClient, token: dict[str, str]) -> None:
    headers = token | {"content-type": "application/json"}
    assert client.post(URL, content=b"{", headers=headers).status_code == 400
    assert client.get("/v1/answers/store-017/nobody", headers=token).status_code == 404
    assert client.get("/v2", headers=token).status_code == 404


def test_nothing_active_is_503(make_tree: Callable[[str], Any], deferral: Make) -> None:
    centre = Centre(make_tree("central").state)
    client = TestClient(app(centre))
    headers = {"authorization": "Bearer " + centre.store.new_token("store-017")}
    assert client.post(URL, json=sent(deferral()), headers=headers).status_code == 503
    assert client.get("/healthz").status_code == 503
    centre.close()


def test_health_and_status(client: TestClient, token: dict[str, str], deferral: Make) -> None:
    assert client.get("/healthz").json() == {"status": "ok", "manifest_version": 7}
    client.post(URL, json=sent(deferral()), headers=token)
    said = client.get("/v1/status", headers=token).json()
    assert said["deferrals"]["answered"] == 1
    assert "exception_triage" in said["workflows"]


def test_neither_texts_nor_tokens_are_logged(
    client: TestClient, token: dict[str, str], deferral: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client.post(URL, json=sent(deferral(text="secretword")), headers=token)
    client.post(URL, json=sent(deferral(text="secretword")), headers={"authorization": "Bearer guessedtoken"})
    assert "wrong token" in caplog.text
    assert "guessedtoken" not in caplog.text
    assert "secretword" not in caplog.text
    assert json.dumps(token).split()[-1].strip('"}') not in caplog.text


def test_wrong_tokens_are_counted_and_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    counter = BadTokens(clock=lambda: now)
    for _ in range(5):
        counter.seen("10.0.0.9")
    now = 61.0
    counter.seen("10.0.0.9")
    assert [record.getMessage() for record in caplog.records] == [
        "1 requests with a wrong token, the last one from 10.0.0.9",
        "5 requests with a wrong token, the last one from 10.0.0.9",
    ]
