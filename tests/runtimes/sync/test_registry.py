"""A registry that wants tokens and sends on, and one that means harm: what a site answers, and whom it tells what."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleet_manifests import UnreachableError
from runtimes.sync.bearer import challenge_of
from runtimes.sync.registry import REDIRECTS, RegistrySource
from runtimes.sync.seam import MissingError
from runtimes.sync.web import SMALL
from tests.runtimes.sync.loris import Loris

pytestmark = pytest.mark.unit
BLOB = "blobs/sha256/" + "a" * 64
HOST = "registry.example"
REALM = "https://tokens.example/token"
CHALLENGE = f'Bearer realm="{REALM}",service="the registry",scope="repository:acme/models:pull"'
BASIC = "Basic " + base64.b64encode(b"site:hush").decode()


class Registry:
    """A registry, its token service and its store, in one function."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.shown: list[tuple[str, str | None]] = []
        """Each host that was asked, and the authorization that it was shown."""
        self.challenge: str | None = CHALLENGE
        self.token: dict[str, Any] | bytes = {"token": "t1", "expires_in": 300}
        self.token_status = 200
        self.accepted: tuple[str, ...] = ("Bearer t1",)
        self.location: str | None = None
        self.refused = 401
        self.now = 0.0

    def note(self, request: httpx.Request) -> None:
        self.asked.append(request)
        self.shown.append((request.url.host, request.headers.get("Authorization")))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.note(request)
        if request.url.host == "tokens.example":
            raw = self.token if isinstance(self.token, bytes) else json.dumps(self.token).encode()
            return httpx.Response(self.token_status, content=raw)
        if request.url.host not in (HOST, "127.0.0.1"):
            return httpx.Response(200, content=b"from the store")
        if self.challenge is not None and request.headers.get("Authorization") not in self.accepted:
            return httpx.Response(self.refused, headers={"WWW-Authenticate": self.challenge})
        if self.location is not None:
            return httpx.Response(307, headers={"Location": self.location})
        return httpx.Response(200, content=b"a blob")


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without passwords."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def password(home: Path) -> str:
    """What ~/.netrc says for the registry's host, and what it must never say to others."""
    path = home / ".netrc"
    path.write_text(f"machine {HOST} login site password hush\nmachine store.example login site password other\n")
    path.chmod(0o600)
    return BASIC


@pytest.fixture
def source(registry: Registry, home: Path) -> Iterator[RegistrySource]:
    with contextlib.closing(opened(registry)) as made:
        yield made


