"""Updates by delta: what a site saves, and that nothing odd about a delta ever costs it the update."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zstandard

from fleet_manifests import Descriptor, IntegrityError, UnreachableError, digest_of, dump
from fleet_manifests.updates import DELTA_TYPE, PATCH, SUBTRACT, UPDATES_TYPE, WHOLE, Content, Delta, Updates
from release.deltas import packed
from runtimes.sync import load_active, status
from runtimes.sync.rebuild import rebuild
from tests.runtimes.sync.test_crash import TAKE_SPACE, in_child, kill, no_space, restore, tidy

pytestmark = pytest.mark.unit

OLD = random.Random(1).randbytes(60_000)
NEW = bytes((byte + (at % 100 == 0)) % 256 for at, byte in enumerate(OLD))
"""As long as the old one, a hundredth of it differs."""


def content_of(raw: bytes) -> Content:
    return Content(digest=digest_of(raw), size=len(raw))


def delta_of(payload: bytes, method: str = SUBTRACT, target: bytes = NEW, base: bytes | None = OLD) -> Delta:
    named = Descriptor(media_type=DELTA_TYPE, digest=digest_of(payload), size=len(payload))
    return Delta(
        target=content_of(target), method=method, base=None if base is None else content_of(base), payload=named
    )


@dataclass
class Offer:
    """A site that runs release 1 with `OLD` as its weights and is offered release 2 with `NEW`."""

    site: Any

    def release(self, version: int, weights: bytes, *deltas: tuple[Delta, bytes | None], **changes: Any) -> None:
        """Publish a bundle and a list of deltas; a payload of None is not published."""
        repository = self.site.repository
        repository.add_bundle(files={**repository.files("one"), "weights.bin": weights})
        for delta, payload in deltas:
            if payload is not None:
                repository.blob_file(delta.payload.digest).write_bytes(payload)
        listed = repository.blob(dump(Updates(deltas=tuple(delta for delta, _ in deltas))), UPDATES_TYPE)
        repository.release(version, **{"updates": listed, **changes})

    @property
    def weights(self) -> bytes:
        active = load_active(self.site.state)
        folder = self.site.state / "versions" / active.version / active.workflows["exception_triage"].folder
        return (folder / "weights.bin").read_bytes()

    def falls_back(self, reason: str) -> None:
        """Sync, and find the new weights, fetched whole, and the reason in the site's status."""
        result = self.site.sync()
        assert (self.weights, result.rebuilt_blobs) == (NEW, 0)
        assert result.fetched_bytes > len(NEW)
        last = status(self.site.state).last_sync
        assert last.ok and last.rebuilt == 0
        assert any(reason in one for one in last.fallbacks), last.fallbacks
        tidy(self.site)
        kept = {digest.removeprefix("sha256:") for digest in result.active.workflows["exception_triage"].needed}
        found = {path.name for path in (self.site.state / "blobs/sha256").iterdir()}
        assert kept <= found and not [name for name in found if "." in name]


@pytest.fixture
def offer(station: Any) -> Offer:
    made = Offer(station)
    made.release(1, OLD)
    assert station.sync().changed
    return made


GOOD = packed(NEW, SUBTRACT, OLD)


def test_an_update_moves_the_delta_and_not_the_blob(offer: Offer) -> None:
    offer.release(2, NEW, (delta_of(GOOD), GOOD))
    result = offer.site.sync()
    assert (offer.weights, result.rebuilt_blobs) == (NEW, 1)
    assert result.fetched_bytes < len(NEW) / 2
    assert status(offer.site.state).last_sync.fallbacks == ()
    tidy(offer.site)


def test_a_first_sync_takes_the_compressed_blob(station: Any) -> None:
    offer, text = Offer(station), b"the same again and again" * 4000
    payload = packed(text, WHOLE)
    offer.release(1, text, (delta_of(payload, WHOLE, text, None), payload))
    result = station.sync()
    assert (offer.weights, result.rebuilt_blobs) == (text, 1)
    assert result.fetched_bytes < len(text)


