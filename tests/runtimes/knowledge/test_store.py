"""Reading files in pieces, and arrays mapped or in memory."""

from __future__ import annotations

import gc
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from fleet_manifests import IntegrityError, StorageError
from runtimes.knowledge.store import FileBlob, PlainStore, SealedStore, Store
from tests.runtimes.knowledge.conftest import open_files

pytestmark = pytest.mark.unit


@pytest.fixture(params=["plain", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """The same files both ways."""
    np.save(tmp_path / "a.npy", np.arange(12, dtype=np.int32).reshape(3, 4))
    (tmp_path / "b.txt").write_bytes(b"0123456789")
    if request.param == "plain":
        return PlainStore(tmp_path)
    return SealedStore(tmp_path, lambda name, out: out.write((tmp_path / name).read_bytes()))


def test_pieces(store: Store) -> None:
    blob = store.blob("b.txt")
    assert blob.size == 10
    assert (blob.read(0, 3), blob.read(8, 2), blob.read(4, 0)) == (b"012", b"89", b"")
    blob.close()


def test_arrays(store: Store) -> None:
    found = store.array("a.npy", np.int32, (3, 4))
    assert type(found) is np.ndarray
    assert found.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert store.array("a.npy", np.int32, (None, None)).shape == (3, 4)


@pytest.mark.parametrize("shape", [(3,), (3, 5), (None,), (3, 4, 1), (12, None)])
def test_another_shape_is_refused(store: Store, shape: tuple[int | None, ...]) -> None:
    with pytest.raises(IntegrityError, match=r"a.npy: int32 .* was expected, found int32 \[3, 4\]"):
        store.array("a.npy", np.int32, shape)


@pytest.mark.parametrize("kind", [np.int64, np.uint32, np.float32])
def test_another_type_is_refused(store: Store, kind: type[np.generic]) -> None:
    with pytest.raises(IntegrityError, match="was expected, found int32"):
        store.array("a.npy", kind, (3, 4))


def test_text_is_no_array(store: Store) -> None:
    with pytest.raises(IntegrityError, match=r"b.txt: not an array"):
        store.array("b.txt", np.int32, (3, 4))


def test_an_archive_is_no_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", a=np.zeros(3))
    with pytest.raises(IntegrityError, match="archive"):
        PlainStore(tmp_path).array("c.npz", np.float64, (3,))


def test_mapped_arrays_are_read_only(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        PlainStore(tmp_path).array("a.npy", np.float64, (3,))[0] = 1


@pytest.mark.parametrize("name", ["none.txt", "none.npy"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    for read in (PlainStore(tmp_path).blob, lambda name: PlainStore(tmp_path).array(name, np.int8, (1,))):
        with pytest.raises(IntegrityError, match=f"no file '{name}'"):
            read(name)


def test_a_closed_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"0123456789")
    blob = FileBlob(tmp_path / "b.txt")
    blob.close()
    blob.close()
    with pytest.raises(StorageError, match="cannot be read"):
        blob.read(0, 1)


def test_a_file_that_is_cut_while_open_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"0123456789")
    blob = FileBlob(tmp_path / "b.txt")
    os.truncate(tmp_path / "b.txt", 4)
    assert blob.read(0, 4) == b"0123"
    with pytest.raises(StorageError, match="it was cut"):
        blob.read(2, 4)


def test_a_blob_that_nobody_holds_is_closed(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"0123456789")
    before = open_files()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blob = FileBlob(tmp_path / "b.txt")
        assert open_files() == before + 1
        del blob
        gc.collect()
    assert open_files() == before
