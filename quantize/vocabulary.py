"""Vocabulary trimming: only the rows of the embedding table that the workflow's texts need are kept.

The tokenizer stays what it was. A small table in the graph leads every token id to a row: its own where that was
kept, otherwise to that of the nearest kept one, by the cosine of their embeddings in the base: a word that no text
had is read as the word most like it. Kept are the ids that occur in training texts, special tokens, and the pieces
of one or two letters that spell what is otherwise unknown. Whether that is good enough is measured, on validation
texts and on disturbed ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_manifests import DataError
from quantize.embeddings import IDS, KEPT, table_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKENIZER = "tokenizer.json"
SHORT = 2
"""Letters of the pieces that are kept in any case."""
CONTINUED = "##"
CHUNK = 1024


def trim_vocabulary(path: Path, samples: Sequence[Sequence[int]]) -> int:
    """Drop the rows that are not needed, in place; how many. The tokenizer lies beside the model.

    Raises:
        DataError: the tokenizer has no vocabulary of pieces.
    """
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(path))
    found = table_of(model.graph)
    if found is None or found[0].input[1] != IDS:
        return 0
    node, table = found
    rows = numpy_helper.to_array(table)
    seen = {id_ for row in samples for id_ in row} | always_kept(path.parent / TOKENIZER)
    kept = np.array(sorted(id_ for id_ in seen if id_ < len(rows)), np.int64)
    if len(kept) in (0, len(rows)):
        return 0
    table.CopyFrom(numpy_helper.from_array(rows[kept], table.name))
    model.graph.initializer.append(numpy_helper.from_array(places(rows, kept), "place_of_id"))
    node.input[1] = KEPT
    model.graph.node.insert(0, helper.make_node("Gather", ["place_of_id", IDS], [KEPT], name="kept_ids"))
    onnx.save(model, str(path))
    return len(rows) - len(kept)


def always_kept(path: Path) -> set[int]:
    """Special tokens, and the pieces that spell unknown words.

    Raises:
        DataError: the file is not a tokenizer with a vocabulary.
    """
    try:
        tokenizer = json.loads(path.read_bytes())
        vocabulary: dict[str, int] = dict(tokenizer["model"]["vocab"])
        special = {int(token["id"]) for token in tokenizer["added_tokens"]}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise DataError(f"{path}: a vocabulary expected: {exc}; use a recipe without trimming") from exc
    return special | {id_ for piece, id_ in vocabulary.items() if len(piece.removeprefix(CONTINUED)) <= SHORT}


def places(rows: NDArray[np.float32], kept: NDArray[np.int64]) -> NDArray[np.int32]:
    """[ids] the place among the kept rows that each id leads to: its own, or the nearest by cosine."""
    import numpy as np

    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    near = unit[kept].T.copy()
    found = np.empty(len(rows), np.int32)
    for start in range(0, len(rows), CHUNK):
        found[start : start + CHUNK] = (unit[start : start + CHUNK] @ near).argmax(axis=1)
    found[kept] = np.arange(len(kept), dtype=np.int32)
    return found