def test_the_cheapest_delta_whose_base_is_here_is_taken(offer: Offer) -> None:
    whole, other = packed(NEW, WHOLE), b"never seen here" * 4000
    absent = packed(NEW, PATCH, other)[:10]
    moved = packed(NEW, PATCH, OLD)
    offer.release(
        2, NEW, (delta_of(absent, PATCH, base=other), absent), (delta_of(GOOD), GOOD),
        (delta_of(moved, PATCH), moved), (delta_of(whole, WHOLE, base=None), whole),
    )  # fmt: skip
    before = offer.site.sync().fetched_bytes
    assert offer.weights == NEW
    assert before < len(moved) + 60_000
    assert status(offer.site.state).last_sync.fallbacks == ()


def test_a_site_that_skipped_ten_versions_updates(offer: Offer) -> None:
    previous = OLD
    for version in range(2, 12):
        newer = bytes((byte + 1) % 256 for byte in previous) if version < 11 else NEW
        payload = packed(newer, SUBTRACT, previous)
        offer.release(version, newer, (delta_of(payload, target=newer, base=previous), payload))
        previous = newer
    result = offer.site.sync()
    assert (result.active.manifest_version, offer.weights) == (11, NEW)


def bomb() -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(bytes(200 * 1024 * 1024))


ODD: dict[str, tuple[Callable[[], tuple[Delta, bytes | None]], str]] = {
    "not published": (lambda: (delta_of(GOOD), None), "has no blobs"),
    "other bytes": (lambda: (delta_of(GOOD), GOOD[:-1] + b"x"), "other bytes were received"),
    "truncated on the way": (lambda: (delta_of(GOOD), GOOD[:-5]), "a subtract delta did not do"),
    "truncated when made": (lambda: (delta_of(GOOD[:-5]), GOOD[:-5]), "of its 60000 bytes"),
    "no delta at all": (lambda: (delta_of(b"hello"), b"hello"), "cannot be decompressed"),
    "empty": (lambda: (delta_of(b""), b""), "makes 0 of its 60000 bytes"),
    "of other weights": (
        lambda: (delta_of(packed(NEW, SUBTRACT, NEW)), packed(NEW, SUBTRACT, NEW)), "not what the publisher signed",
    ),
    "too long": (lambda: (delta_of(packed(NEW * 2, SUBTRACT, OLD * 2)), packed(NEW * 2, SUBTRACT, OLD * 2)), "more than its 60000"),
    "a bomb": (lambda: (delta_of(bomb()), bomb()), "more than its 60000"),
    "a whole with a base": (lambda: (delta_of(packed(NEW, WHOLE)[:999], WHOLE), packed(NEW, WHOLE)[:999]), "without the base"),
    "a patch without its dictionary": (lambda: (delta_of(GOOD, PATCH), GOOD), "not what the publisher signed"),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(ODD))
def test_an_odd_delta_costs_only_what_it_saved(offer: Offer, what: str) -> None:
    make, reason = ODD[what]
    offer.release(2, NEW, make())
    offer.falls_back(reason)


@pytest.mark.parametrize("what", ["size of the base", "base", "method", "size of the target"])
def test_a_delta_that_cannot_be_meant_is_not_even_fetched(offer: Offer, what: str) -> None:
    delta = delta_of(GOOD)
    odd = {
        "size of the base": {"base": Content(digest=digest_of(OLD), size=5)},
        "base": {"base": content_of(b"unknown")},
        "method": {"method": "from-the-future"},
        "size of the target": {"target": Content(digest=digest_of(NEW), size=5)},
    }[what]
    offer.release(2, NEW, (delta.model_copy(update=odd), GOOD))
    assert offer.site.sync().rebuilt_blobs == 0
    assert offer.weights == NEW


def test_a_base_that_rotted_here_costs_only_the_delta(offer: Offer) -> None:
    offer.release(2, NEW, (delta_of(GOOD), GOOD))
    base = offer.site.state / "blobs/sha256" / digest_of(OLD).removeprefix("sha256:")
    base.unlink()
    base.write_bytes(bytes(len(OLD)))
    offer.falls_back("not what the publisher signed")


@pytest.mark.parametrize("raw", [b"{}}", b"[]", b'{"deltas":[{"target":1}]}'])
def test_a_list_that_cannot_be_read_is_no_list(offer: Offer, raw: bytes) -> None:
    listed = offer.site.repository.blob(raw, UPDATES_TYPE)
    offer.release(2, NEW, updates=listed)
    offer.falls_back("no deltas: the list of updates")


