"""A fleet of many sites: what publishing costs the publisher, and what polling costs a site.

    python -m benchmarks.fleet_scale [--sites 10000]

Assigns the sites, then changes one, in a scratch folder with fresh keys; a site enrolled there reads the tree over
HTTP on loopback. Times are the publisher's, bytes are those of the answers on the wire, headers included.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from fleet_manifests import Assignment, FleetManifest, dump
from release import Keys, Policy, Release
from runtimes.sync.sources import open_source
from runtimes.sync.trust import SignedDocuments

CHANGES = 7
GOALS = {"assign": 5.0, "one": 0.1, "requests": 2, "poll": 1000, "first": 100_000}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sites", type=int, default=10_000)
    count = parser.parse_args(argv).sites
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        release = Release(root / "public", Keys(root / "keys"), Policy(managers=("alice", "bob")))
        release.init()
        names = [f"store-{number:06d}" for number in range(count)]
        publisher(release, names)
        site(release, root, names[count // 2])


def publisher(release: Release, names: Sequence[str]) -> None:
    """The publisher's times."""
    took = timed(lambda: release.assign([assignment(name) for name in names]))
    said(f"assign {len(names)} sites", took.wall, GOALS["assign"], f"s, {took.cpu:.3f} of processor")
    times = []
    for name in names[:CHANGES]:
        change = functools.partial(release.assign, [assignment(name, channel="canary")])
        times.append(timed(change))
    wall, cpu = (statistics.median(values) for values in zip(*times, strict=True))
    said(f"change one of them (median of {CHANGES})", wall, GOALS["one"], f"s, {cpu:.3f} of processor")
    took = timed(lambda: release.assign([assignment(name, channel="canary") for name in names]))
    said("change all of them", took.wall, GOALS["assign"], f"s, {took.cpu:.3f} of processor")
    print(f"renew what is due: {timed(release.refresh).wall:.2f} s")
    disk = timed(lambda: synced(release.repository.public.parent)).wall
    print(f"for comparison: 16 small files written and synced one by one {disk:.3f} s")
    print(f"hash bins: {release.repository.state().bins.number_of_bins}; cores: {os.cpu_count()}, {busy()}")


def site(release: Release, root: Path, name: str) -> None:
    """What a site's polls cost."""
    with release.repository.edit() as edit:
        edit.target("canary/manifest.json", dump(manifest(release)))
    trust = (root / "public/metadata/1.root.json").read_bytes()
    with served(root / "public") as traffic:
        state = root / "site"
        first = polled(traffic, state, trust, name)
        said("first sync: metadata, assignment and manifest", first.sent, GOALS["first"], "bytes")
        unchanged = polled(traffic, state, trust, name)
        said("an unchanged poll", len(unchanged.asked), GOALS["requests"], "requests")
        said("an unchanged poll", unchanged.sent, GOALS["poll"], "bytes")
        release.assign([assignment(name, ring=1)])
        changed = polled(traffic, state, trust, name)
        print(f"a new assignment of its own: {changed.sent} bytes, {len(changed.asked)} requests")


class Took(NamedTuple):
    """Seconds of the clock, and of this process on a processor; between them lie the disk and other programs."""

    wall: float
    cpu: float


def timed(act: Callable[[], object]) -> Took:
    """How long something takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def busy() -> str:
    """How many programs wanted a core in the last minute; above the number of cores, times mean little."""
    return f"load {os.getloadavg()[0]:.1f}"


@dataclass
class Traffic:
    """What was asked of a web server, and the bytes that it sent."""

    address: str
    asked: list[str]
    sent: int = 0


def polled(traffic: Traffic, state: Path, trust: bytes, name: str) -> Traffic:
    """Refresh as a site does, and read what it acts on; the traffic of that."""
    before, sent = len(traffic.asked), traffic.sent
    state.mkdir(exist_ok=True)
    source = open_source(traffic.address)
    documents = SignedDocuments(state, source, root=trust, now=datetime.now(UTC))
    documents.refresh()
    for document in (f"sites/{name}.json", "canary/manifest.json"):
        documents.document(document)
    source.close()
    return Traffic(traffic.address, traffic.asked[before:], traffic.sent - sent)


@contextmanager
def served(folder: Path) -> Iterator[Traffic]:
    """A web server over a folder, for as long as the block lasts."""

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def setup(self) -> None:
            super().setup()
            write = self.wfile.write

            def counted(raw: Any) -> int:
                traffic.sent += len(raw)
                return write(raw)

            self.wfile.write = counted  # type: ignore[method-assign]

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            traffic.asked.append(self.path)
            super().do_GET()

        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
            self.send_response(code, message)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    traffic = Traffic(f"http://127.0.0.1:{server.server_address[1]}", [])
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield traffic
    finally:
        server.shutdown()
        server.server_close()


def assignment(site: str, **changes: Any) -> Assignment:
    """What one site runs."""
    said = {"site_class": "branch", "version": 1, "issued": datetime.now(UTC), "channel": "stable", **changes}
    return Assignment(site=site, **said)


def manifest(release: Release) -> FleetManifest:
    """A manifest without workflows: its size is a matter of the release, not of the number of sites."""
    issued = datetime.now(UTC).replace(microsecond=0)
    return FleetManifest(channel="canary", version=1, issued=issued, expires=issued + timedelta(days=30))


def synced(folder: Path) -> None:
    """What the disk costs: small files, each made durable before the next."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        for number in range(16):
            with Path(scratch, str(number)).open("wb") as stream:
                stream.write(b"x" * 400)
                stream.flush()
                os.fsync(stream.fileno())


def said(what: str, found: float, goal: float, unit: str) -> None:
    """One line of the result."""
    shown = f"{found:.3f}" if unit.startswith("s,") else f"{found:.0f}"
    print(f"{what}: {shown} {unit} (goal {goal:g}; {'met' if found <= goal else 'MISSED'})")


if __name__ == "__main__":
    main()
