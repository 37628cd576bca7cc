"""The published tree's writer: whole files, in order, undone until the end."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import Descriptor, IntegrityError, StorageError, digest_of
from release import tree as module
from release.tree import Tree, locked

pytestmark = pytest.mark.unit
Files = Callable[[Path], dict[str, str]]


def descriptor(raw: bytes, **changes: Any) -> Descriptor:
    said = {"mediaType": "application/octet-stream", "digest": digest_of(raw), "size": len(raw)}
    return Descriptor.model_validate(said | changes)


def blob_path(public: Path, raw: bytes) -> Path:
    return public / "blobs" / "sha256" / digest_of(raw).removeprefix("sha256:")


def test_a_blob_lies_under_its_digest(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    tree = Tree(tmp_path / "public")
    tree.blob(source, descriptor(source.read_bytes()))
    tree.blob(b"small", descriptor(b"small"))
    assert blob_path(tmp_path / "public", source.read_bytes()).read_bytes() == source.read_bytes()
    assert blob_path(tmp_path / "public", b"small").read_bytes() == b"small"


@pytest.mark.parametrize("changes", [{"size": 4}, {"size": 6}, {"digest": digest_of(b"other")}])
def test_a_blob_that_is_not_what_was_said_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="found"):
        Tree(tmp_path).blob(b"small", descriptor(b"small", **changes))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_sound_blob_is_kept_and_a_rotten_one_replaced(tmp_path: Path) -> None:
    Tree(tmp_path).blob(b"small", descriptor(b"small"))
    path = blob_path(tmp_path, b"small")
    before = path.stat().st_ino
    Tree(tmp_path).blob(b"small", descriptor(b"small"))
    assert path.stat().st_ino == before
    path.write_bytes(b"smalL")
    Tree(tmp_path).blob(b"small", descriptor(b"small"))
    assert path.read_bytes() == b"small"


def test_a_source_that_is_gone_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        Tree(tmp_path).blob(tmp_path / "gone", descriptor(b"x"))


def test_undo_takes_back_what_is_new_and_puts_back_what_was_shared(tmp_path: Path, files_of: Files) -> None:
    first = Tree(tmp_path)
    first.write("index.json", b"old", shared=True)
    first.write("targets/a.json", b"a")
    before = files_of(tmp_path)
    second = Tree(tmp_path)
    second.write("index.json", b"new", shared=True)
    second.write("targets/a.json", b"a")
    second.write("targets/b.json", b"b")
    second.blob(b"blob", descriptor(b"blob"))
    second.undo()
    assert files_of(tmp_path) == before


def test_an_undo_that_fails_keeps_what_others_refer_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index was written last and cannot be put back: then the blob that it names must stay."""
    Tree(tmp_path).write("index.json", b"old", shared=True)
    tree = Tree(tmp_path)
    tree.blob(b"blob", descriptor(b"blob"))
    tree.write("index.json", b"names the blob", shared=True)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StorageError, match="No space left"):
            tree.undo()
    assert (tmp_path / "index.json").read_bytes() == b"names the blob"
    assert blob_path(tmp_path, b"blob").exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(StorageError, match=r"b\.json: cannot be written: No space left on device"):
            tree.write("targets/b.json", b"b")
        with pytest.raises(StorageError, match="No space left on device"):
            tree.blob(b"blob", descriptor(b"blob"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_content_that_the_disk_did_not_take_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(tmp_path)
    tree.write("targets/b.json", b"b")

    def broken(number: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(StorageError, match=r"b\.json: cannot be written: Input/output error"):
            tree.settle()
    tree.undo()
    assert not (tmp_path / "targets" / "b.json").exists()


def test_files_and_folders_are_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def record(number: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{number}").readlink()))
        real(number)

    monkeypatch.setattr(os, "fsync", record)
    tree = Tree(tmp_path)
    tree.write("targets/b.json", b"b")
    tree.settle()
    assert synced == [str(tmp_path / "targets" / "b.json"), str(tmp_path / "targets")]
    tree.settle()
    assert len(synced) == 2


def test_leftovers_of_a_killed_publisher_are_swept(tmp_path: Path) -> None:
    for folder in (".staging", "metadata"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "one").write_text("one")
    tree = Tree(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["one"]
    tree.write("targets/a.json", b"a")
    tree.settle()
    assert not (tmp_path / ".staging").exists()


def test_many_files_are_made_durable_by_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(module, "_sync_all", synced.append)
    tree = Tree(tmp_path)
    for number in range(200):
        tree.write(f"targets/sites/{number}.json", b"x")
    tree.settle()
    assert synced == [tmp_path]


def test_a_file_system_that_cannot_be_synced_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real call, on something that has no file system any more."""
    module._sync_all(tmp_path)

    class Broken:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def syncfs(self, descriptor: int) -> int:
            ctypes.set_errno(errno.EIO)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", Broken)
    with pytest.raises(StorageError, match="Input/output error"):
        module._sync_all(tmp_path)


def test_the_lock_excludes_and_names_its_holder(tmp_path: Path) -> None:
    public = tmp_path / "public"
    with (
        locked(public),
        pytest.raises(StorageError, match=rf"\.public\.lock: held by process {os.getpid()}"),
        locked(public),
    ):
        pass
    with locked(public):
        assert (tmp_path / ".public.lock").read_text() == str(os.getpid())


def test_a_lock_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"), locked(tmp_path / "file" / "public"):
        pass