def over(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.BaseTransport:
    """A network on which this alone answers, in streams as a network does."""

    def streamed(request: httpx.Request) -> httpx.Response:
        made = answer(request)
        if not made.is_stream_consumed:
            return made
        return httpx.Response(made.status_code, headers=made.headers, stream=httpx.ByteStream(made.content))

    return httpx.MockTransport(streamed)


def opened(registry: Registry, address: str = f"https://{HOST}") -> RegistrySource:
    return RegistrySource(f"oci+{address}/acme/models", clock=lambda: registry.now, transport=over(registry))


def read(source: RegistrySource, offset: int = 0) -> bytes:
    with source.open(BLOB, offset) as stream:
        return b"".join(stream.chunks)


# what a registry may ask for


def test_a_token_is_fetched_once_and_shown_to_the_registry_alone(registry: Registry, source: RegistrySource) -> None:
    assert read(source) == read(source) == b"a blob"
    assert registry.shown == [
        (HOST, None),
        ("tokens.example", None),
        (HOST, "Bearer t1"),
        (HOST, "Bearer t1"),
    ]
    assert dict(registry.asked[1].url.params) == {"service": "the registry", "scope": "repository:acme/models:pull"}


def test_a_token_is_kept_for_its_term(registry: Registry, source: RegistrySource) -> None:
    read(source)
    registry.now, registry.token, registry.accepted = 299.0, {"access_token": "t2"}, ("Bearer t1", "Bearer t2")
    read(source)
    assert registry.shown[-1] == (HOST, "Bearer t1")
    registry.now = 300.0
    read(source)
    assert registry.shown[-3:] == [(HOST, None), ("tokens.example", None), (HOST, "Bearer t2")]
    registry.now = 359.0
    read(source)
    assert registry.shown[-1] == (HOST, "Bearer t2"), "without a term it holds 60 seconds"
    registry.now = 360.0
    read(source)
    assert registry.shown[-3:] == [(HOST, None), ("tokens.example", None), (HOST, "Bearer t2")]


def test_a_token_that_ended_early_is_replaced(registry: Registry, source: RegistrySource) -> None:
    read(source)
    registry.token, registry.accepted = {"token": "t2"}, ("Bearer t2",)
    assert read(source) == b"a blob"
    assert registry.shown[-3:] == [(HOST, "Bearer t1"), ("tokens.example", None), (HOST, "Bearer t2")]


def test_the_registrys_password_goes_to_its_token_service(
    password: str, registry: Registry, source: RegistrySource
) -> None:
    assert read(source) == b"a blob"
    assert registry.shown == [(HOST, None), ("tokens.example", password), (HOST, "Bearer t1")]
    assert all("hush" not in str(one.url) and "t1" not in str(one.url) for one in registry.asked)


def test_a_registry_may_ask_for_the_password_itself(password: str, registry: Registry, source: RegistrySource) -> None:
    registry.challenge, registry.accepted = 'Basic realm="Registry"', (password,)
    assert read(source) == read(source) == b"a blob"
    assert registry.shown == [(HOST, None), (HOST, password), (HOST, password)]


def test_several_scopes_are_several_questions(registry: Registry, source: RegistrySource) -> None:
    registry.challenge = f'Bearer realm="{REALM}?account=site",scope="repository:a:pull repository:b:pull,push"'
    read(source)
    assert registry.asked[1].url.params.multi_items() == [
        ("account", "site"),
        ("scope", "repository:a:pull"),
        ("scope", "repository:b:pull,push"),
    ]


@pytest.mark.parametrize(
    ("header", "scheme", "realm"),
    [
        ('Bearer realm="https://t/x",service="s"', "bearer", "https://t/x"),
        ('bearer service="a, b", realm = "https://t/x"', "bearer", "https://t/x"),
        ("Bearer realm=https://t/x", "bearer", "https://t/x"),
        ('Basic realm="who, Bearer realm=evil", Bearer realm="https://t/x"', "bearer", "https://t/x"),
        ('Bearer realm="https://t/\\x", Basic realm="b"', "bearer", "https://t/x"),
        ('Basic realm="b"', "basic", "b"),
    ],
)
def test_challenges_as_registries_write_them(header: str, scheme: str, realm: str) -> None:
    found = challenge_of([header])
    assert found is not None
    assert (found.scheme, found.realm) == (scheme, realm)


@pytest.mark.parametrize("header", ["", "Negotiate", "Bearer", 'Bearer realm="open', 'Digest realm="x"', "," * 50_000])
def test_challenges_that_are_none(header: str) -> None:
    assert challenge_of([header]) is None


# where it may send on to


def test_a_store_elsewhere_is_shown_no_token_and_no_password(
    password: str, registry: Registry, source: RegistrySource
) -> None:
    registry.location = "https://store.example/blob?signature=secret"
    assert read(source, 7) == b"from the store"
    assert registry.shown[-2:] == [(HOST, "Bearer t1"), ("store.example", None)]
    assert registry.asked[-1].headers["Range"] == "bytes=7-"


def test_the_same_host_by_another_port_is_another(registry: Registry, source: RegistrySource) -> None:
    registry.location = f"https://{HOST}:444/blob"
    with pytest.raises(UnreachableError, match=r"sent on|HTTP 401"):
        read(source)
    assert registry.shown[-1] == (HOST, None)


@pytest.mark.parametrize(
    "location",
    ["http://registry.example/x", "http://127.0.0.1/x", "file:///etc/passwd", "ftp://store.example/x", "https:///x:"],
)
def test_redirect_to_another_scheme(registry: Registry, source: RegistrySource, location: str) -> None:
    registry.location = location
    with pytest.raises(UnreachableError):
        read(source)
    assert {host for host, _ in registry.shown} == {HOST, "tokens.example"}


def test_redirect_to_another_scheme_is_said_without_its_query(registry: Registry, source: RegistrySource) -> None:
    registry.location = "http://user:hush@store.example/x?signature=hush"
    with pytest.raises(UnreachableError, match="sends on to http://store.example, which no site asks") as caught:
        read(source)
    assert "hush" not in str(caught.value)


def test_a_local_registry_may_send_on_locally_and_nowhere_else(registry: Registry, home: Path) -> None:
    registry.challenge = None
    with contextlib.closing(opened(registry, "http://127.0.0.1:5000")) as source:
        registry.location = "http://store.example/x"
        with pytest.raises(UnreachableError, match="https was expected"):
            read(source)
        registry.location = "https://store.example/x"
        assert read(source) == b"from the store"


def test_endless_redirect(registry: Registry, source: RegistrySource) -> None:
    registry.challenge, registry.location = None, "/v2/again"
    with pytest.raises(UnreachableError, match="sent on more than 4 times"):
        read(source)
    assert len(registry.asked) == 1 + REDIRECTS


class Bottomless(httpx.SyncByteStream):
    """A body that is as long as it is read."""

    given = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.given += 4096
            yield b"x" * 4096


@pytest.mark.parametrize("status", [307, 401])
def test_an_answer_before_the_blob_that_does_not_end(registry: Registry, home: Path, status: int) -> None:
    body = Bottomless()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == HOST and "Authorization" not in request.headers:
            headers = {"Location": "https://store.example/x", "WWW-Authenticate": CHALLENGE}
            return httpx.Response(status, headers=headers, stream=body)
        return registry(request)

    with contextlib.closing(RegistrySource(f"oci+https://{HOST}/m", transport=over(answer))) as source:
        assert read(source) in (b"a blob", b"from the store")
    assert body.given <= SMALL + 4096


# token services that mean harm


@pytest.mark.parametrize(
    "realm",
    ["http://tokens.example/token", "http://127.0.0.1/token", "ftp://tokens.example", "//tokens.example", "token", ""],
)
def test_a_realm_that_others_may_read_is_not_asked(
    password: str, registry: Registry, source: RegistrySource, realm: str
) -> None:
    registry.challenge = f'Bearer realm="{realm}",service="s"'
    with pytest.raises(UnreachableError, match="names as its token service .*https was expected"):
        read(source)
    assert registry.shown == [(HOST, None)]


def test_a_local_registry_may_name_a_local_realm(registry: Registry, home: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"token": "t1"})
        return registry(request)

    registry.challenge = 'Bearer realm="http://localhost:5001/token",service="s"'
    transport = over(answer)
    with contextlib.closing(RegistrySource("oci+http://127.0.0.1:5000/acme", transport=transport)) as source:
        assert read(source) == b"a blob"
    registry.challenge = 'Bearer realm="http://tokens.example/token",service="s"'
    with contextlib.closing(opened(registry, "http://127.0.0.1:5000")) as source:
        registry.shown.clear()
        with pytest.raises(UnreachableError, match="https was expected"):
            read(source)
    assert registry.shown == [("127.0.0.1", None)]


