"""A folder appears whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fleet_manifests import DataError, StorageError, UsageError
from quantize.staging import staged

pytestmark = pytest.mark.unit


def test_the_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with staged(out) as stage:
        (stage / "model.onnx").write_text("bytes")
        assert not out.exists()
        assert stage.parent == out.parent
    assert (out / "model.onnx").read_text() == "bytes"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with staged(tmp_path / "out") as stage:
        (stage / "model.onnx").write_text("bytes")
    assert (tmp_path / "out" / "model.onnx").is_file()


@pytest.mark.parametrize("error", [DataError("no"), KeyboardInterrupt(), MemoryError()])
def test_an_error_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), staged(tmp_path / "out") as stage:
        (stage / "half").write_text("written")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"out: cannot be written: .*No space left"),
        staged(tmp_path / "out") as stage,
    ):
        (stage / "half").write_text("written")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_hold_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="cannot be written"), staged(tmp_path / "file" / "out"):
        pass
    with pytest.raises(UsageError, match="it holds files"), staged(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "mine"
