"""A server that is slow on purpose, whichever part of its answer it stretches; and passwords."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_manifests import UnreachableError, UsageError
from runtimes.sync.web import HttpSource
from tests.runtimes.sync.loris import Loris

pytestmark = pytest.mark.unit
HEAD = b"HTTP/1.1 200 OK\r\n"


def read(source: HttpSource) -> bytes:
    with contextlib.closing(source), source.open("metadata/timestamp.json") as stream:
        return b"".join(stream.chunks)


@pytest.mark.parametrize(
    ("beginning", "rest"),
    [
        (b"", HEAD),
        (HEAD, b"X-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        (HEAD + b"Content-Length: 100000\r\n\r\n", b"{"),
        (HEAD + b"\r\n", b"{"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;", b"a"),
    ],
    ids=["status line", "header", "body", "body without length", "chunks", "chunk extension"],
)
def test_slow_retrieval(loris: Callable[..., Loris], beginning: bytes, rest: bytes) -> None:
    """A byte at a time keeps every single read alive; the answer as a whole is given up."""
    server = loris(beginning, rest)
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=r"\d+ bytes in \d\.\d s, less than 10000 a second"):
        read(HttpSource(server.address, slowest=10_000, grace=0.1))
    assert time.monotonic() - began < 30
    assert server.sent < 2_000


def test_a_line_that_was_used_before_is_watched_too(loris: Callable[..., Loris]) -> None:
    """The second answer on a connection that stays open."""
    answer = HEAD + b"Content-Length: 2\r\n\r\n{}"

    class Turning(Loris):
        def _answer(self, line: socket.socket) -> None:
            with line, contextlib.suppress(OSError):
                line.recv(65536)
                line.sendall(answer)
                super()._answer(line)

    server = Turning(HEAD, b"X-Slow: aaaaaaaaaaaaaaaaaaaaaaaa")
    with (
        contextlib.closing(server),
        contextlib.closing(HttpSource(server.address, slowest=10_000, grace=0.1)) as source,
    ):
        with source.open("metadata/timestamp.json") as stream:
            assert b"".join(stream.chunks) == b"{}"
        with pytest.raises(UnreachableError, match="less than 10000 a second"), source.open("x") as stream:
            b"".join(stream.chunks)


def test_an_endless_head(loris: Callable[..., Loris]) -> None:
    server = loris(HEAD + b"X-Long: " + b"a" * 1_000_000, b"a")
    with pytest.raises(UnreachableError):
        read(HttpSource(server.address))


def test_no_watcher_is_left_behind(
    loris: Callable[..., Loris], make_web: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    with contextlib.closing(HttpSource(make_web(tmp_path).address, grace=0.01, slowest=1)) as source:  # type: ignore[attr-defined]
        for _ in range(20):
            with source.open("file") as stream:
                assert len(b"".join(stream.chunks)) == 100_000
    assert not [thread for thread in threading.enumerate() if thread.name == "pace"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_password_of_netrc_goes_to_its_host_alone(home: Path, loris: Callable[..., Loris]) -> None:
    server = loris(HEAD + b"Content-Length: 2\r\n\r\n{}", b" ")
    (home / ".netrc").write_text("machine 127.0.0.1 login site password hush\n")
    (home / ".netrc").chmod(0o600)
    read(HttpSource(server.address))
    assert b"Authorization: Basic c2l0ZTpodXNo" in server.asked[0]
    (home / ".netrc").write_text("machine elsewhere login site password hush\n")
    read(HttpSource(server.address))
    assert b"Authorization" not in server.asked[1]


def test_a_netrc_that_is_none_is_said_without_a_word_of_it(home: Path) -> None:
    (home / ".netrc").write_text("machine x login y hush-secret\n")
    (home / ".netrc").chmod(0o600)
    with pytest.raises(UsageError, match=r"~/\.netrc: cannot be read") as caught:
        HttpSource("http://127.0.0.1:9")
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
