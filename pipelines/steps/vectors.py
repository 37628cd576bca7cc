"""Embeddings of texts by one model, each made once: a new revision of a document embeds only its own passages."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import StorageError, digest_of
from pipelines.project.load import Project
from training.arguments import RetrieveArguments
from training.bases import ResolvedBase

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 256
"""Texts embedded between two commits, so that an interrupted run loses little."""


class Vectors:
    """The embeddings that one model gave, by the digest of the text."""

    def __init__(self, path: Path, embed: Callable[[Sequence[str]], NDArray[np.float32]], dimension: int) -> None:
        """Use a cache file.

        Args:
            path: the file, one for each model.
            embed: texts to vectors, float32 [n, dimension] of length 1.
            dimension: length of a vector.
        """
        self._path, self._embed, self._dimension = path, embed, dimension
        self.made = 0
        """Texts that had to be embedded."""

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embeddings of texts, float32 [n, dimension], in their order.

        Raises:
            StorageError: the cache cannot be read or written.
        """
        import numpy as np

        keys = [digest_of(text.encode()) for text in texts]
        by_key = dict(zip(keys, texts, strict=True))
        with self._open() as cache:
            known = self._known(cache, list(by_key))
            missing = [key for key in by_key if key not in known]
            for start in range(0, len(missing), BATCH):
                some = missing[start : start + BATCH]
                vectors = np.ascontiguousarray(self._embed([by_key[key] for key in some]), dtype=np.float32)
                with cache:
                    rows = [(key, vector.tobytes()) for key, vector in zip(some, vectors, strict=True)]
                    cache.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
                known |= dict(zip(some, vectors, strict=True))
            self.made += len(missing)
        return np.stack([known[key] for key in keys]) if keys else np.empty((0, self._dimension), np.float32)

    def _known(self, cache: sqlite3.Connection, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        import numpy as np

        found = {}
        for start in range(0, len(keys), BATCH):
            some = keys[start : start + BATCH]
            marks = ", ".join("?" * len(some))
            for key, raw in cache.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some):
                vector = np.frombuffer(raw, np.float32)
                if len(vector) == self._dimension:
                    found[key] = vector
        return found

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path)) as cache:
                cache.execute("CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL)")
                yield cache
        except (OSError, sqlite3.Error) as exc:
            raise StorageError(f"{self._path}: {exc}; make room, or delete this cache: it is made again") from exc


def frozen_vectors(project: Project, base: ResolvedBase, arguments: RetrieveArguments) -> Vectors:
    """The vectors that a base gives as it is, of texts cut as the arguments say."""

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        from training.frozen import reader

        found = reader(base, arguments)(texts)
        unit: NDArray[np.float32] = found / np.linalg.norm(found, axis=1, keepdims=True)
        return unit

    name = f"base-{base.ref.digest.removeprefix('sha256:')}-{arguments.max_tokens}-{arguments.precision}.db"
    return Vectors(project.state / "vectors" / name, embed, hidden_size(base.path))


def hidden_size(base: Path) -> int:
    """Length of the vectors of a base."""
    return int(json.loads((base / "config.json").read_text(encoding="utf-8"))["hidden_size"])