def test_a_huge_token_answer(registry: Registry, source: RegistrySource) -> None:
    registry.token = b'{"token": "' + b"x" * 1_000_000
    with pytest.raises(UnreachableError, match="a JSON document of at most 65536 bytes"):
        read(source)


def test_a_token_answer_that_does_not_end(registry: Registry, home: Path) -> None:
    body = Bottomless()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=body) if request.url.host == "tokens.example" else registry(request)

    source = RegistrySource(f"oci+https://{HOST}/m", transport=over(answer))
    with contextlib.closing(source), pytest.raises(UnreachableError, match="a token was expected"):
        read(source)
    assert body.given <= SMALL + 4096


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hush",
        b"[" * 60_000,
        b"[]",
        b'{"token": "hush\\r\\nX: y"}',
        b'{"token": ""}',
        b'{"token": 1}',
        b'{"token": "hush", "token": "other"}',
        b'{"token": "hush", "expires_in": -1}',
        b'{"token": "hush", "expires_in": NaN}',
        b'{"refresh_token": "hush"}',
    ],
)
def test_a_token_answer_that_is_none_is_not_repeated(registry: Registry, source: RegistrySource, answer: bytes) -> None:
    registry.token = answer
    with pytest.raises(UnreachableError, match=r"token service https://tokens\.example") as caught:
        read(source)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert [host for host, _ in registry.shown] == [HOST, "tokens.example"]


