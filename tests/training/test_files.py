"""An output folder is whole or absent."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fleet_manifests import IntegrityError, StorageError, UsageError
from training.files import read_json, staged, write_json

pytestmark = pytest.mark.unit


def test_the_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with staged(out) as partial:
        (partial / "a").write_text("x")
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with staged(tmp_path / "out") as partial:
        (partial / "a").write_text("x")
    assert (tmp_path / "out" / "a").is_file()


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "out") as partial:
        (partial / "a").write_text("x")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_storage_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No space left"), staged(tmp_path / "out") as partial:
        (partial / "a").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_content_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    with pytest.raises(UsageError, match="found content"), staged(tmp_path):
        pytest.fail("the block must not run")
    assert (tmp_path / "kept").read_text() == "x"


def test_equal_values_give_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": "é"})
    write_json(tmp_path / "b", {"a": "é", "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_json(tmp_path / "a") == {"a": "é", "b": 1}


@pytest.mark.parametrize("content", [None, "{"])
def test_a_file_that_is_no_json_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"x\.json: expected a JSON file"):
        read_json(tmp_path / "x.json")
