"""The line to the centre against a server that misbehaves in every way."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fleet_manifests import LadingError, RefusedError, UnreachableError
from runtimes.deferrals import Deferral, ProducedBy
from runtimes.edge.line import Breaker, HttpLine
from runtimes.problems import ForbiddenError, UnauthorizedError

Connect = Callable[[str], HttpLine]
GOOD = {
    "site": "store-017", "id": "r1", "status": "answered", "label": "short", "confidence": 0.9, "reason": "sure",
    "produced_by": {"where": "central"},
}  # fmt: skip


def deferral() -> Deferral:
    return Deferral.model_validate(
        {
            "site": "store-017", "id": "r1", "workflow": "exception_triage", "asked": "2026-01-01T00:00:00Z",
            "text": "short 3 cs", "reason": "unsure", "produced_by": ProducedBy(where="edge"), "seq": 1,
            "chain": "0" * 64,
        }
    )  # fmt: skip


class Centre(ThreadingHTTPServer):
    """Answers as it is told; remembers what it was asked."""

    status: int = 200
    body: bytes = json.dumps(GOOD).encode()
    slow: float = 0.0
    location: str | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str | None, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Centre

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.path, self.headers.get("authorization"), raw))
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("location", self.server.location)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        step = 64 if self.server.slow else 65536
        for at in range(0, len(self.server.body), step):
            try:
                self.wfile.write(self.server.body[at : at + step])
            except OSError:
                return
            time.sleep(self.server.slow)

    do_GET = do_POST

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Centre]:
    made = Centre()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes lines and closes them."""
    with contextlib.ExitStack() as stack:
        yield lambda url: stack.enter_context(contextlib.closing(HttpLine(url, "the-token")))


@pytest.mark.integration
def test_a_deferral_travels_with_its_token(server: Centre, connect: Connect) -> None:
    line = connect(server.url + "/")
    assert line.send(deferral(), seconds=5).label == "short"
    assert line.answer("store-017", "r1", seconds=5).label == "short"
    (path, token, raw), (later, _, _) = server.seen
    assert (path, later) == ("/v1/deferrals", "/v1/answers/store-017/r1")
    assert token == "Bearer the-token"
    assert Deferral.model_validate_json(raw) == deferral()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (400, RefusedError),
        (409, RefusedError),
        (413, RefusedError),
        (422, RefusedError),
        (302, UnreachableError),
        (408, UnreachableError),
        (429, UnreachableError),
        (500, UnreachableError),
        (503, UnreachableError),
    ],
)
def test_a_status_says_whether_to_try_again(
    server: Centre, status: int, error: type[LadingError], connect: Connect
) -> None:
    server.status, server.body = status, b'{"error": "because"}'
    with pytest.raises(error, match="because") as caught:
        connect(server.url).send(deferral(), seconds=5)
    assert type(caught.value) is error
    assert "the-token" not in str(caught.value)


@pytest.mark.integration
@pytest.mark.parametrize(
    "body",
    [
        b"<html>a proxy's page</html>",
        b"",
        json.dumps(GOOD | {"id": "other"}).encode(),
        json.dumps(GOOD | {"site": "store-018"}).encode(),
        json.dumps(GOOD | {"confidence": 7}).encode(),
        json.dumps(GOOD | {"status": "surely"}).encode(),
        json.dumps(GOOD | {"reason": "x" * 2_000_000}).encode(),
    ],
    ids=["html", "empty", "other id", "other site", "confidence", "status", "endless"],
)
def test_an_answer_that_is_none_is_no_delivery(server: Centre, body: bytes, connect: Connect) -> None:
    server.body = body
    with pytest.raises(UnreachableError, match="central"):
        connect(server.url).send(deferral(), seconds=5)


@pytest.mark.integration
def test_a_dripping_server_does_not_hold_a_caller(server: Centre, connect: Connect) -> None:
    server.slow, server.body = 0.2, json.dumps(GOOD | {"reason": "x" * 3000}).encode()
    begun = time.monotonic()
    with pytest.raises(UnreachableError, match="too slow"):
        connect(server.url).send(deferral(), seconds=0.5)
    assert time.monotonic() - begun < 5


@pytest.mark.integration
def test_a_redirect_does_not_carry_the_token_away(server: Centre, connect: Connect) -> None:
    elsewhere = Centre()
    server.status, server.location = 307, elsewhere.url
    with pytest.raises(UnreachableError, match="307"):
        connect(server.url).send(deferral(), seconds=5)
    assert elsewhere.seen == []
    elsewhere.server_close()


@pytest.mark.integration
def test_nobody_there_is_unreachable(connect: Connect) -> None:
    probe = Centre()
    url = probe.url
    probe.server_close()
    with pytest.raises(UnreachableError, match="ConnectError"):
        connect(url).send(deferral(), seconds=2)


@pytest.mark.unit
@pytest.mark.parametrize("url", ["http://central.example", "ftp://127.0.0.1", "central.example", "http://127.0.0.1.x"])
def test_a_token_is_not_sent_in_clear_text(url: str) -> None:
    with pytest.raises(RefusedError, match="https is expected"):
        HttpLine(url, "t")


@pytest.mark.unit
@pytest.mark.parametrize(
    "url", ["https://central.example", "http://127.0.0.1:8471", "http://[::1]:1", "http://localhost"]
)
def test_addresses_that_are_safe(url: str) -> None:
    HttpLine(url, "t").close()


@pytest.mark.unit
def test_the_breaker_leaves_a_broken_line_alone_for_a_while() -> None:
    now = 100.0
    breaker = Breaker(pause=10, clock=lambda: now)
    assert breaker.closed
    breaker.failed("down")
    assert not breaker.closed
    assert breaker.problem == "down"
    now = 110.0
    assert breaker.closed
    breaker.failed("down")
    breaker.worked()
    assert breaker.closed
    assert breaker.problem is None