def test_a_forged_list_is_not_read(offer: Offer) -> None:
    offer.release(2, NEW, (delta_of(GOOD), GOOD))
    repository = offer.site.repository
    listed = digest_of(dump(Updates(deltas=(delta_of(GOOD),))))
    repository.blob_file(listed).write_bytes(dump(Updates()).ljust(len(dump(Updates(deltas=(delta_of(GOOD),))))))
    offer.falls_back("other bytes were received")


def test_a_line_that_breaks_at_the_delta_ends_the_sync_or_not_but_never_the_site(
    offer: Offer, make_web: Callable[[Path], Any]
) -> None:
    offer.release(2, NEW, (delta_of(GOOD), GOOD))
    web = make_web(offer.site.repository.folder)
    web.drop_after = 100
    with pytest.raises((UnreachableError, IntegrityError)):
        offer.site.sync(source=web.address)
    assert offer.weights == OLD
    web.drop_after = None
    offer.site.sync(source=web.address)
    assert offer.weights == NEW
    tidy(offer.site)


def image(offer: Offer, tmp_path: Path) -> None:
    offer.release(2, NEW, (delta_of(GOOD), GOOD))
    shutil.copytree(offer.site.state, tmp_path / "image", symlinks=True)


@pytest.mark.integration
def test_killed_at_every_change_of_an_update_by_delta(offer: Offer, tmp_path: Path) -> None:
    image(offer, tmp_path)
    for at in range(1, 1000):
        restore(offer.site)
        ended = in_child(offer.site, kill, at)
        if os.WIFEXITED(ended):
            assert os.WEXITSTATUS(ended) == 0
            break
        assert os.WTERMSIG(ended) == signal.SIGKILL
        assert offer.weights in (OLD, NEW)
        offer.site.sync()
        assert offer.weights == NEW
        tidy(offer.site)
        assert not list((offer.site.state / "blobs/sha256").glob("*.*"))
    assert at > 40


@pytest.mark.integration
def test_disk_full_at_every_change_of_an_update_by_delta(offer: Offer, tmp_path: Path) -> None:
    image(offer, tmp_path)
    failed, carried_on = 0, 0
    for at in range(1, 80):
        restore(offer.site)
        ended = in_child(offer.site, no_space, at, TAKE_SPACE)
        assert os.WIFEXITED(ended) and os.WEXITSTATUS(ended) in (0, 1)
        failed += os.WEXITSTATUS(ended)
        assert offer.weights in (OLD, NEW)
        fell_back = os.WEXITSTATUS(ended) == 0 and status(offer.site.state).last_sync.fallbacks
        carried_on += bool(fell_back)
        offer.site.sync()
        assert offer.weights == NEW
        tidy(offer.site)
    assert failed > 20
    assert carried_on, "a disk that is full for the delta only is no reason to give up"


def test_a_payload_may_not_ask_for_much_memory(tmp_path: Path) -> None:
    settings = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    raw = random.Random(2).randbytes(1 << 20)
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    (tmp_path / "payload").write_bytes(packer.compress(raw) + packer.flush())
    with pytest.raises(IntegrityError, match="cannot be decompressed"):
        rebuild(delta_of(b"", WHOLE, raw, None), tmp_path / "payload", None, tmp_path / "out")


def test_a_base_that_is_too_large_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimes.sync.rebuild.MAX_DICTIONARY", 1000)
    (tmp_path / "payload").write_bytes(packed(NEW, PATCH, OLD))
    (tmp_path / "base").write_bytes(OLD)
    with pytest.raises(IntegrityError, match="more than 1000 bytes"):
        rebuild(delta_of(b"", PATCH), tmp_path / "payload", tmp_path / "base", tmp_path / "out")


@pytest.mark.parametrize("method", [WHOLE, SUBTRACT, PATCH])
def test_a_delta_gives_back_what_it_was_made_of(tmp_path: Path, method: str) -> None:
    payload = packed(NEW, method, OLD)
    (tmp_path / "payload").write_bytes(payload)
    (tmp_path / "base").write_bytes(OLD)
    base = None if method == WHOLE else OLD
    made = delta_of(payload, method, base=base)
    rebuild(made, tmp_path / "payload", None if base is None else tmp_path / "base", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == NEW
    assert packed(NEW, method, OLD) == payload
