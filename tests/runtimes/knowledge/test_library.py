"""The passages of a pack: read one by one, checked as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet_manifests import IntegrityError, Passage, dump
from fleet_manifests.knowledge import library_digest
from fleet_manifests.wire import digest_of
from runtimes.knowledge import library as module
from runtimes.knowledge.library import Library, lines_of
from runtimes.knowledge.store import FileBlob
from tests.runtimes.knowledge.conftest import passage, procedures, spilled

pytestmark = pytest.mark.unit

WHERE = Path("passages.jsonl")
STRANGE = (
    'a "quoted", id',
    "back\\slash",
    "line\nbreak",
    "tab\there",
    "Straße ☃",
    "\U0001f600 emoji",
    "\x7f delete",
)


def ordered() -> tuple[Passage, ...]:
    return tuple(sorted(procedures(), key=lambda one: one.id))


def opened(raw: bytes, *, digest: str | None = None, count: int | None = None) -> Library:
    return Library(spilled(raw), WHERE, digest=digest or digest_of(raw), count=count or raw.count(b"\n") + 1)


def test_lines_are_what_the_digest_is_of() -> None:
    assert digest_of(lines_of(ordered())) == library_digest(tuple(procedures()))


def test_every_passage_comes_back_as_it_was() -> None:
    library = opened(lines_of(ordered()))
    assert [library.passage(row) for row in range(len(library))] == list(ordered())
    assert library.ids() == tuple(one.id for one in ordered())
    assert [library.id(row) for row in range(len(library))] == list(library.ids())


@pytest.mark.parametrize("text", STRANGE)
def test_strange_ids_and_texts_come_back(text: str) -> None:
    decoy = '","id":"not-me","x":"'
    one = passage("z/z").model_copy(update={"id": text, "text": f"{text}\n{decoy}", "disagrees_with": (decoy, "id")})
    library = opened(lines_of([one]))
    assert library.id(0) == text
    assert library.passage(0) == one
    assert library.find(text) == 0


def test_strange_ids_are_in_python_s_order() -> None:
    names = sorted(STRANGE)
    library = opened(lines_of([passage("z/z").model_copy(update={"id": name}) for name in names]))
    assert library.ids() == tuple(names)
    assert [library.find(name) for name in names] == list(range(len(names)))


def test_find_knows_what_is_not_there() -> None:
    library = opened(lines_of(ordered()))
    for name in ("", "a", "wh-017/putting", "zz", ordered()[3].id + "x", ordered()[3].id[:-1]):
        assert library.find(name) is None
    assert [library.find(one.id) for one in ordered()] == list(range(len(ordered())))


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = lines_of(ordered())
    for size in (1, 7, 64, len(raw) - 1, len(raw), len(raw) + 1):
        monkeypatch.setattr(module, "BLOCK", size)
        assert opened(raw).ids() == tuple(one.id for one in ordered())


def test_a_file_is_read_like_bytes(tmp_path: Path) -> None:
    raw = lines_of(ordered())
    (tmp_path / "passages.jsonl").write_bytes(raw)
    library = Library(FileBlob(tmp_path / "passages.jsonl"), WHERE, digest=digest_of(raw), count=len(ordered()))
    assert library.passage(2) == ordered()[2]
    library.close()


def test_another_digest_is_refused_and_named() -> None:
    raw = lines_of(ordered())
    other = raw.replace(b"Press F6", b"Press F7")
    with pytest.raises(IntegrityError) as caught:
        opened(other, digest=digest_of(raw))
    assert digest_of(raw) in str(caught.value)
    assert digest_of(other) in str(caught.value)


@pytest.mark.parametrize("count", [1, 7, 9])
def test_another_count_is_refused(count: int) -> None:
    with pytest.raises(IntegrityError, match=f"{count} passages were expected, found 8"):
        opened(lines_of(ordered()), count=count)


def test_an_id_that_appears_twice_is_refused() -> None:
    first, *rest = ordered()
    with pytest.raises(IntegrityError, match=r"line 2: the id .* is not after"):
        opened(lines_of([first, first, *rest]))


def test_ids_out_of_order_are_refused() -> None:
    first, second, *rest = ordered()
    with pytest.raises(IntegrityError, match="is not after"):
        opened(lines_of([second, first, *rest]))


@pytest.mark.parametrize("line", [b"{}", b"", b"nonsense", b'{"text":"no id"}', b"\xff\xfe"])
def test_a_line_without_an_id_is_refused(line: bytes) -> None:
    raw = lines_of(ordered()) + b"\n" + line + b"\n"
    with pytest.raises(IntegrityError, match="line 9"):
        opened(raw, count=9)


def test_no_passages_are_refused() -> None:
    with pytest.raises(IntegrityError, match="found 0"):
        Library(spilled(b""), WHERE, digest=digest_of(b""), count=1)


def test_a_line_that_is_no_passage_is_refused_when_it_is_read() -> None:
    data = json.loads(dump(passage("a/b")))
    del data["text"]
    library = opened(json.dumps(data, separators=(",", ":"), sort_keys=True).encode())
    assert library.id(0) == "a/b"
    with pytest.raises(IntegrityError, match=r"line 1: text"):
        library.passage(0)
