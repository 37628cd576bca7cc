"""Embeddings are made once for each text, whatever document it stands in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fleet_manifests import StorageError
from pipelines.steps.vectors import BATCH, Vectors, frozen_vectors
from training.arguments import RetrieveArguments

pytestmark = pytest.mark.unit


class Model:
    """Embeds a text as its length and its first letter; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.array([[len(text), ord(text[0])] for text in texts], np.float32)


def test_vectors_come_in_the_order_of_the_texts(tmp_path: Path) -> None:
    found = Vectors(tmp_path / "v.db", Model(), 2).of(["bb", "a", "bb"])
    assert found.tolist() == [[2, 98], [1, 97], [2, 98]]


def test_a_text_is_embedded_once_even_by_another_process(tmp_path: Path) -> None:
    first, again = Model(), Model()
    Vectors(tmp_path / "v.db", first, 2).of(["a", "bb"])
    later = Vectors(tmp_path / "v.db", again, 2)
    assert later.of(["bb", "ccc", "a"]).tolist() == [[2, 98], [3, 99], [1, 97]]
    assert (again.asked, later.made) == (["ccc"], 1)


def test_many_texts_are_kept_batch_by_batch(tmp_path: Path) -> None:
    class Breaks(Model):
        def __call__(self, texts: Sequence[str]) -> np.ndarray:
            if len(self.asked) >= BATCH:
                raise KeyboardInterrupt
            return super().__call__(texts)

    texts = [f"text {number}" for number in range(BATCH + 10)]
    with pytest.raises(KeyboardInterrupt):
        Vectors(tmp_path / "v.db", Breaks(), 2).of(texts)
    model = Model()
    assert len(Vectors(tmp_path / "v.db", model, 2).of(texts)) == BATCH + 10
    assert len(model.asked) == 10, "what was embedded before the interruption is not embedded again"


def test_nothing_asked_is_an_empty_array(tmp_path: Path) -> None:
    assert Vectors(tmp_path / "v.db", Model(), 2).of([]).shape == (0, 2)


def test_a_damaged_cache_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "v.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match=r"v\.db.*delete this cache"):
        Vectors(tmp_path / "v.db", Model(), 2).of(["a"])


def test_vectors_of_another_length_are_made_anew(tmp_path: Path) -> None:
    Vectors(tmp_path / "v.db", Model(), 2).of(["a"])
    wider = Vectors(tmp_path / "v.db", lambda texts: np.ones((len(texts), 3), np.float32), 3)
    assert wider.of(["a"]).shape == (1, 3)


def test_a_base_reads_each_length_of_text_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of texts that were cut elsewhere, or computed in another precision, are other vectors."""
    (tmp_path / "config.json").write_text('{"hidden_size": 2}')
    base: Any = SimpleNamespace(path=tmp_path, ref=SimpleNamespace(digest="sha256:ab"))
    project: Any = SimpleNamespace(state=tmp_path)
    lengths: list[int] = []

    def reader(base: object, arguments: RetrieveArguments) -> Callable[[Sequence[str]], np.ndarray]:
        lengths.append(arguments.max_tokens)
        return lambda texts: np.array([[3.0, 4.0]] * len(texts), np.float32)

    monkeypatch.setattr("training.frozen.reader", reader)
    for tokens in (16, 32, 16):
        arguments = RetrieveArguments(max_tokens=tokens, precision="fp32")
        found = frozen_vectors(project, base, arguments).of(["a"])
        assert found == pytest.approx(np.array([[0.6, 0.8]]))
    assert lengths == [16, 32]
