"""Which deltas a channel offers, and from what."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet_manifests import Descriptor, digest_of, parse
from fleet_manifests.bundle import TUNED
from fleet_manifests.updates import ADAPTER_FILE, BASE_FILE, INDEX, PATCH, PLAN_FILE, SUBTRACT, WHOLE, Content, Updates
from release import Release
from release import deltas as subject
from release.deltas import File, files_of, offer, packed
from release.published import blob_path, read_blob

pytestmark = pytest.mark.unit

MANAGERS = ("alice", "bob")
NOISE = random.Random(3).randbytes(50_000)


def near(raw: bytes, every: int) -> bytes:
    """The same with one byte in `every` raised."""
    return bytes((byte + (at % every == 0)) % 256 for at, byte in enumerate(raw))


def store(public: Path, raw: bytes) -> Descriptor:
    path = blob_path(public, digest_of(raw))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return Descriptor(media_type="x/y", digest=digest_of(raw), size=len(raw))


def step(public: Path, raw: bytes, before: Updates, known: tuple[Updates, ...] = (), place: str = "a/m.bin") -> Any:
    return offer([File(place, store(public, raw))], known, before, public)


def test_a_new_file_is_offered_compressed_where_that_pays(tmp_path: Path) -> None:
    assert step(tmp_path, NOISE, Updates()).updates.deltas == ()
    (one,) = step(tmp_path, b"again and " * 5000, Updates()).updates.deltas
    assert (one.method, one.base) == (WHOLE, None)
    assert step(tmp_path, b"small", Updates()).updates.deltas == ()


def test_the_last_contents_are_what_deltas_are_made_from(tmp_path: Path) -> None:
    history, updates = [NOISE], step(tmp_path, NOISE, Updates()).updates
    for every in (101, 103, 107, 109, 113):
        history.append(near(history[-1], every))
        updates = step(tmp_path, history[-1], updates).updates
    bases = {delta.base.digest for delta in updates.deltas}
    assert bases == {digest_of(raw) for raw in history[-4:-1]}
    assert {delta.method for delta in updates.deltas} <= {SUBTRACT, PATCH}
    assert [one.digest for one in updates.recent["a/m.bin"]] == [digest_of(raw) for raw in history[:-5:-1]]


def test_a_delta_that_saves_too_little_is_not_offered(tmp_path: Path) -> None:
    before = step(tmp_path, NOISE, Updates()).updates
    assert step(tmp_path, random.Random(4).randbytes(50_000), before).updates.deltas == ()


def test_what_moved_is_found_again(tmp_path: Path) -> None:
    lines = [f"passage {number}: {random.Random(number).random()}\n".encode() for number in range(3000)]
    before = step(tmp_path, b"".join(lines), Updates()).updates
    found = step(tmp_path, b"".join([*lines[:1000], b"a new passage\n", *lines[1000:]]), before).updates
    (patch,) = [delta for delta in found.deltas if delta.base]
    assert patch.method == PATCH and patch.payload.size < 500


def test_a_base_that_is_not_published_any_more_is_none(tmp_path: Path) -> None:
    before = step(tmp_path, NOISE, Updates()).updates
    blob_path(tmp_path, digest_of(NOISE)).unlink()
    assert step(tmp_path, near(NOISE, 50), before).updates.deltas == ()


def test_encrypted_files_get_none(tmp_path: Path) -> None:
    before = step(tmp_path, NOISE, Updates(), place="p/texts.age").updates
    assert step(tmp_path, near(NOISE, 50), before, place="p/texts.age").updates.deltas == ()


def test_the_word_index_of_a_pack_is_made_of_its_passages(tmp_path: Path) -> None:
    places = ["p/passages.jsonl", "p/bm25_scores.npy", "p/other.npy", "q/bm25_rows.npy", "r/passages.jsonl.age",
              "r/bm25_rows.npy.age", "s/passages.jsonl", "s/bm25_terms.txt"]  # fmt: skip
    files = [File(place, store(tmp_path, random.Random(place).randbytes(9_000))) for place in places]
    files[-1] = File(places[-1], store(tmp_path, b"few"))
    found = offer(files, (), Updates(), tmp_path)
    (one,) = found.updates.deltas
    assert (one.target, one.base, one.method) == (files[1].content, files[0].content, INDEX)
    assert found.payloads[one.payload.digest] == b"bm25_scores.npy"


def test_passages_that_a_site_does_not_read_into_memory_make_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [File(place, store(tmp_path, random.Random(place).randbytes(9_000)))
             for place in ("p/passages.jsonl", "p/bm25_rows.npy")]  # fmt: skip
    monkeypatch.setattr(subject, "MOST_PASSAGES", 8_999)
    assert offer(files, (), Updates(), tmp_path).updates.deltas == ()


def test_what_another_channel_made_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = step(tmp_path, NOISE, Updates()).updates
    made = step(tmp_path, near(NOISE, 50), before)
    monkeypatch.setattr(subject, "packed", lambda *_: pytest.fail("is there already"))
    monkeypatch.setattr(subject, "PAYS", 10)
    with pytest.raises(pytest.fail.Exception):
        step(tmp_path, near(NOISE, 50), before)
    monkeypatch.undo()
    again = step(tmp_path, near(NOISE, 50), before, (made.updates,))
    assert again.updates == made.updates


def test_the_same_history_gives_the_same_list(tmp_path: Path) -> None:
    before = step(tmp_path / "one", NOISE, Updates()).updates
    step(tmp_path / "two", NOISE, Updates())
    assert step(tmp_path / "one", near(NOISE, 50), before) == step(tmp_path / "two", near(NOISE, 50), before)
    assert packed(NOISE, WHOLE) == packed(NOISE, WHOLE)


def test_a_release_names_its_list_and_publishes_what_is_in_it(release: Release, builder: Any) -> None:
    public = release.repository.public
    first = release.promote("canary", [builder.candidate(content="weights " * 20)], {"triage": builder.entry()})
    second = release.promote("canary", [builder.candidate(content="weightz " * 20)], {"triage": builder.entry()})
    assert first.updates != second.updates
    updates = parse(Updates, read_blob(public, second.updates))
    assert {file.place for file in files_of(second, public)} == set(updates.recent)
    (model,) = [place for place in updates.recent if place.endswith("/model.onnx")]
    assert len(updates.recent[model]) == 2
    assert {delta.method for delta in updates.deltas} == {WHOLE, PATCH}
    for delta in updates.deltas:
        read_blob(public, delta.payload)
    assert isinstance(updates.recent[model][0], Content)


def test_a_release_that_says_nothing_new_makes_no_list(release: Release, builder: Any) -> None:
    candidate = builder.candidate(content="weights " * 20)
    first = release.promote("canary", [candidate], {"triage": builder.entry()})
    assert release.promote("canary", [candidate], {"triage": builder.entry()}) == first


def derivation(folder: Path, adapter: bytes) -> Path:
    folder.mkdir(parents=True)
    for name, raw in ((PLAN_FILE, b"{}"), (BASE_FILE, b"base " * 9000), (ADAPTER_FILE, adapter)):
        (folder / name).write_bytes(raw)
    return folder


def tuned_candidate(builder: Any, content: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A candidate whose bundle has tuned weights, and how they are derived."""
    (folder / "tuned").mkdir(parents=True)
    (folder / "tuned" / TUNED).write_bytes(content.encode() * 3000)
    plain = builder.files
    with monkeypatch.context() as patch:
        patch.setattr(builder, "files", lambda *a, **k: {**plain(*a, **k), TUNED: folder / "tuned" / TUNED})
        made = builder.candidate(content=content)
    return replace(made, derivation=derivation(folder / "derivation", near(NOISE[:9000], len(content) * 20)))


