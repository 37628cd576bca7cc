"""The files of a pack beside `pack.json`.

| file | holds |
|---|---|
| `passages.jsonl` | passages as canonical JSON, one a line, in the order of their ids; row i is line i |
| `embedding_codes.npy` | int8 [n, dim], see `runtimes.knowledge.rows` |
| `embedding_corrections.i8` | int8, n rows of dim bytes without a header; a search reads a hundred rows of it |
| `embedding_scales.npy` | float32 [n] |
| `bm25_terms.txt` | the words, sorted, one a line |
| `bm25_starts.npy`, `bm25_rows.npy`, `bm25_scores.npy` | see `runtimes.knowledge.lexical` |

The same passages and embeddings give the same bytes. A passage that did not change has the
same line, codes, corrections and scale in the next pack; only its place moves.
"""

from __future__ import annotations

from fleet_manifests.knowledge import PASSAGES as PASSAGES
from fleet_manifests.knowledge import WORD_INDEX

CODES = "embedding_codes.npy"
CORRECTIONS = "embedding_corrections.i8"
SCALES = "embedding_scales.npy"
TERMS, STARTS, ROWS, SCORES = WORD_INDEX
FILES = (PASSAGES, CODES, CORRECTIONS, SCALES, *WORD_INDEX)
