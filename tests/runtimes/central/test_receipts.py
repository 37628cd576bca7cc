"""Receipts at the centre: each site hands in its own, and gets them there whole."""

from __future__ import annotations

import contextlib
import stat
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn

from fleet_manifests import HostFacts, Machine, Receipt, RefusedError, UnreachableError, digest_of
from fleet_manifests.dsse import ENVELOPE_TYPE
from runtimes import command
from runtimes.central import receipts
from runtimes.central.http import app
from runtimes.central.service import Centre
from runtimes.device import ensure_key, load_key
from runtimes.edge.line import HttpLine
from runtimes.measure.latency import Outcome
from runtimes.measure.receipt import seal
from runtimes.problems import ForbiddenError, UnauthorizedError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

pytestmark = pytest.mark.unit
URL = "/v1/receipts"
ANY = "sha256:" + "0" * 64


@pytest.fixture
def made(tmp_path: Path) -> bytes:
    ensure_key(tmp_path)
    host = HostFacts(architecture="x86_64", cores=1, memory_mb=100)
    receipt = Receipt(
        id="ab" * 16, site="store-017", workflow="triage", profile="edge", bundle=ANY, cases=ANY, manifest=1,
        taken=datetime(2027, 1, 1, tzinfo=UTC), machine=Machine(host=host, isa="x86-64"),
    )  # fmt: skip
    return seal(receipt, b"outputs" * 40_000, Outcome(), load_key(tmp_path).signer)


@pytest.fixture
def client(centre: Centre) -> TestClient:
    return TestClient(app(centre))


def headers(centre: Centre, site: str = "store-017", kind: str = ENVELOPE_TYPE) -> dict[str, str]:
    return {"authorization": f"Bearer {centre.store.new_token(site)}", "content-type": kind}


def files(centre: Centre) -> list[Path]:
    return sorted(centre.receipts.folder.glob("*"))


def test_a_receipt_is_kept_as_it_came_and_once(client: TestClient, centre: Centre, made: bytes) -> None:
    said = headers(centre)
    for _ in range(2):
        answer = client.post(URL, content=made, headers=said)
        assert (answer.status_code, answer.json()) == (200, {"receipt": digest_of(made)})
    (file,) = files(centre)
    assert file.name == f"store-017--{digest_of(made)[7:]}.receipt.dsse.json" and file.read_bytes() == made
    assert stat.S_IMODE(centre.receipts.folder.stat().st_mode) == 0o700


def test_nobody_hands_in_anothers(client: TestClient, centre: Centre, made: bytes) -> None:
    answer = client.post(URL, content=made, headers=headers(centre, "store-018"))
    assert answer.status_code == 403 and "cannot hand in a receipt of site store-017" in answer.json()["error"]
    assert client.post(URL, content=made, headers={"content-type": ENVELOPE_TYPE}).status_code == 401
    assert not files(centre)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[" * 3000])
def test_what_is_no_receipt_is_422(client: TestClient, centre: Centre, raw: bytes) -> None:
    assert client.post(URL, content=raw, headers=headers(centre)).status_code == 422
    assert not files(centre)


def test_size_and_number_are_bounded(
    client: TestClient, centre: Centre, made: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = headers(centre)
    assert client.post(URL, content=made, headers={**said, "content-type": "text/plain"}).status_code == 400
    monkeypatch.setattr(receipts, "MAX_OF_A_SITE", 0)
    assert client.post(URL, content=made, headers=said).status_code == 409
    monkeypatch.setattr("runtimes.central.http.MAX_RECEIPT_BYTES", 1000)
    assert client.post(URL, content=made, headers=said).status_code == 413
    assert not files(centre)


@contextlib.contextmanager
def served(centre: Centre) -> Iterator[str]:
    """The centre on a port of this machine."""
    with command.bound("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app(centre), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def submit(url: str, token: str, raw: bytes, seconds: float = 20) -> None:
    with contextlib.closing(HttpLine(url, token)) as line:
        line.submit(raw, seconds=seconds)


def test_the_line_hands_in(centre: Centre, made: bytes) -> None:
    with served(centre) as url:
        submit(url, centre.store.new_token("store-017"), made)
        assert [file.read_bytes() for file in files(centre)] == [made]
        with pytest.raises(ForbiddenError):
            submit(url, centre.store.new_token("store-018"), made)
        with pytest.raises(UnauthorizedError):
            submit(url, "nobody", made)
        with pytest.raises(RefusedError, match="status 422"):
            submit(url, centre.store.new_token("store-017"), b"{}")
    with pytest.raises(UnreachableError):
        submit(url, "t", made, seconds=2)