def test_a_derivation_is_published_with_its_inputs_and_carried_on(
    release: Release, builder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, entry = release.repository.public, {"triage": builder.entry()}
    candidate = tuned_candidate(builder, "first", tmp_path / "1", monkeypatch)
    first = parse(Updates, read_blob(public, release.promote("canary", [candidate], entry).updates))
    (one,) = first.derivations
    assert read_blob(public, one.adapter) == near(NOISE[:9000], 100)
    assert one.base.digest in {delta.target.digest for delta in first.deltas}, "it travels compressed"
    assert f"{candidate.name}:adapter.bin" in first.recent

    stable = release.promote("stable", [replace(candidate, derivation=None)], entry, MANAGERS)
    assert parse(Updates, read_blob(public, stable.updates)).derivations == (one,), "the other channel knows it"

    newer = tuned_candidate(builder, "the other", tmp_path / "2", monkeypatch)
    second = parse(Updates, read_blob(public, release.promote("canary", [newer], entry).updates))
    (other,) = second.derivations
    assert other.target != one.target and other.base == one.base
    assert one.adapter.digest in {delta.base.digest for delta in second.deltas if delta.base}


def openvino_candidate(builder: Any, raw: bytes, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A candidate for OpenVINO whose `model.bin` has these bytes."""
    files = builder.files(f"ir-{digest_of(raw)[7:15]}")
    weights = files["model.onnx"].with_name("model.bin")
    weights.write_bytes(raw)
    given = {**files, "model.xml": files["model.onnx"], "model.bin": weights}
    del given["model.onnx"]
    told = {"engine": "openvino", "model": "model.xml", "weights": ("model.bin",)}
    config = builder.config().model_copy(update=told)
    with monkeypatch.context() as patch:
        patch.setattr(builder, "files", lambda *_: given)
        patch.setattr(builder, "config", lambda *_: config)
        return builder.candidate()


def test_a_build_for_openvino_is_named_so_and_updated_by_deltas(
    release: Release, builder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, entry = release.repository.public, {"triage": builder.entry()}
    release.promote("canary", [builder.candidate()], entry)
    first = release.promote("canary", [openvino_candidate(builder, NOISE, monkeypatch)], entry)
    assert [build.engine for build in first.workflows["triage"].builds.values()] == ["openvino"]
    second = release.promote("canary", [openvino_candidate(builder, near(NOISE, 50), monkeypatch)], entry)
    updates = parse(Updates, read_blob(public, second.updates))
    (weights,) = [place for place in updates.recent if place.endswith("/model.bin")]
    newest, older = updates.recent[weights]
    assert (older.digest, newest.digest) in {(one.base.digest, one.target.digest) for one in updates.deltas if one.base}
    assert updates.derivations == ()