@pytest.mark.parametrize("status", [401, 403, 302, 500])
def test_a_token_service_that_refuses(password: str, registry: Registry, source: RegistrySource, status: int) -> None:
    registry.token_status = status
    with pytest.raises(UnreachableError, match=f"HTTP {status} where a token was expected.*machine {HOST}") as caught:
        read(source)
    assert "hush" not in str(caught.value)
    assert [host for host, _ in registry.shown] == [HOST, "tokens.example"]


def test_token_loop(registry: Registry, source: RegistrySource) -> None:
    """The registry asks for a token whatever it is shown: one is fetched, once."""
    registry.accepted = ()
    with pytest.raises(UnreachableError, match=r"may not read there \(HTTP 401\)") as caught:
        read(source)
    assert [host for host, _ in registry.shown] == [HOST, "tokens.example", HOST]
    assert "t1" not in str(caught.value)


def test_a_store_elsewhere_cannot_ask_for_a_token(password: str, registry: Registry, home: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "store.example":
            registry.note(request)
            return httpx.Response(401, headers={"WWW-Authenticate": CHALLENGE})
        return registry(request)

    registry.challenge, registry.location = None, "https://store.example/x"
    source = RegistrySource(f"oci+https://{HOST}/m", transport=over(answer))
    with contextlib.closing(source), pytest.raises(UnreachableError, match="HTTP 401"):
        read(source)
    assert registry.shown == [(HOST, None), ("store.example", None)]


@pytest.mark.parametrize("challenge", ['Basic realm="Registry"', "Negotiate"])
def test_a_password_that_is_not_there(registry: Registry, source: RegistrySource, challenge: str) -> None:
    registry.challenge = challenge
    with pytest.raises(UnreachableError, match=f"asks for a password .*machine {HOST}"):
        read(source)
    assert len(registry.asked) == 1


def test_what_a_site_may_not_read_is_said(registry: Registry, source: RegistrySource) -> None:
    registry.refused = 403
    with pytest.raises(UnreachableError, match=r"may not read there \(HTTP 403\)"):
        read(source)


def test_what_a_registry_lacks_is_missing(home: Path) -> None:
    transport = over(lambda request: httpx.Response(404))
    source = RegistrySource(f"oci+https://{HOST}/m", transport=transport)
    with contextlib.closing(source), pytest.raises(MissingError):
        read(source)


def test_a_slow_token_service(loris: Callable[..., Any], home: Path) -> None:
    """Its line is watched like every other."""
    slow = loris(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"{")
    realm = f'WWW-Authenticate: Bearer realm="{slow.address}/token"'
    server = loris(f"HTTP/1.1 401 Unauthorized\r\n{realm}\r\nContent-Length: 0\r\n\r\n".encode(), b" ")
    with contextlib.closing(RegistrySource(f"oci+{server.address}/m")) as source:
        source._slowest, source._grace = 10_000, 0.1
        with pytest.raises(UnreachableError, match="less than 10000 a second"):
            read(source)
    assert slow.sent < 2_000


def test_the_line_to_a_registry_is_watched_after_one_to_its_store(
    make_web: Callable[[Path], Any], tmp_path: Path, home: Path
) -> None:
    """The connection that was opened last is that to the store; the one in use is the registry's."""
    (tmp_path / "blob").write_bytes(b"from the store")
    store = make_web(tmp_path)

    class Turning(Loris):
        def _answer(self, line: socket.socket) -> None:
            head = f"HTTP/1.1 307 On\r\nLocation: {store.address}/blob\r\nContent-Length: 0\r\n\r\n"
            with line, contextlib.suppress(OSError):
                line.recv(65536)
                line.sendall(head.encode())
                super()._answer(line)

    server = Turning(b"HTTP/1.1 200 OK\r\n", b"X-Slow: aaaaaaaaaaaaaaaa")
    with contextlib.closing(server), contextlib.closing(RegistrySource(f"oci+{server.address}/m")) as source:
        source._slowest, source._grace = 10_000, 0.1
        assert read(source) == b"from the store"
        with pytest.raises(UnreachableError, match="less than 10000 a second"):
            read(source)
    assert server.sent < 2_000
