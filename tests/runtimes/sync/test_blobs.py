"""Moving bulk: resumed, bounded, hashed, and never larger in memory than a piece."""

from __future__ import annotations

import hashlib
import resource
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import Descriptor, IntegrityError, StorageError, UnreachableError, digest_of
from runtimes.sync.blobs import Blobs
from runtimes.sync.sources import FolderSource, Stream
from runtimes.sync.web import HttpSource

pytestmark = pytest.mark.unit

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "metadata").mkdir(parents=True)
    (folder / "blobs/sha256").mkdir(parents=True)
    return folder


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    folder = tmp_path / "site"
    folder.mkdir()
    return Blobs(folder, pause=lambda seconds: None)


@pytest.fixture
def http() -> Iterator[Callable[..., HttpSource]]:
    """Makes HTTP sources and closes them."""
    made: list[HttpSource] = []

    def make(address: str, **limits: Any) -> HttpSource:
        made.append(HttpSource(address, **limits))
        return made[-1]

    yield make
    for source in made:
        source.close()


def put(tree: Path, raw: bytes) -> Descriptor:
    digest = digest_of(raw)
    (tree / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(raw)
    return Descriptor(media_type="x", digest=digest, size=len(raw))


def ranges(web: Any) -> list[str | None]:
    return [asked for _, asked in web.requests]


def test_a_dropped_connection_is_resumed_and_nothing_moves_twice(
    blobs: Blobs, tree: Path, make_web: Any, http: Any
) -> None:
    web = make_web(tree)
    web.drop_after = 300_000
    blob = put(tree, CONTENT)
    assert blobs.fetch(http(web.address), blob).read_bytes() == CONTENT
    assert ranges(web) == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]
    assert blobs.fetched_bytes == len(CONTENT)


def test_a_later_sync_resumes_what_an_earlier_one_left(
    tmp_path: Path, blobs: Blobs, tree: Path, make_web: Any, http: Any
) -> None:
    web = make_web(tree)
    web.drop_after = 1000
    blob = put(tree, CONTENT)
    with pytest.raises(UnreachableError, match="4000 bytes are kept for the next sync"):
        blobs.fetch(http(web.address), blob)
    web.drop_after = None
    later = Blobs(tmp_path / "site")
    later.fetch(http(web.address), blob)
    assert ranges(web)[-1] == "bytes=4000-"
    assert later.fetched_bytes == len(CONTENT) - 4000


def test_a_server_without_range_starts_over(blobs: Blobs, tree: Path, make_web: Any, http: Any) -> None:
    web = make_web(tree)
    web.ignore_range = True
    blob = put(tree, CONTENT)
    blobs.path(blob.digest + ".part").write_bytes(CONTENT[:5000])
    assert blobs.fetch(http(web.address), blob).read_bytes() == CONTENT
    assert blobs.fetched_bytes == len(CONTENT)


def test_a_range_that_was_not_asked_for(blobs: Blobs, tree: Path, make_web: Any, http: Any) -> None:
    web = make_web(tree)
    web.wrong_range = True
    blob = put(tree, CONTENT)
    blobs.path(blob.digest + ".part").write_bytes(CONTENT[:5000])
    with pytest.raises(UnreachableError, match="a part that was not asked for; 5000 bytes are kept"):
        blobs.fetch(http(web.address), blob)


def test_a_folder_is_resumed_too(blobs: Blobs, tree: Path) -> None:
    blob = put(tree, CONTENT)
    blobs.path(blob.digest + ".part").write_bytes(CONTENT[:5000])
    blobs.fetch(FolderSource(tree), blob)
    assert blobs.fetched_bytes == len(CONTENT) - 5000


@pytest.mark.parametrize("poison", [b"z" * 5000, b"z" * len(CONTENT), CONTENT + b"z", b""])
def test_a_poisoned_part_costs_one_more_fetch_and_no_more(blobs: Blobs, tree: Path, poison: bytes) -> None:
    blob = put(tree, CONTENT)
    blobs.path(blob.digest + ".part").write_bytes(poison)
    assert blobs.fetch(FolderSource(tree), blob).read_bytes() == CONTENT
    assert blobs.fetched_bytes <= 2 * len(CONTENT)


