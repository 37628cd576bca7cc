"""A release that cannot be installed is no dead end: the next good one takes its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fleet_manifests import LadingError

pytestmark = pytest.mark.unit


def lose_a_blob(site: Any) -> None:
    layers = site.repository.builds["exception_triage", "edge-x86-vnni"].bundle
    site.repository.blob_file(layers.digest).unlink()


def alter_a_blob(site: Any) -> None:
    ref = site.repository.builds["exception_triage", "edge-x86-vnni"].bundle
    path = site.repository.blob_file(ref.signature.digest)
    path.write_bytes(path.read_bytes()[::-1])


def fail_here(site: Any) -> None:
    site.failures.append("expected late, answered lost")


def need_a_newer_agent(site: Any) -> None:
    site.version = "0.0.9"


def fit_no_machine(site: Any) -> None:
    site.host = site.host.model_copy(update={"memory_mb": 1, "features": ()})


def sign_by_somebody_else(site: Any) -> None:
    ref = site.repository.builds["exception_triage", "edge-x86-vnni"].bundle
    other = site.repository.sign_bundle("exception_triage--edge-x86-vnni", {"bundle.json": b"{}"})
    signature = site.repository.blob(other, ref.signature.media_type)
    build = site.repository.builds["exception_triage", "edge-x86-vnni"]
    changed = ref.model_copy(update={"signature": signature})
    site.repository.builds["exception_triage", "edge-x86-vnni"] = build.model_copy(update={"bundle": changed})
    site.repository.release(3)


@pytest.mark.parametrize(
    "trouble",
    [lose_a_blob, alter_a_blob, fail_here, need_a_newer_agent, fit_no_machine, sign_by_somebody_else],
)
def test_a_later_good_release_supersedes_a_stuck_one(running: Any, trouble: Callable[[Any], None]) -> None:
    version, host = running.version, running.host
    running.repository.add_bundle("two")
    running.repository.release(2)
    trouble(running)
    for _ in range(2):
        with pytest.raises(LadingError):
            running.sync()
        assert running.content() == "one"
    running.failures.clear()
    running.version, running.host = version, host
    running.repository.add_bundle("four")
    running.repository.release(4)
    assert running.sync().changed
    assert running.content() == "four"
    assert not list((running.state / "blobs/sha256").glob("*.part"))
