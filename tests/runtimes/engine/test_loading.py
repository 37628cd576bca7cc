"""Loading bundles of any task, and what engines of one process share."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnxruntime
import pytest

from fleet_manifests import BundleConfig, IntegrityError, RefusedError, Task, WordEmbeddings, dump
from fleet_manifests.bundle import WORD_EMBEDDINGS as FILE
from quantize.split import split_word_embeddings
from runtimes.engine import Embedder, Engine, load, load_any, load_embedder, parts

pytestmark = pytest.mark.unit


def test_any_bundle_is_loaded_by_its_task(bundle, retriever) -> None:
    classifier, embedder = load_any(bundle()), load_any(retriever(), threads=1)
    assert isinstance(classifier, Engine)
    assert isinstance(embedder, Embedder)
    for loaded in (classifier, embedder):
        assert loaded.query("late truck").tokens == 4
        assert loaded.smoke() == []


@pytest.mark.parametrize("task", [Task.EXTRACT, Task.GENERATE])
def test_a_task_of_a_later_version_is_refused(bundle, config: BundleConfig, task: Task) -> None:
    with pytest.raises(RefusedError, match=f"task: {task.value} cannot be run by this version; update lading"):
        load_any(bundle(config.model_copy(update={"task": task})))


def test_a_folder_without_bundle_json_is_refused(tmp_path: Path) -> None:
    for loader in (load, load_any, load_embedder):
        with pytest.raises(IntegrityError, match=r"no file 'bundle\.json'"):
            loader(tmp_path)


def test_equal_tokenizers_are_in_memory_once(bundle, retriever) -> None:
    classifier, embedder = load(bundle()), load_embedder(retriever())
    assert classifier._tokenizer is embedder._tokenizer


def test_another_length_or_content_has_a_tokenizer_of_its_own(bundle, retriever, retriever_config) -> None:
    classifier = load(bundle())
    shorter = load_embedder(retriever(retriever_config.model_copy(update={"max_tokens": 8})))
    assert classifier.classify("late " * 30).tokens == 16
    assert shorter.embed("late " * 30).tokens == 8
    folder = retriever()
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert load_embedder(folder)._tokenizer is not classifier._tokenizer


def test_a_tokenizer_that_no_engine_uses_is_forgotten(bundle) -> None:
    engine = load(bundle())
    key = next(key for key, value in parts._tokenizers.items() if value is engine._tokenizer)
    del engine
    gc.collect()
    assert key not in parts._tokenizers


def test_a_damaged_tokenizer_is_not_remembered(bundle) -> None:
    folder = bundle()
    sound = (folder / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_bytes(sound[:-9])
    with pytest.raises(IntegrityError, match="not a tokenizer"):
        load(folder)
    (folder / "tokenizer.json").write_bytes(sound)
    assert load(folder).classify("late").label == "late"


def test_threads_that_load_at_once_share_a_tokenizer(bundle) -> None:
    folder = bundle()
    with ThreadPoolExecutor(8) as pool:
        engines = list(pool.map(load, [folder] * 16))
    assert len({id(engine._tokenizer) for engine in engines}) == 1


def test_sessions_compute_in_one_arena(bundle, retriever, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(onnxruntime, "create_and_register_allocator", lambda *given: made.append(given))
    parts._share_arena.cache_clear()
    for loaded in (load(bundle()), load_embedder(retriever())):
        options = loaded._session._session.get_session_options()
        assert options.get_session_config_entry("session.use_env_allocators") == "1"
    assert len(made) == 1
    parts._share_arena.cache_clear()


def test_a_c_library_that_cannot_trim_is_no_failure(bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert load(bundle()).classify("late").label == "late"


def split(folder: Path, config: BundleConfig) -> WordEmbeddings:
    """Move the word table of a bundle into a file of its own, as a recipe does."""
    found = split_word_embeddings(folder / "model.onnx", least=0)
    assert found is not None
    (folder / "bundle.json").write_bytes(dump(config.model_copy(update={"word_embeddings": found})))
    return found


def test_word_embeddings_in_a_file_of_their_own_answer_alike(bundle, config: BundleConfig) -> None:
    whole = load(bundle()).classify("late truck")
    folder = bundle()
    split(folder, config)
    assert load(folder).classify("late truck") == whole


def test_a_file_of_word_embeddings_is_mapped_once_and_forgotten(bundle, config, retriever, retriever_config) -> None:
    first, second = bundle(), retriever()
    split(first, config)
    split(second, retriever_config)
    (second / FILE).unlink()
    os.link(first / FILE, second / FILE)
    classifier, embedder = load(first), load_embedder(second)
    assert classifier._session._table is embedder._session._table is not None
    assert classifier.smoke() == embedder.smoke() == []
    other = first.with_name("copied")
    shutil.copytree(first, other)
    assert load(other)._session._table is not classifier._session._table
    gc.collect()
    assert len(parts._tables) == 1
    del classifier, embedder
    gc.collect()
    assert not parts._tables


def test_answers_come_from_the_mapped_table_and_survive_its_removal(bundle, config: BundleConfig) -> None:
    folder = bundle()
    split(folder, config)
    engine = load(folder)
    (folder / FILE).unlink()
    assert engine.smoke() == []


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.unlink(), "word_embeddings: no file 'word_embeddings.bin'"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1]),
            r"484 bytes expected \(float32 \[11, 11\]\), found 483",
        ),
        (lambda path: path.write_bytes(b""), "found 0; fetch the bundle again"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "found 485"),
    ],
)
def test_word_embeddings_that_are_not_there_or_not_whole_are_refused(bundle, config, damage, problem) -> None:
    folder = bundle()
    split(folder, config)
    damage(folder / FILE)
    with pytest.raises(IntegrityError, match=problem):
        load(folder)


@pytest.mark.parametrize("name", ["../word_embeddings.bin", "/etc/passwd"])
def test_word_embeddings_outside_of_the_bundle_are_refused(bundle, config: BundleConfig, name: str) -> None:
    folder = bundle()
    found = split(folder, config)
    (folder.parent / FILE).write_bytes((folder / FILE).read_bytes())
    outside = config.model_copy(update={"word_embeddings": found.model_copy(update={"file": name})})
    (folder / "bundle.json").write_bytes(dump(outside))
    with pytest.raises(IntegrityError, match="is not a file name inside the bundle"):
        load(folder)
