"""Writing and opening packs: the bytes that are written, and everything that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleet_manifests import DataError, IntegrityError, Relevance, StorageError, UsageError
from fleet_manifests.knowledge import PACK_FILE, library_digest
from pipelines.steps.pack_files import write
from runtimes.knowledge import FILES, open_pack
from runtimes.knowledge import layout as names
from tests.runtimes.knowledge.conftest import (
    OTHER,
    RETRIEVER,
    Asker,
    embed,
    open_files,
    passage,
    procedures,
    write_pack,
)

pytestmark = pytest.mark.unit


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def vectors() -> Any:
    return embed([one.content for one in procedures()])


def test_write_puts_its_files_and_no_other(tmp_path: Path) -> None:
    write(procedures(), vectors(), tmp_path)
    assert sorted(contents(tmp_path)) == sorted(FILES)


def test_write_returns_the_digest_of_the_library(tmp_path: Path) -> None:
    assert write(procedures(), vectors(), tmp_path) == library_digest(tuple(procedures()))


def test_bytes_do_not_depend_on_the_order_given(tmp_path: Path) -> None:
    passages, rows = procedures(), vectors()
    order = np.random.default_rng(0).permutation(len(passages)).tolist()
    for name, some in (("a", range(len(passages))), ("b", order)):
        (tmp_path / name).mkdir()
        write([passages[number] for number in some], rows[list(some)], tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_changed_passage_leaves_the_rows_of_others(tmp_path: Path) -> None:
    passages = procedures()
    changed = [passages[0].model_copy(update={"text": "Another text about drums."}), *passages[1:]]
    for name, some in (("a", passages), ("b", changed)):
        (tmp_path / name).mkdir()
        write(some, embed([one.content for one in some]), tmp_path / name)
    lines = [(tmp_path / name / names.PASSAGES).read_bytes().split(b"\n") for name in "ab"]
    assert sum(one != other for one, other in zip(*lines, strict=True)) == 1
    codes = [np.load(tmp_path / name / names.CODES) for name in "ab"]
    assert (codes[0] != codes[1]).any(axis=1).sum() == 1
    size = codes[0].shape[1]
    fine = [(tmp_path / name / names.CORRECTIONS).read_bytes() for name in "ab"]
    assert sum(fine[0][at : at + size] != fine[1][at : at + size] for at in range(0, len(fine[0]), size)) == 1


def test_a_date_changes_the_passages_and_nothing_else(tmp_path: Path) -> None:
    passages = procedures()
    later = [passages[0].model_copy(update={"owner": "Somebody else"}), *passages[1:]]
    for name, some in (("a", passages), ("b", later)):
        (tmp_path / name).mkdir()
        write(some, vectors(), tmp_path / name)
    one, other = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert {name for name in one if one[name] != other[name]} == {names.PASSAGES}


@pytest.mark.parametrize(
    ("passages", "rows", "problem"),
    [
        ([], np.empty((0, 48), np.float32), "at least one"),
        ([passage("a/b"), passage("a/b")], embed(["a", "b"]), "'a/b' more than once"),
        ([passage("a/b"), passage("a/c")], embed(["a"]), "2 rows were expected"),
        ([passage("a/b")], embed(["a"]) * 2, "length 1"),
        ([passage("a/b")], np.full((1, 48), np.nan, np.float32), "length 1"),
        ([passage("a/b")], embed(["a"])[0][:1], "dimension"),
        ([passage("a/b", "the of", title="a", section=())], embed(["a"]), "words"),
    ],
)
def test_write_refuses(tmp_path: Path, passages: Any, rows: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        write(passages, rows, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_write_does_not_overwrite(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(UsageError, match="exists already"):
        write(procedures(), vectors(), folder)
    assert contents(folder) == before


def test_write_into_no_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write(procedures(), vectors(), tmp_path / "none")


def test_a_pack_opens_and_closes(folder: Path) -> None:
    before = open_files()
    with open_pack(folder, retriever=RETRIEVER) as pack:
        assert pack.config.site_class == "warehouse"
        assert Asker(pack).ids("read the probe")[0] == "cc-002/reading-the-probe"
    del pack
    assert open_files() == before


def test_a_pack_on_a_read_only_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    try:
        assert Asker(open_pack(folder, retriever=RETRIEVER)).ids("probe")[0] == "cc-002/reading-the-probe"
    finally:
        folder.chmod(0o755)


def test_two_packs_of_one_folder_share_nothing_but_pages(folder: Path) -> None:
    one, other = (Asker(open_pack(folder, retriever=RETRIEVER)) for _ in range(2))
    one.pack.close()
    assert other.ids("probe")[0] == "cc-002/reading-the-probe"


def test_another_retriever_is_refused_and_both_are_named(folder: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        open_pack(folder, retriever=OTHER)
    assert RETRIEVER in str(caught.value)
    assert OTHER in str(caught.value)


def configure(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / PACK_FILE).read_bytes())
    (folder / PACK_FILE).write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"passages": 7}, "7 passages were expected, found 8"),
        ({"dimension": 47}, r"embedding_codes.npy: int8 \[8, 47\] was expected, found int8 \[8, 48\]"),
        ({"library": OTHER}, f"the library {OTHER} was expected"),
        ({"passages": 0}, "passages"),
        ({"relevance": {"intercept": 0, "weights": {"luck": 1}}}, "relevance.weights: no feature 'luck'"),
        ({"data_class": "pricing"}, "must be encrypted"),
        ({"schema_version": 2}, "schema_version"),
    ],
)
def test_a_pack_that_is_not_what_it_says_is_refused(folder: Path, changes: dict[str, Any], problem: str) -> None:
    configure(folder, **changes)
    with pytest.raises(IntegrityError, match=problem):
        open_pack(folder, retriever=RETRIEVER)


def test_known_features_are_accepted(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "p", procedures(), relevance=Relevance(weights={"cosine": 1.0}))
    open_pack(folder, retriever=RETRIEVER).close()


@pytest.mark.parametrize("name", [PACK_FILE, *FILES])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(IntegrityError, match=f"no file '{name}'"):
        open_pack(folder, retriever=RETRIEVER)


@pytest.mark.parametrize("name", [PACK_FILE, *FILES])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x05\x06" + bytes(18)])
def test_a_file_of_something_else_is_refused(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=name if name.endswith((".npy", ".json", ".jsonl", ".i8")) else "BM25"):
        open_pack(folder, retriever=RETRIEVER)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_is_refused(folder: Path, name: str) -> None:
    raw = (folder / name).read_bytes()
    (folder / name).write_bytes(raw[: len(raw) // 2])
    with pytest.raises(IntegrityError):
        open_pack(folder, retriever=RETRIEVER)


def halve(array: Any) -> Any:
    return array[: len(array) // 2]


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        (names.SCALES, lambda a: np.where(np.arange(8) == 3, np.nan, a).astype(np.float32), "positive"),
        (names.SCALES, lambda a: -a, "positive"),
        (names.SCALES, lambda a: a.astype(np.float64), "float32"),
        (names.SCALES, halve, r"\[8\] was expected"),
        (names.CODES, halve, r"\[8, 48\] was expected"),
        (names.CODES, lambda a: a.astype(np.int16), "int8"),
        (names.CODES, lambda a: a.ravel(), "was expected"),
        (names.SCORES, lambda a: np.full_like(a, np.inf), "not finite"),
        (names.ROWS, lambda a: a + 100, "outside of the 8"),
        (names.ROWS, lambda a: a.astype(np.int64), "int32"),
        (names.STARTS, lambda a: a[::-1].copy(), "do not rise"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    folder: Path, name: str, change: Callable[[Any], Any], problem: str
) -> None:
    np.save(folder / name, change(np.load(folder / name)))
    with pytest.raises(IntegrityError, match=problem):
        open_pack(folder, retriever=RETRIEVER)


def test_arrays_with_objects_are_never_unpickled(folder: Path) -> None:
    np.save(folder / names.SCALES, np.array([print] * 8, dtype=object), allow_pickle=True)
    with pytest.raises(IntegrityError, match="not an array"):
        open_pack(folder, retriever=RETRIEVER)


def test_a_changed_text_is_found(folder: Path) -> None:
    path = folder / names.PASSAGES
    path.write_bytes(path.read_bytes().replace(b"20 per cent", b"90 per cent"))
    with pytest.raises(IntegrityError, match="the library"):
        open_pack(folder, retriever=RETRIEVER)


def test_a_refused_pack_leaves_no_file_open(folder: Path) -> None:
    (folder / names.SCORES).unlink()
    before = open_files()
    with pytest.raises(IntegrityError):
        open_pack(folder, retriever=RETRIEVER)
    assert open_files() == before


def test_opening_does_not_change_the_folder(folder: Path) -> None:
    before = contents(folder)
    Asker(open_pack(folder, retriever=RETRIEVER)).search("probe")
    assert contents(folder) == before


def test_arrays_of_a_pack_in_the_clear_are_mapped(folder: Path) -> None:
    pack = open_pack(folder, retriever=RETRIEVER)
    maps = Path("/proc/self/maps").read_text()
    for name in (names.CODES, names.SCALES, names.ROWS, names.SCORES, names.STARTS):
        assert str(folder / name) in maps, name
    for name in (names.PASSAGES, names.CORRECTIONS):
        assert str(folder / name) not in maps, name
    pack.close()
