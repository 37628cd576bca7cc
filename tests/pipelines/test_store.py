"""The store: work is done once, entries are whole or absent, damage is noticed."""

from __future__ import annotations

import errno
import logging
import threading
from pathlib import Path

import pytest

from fleet_manifests import RefusedError, StorageError
from pipelines.store import NotDoneError, Step, Store, source_digest

pytestmark = pytest.mark.unit


def step(**changes: object) -> Step:
    fields = {
        "name": "adapter", "inputs": {"corpus": "sha256:a"}, "parameters": {"epochs": 3}, "code": ("pipelines.store",),
        "libraries": ("pydantic",),
    }  # fmt: skip
    return Step(**{**fields, **changes})  # type: ignore[arg-type]


def write(out: Path) -> None:
    (out / "deep").mkdir()
    (out / "deep" / "weights").write_bytes(b"w" * 100)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_same_work_is_done_once(store: Store) -> None:
    first = store.run(step(), write)
    second = store.run(step(), lambda out: pytest.fail("done again"))
    assert (first.reused, second.reused) == (False, True)
    assert first.digest == second.digest
    assert (second.path / "deep" / "weights").read_bytes() == b"w" * 100


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "merged_model"}, {"inputs": {"corpus": "sha256:b"}}, {"inputs": {"base": "sha256:a"}},
        {"parameters": {"epochs": 4}}, {"code": ("pipelines.project",)}, {"libraries": ("numpy",)},
    ],
)  # fmt: skip
def test_everything_that_decides_is_in_the_key(changes: dict[str, object]) -> None:
    assert step(**changes).key != step().key


def test_source_of_a_package_is_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "crane"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "arm.py").write_text("length = 1")
    monkeypatch.syspath_prepend(tmp_path)
    before = source_digest("crane")
    (package / "arm.py").write_text("length = 2")
    assert source_digest("crane") != before
    before, flat = source_digest("crane"), source_digest("crane.*")
    (package / "paint").mkdir()
    (package / "paint" / "__init__.py").write_text("colour = 'red'")
    assert source_digest("crane") != before
    assert source_digest("crane.*") == flat
    (package / "arm.py").write_text("length = 3")
    assert source_digest("crane.*") != flat
    with pytest.raises(ValueError, match="no_such_thing"):
        source_digest("no_such_thing")


def test_digest_covers_names_and_content(store: Store) -> None:
    a = store.run(step(), lambda out: (out / "a").write_text("x"))  # type: ignore[arg-type,return-value]
    b = store.run(step(name="b"), lambda out: (out / "b").write_text("x"))  # type: ignore[arg-type,return-value]
    assert a.digest != b.digest


def test_reusing_does_no_work_and_forgets_nothing(store: Store) -> None:
    with pytest.raises(NotDoneError, match="adapter"), store.reusing():
        store.keep("triage", step(), lambda out: pytest.fail("done"))
    assert not (store.root / "adapter" / step().key).exists()
    done = store.keep("triage", step(), write)
    with store.reusing() as keys:
        assert store.keep("triage", step(), lambda out: pytest.fail("done again")).digest == done.digest
    assert keys == [step().key]
    with pytest.raises(NotDoneError, match="done again"), store.reusing():
        store.drop(step())
    assert store.latest("adapter", "triage").digest == done.digest
    store.drop(step())
    assert store.run(step(), write).digest == done.digest, "work is done again once the block has ended"


def test_failed_work_leaves_nothing(store: Store) -> None:
    def fail(out: Path) -> None:
        write(out)
        raise RuntimeError("stopped half way")

    with pytest.raises(RuntimeError):
        store.run(step(), fail)
    assert store.get(step()) is None
    assert [path.name for path in store.root.rglob("*") if path.suffix != ".lock"] == ["adapter"]
    assert not store.run(step(), write).reused


def test_half_written_rest_of_a_killed_process_is_ignored(store: Store) -> None:
    partial = store.root / "adapter" / f".partial-{step().key}" / "files"
    partial.mkdir(parents=True)
    (partial / "rest").write_text("old")
    entry = store.run(step(), write)
    assert not (entry.path / "rest").exists()
    assert not partial.exists()


@pytest.mark.parametrize("harm", ["alter", "remove", "add", "record", "no record"])
def test_damaged_entry_is_set_aside_and_made_anew(store: Store, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    entry = store.run(step(), write)
    weights, record = entry.path / "deep" / "weights", entry.path.parent / "entry.json"
    {
        "alter": lambda: weights.write_bytes(b"v" * 100),
        "remove": weights.unlink,
        "add": lambda: (entry.path / "extra").write_text("x"),
        "record": lambda: record.write_text("{"),
        "no record": record.unlink,
    }[harm]()
    with caplog.at_level(logging.WARNING):
        again = store.run(step(), write)
    assert not again.reused
    assert "damaged" in caplog.text
    assert len(list((store.root / ".damaged").iterdir())) == 1
    assert store.run(step(), write).reused


def test_full_disk_is_one_clear_error_and_the_store_stays_good(store: Store) -> None:
    def full(out: Path) -> None:
        write(out)
        raise OSError(errno.ENOSPC, "No space left on device")

    kept = store.run(step(name="kept"), write)
    with pytest.raises(StorageError, match="No space left on device; nothing was kept"):
        store.run(step(), full)
    assert store.get(step()) is None
    assert store.run(step(name="kept"), write) == kept.__class__(**{**vars(kept), "reused": True})


def test_other_errors_of_the_work_pass_through(store: Store) -> None:
    def fail(out: Path) -> None:
        raise OSError(errno.ENOENT, "no such file")

    with pytest.raises(FileNotFoundError):
        store.run(step(), fail)


def test_two_at_once_do_the_work_once(store: Store) -> None:
    done: list[int] = []
    gate = threading.Barrier(2)

    def work(out: Path) -> None:
        done.append(1)
        write(out)

    def run() -> None:
        gate.wait()
        store.run(step(), work)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [1]


def test_latest_is_what_was_pointed_at(store: Store) -> None:
    with pytest.raises(RefusedError, match=r"adapter \[triage\]: not there; materialize it first"):
        store.latest("adapter", "triage")
    entry = store.run(step(), write)
    store.point("triage", "adapter", entry)
    assert store.latest("adapter", "triage").path == entry.path
    (entry.path / "deep" / "weights").write_bytes(b"altered")
    with pytest.raises(RefusedError, match="not there"):
        store.latest("adapter", "triage")
