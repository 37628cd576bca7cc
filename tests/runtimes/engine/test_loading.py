"""Loading bundles of any task, and what engines of one process share."""

from __future__ import annotations

import ctypes
import gc
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnxruntime
import pytest

from fleet_manifests import BundleConfig, IntegrityError, RefusedError, Task
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