def test_wrong_bytes_are_thrown_away(blobs: Blobs, tree: Path) -> None:
    blob = put(tree, CONTENT)
    (tree / "blobs/sha256" / blob.digest.removeprefix("sha256:")).write_bytes(b"z" * blob.size)
    with pytest.raises(IntegrityError, match="other bytes were received"):
        blobs.fetch(FolderSource(tree), blob)
    assert list(blobs.path("x").parent.iterdir()) == []


def test_wrong_bytes_over_a_left_over_part_are_refused_after_one_retry(blobs: Blobs, tree: Path) -> None:
    blob = put(tree, CONTENT)
    (tree / "blobs/sha256" / blob.digest.removeprefix("sha256:")).write_bytes(b"z" * blob.size)
    blobs.path(blob.digest + ".part").write_bytes(CONTENT[:5000])
    with pytest.raises(IntegrityError, match="other bytes were received"):
        blobs.fetch(FolderSource(tree), blob)
    assert blobs.fetched_bytes == 2 * len(CONTENT) - 5000


def test_endless_data_stops_at_the_signed_size(blobs: Blobs, tree: Path, make_web: Any, http: Any) -> None:
    web = make_web(tree)
    blob = put(tree, CONTENT)
    web.endless = blob.digest.removeprefix("sha256:")
    with pytest.raises(IntegrityError, match="goes on after its 1048576 bytes"):
        blobs.fetch(http(web.address), blob)
    assert blobs.fetched_bytes < len(CONTENT) + 1_000_000


@pytest.mark.parametrize("at_once", [1, 50_000])
def test_a_trickle_is_given_up(blobs: Blobs, tree: Path, make_web: Any, http: Any, at_once: int) -> None:
    web = make_web(tree)
    web.trickle = at_once
    blob = put(tree, CONTENT)
    source = http(web.address, slowest=10**9, grace=0.02)
    with pytest.raises(UnreachableError, match=r"less than 1000000000 a second; \d+ bytes are kept"):
        blobs.fetch(source, blob)
    assert blobs.fetched_bytes < len(CONTENT)


def test_a_slow_line_is_not_given_up(blobs: Blobs, tree: Path, make_web: Any, http: Any) -> None:
    web = make_web(tree)
    web.trickle = 1
    blob = put(tree, CONTENT[:5000])
    blobs.fetch(http(web.address, slowest=100, grace=0.02), blob)
    assert len(web.requests) == 1


def test_a_silent_server_is_given_up(blobs: Blobs, http: Any) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = http(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.05)
        with pytest.raises(UnreachableError, match=r"timed out; .*0 bytes are kept"):
            blobs.fetch(source, Descriptor(media_type="x", digest=digest_of(b"x"), size=1))


def test_pauses_grow_while_nothing_moves(tmp_path: Path, tree: Path, make_web: Any, http: Any) -> None:
    web = make_web(tree)
    blob = put(tree, CONTENT)
    web.status = 503
    waited: list[float] = []
    with pytest.raises(UnreachableError, match="HTTP 503"):
        Blobs(tmp_path, pause=waited.append).fetch(http(web.address), blob)
    assert waited == [0.5, 1.0, 2.0]


def test_a_missing_blob_is_not_asked_for_again(blobs: Blobs, tree: Path, make_web: Any, http: Any) -> None:
    web = make_web(tree)
    with pytest.raises(UnreachableError, match="has no blobs/sha256"):
        blobs.fetch(http(web.address), Descriptor(media_type="x", digest=digest_of(b"x"), size=1))
    assert len(web.requests) == 1


def test_an_empty_blob(blobs: Blobs, tree: Path) -> None:
    assert blobs.fetch(FolderSource(tree), put(tree, b"")).read_bytes() == b""


def test_a_blob_that_is_here_is_hashed_and_not_fetched(blobs: Blobs, tree: Path) -> None:
    blob = put(tree, CONTENT)
    blobs.path(blob.digest).write_bytes(CONTENT)
    blobs.fetch(FolderSource(tree), blob)
    assert (blobs.fetched_bytes, blobs.reused) == (0, 1)


