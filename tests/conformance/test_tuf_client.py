"""The tuf-conformance command line against a repository of our own publisher, over HTTP."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from release import Keys, Policy, Release

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
TARGET = "canary/notes.json"


class Server:
    """A web server over a folder, and what it was asked for."""

    def __init__(self, folder: Path) -> None:
        asked = self.asked = []

        class Handler(SimpleHTTPRequestHandler):
            def log_request(self, *args: object) -> None:
                asked.append(self.path)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Suite:
    """Drives the client the way the suite does: one process a command, and a look into its folders."""

    def __init__(self, root: Path, address: str) -> None:
        self.metadata, self.targets, self.address = root / "metadata", root / "downloads", address
        self.metadata.mkdir()
        self.targets.mkdir()
        self.said = ""

    def run(self, *words: str) -> int:
        command = [sys.executable, "-m", "tests.conformance.tuf_client", "--metadata-dir", str(self.metadata), *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        self.said = done.stderr
        assert "Traceback" not in done.stderr
        return done.returncode

    def init(self, root: Path) -> int:
        return self.run("init", str(root))

    def refresh(self) -> int:
        return self.run("--metadata-url", f"{self.address}/metadata/", "refresh")

    def download(self, name: str = TARGET) -> int:
        return self.run(
            "--metadata-url", f"{self.address}/metadata", "--target-name", name,
            "--target-base-url", f"{self.address}/targets/", "--target-dir", str(self.targets), "download",
        )  # fmt: skip

    def trusted(self) -> dict[str, int]:
        """The roles that the client considers trusted, as the suite reads them."""
        found = sorted(self.metadata.glob("*.json"))
        return {path.stem: Metadata.from_file(str(path)).signed.version for path in found}

    def downloaded(self) -> list[bytes]:
        return [path.read_bytes() for path in self.targets.rglob("*") if path.is_file()]


@pytest.fixture
def moment() -> list[datetime]:
    """The publisher's clock."""
    return [datetime.now(UTC).replace(microsecond=0)]


@pytest.fixture
def release(tmp_path: Path, moment: list[datetime]) -> Release:
    policy = Policy(managers=("alice", "bob"))
    made = Release(tmp_path / "public", Keys(tmp_path / "keys"), policy, now=lambda: moment[0])
    made.init()
    return made


@pytest.fixture
def server(release: Release) -> Iterator[Server]:
    made = Server(release.repository.public)
    yield made
    made.close()


@pytest.fixture
def suite(tmp_path: Path, server: Server, release: Release) -> Suite:
    made = Suite(tmp_path, server.address)
    assert made.init(release.repository.public / "metadata/1.root.json") == 0
    return made


@pytest.fixture
def publish(release: Release) -> Callable[..., None]:
    def one(raw: bytes = b"first") -> None:
        with release.repository.edit() as edit:
            edit.target(TARGET, raw)

    return one


def test_init_asks_for_nothing(suite: Suite, server: Server) -> None:
    assert suite.trusted() == {"root": 1}
    assert server.asked == []


def test_init_with_something_else(tmp_path: Path, server: Server) -> None:
    (tmp_path / "none.json").write_text("{}")
    made = Suite(tmp_path, server.address)
    assert made.init(tmp_path / "none.json") == 1
    assert made.refresh() == 1


def test_refresh_takes_the_top_level_roles(suite: Suite, server: Server) -> None:
    assert suite.refresh() == 0
    assert suite.trusted() == {"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1}
    names = ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    assert server.asked == [f"/metadata/{name}" for name in names]


def test_refresh_without_news_is_two_requests(suite: Suite, server: Server) -> None:
    suite.refresh()
    server.asked.clear()
    assert suite.refresh() == 0
    assert server.asked == ["/metadata/2.root.json", "/metadata/timestamp.json"]


def test_download_and_again_from_the_cache(suite: Suite, server: Server, publish: Callable[..., None]) -> None:
    publish()
    assert suite.download() == 0
    assert suite.downloaded() == [b"first"]
    assert suite.trusted()["canary"] == 2
    server.asked.clear()
    assert suite.download() == 0
    assert not [path for path in server.asked if path.startswith("/targets")]


def test_a_new_content_replaces_the_old_one(suite: Suite, publish: Callable[..., None]) -> None:
    publish()
    suite.download()
    publish(b"second")
    assert suite.download() == 0
    assert suite.downloaded() == [b"second"]


def test_a_target_that_nobody_publishes(suite: Suite) -> None:
    assert suite.download("canary/other.json") == 1
    assert suite.downloaded() == []


def test_a_tampered_target(suite: Suite, release: Release, publish: Callable[..., None]) -> None:
    publish()
    (path,) = (release.repository.public / "targets/canary").iterdir()
    path.write_bytes(b"evil!")
    assert suite.download() == 1
    assert suite.downloaded() == []


def test_rollback(suite: Suite, release: Release, publish: Callable[..., None], tmp_path: Path) -> None:
    public = release.repository.public
    old = shutil.copytree(public, tmp_path / "old")
    publish()
    assert suite.refresh() == 0
    before = suite.trusted()
    shutil.rmtree(public)
    shutil.copytree(old, public)
    assert suite.refresh() == 1
    assert suite.trusted() == before


def test_expired_metadata(suite: Suite, release: Release, moment: list[datetime]) -> None:
    moment[0] -= timedelta(days=60)
    release.refresh()
    assert suite.refresh() == 1
    assert "expired" in suite.said
    moment[0] += timedelta(days=60)
    release.refresh()
    assert suite.refresh() == 0


def test_metadata_of_another_root(suite: Suite, release: Release, tmp_path: Path) -> None:
    other = Release(tmp_path / "other/public", Keys(tmp_path / "other-keys"), release.policy)
    other.init()
    public = release.repository.public
    for path in (public / "metadata").iterdir():
        path.unlink()
    shutil.copytree(other.repository.public / "metadata", public / "metadata", dirs_exist_ok=True)
    assert suite.refresh() == 1
    assert suite.trusted() == {"root": 1}


def test_a_new_root_is_followed(suite: Suite, release: Release, server: Server) -> None:
    assert suite.refresh() == 0
    release.refresh("root")
    assert suite.refresh() == 0
    assert suite.trusted()["root"] == 2
    server.asked.clear()
    assert suite.refresh() == 0
    assert server.asked[0] == "/metadata/3.root.json"


@pytest.mark.parametrize("missing", ["--metadata-url", "--target-name", "--target-base-url", "--target-dir"])
def test_a_missing_option(suite: Suite, missing: str) -> None:
    given: dict[str, Any] = {
        "--metadata-url": suite.address, "--target-name": "x", "--target-base-url": suite.address, "--target-dir": "y",
    }  # fmt: skip
    words = [word for name, value in given.items() if name != missing for word in (name, value)]
    assert suite.run(*words, "download") == 1
    assert missing in suite.said


def test_a_server_that_is_gone(suite: Suite, server: Server) -> None:
    server.close()
    assert suite.refresh() == 1
    assert suite.trusted() == {"root": 1}
