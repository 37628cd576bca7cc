"""Real servers on loopback: a site and a centre, started, stopped, killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from runtimes import tokens
from runtimes.central.http import app as central_app
from runtimes.central.service import Centre
from runtimes.command import bound
from runtimes.edge.http import app as edge_app
from runtimes.edge.service import TOKEN_FILE, Site

pytestmark = pytest.mark.integration

URL = "/v1/workflows/exception_triage"
SURE, UNSURE = {"text": "short on the pallet"}, {"text": "short and damage both"}


@contextlib.contextmanager
def serving(app: Any, port: int = 0) -> Iterator[int]:
    """A uvicorn in a thread; the port that it listens on."""
    listener = bound("127.0.0.1", port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def eventually(check: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 15
    while not check() and time.monotonic() < deadline:
        time.sleep(0.02)
    return check()


def test_a_site_and_a_centre_over_a_line_that_comes_and_goes(tree: Any, centre: Centre) -> None:
    tokens.write(tree.state / TOKEN_FILE, centre.store.new_token("store-017"))
    with serving(central_app(centre)) as port:
        tree.activate(1, central=f"http://127.0.0.1:{port}")
        site = Site(tree.state)
        with serving(edge_app(site, background=False)) as here, httpx.Client(trust_env=False) as client:
            ask = f"http://127.0.0.1:{here}{URL}"
            assert client.post(ask, json=SURE).json()["produced_by"]["where"] == "edge"
            deferred = client.post(ask, json=UNSURE).json()
            assert (deferred["status"], deferred["produced_by"]["where"]) == ("answered", "central")
    with serving(edge_app(site, background=False)) as here, httpx.Client(trust_env=False) as client:
        ask = f"http://127.0.0.1:{here}{URL}"
        queued = client.post(ask, json=UNSURE).json()
        assert queued["status"] == "deferred"
        assert client.post(ask, json=SURE).json()["status"] == "answered"
        with serving(central_app(centre), port):
            assert site.courier.flush().delivered == 1
        later = client.get(f"http://127.0.0.1:{here}/v1/requests/{queued['id']}").json()
        assert (later["status"], later["produced_by"]["where"]) == ("answered", "central")
    assert centre.store.counts()["answered"] == 2
    assert site.outbox.ledger.verify()[0] == 6
    site.close()


@contextlib.contextmanager
def program(tree: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`lading-site serve` as a process, and its address."""
    words = [sys.executable, "-m", "runtimes.edge.cli", "serve", "--port", "0", "--state", str(tree.state)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().removeprefix("lading-site: ").strip()
            assert eventually(lambda: _up(address))
            yield server, address
        finally:
            server.kill()


def _up(address: str) -> bool:
    try:
        return httpx.get(f"{address}/v1/status", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_the_program_serves_reloads_and_survives_kill_9(tree: Any) -> None:
    tree.activate(1)
    with program(tree) as (server, address):
        said = httpx.post(address + URL, json=UNSURE | {"id": "r1"}, trust_env=False).json()
        assert (said["status"], said["produced_by"]["manifest_version"]) == ("deferred", 1)
        tree.activate(2)
        said = httpx.post(address + URL, json=SURE | {"id": "r2"}, trust_env=False).json()
        assert (said["status"], said["produced_by"]["manifest_version"]) == ("answered", 2)
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
    with program(tree) as (server, address):
        assert httpx.get(f"{address}/v1/requests/r1", trust_env=False).json()["status"] == "deferred"
        assert httpx.get(f"{address}/v1/requests/r2", trust_env=False).json()["label"] == "short"
        assert httpx.get(address, trust_env=False).status_code == 200
        server.terminate()
        _, err = server.communicate(timeout=15)
        assert "Traceback" not in err
        assert "pallet" not in err
    words = [sys.executable, "-m", "runtimes.edge.cli", "audit", "--verify", "--json", "--state", str(tree.state)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["records"] == 2


def test_two_servers_on_one_port_are_refused(tree: Any) -> None:
    tree.activate(1)
    with contextlib.closing(Site(tree.state)) as site, serving(edge_app(site, background=False)) as port:
        words = [sys.executable, "-m", "runtimes.edge.cli", "serve", "--port", str(port), "--state", str(tree.state)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot listen there" in done.stderr