@pytest.mark.parametrize("rot", [b"z" * len(CONTENT), CONTENT[:-1], CONTENT + b"z"])
def test_a_blob_that_rotted_is_fetched_again(blobs: Blobs, tree: Path, rot: bytes) -> None:
    blob = put(tree, CONTENT)
    blobs.path(blob.digest).write_bytes(rot)
    assert blobs.fetch(FolderSource(tree), blob).read_bytes() == CONTENT
    assert blobs.reused == 0


@pytest.mark.parametrize("ending", ["", ".part"])
def test_a_link_is_no_blob(blobs: Blobs, tree: Path, tmp_path: Path, ending: str) -> None:
    blob = put(tree, CONTENT)
    outside = tmp_path / "outside"
    outside.write_bytes(CONTENT[:100] if ending else CONTENT)
    blobs.path(blob.digest + ending).symlink_to(outside)
    path = blobs.fetch(FolderSource(tree), blob)
    assert not path.is_symlink()
    assert path.read_bytes() == CONTENT
    assert outside.stat().st_size == (100 if ending else len(CONTENT))


def test_room_is_asked_for_before_anything_is_fetched(blobs: Blobs) -> None:
    huge = Descriptor(media_type="x", digest=digest_of(b"x"), size=10**15)
    with pytest.raises(StorageError, match=r"1000000000000000 bytes are to be fetched and .* the disk is full"):
        blobs.missing([huge])


def test_the_same_blob_is_wanted_once(blobs: Blobs, tree: Path) -> None:
    blob = put(tree, CONTENT)
    assert blobs.missing([blob, blob]) == [blob]


def test_prune_keeps_what_is_named(blobs: Blobs, tree: Path) -> None:
    kept, dropped = put(tree, b"kept"), put(tree, b"dropped")
    for blob in (kept, dropped):
        blobs.fetch(FolderSource(tree), blob)
    blobs.path(dropped.digest + ".part").write_bytes(b"half")
    blobs.prune([kept.digest])
    assert list(blobs.path("x").parent.iterdir()) == [blobs.path(kept.digest)]


def test_a_disk_that_fills_while_fetching(blobs: Blobs, tree: Path) -> None:
    """The kernel refuses to let the file grow, as a full disk or a quota does."""
    blob = put(tree, CONTENT)
    with file_limit(300_000), pytest.raises(OSError, match="File too large"):
        blobs.fetch(FolderSource(tree), blob)
    assert not blobs.path(blob.digest).exists()
    assert blobs.fetch(FolderSource(tree), blob).read_bytes() == CONTENT


def test_a_sync_on_a_full_disk(running: Any) -> None:
    running.repository.add_bundle("two" * 200)
    running.repository.release(2)
    with file_limit(100_000), pytest.raises(StorageError, match="the disk is full; free some space, then sync again"):
        running.sync()
    assert running.content() == "one"
    assert running.sync().changed


def test_a_blob_larger_than_what_is_held_in_memory(blobs: Blobs) -> None:
    size = 64 * 1024 * 1024
    piece = b"m" * 65536

    def pieces(start: int) -> Iterator[bytes]:
        for _ in range(start, size, len(piece)):
            yield piece

    class Endless:
        address = "memory"

        @contextmanager
        def open(self, path: str, offset: int = 0) -> Iterator[Stream]:
            yield Stream(offset, pieces(offset))

        def close(self) -> None:
            pass

    expected = hashlib.sha256()
    for part in pieces(0):
        expected.update(part)
    blob = Descriptor(media_type="x", digest=f"sha256:{expected.hexdigest()}", size=size)
    tracemalloc.start()
    try:
        blobs.fetch(Endless(), blob)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024
    assert blobs.path(blob.digest).stat().st_size == size


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file of this process may grow past `size` bytes; Python ignores the signal and gets EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_every_piece_is_reported(blobs: Blobs, tree: Path) -> None:
    pieces: list[int] = []
    blobs.fetch(FolderSource(tree), put(tree, CONTENT), pieces.append)
    assert sum(pieces) == len(CONTENT)
    assert len(pieces) > 1
