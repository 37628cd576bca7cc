"""The word index of a pack, made at the site: the factory's bytes, and nothing believed of what asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleet_manifests import Descriptor, IntegrityError, Passage, digest_of, dump
from fleet_manifests.knowledge import PASSAGES, WORD_INDEX
from fleet_manifests.updates import INDEX, INDEX_TYPE, UPDATES_TYPE, Content, Delta, Updates
from pipelines.steps.pack_files import write
from runtimes.sync import load_active, status
from runtimes.sync import rebuild as subject
from runtimes.sync.active import pack_folder
from runtimes.sync.rebuild import rebuild
from tests.runtimes.sync.test_crash import tidy

pytestmark = pytest.mark.unit
FLOW = "sop_assistant"


def made(folder: Path, word: str = "pallet") -> dict[str, bytes]:
    """The files of a pack of some passages that all have a word."""
    folder.mkdir()
    texts = [f"{word} {number} in lane {number % 7}, naïve 数量 re-check" for number in range(50)]
    passages = [
        Passage.model_validate({
            "id": f"a/{number:03}", "document": "A", "title": "Putting away", "text": text,
        })
        for number, text in enumerate(texts)
    ]  # fmt: skip
    vectors = np.random.default_rng(0).standard_normal((len(texts), 8)).astype(np.float32)
    write(passages, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def content_of(raw: bytes) -> Content:
    return Content(digest=digest_of(raw), size=len(raw))


def delta_of(target: bytes, payload: bytes, passages: bytes) -> Delta:
    named = Descriptor(media_type=INDEX_TYPE, digest=digest_of(payload), size=len(payload))
    return Delta(target=content_of(target), method=INDEX, base=content_of(passages), payload=named)


@pytest.mark.parametrize("name", WORD_INDEX)
def test_the_bytes_are_those_of_the_factory(tmp_path: Path, name: str) -> None:
    files = made(tmp_path / "pack")
    (tmp_path / "payload").write_bytes(name.encode())
    delta = delta_of(files[name], name.encode(), files[PASSAGES])
    rebuild(delta, tmp_path / "payload", tmp_path / "pack" / PASSAGES, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == files[name]


@pytest.mark.parametrize(
    ("payload", "passages", "reason"),
    [
        (b"../../etc/passwd", b"", "was expected in it, found '../../etc/passwd'"),
        (b"\xff" * 1000, b"", "was expected in it"),
        (b"", b"", "was expected in it, found ''"),
        (WORD_INDEX[0].encode(), b"no passages", "line 1: not a JSON document"),
        (WORD_INDEX[0].encode(), b"[" * 100_000, "line 1: not a JSON document"),
        (WORD_INDEX[0].encode(), b'{"id": "a", "document": "A", "title": "the"}', "line 1: "),
        (WORD_INDEX[0].encode(), b'{"id":"a","document":"A","title":"the","text":"of"}', "words to search for were"),
    ],
)
def test_what_is_odd_is_refused(tmp_path: Path, payload: bytes, passages: bytes, reason: str) -> None:
    (tmp_path / "payload").write_bytes(payload)
    (tmp_path / "passages").write_bytes(passages)
    with pytest.raises(IntegrityError, match=reason):
        rebuild(delta_of(b"x", payload, passages), tmp_path / "payload", tmp_path / "passages", tmp_path / "out")


def test_passages_that_need_too_much_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = made(tmp_path / "pack")
    monkeypatch.setattr(subject, "MAX_DICTIONARY", len(files[PASSAGES]) - 1)
    (tmp_path / "payload").write_bytes(WORD_INDEX[0].encode())
    with pytest.raises(IntegrityError, match="its base has more than"):
        rebuild(
            delta_of(b"x", b"x", files[PASSAGES]), tmp_path / "payload", tmp_path / "pack" / PASSAGES, tmp_path / "out"
        )


@pytest.fixture
def publish(reading: Any, tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """Publishes a pack whose word index is offered, as other bytes where `lie` says so."""

    def do(version: int, word: str, lie: bytes = b"") -> dict[str, bytes]:
        repository = reading.repository
        files = made(tmp_path / word, word)
        config = dump(repository.pack_config("branch", encrypted=False))
        repository.add_pack(files={**files, "pack.json": config})
        listed = []
        for name in WORD_INDEX:
            payload = lie or name.encode()
            delta = delta_of(files[name], payload, files[PASSAGES])
            repository.blob_file(delta.payload.digest).write_bytes(payload)
            listed.append(delta)
        repository.release(version, updates=repository.blob(dump(Updates(deltas=tuple(listed))), UPDATES_TYPE))
        return files

    return do


def found(site: Any) -> dict[str, bytes]:
    folder = pack_folder(site.state, load_active(site.state), FLOW)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "pack.json"}


def test_a_site_fetches_passages_and_makes_the_index(reading: Any, publish: Callable[..., dict[str, bytes]]) -> None:
    files = publish(3, "pallet")
    result = reading.sync()
    assert found(reading) == files and result.rebuilt_blobs == len(WORD_INDEX)
    assert status(reading.state).last_sync.fallbacks == ()
    files = publish(4, "carton rack")
    assert reading.sync().rebuilt_blobs == len(WORD_INDEX) and found(reading) == files
    tidy(reading)


def test_another_result_is_fetched_whole(reading: Any, publish: Callable[..., dict[str, bytes]]) -> None:
    files = publish(3, "pallet", lie=WORD_INDEX[0].encode())
    result = reading.sync()
    assert found(reading) == files and result.rebuilt_blobs == 1
    assert len(status(reading.state).last_sync.fallbacks) == len(WORD_INDEX) - 1
    tidy(reading)
