"""Retrieve: a text becomes a vector of length 1, near to those of texts that mean the same.

The graph takes the mean of its tokens' vectors and divides it by its length; here the length is only checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_manifests import IntegrityError, Task
from runtimes.engine.loaded import Loaded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNIT = 1e-3
"""How far the length of an embedding may be from 1."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """Where the model puts one text. The cosine of two texts is the product of their vectors."""

    vector: NDArray[np.float32]
    """[dimension], of length 1."""
    tokens: int
    """Tokens that the model read, special ones included."""
    truncated: bool
    """The text was longer than the model reads; its end was ignored."""


class Embedder(Loaded):
    """One loaded retriever. `embed` and `embeddings` may be called from several threads at once."""

    TASK = Task.RETRIEVE
    OUTPUT = "embedding"

    def embed(self, text: str) -> Embedding:
        """Embed one text: a question, or the content of a passage.

        Raises:
            DataError: the text is empty, too long or not valid Unicode.
            IntegrityError: the model fails, or its vector is not finite or not of length 1.
        """
        ids, truncated = self._encode(text)
        return Embedding(self._run(ids), len(ids), truncated)

    query = embed
    """One request, whatever the task."""

    def embeddings(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors, float32 [texts, dimension], in the order of the texts; each is run alone and unpadded.

        Raises:
            DataError: a text is empty, too long or not valid Unicode.
            IntegrityError: the model fails, or a vector is not finite or not of length 1.
        """
        import numpy as np

        found = np.empty((len(texts), self.config.dimension or 0), np.float32)
        for row, vector in enumerate(self._outputs(texts)):
            found[row] = vector
        return found

    outputs = embeddings
    """What the graph gives for each text, whatever the task."""

    def smoke(self) -> list[str]:
        """Run the bundle's own cases; what differs, one sentence each, without their texts. Empty when all is well.

        Raises:
            IntegrityError: the model fails, or a vector is not finite or not of length 1.
        """
        failures = []
        for number, case in enumerate(self.config.similar, 1):
            found = float(self.embed(case.text).vector @ self.embed(case.other).vector)
            if not abs(found - case.cosine) <= case.tolerance:
                failures.append(
                    f"smoke case {number}: cosine {case.cosine:.3f} (within {case.tolerance:.3f}) expected, "
                    f"found {found:.3f}"
                )
        return failures

    def _check(self, found: np.ndarray) -> None:
        import numpy as np

        if found.shape != (1, self.config.dimension):
            raise IntegrityError(
                f"{self._where}: dimension: the model gives vectors of shape {list(found.shape)}, "
                f"bundle.json says {self.config.dimension}; build the bundle again"
            )
        length = float(np.linalg.norm(found))
        if not abs(length - 1) <= UNIT:
            raise IntegrityError(
                f"{self._where}: model: a vector of length 1 expected, found {length:.4g}; do not serve this bundle"
            )
