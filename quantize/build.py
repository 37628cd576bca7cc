"""Making a build: a recipe applied to an exported model."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fleet_manifests import DataError, WordEmbeddings, sha256_of
from quantize.export import COMPANIONS, MODEL
from quantize.graphs import integer_operators, operators
from quantize.integers import to_integers
from quantize.passes import Samples, run_passes
from quantize.recipes import Recipe
from quantize.split import split_word_embeddings
from quantize.staging import copy_present, staged

RECORD = "recipe.json"


@dataclass(frozen=True)
class BuildRecord:
    """What `apply` did; `recipe.json` beside the model."""

    recipe: str
    description: str
    source: str
    """Digest of the exported model."""
    attention_blocks: int
    """Attention blocks found in the exported graph."""
    passes: dict[str, int]
    """How many things each pass changed, in the order they ran. `fuse-attention`: blocks that became one operator,
    all or none; `drop-mask`: 1 where the build reads one unpadded text at a time and has no attention mask."""
    quantized: dict[str, int]
    """Integer operators in the build, by type."""
    word_embeddings: dict[str, Any] | None
    """How `word_embeddings.bin` holds the table that was moved there (`fleet_manifests.WordEmbeddings`)."""
    session: dict[str, Any]
    versions: dict[str, str]


def apply(recipe: Recipe, onnx: Path, out: Path, samples: Samples = ()) -> BuildRecord:
    """Make a build. Equal inputs give equal bytes.

    Args:
        recipe: what to do.
        onnx: the folder that `export_onnx` wrote.
        out: a new or empty folder; gets `model.onnx`, its word embeddings, the tokenizer, labels, arguments and
            `recipe.json`.
        samples: token ids of training texts, for a recipe that `needs_texts`.

    Raises:
        DataError: the folder has no model, or the recipe cannot be applied to it.
        StorageError: the disk is full or not writable.
        UsageError: `out` holds files already.
    """
    source = onnx / MODEL
    if not source.is_file():
        raise DataError(f"{onnx}: no {MODEL}; export the model first")
    with staged(out) as stage:
        model = stage / MODEL
        copy_present((MODEL, *COMPANIONS), onnx, stage)
        blocks = operators(model)["Softmax"]
        done = _rewrite(recipe, model, samples)
        table = split_word_embeddings(model)
        record = _record(recipe, sha256_of(source), (blocks, done), operators(model), table)
        (stage / RECORD).write_text(json.dumps(asdict(record), indent=2, sort_keys=True) + "\n")
    return record


def _rewrite(recipe: Recipe, model: Path, samples: Samples) -> dict[str, int]:
    """Passes, quantization, passes, in place; what the passes did.

    Raises:
        DataError: one of them does not know this graph.
    """
    try:
        done = run_passes(recipe.passes, model, samples)
        if recipe.quantization is not None:
            to_integers(model, recipe.quantization, samples)
        return {**done, **run_passes(recipe.after, model, samples)}
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError, IndexError, KeyError) as exc:
        raise DataError(f"recipe {recipe.name} cannot be applied: {exc}; use the recipe fp32") from exc


def _record(
    recipe: Recipe,
    source: str,
    rewritten: tuple[int, dict[str, int]],
    found: Counter[str],
    table: WordEmbeddings | None,
) -> BuildRecord:
    """The record of a finished build."""
    from importlib import metadata

    blocks, done = rewritten
    return BuildRecord(
        recipe=recipe.name,
        description=recipe.description,
        source=source,
        attention_blocks=blocks,
        passes=done,
        quantized=integer_operators(found),
        word_embeddings=table.model_dump(mode="json") if table else None,
        session=recipe.session.model_dump(mode="json"),
        versions={name: metadata.version(name) for name in ("onnx", "onnxruntime")},
    )
