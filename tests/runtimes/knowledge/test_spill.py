"""What was decrypted lies outside of memory, and nobody else can read it."""

from __future__ import annotations

import errno
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fleet_manifests import StorageError
from runtimes.knowledge.spill import BLOCK, TAG, Spill
from tests.runtimes.knowledge.conftest import open_files, spilled

pytestmark = pytest.mark.unit
PLAIN = os.urandom(3 * BLOCK + 100)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, len(PLAIN)])
@pytest.mark.parametrize("piece", [1000, BLOCK, 3 * BLOCK])
def test_every_piece_comes_back(size: int, piece: int) -> None:
    spill = Spill()
    for start in range(0, size, piece):
        part = PLAIN[start : min(start + piece, size)]
        assert spill.write(part) == len(part)
    blob = spill.blob()
    assert blob.size == size
    assert blob.read(0, size) == PLAIN[:size]
    for offset in range(0, size, 997):
        assert blob.read(offset, min(500, size - offset)) == PLAIN[offset : min(offset + 500, size)]
        assert blob.read(offset, 0) == b""


def test_threads_may_read_at_once() -> None:
    blob = spilled(PLAIN)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda offset: blob.read(offset, 300), range(0, 3 * BLOCK, 50)))
    assert found == [PLAIN[offset : offset + 300] for offset in range(0, 3 * BLOCK, 50)]


def test_the_file_has_no_name_and_no_plain_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    blob = spilled(b"the secret price list " * 1000)
    assert list(tmp_path.iterdir()) == []
    raw = os.pread(blob._descriptor, 10**6, 0)
    assert len(raw) == 22000 + 6 * TAG
    assert b"price" not in raw


def test_equal_blocks_and_equal_files_look_different() -> None:
    one, other = spilled(bytes(2 * BLOCK)), spilled(bytes(2 * BLOCK))
    size = BLOCK + TAG
    blocks = {os.pread(blob._descriptor, size, number * size) for blob in (one, other) for number in range(2)}
    assert len(blocks) == 4


@pytest.mark.parametrize("harm", ["flipped", "cut", "swapped", "closed"])
def test_what_is_not_as_it_was_written_is_not_given(harm: str) -> None:
    blob = spilled(PLAIN)
    size = BLOCK + TAG
    if harm == "flipped":
        os.pwrite(blob._descriptor, bytes([os.pread(blob._descriptor, 1, 7)[0] ^ 1]), 7)
    elif harm == "cut":
        os.ftruncate(blob._descriptor, size - 1)
    elif harm == "swapped":
        os.pwrite(blob._descriptor, os.pread(blob._descriptor, size, size), 0)
    else:
        blob.close()
    with pytest.raises(StorageError, match="changed, cut or closed"):
        blob.read(0, 10)


def test_a_file_that_nobody_holds_is_closed() -> None:
    before = open_files()
    unfinished, blob = Spill(), spilled(PLAIN)
    assert open_files() == before + 2
    del unfinished, blob
    assert open_files() == before
    closed = spilled(PLAIN)
    closed.close()
    closed.close()
    assert open_files() == before


def test_a_full_disk_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    spill = Spill()
    monkeypatch.setattr(os, "write", no_room)
    spill.write(b"short")
    with pytest.raises(
        StorageError, match="No space left on device; free some space, or name another folder in TMPDIR"
    ):
        spill.blob()
    monkeypatch.setattr(tempfile, "TemporaryFile", no_room)
    with pytest.raises(StorageError, match="temporary file of an encrypted pack"):
        Spill()
